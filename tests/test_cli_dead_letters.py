"""`patchbay dead-letters` against a real database."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result
from patchbay_shared.db import Database
from patchbay_shared.errors import StartupError
from patchbay_shared.tables import dead_letter
from sqlalchemy import insert

from patchbay.cli import commands

Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str, database_of: Callable[[str | None], Database]) -> Iterator[Run]:
    """Run the command over a database with one dead letter, number 1."""
    at = datetime(2026, 11, 20, tzinfo=UTC)
    with database_of(None).transaction() as connection:
        connection.execute(
            insert(dead_letter).values(
                queue="update-engine.reports", routing_key="report.received", headers={}, body=b"12345",
                error="ValueError: boom\nand more", attempts=3, first_at=at, last_at=at,
            )
        )  # fmt: skip
    environment = {"PATCHBAY_DATABASE_URL": database_url, "PATCHBAY_BUS_URL": ""}
    yield lambda *words: CliRunner(env=environment).invoke(commands, ["dead-letters", *words])


def test_the_list_has_one_line_a_message(run: Run) -> None:
    """The kind, and the first line of the error."""
    [line] = run("list").output.splitlines()

    assert line.split()[0] == "1"
    assert "report.received" in line
    assert line.endswith("ValueError: boom")


def test_a_list_of_another_kind_is_empty(run: Run) -> None:
    """--kind."""
    assert run("list", "--kind", "repository.changed").output == "There are none.\n"


def test_a_message_is_shown_without_its_body(run: Run) -> None:
    """A body may hold anything; its size is told."""
    output = run("show", "1").output

    assert "5 bytes" in output
    assert "and more" in output
    assert run("show", "2").exit_code == 1


@pytest.mark.parametrize("words", [["replay"], ["discard", "1", "--kind", "report.received"]])
def test_either_ids_or_a_kind_is_named(run: Run, words: list[str]) -> None:
    """Never all of them by accident."""
    assert run(*words).exit_code == 2


def test_without_a_broker_the_api_is_named(run: Run) -> None:
    """`patchbay up` keeps its bus to itself."""
    result = run("replay", "1")

    assert isinstance(result.exception, StartupError)
    assert "/api/v1/dead-letters" in str(result.exception)
