"""The order of versions, checked against the package managers' own comparers."""

import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from debian.debian_support import NativeVersion
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from patchbay_shared.catalogue import Scheme
from patchbay_shared.errors import InvalidVersion
from patchbay_shared.versions import compare, evr_key
from rpm_rs import Evr

HERE = Path(__file__).resolve()
SHARED = Path(os.environ.get("PATCHBAY_SHARED", HERE.parents[3] / "shared"))
VECTORS = {"deb": "deb.tsv", "rpm": "rpm.tsv", "alpm": "pacman.tsv"}
SCHEMES: tuple[Scheme, ...] = ("deb", "rpm", "alpm")

ALPM_CIRCLE = re.compile(r"[0-9A-Za-z][^0-9A-Za-z:-]{2,}[A-Za-z]")
"""A longer separator before letters: where libalpm's order is a circle and no key can follow it."""


def vectors(scheme: Scheme) -> list[tuple[str, str, int]]:
    folder = SHARED / "oracle" / "vercmp"
    if not folder.is_dir():
        folder = HERE.parents[1] / "data" / "vercmp"
    rows = (line.split("\t") for line in (folder / VECTORS[scheme]).read_text().splitlines())
    return [(a, b, int(sign)) for a, b, sign in rows]


def key_order(scheme: Scheme, a: str, b: str) -> int:
    left, right = evr_key(scheme, a), evr_key(scheme, b)
    return (left > right) - (left < right)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_compare_agrees_with_every_recorded_answer(scheme: Scheme) -> None:
    """dpkg, librpm and vercmp were asked; compare() must never contradict them."""
    rows = vectors(scheme)

    assert len(rows) >= 290
    assert [(a, b, sign) for a, b, sign in rows if compare(scheme, a, b) != sign] == []


@pytest.mark.parametrize("scheme", ["deb", "rpm"])
def test_keys_agree_with_every_recorded_answer(scheme: Scheme) -> None:
    """SQL's ORDER BY on the key must be the package manager's order, equal versions included."""
    rows = vectors(scheme)

    assert [(a, b, sign) for a, b, sign in rows if key_order(scheme, a, b) != sign] == []


def test_alpm_keys_agree_wherever_libalpm_is_consistent() -> None:
    """Keys follow vercmp for complete versions, but for the few where vercmp contradicts itself."""
    rows = [row for row in vectors("alpm") if "-" in row[0] and "-" in row[1]]
    wrong = [(a, b) for a, b, sign in rows if key_order("alpm", a, b) != sign]

    assert len(wrong) <= 2
    assert [pair for pair in wrong if not any(ALPM_CIRCLE.search(text) for text in pair)] == []


def test_libalpm_itself_goes_round_in_a_circle() -> None:
    """1.1 < 1..a < 1. < 1.1: the reason why two recorded answers cannot hold for keys."""
    circle = ["1.1-1", "1..a-1", "1.-1", "1.1-1"]

    assert [compare("alpm", a, b) for a, b in pairwise(circle)] == [-1, -1, -1]


def test_alpm_ignores_the_release_if_one_side_has_none() -> None:
    """A dependency on 1.0 is met by every release of 1.0."""
    assert compare("alpm", "1.0", "1.0-7") == 0


def test_an_alpm_key_without_release_sorts_before_its_releases() -> None:
    """A key must be a total order, so it cannot call 1.0 equal to both 1.0-1 and 1.0-2."""
    assert evr_key("alpm", "1.0") < evr_key("alpm", "1.0-1") < evr_key("alpm", "1.0.1")


@pytest.mark.parametrize(
    ("a", "b"), [("0:1.0-1", "1.0-1"), ("1.0-01", "1.0-1"), ("1.0", "1.0-0"), ("1.", "1.0"), ("001", "1")]
)
def test_deb_versions_that_compare_equal_have_one_key(a: str, b: str) -> None:
    """apt offers `0:1.0-1` for `1.0-1` only because of the text; the order must not differ."""
    assert evr_key("deb", a) == evr_key("deb", b)


def test_a_tilde_release_candidate_is_older_than_its_release() -> None:
    """1.0~rc1 must not hide the update to 1.0."""
    assert evr_key("deb", "1.0~rc1-1") < evr_key("deb", "1.0-1") < evr_key("deb", "1:0.9-1")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_numbers_of_any_size_compare_as_numbers(scheme: Scheme) -> None:
    """A git date or a hostile report must not overflow into the wrong order."""
    small, large = "9" * 300, "1" + "0" * 300

    assert evr_key(scheme, f"{small}-1") < evr_key(scheme, f"{large}-1")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("text", ["", " ", "1.0 -1", "1.0\n", "1.0\x00-1", "\t1", "1.0-1\x7f", "x:1.0-1", "2:"])
def test_garbage_is_no_version(scheme: Scheme, text: str) -> None:
    """Spaces, control characters, nothing, or an epoch that is no number are the reporter's mistake."""
    with pytest.raises(InvalidVersion):
        evr_key(scheme, text)


def test_an_rpm_epoch_larger_than_rpm_stores_is_refused() -> None:
    """rpm keeps 32 bits; a larger epoch would silently order wrongly."""
    with pytest.raises(InvalidVersion):
        evr_key("rpm", "4294967296:1-1")


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        ("deb", "1.0_beta-1"),
        ("deb", "2:1.2.3+dfsg~rc1-0ubuntu1.22.04.1+esm2"),
        ("deb", "1:2:3-4"),
        ("rpm", "1.0^20240101git-1.fc40"),
        ("rpm", "1.0"),
        ("alpm", "1:r12.gabc@x+1-1.1"),
    ],
)
def test_odd_versions_of_real_repositories_are_accepted(scheme: Scheme, text: str) -> None:
    """Third-party archives publish versions that policy forbids; the package managers sort them."""
    assert evr_key(scheme, text)


# Pieces that make neighbours likely: equal prefixes, empty runs, zeros, tildes.
PIECES = ["0", "00", "1", "9", "10", "01", "a", "b", "Z", "rc", ".", "..", "+", "~", "~~", "git", "2024", "deb12u1"]


def texts(pieces: list[str]) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces), min_size=0, max_size=7).map("".join)


@st.composite
def versions(draw: st.DrawFn, pieces: tuple[str, ...] = ()) -> str:
    """An `[epoch:]version-release` of awkward pieces."""
    pool = PIECES + list(pieces)
    epoch = draw(st.sampled_from(["", "0:", "1:", "10:"]))
    version = draw(st.sampled_from("0123456789")) + draw(texts(pool))
    release = draw(st.sampled_from("0123")) + draw(texts(pool))
    return f"{epoch}{version}-{release}"


@settings(max_examples=400, deadline=None)
@given(versions(("-",)), versions(("-",)))
def test_deb_keys_order_as_python_debian(a: str, b: str) -> None:
    """The independent implementation of Debian Policy 5.6.12 and our keys never disagree."""
    assume(not (a.endswith("-") or b.endswith("-")))  # dpkg refuses an empty revision, so it has no order
    left, right = NativeVersion(a), NativeVersion(b)

    assert key_order("deb", a, b) == (left > right) - (left < right)


@settings(max_examples=400, deadline=None)
@given(versions(("^", "_")), versions(("^", "_")))
def test_rpm_keys_order_as_rpm_rs_compares(a: str, b: str) -> None:
    """The sort key of rpm-rs and its own comparison never disagree."""
    left, right = Evr.parse(a), Evr.parse(b)

    assert key_order("rpm", a, b) == (left > right) - (left < right)


@pytest.mark.live
@pytest.mark.skipif(shutil.which("vercmp") is None, reason="pacman's vercmp is not installed")
@settings(max_examples=100, deadline=None)
@given(versions(("_", "@")), versions(("_", "@")))
def test_alpm_compare_agrees_with_the_installed_vercmp(a: str, b: str) -> None:
    """compare() is vercmp, also for versions that nobody recorded."""
    said = subprocess.run(["vercmp", a, b], capture_output=True, text=True, check=True).stdout

    assert compare("alpm", a, b) == int(said)


@settings(max_examples=300, deadline=None)
@given(versions(), versions())
def test_alpm_keys_agree_with_compare_without_odd_separators(a: str, b: str) -> None:
    """With one separator at a time and none at an end, a key and compare() are the same order."""
    a, b = (re.sub(r"[.+~]+(?=-|$)", "", re.sub(r"([.+~])[.+~]+", r"\1", text)) for text in (a, b))

    assert key_order("alpm", a, b) == compare("alpm", a, b)
