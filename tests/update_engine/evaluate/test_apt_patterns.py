"""Patterns, preferences and the phasing draw of apt, by themselves."""

import pytest
from patchbay_update_engine.evaluate.apt_pattern import compile_pattern
from patchbay_update_engine.evaluate.apt_phasing import draw, waits
from patchbay_update_engine.evaluate.apt_preferences import NEVER, parse_preferences


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("bookworm", "Bookworm", True),
        ("lib*", "libc6", True),
        ("lib?", "libc6", False),
        ("lib[!c]*", "libx", True),
        ("lib[^c]*", "libc6", False),
        (r"a\*", "a*", True),
        (r"a\*", "ab", False),
        ("/^lib.*[0-9]$/", "libssl3", True),
        ("/^lib.*[0-9]$/", "libssl3t", False),
        ("/SSL/", "libssl3", True),
        ("/^(nginx|apache)+2?$/", "apache2", True),
        ("/^x{2,3}$/", "xxxx", False),
        ("/^[[:alpha:]]+$/", "abc1", False),
        (r"/a\.b/", "axb", False),
        ("/^$/", "", True),
        ("/*a/", "a", False),
        ("/(a/", "a", False),
    ],
)
def test_a_pattern_matches_as_fnmatch_or_an_extended_expression(pattern: str, text: str, matches: bool) -> None:
    """Globs have to match the whole text, expressions any part; case does not count; invalid ones match nothing."""
    assert compile_pattern(pattern)(text) is matches


@pytest.mark.timeout(10)
@pytest.mark.parametrize("pattern", ["/(a*)*b$/", "/(a|aa)+(a|b)*c/", "*a*a*a*a*a*a*a*a*b", "/(a{0,9}){0,9}b/"])
def test_a_hostile_pattern_costs_no_more_than_its_length(pattern: str) -> None:
    """Backtracking would take longer than the universe has."""
    assert not compile_pattern(pattern)("a" * 255)


@pytest.mark.parametrize(
    "pattern", ["/(((a{0,255}){0,255}){0,255})/", "/" + "(" * 500 + ")" * 500 + "/", "/" + "a" * 5000 + "/"]
)
def test_an_expression_larger_than_a_person_writes_matches_nothing(pattern: str) -> None:
    """Bounded repetitions multiply; the automaton is not built."""
    assert not compile_pattern(pattern)("aaa")


@pytest.mark.parametrize(
    ("seed", "number"),
    [
        ("a", 94),
        ("argus-2:3.0.8.2-2.2-15ca74a70c1158ade0f5f3ddf032e5fc", 28),
        ("linux-6.8.0-41.41-00112233445566778899aabbccddeeff", 27),
    ],
)
def test_the_draw_is_that_of_the_cxx_library(seed: str, number: int) -> None:
    """Numbers drawn by a program compiled against libstdc++."""
    assert draw(seed) == number


def test_a_machine_without_id_does_not_wait() -> None:
    """apt cannot draw then, and takes the update."""
    assert not waits("argus", "1", "", 0)


def test_comments_explanations_and_continued_lines_are_understood() -> None:
    """A file as people write it."""
    text = (
        "# mine\nExplanation: because\nPackage: a\n  b\nPin: release o=Debian Backports\n# no\nPin-Priority: +900 \n"
    )
    [stanza] = parse_preferences(text)

    assert (stanza.kind, stanza.pin, stanza.priority) == ("release", "o=Debian Backports", 900)
    assert stanza.names("b", "b", "amd64", "amd64")


@pytest.mark.parametrize(
    "text",
    [
        "Pin: release n=x\nPin-Priority: 1\n",
        "Package: a\nPin-Priority: 1\n",
        "Package: a\nPin: release n=x\n",
        "Package: a\nPin: release n=x\nPin-Priority: 0\n",
        "Package: a\nPin: release n=x\nPin-Priority: 40000\n",
        "Package: a\nPin: release n=x\nPin-Priority: never\n",
        "Package: *\nPin: version 1\nPin-Priority: 1\n",
        "Package: a\nPin: colour blue\nPin-Priority: 1\n",
    ],
)
def test_a_stanza_that_apt_cannot_use_is_left_out(text: str) -> None:
    """No name, no pin, no usable priority, or a kind that does not exist."""
    assert parse_preferences(text) == []


def test_never_is_the_lowest_priority() -> None:
    """A number can come close to it but not reach it."""
    [never] = parse_preferences("Package: *\nPin: release n=x\nPin-Priority: never\n")
    [number] = parse_preferences("Package: *\nPin: release n=x\nPin-Priority: -32768\n")

    assert never.priority == NEVER
    assert number.priority == NEVER + 1
