"""What `--help` says: every command and every option is explained, on one line where it is listed."""

from collections.abc import Iterator

import click
import pytest
import requests
from click.testing import CliRunner

from patchbay.cli import commands
from patchbay.commands.remote import unanswered


def _all(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from _all(each, (*path, name))


COMMANDS = dict(_all(commands))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_explains_the_command_and_each_of_its_options(path: tuple[str, ...]) -> None:
    """No line is cut short with dots, and a word in capitals is one that the usage has."""
    answer = CliRunner().invoke(commands, [*path, "--help"])

    assert answer.exit_code == 0
    assert COMMANDS[path].help
    assert [
        each for each in answer.output.splitlines() if each.endswith("...") and not each.startswith("Usage")
    ] == []
    for option in COMMANDS[path].params:
        assert not isinstance(option, click.Option) or option.help, option.name


@pytest.mark.parametrize(
    ("url", "failure", "words"),
    [
        ("nonsense", requests.exceptions.MissingSchema(), "nonsense is no address; --url takes http:// or https://"),
        ("http://a:1", requests.ConnectionError("refused"), "there is no connection; is Patchbay running there?"),
        ("http://a:1", requests.ConnectionError("NameResolutionError('a')"), "its name cannot be resolved"),
        ("https://a", requests.exceptions.SSLError(), "its certificate is not trusted"),
        ("http://a", requests.ReadTimeout(), "it did not in time"),
    ],
)
def test_why_a_server_did_not_answer_is_one_sentence(
    url: str, failure: requests.RequestException, words: str
) -> None:
    """With the address and the option that names another."""
    said = unanswered(url, failure, option="--url")

    assert words in said
    assert url in said and "--url" in said and "\n" not in said


def test_a_mistaken_event_is_said_before_a_database_is_asked() -> None:
    """With what was expected."""
    answer = CliRunner().invoke(commands, ["audit", "verify", "--known", "x"])

    assert answer.exit_code == 2
    assert "'--known': as an earlier run printed it: NUMBER:HASH" in answer.output
