"""`patchbay vercmp`."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from patchbay.cli import commands


def _run(*arguments: str, text: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(commands, ["vercmp", *arguments], input=text)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("scheme", "a", "b", "sign"),
    [
        ("deb", "1.0~rc1-1", "1.0-1", "-1"),
        ("rpm", "1.0^git1-1", "1.0-1", "1"),
        ("rpm", "0:1.0-1", "1.0-1", "0"),
        ("alpm", "1.0rc1-1", "1.0-1", "-1"),
        ("alpm", "1.0", "1.0-5", "0"),
    ],
)
def test_two_versions_give_their_sign(scheme: str, a: str, b: str, sign: str) -> None:
    """Each scheme is that of its package manager."""
    assert _run("--scheme", scheme, a, b) == (0, f"{sign}\n", "")


def test_a_file_gives_a_sign_a_line(tmp_path: Path) -> None:
    """Further columns, such as an expected sign, are passed over, and so are empty lines."""
    path = tmp_path / "pairs.tsv"
    path.write_text("1.0\t2.0\t-1\n\n2.0\t1.0\n1.0\t1.0\tcomment\n")

    assert _run("--scheme", "deb", "--file", str(path)) == (0, "-1\n1\n0\n", "")


def test_standard_input_stands_for_a_file() -> None:
    """For pipes."""
    assert _run("--scheme", "rpm", "--file", "-", text="1-1\t1-2\n") == (0, "-1\n", "")


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        (["--scheme", "deb", "1.0"], "", "either two versions, A and B, or --file"),
        (["--scheme", "deb"], "", "either two versions, A and B, or --file"),
        (["--scheme", "deb", "--file", "-", "1", "2"], "", "either two versions, A and B, or --file"),
        (["--scheme", "deb", "", "1.0"], "", "not a Debian version"),
        (["--scheme", "deb", "--file", "-"], "1.0\t2.0\n1.0 2.0\n", "line 2"),
        (["--scheme", "gentoo", "1", "2"], "", "'gentoo' is not one of"),
    ],
)
def test_a_mistake_is_explained(arguments: list[str], text: str, message: str) -> None:
    """Exit code 2, as for every wrong use of a command."""
    code, _, error = _run(*arguments, text=text)

    assert code == 2
    assert message in error
