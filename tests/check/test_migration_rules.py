"""Migrations only add: the version that is being replaced goes on with the schema of its successor."""

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from patchbay_shared.db import Database
from patchbay_shared.embedded import EmbeddedPostgres
from patchbay_shared.errors import StartupError
from patchbay_shared.migrate import OLDEST_CODE, migrate, require_current
from sqlalchemy import event, text

SQUAWK = str(Path(sys.executable).with_name("squawk"))
RULES = {
    "adding-not-nullable-field",
    "adding-required-field",
    "ban-drop-column",
    "ban-drop-default",
    "ban-drop-function",
    "ban-drop-not-null",
    "ban-drop-table",
    "ban-drop-view",
    "ban-truncate-cascade",
    "changing-column-type",
    "disallowed-unique-constraint",
    "renaming-column",
    "renaming-object",
    "renaming-table",
}
"""Those of squawk's that are about code which does not know the change; the others are about locks and taste."""
ALLOWED: dict[str, set[str]] = {}
"""Revision to rules that it may break, each with its reason; such a migration raises OLDEST_CODE."""


@pytest.fixture(scope="module")
def statements(postgres: EmbeddedPostgres) -> Iterator[dict[str, list[str]]]:
    """Revision to what it does to the schema, as PostgreSQL was told it."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        database = Database(postgres.get_uri(name), service=None, roles=False)
        found: dict[str, list[str]] = {}
        since: list[str] = []

        @event.listens_for(database.engine, "before_cursor_execute")
        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            done = re.search(r"(?:INSERT INTO|UPDATE) alembic_version .*?'(\d+)'", statement)
            if done:
                found[done[1]] = since[:]
                since.clear()
            elif re.match(r"\s*(CREATE|ALTER|DROP|TRUNCATE|COMMENT|UPDATE|INSERT|DELETE)\b", statement):
                since.append(statement.strip())

        migrate(database, roles=False)
        database.close()
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    yield found


def broken_rules(statements: list[str]) -> set[str]:
    """The rules that a migration breaks for the code of before."""
    told = subprocess.run(
        [SQUAWK, "--assume-in-transaction", "--pg-version", "15", "--reporter", "json"],
        input=";\n".join(statements) + ";\n", capture_output=True, text=True,
    )  # fmt: skip
    found = {each["rule_name"] for each in json.loads(told.stdout)} & (RULES | {"syntax-error"})
    made = {name for each in statements for name in re.findall(r"CREATE TABLE (\w+)", each)}
    for each in statements:
        unique = re.match(r"CREATE UNIQUE INDEX .* ON (\w+)", each)
        checked = re.match(r"ALTER TABLE (\w+) ADD (?:CONSTRAINT \w+ )?CHECK", each)
        if any(added and added[1] not in made for added in (unique, checked)):
            found.add("stricter-than-before")
    return found


def test_migrations_only_add(statements: dict[str, list[str]]) -> None:
    """What is to go is first not used by any version that may still run, then removed with its reason above."""
    first, *later = sorted(statements)

    assert first == "0001"
    assert later
    broken = {each: broken_rules(statements[each]) - ALLOWED.get(each, set()) for each in later}
    assert {each: rules for each, rules in broken.items() if rules} == {}


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE host DROP COLUMN hostname",
        "DROP TABLE receipt",
        "ALTER TABLE host RENAME COLUMN hostname TO name",
        "ALTER TABLE host RENAME TO machine",
        "ALTER TABLE host ALTER COLUMN hostname TYPE varchar(10)",
        "ALTER TABLE host ADD COLUMN colour text NOT NULL",
        "ALTER TABLE host ALTER COLUMN kernel SET NOT NULL",
        "ALTER TABLE host ALTER COLUMN hostname DROP NOT NULL",
        "ALTER TABLE host ADD CONSTRAINT uq_host UNIQUE (hostname)",
        "CREATE UNIQUE INDEX uq_host ON host (hostname)",
        "ALTER TABLE host ADD CONSTRAINT ck_host CHECK (hostname <> '')",
    ],
)
def test_what_an_older_version_could_not_run_with_is_found(statement: str) -> None:
    """The rule above can fail."""
    assert broken_rules([statement])


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE host ADD COLUMN shade text",
        "ALTER TABLE host ADD COLUMN tone text DEFAULT '' NOT NULL",
        "CREATE TABLE colour (id bigint PRIMARY KEY, name text NOT NULL UNIQUE)",
        "CREATE INDEX ix_host_hostname ON host (hostname)",
    ],
)
def test_what_an_older_version_does_not_notice_is_allowed(statement: str) -> None:
    """Additions with a default, and whatever is new as a whole."""
    assert broken_rules([statement]) == set()


def later_schema(database: Database, *, oldest_code: str) -> None:
    """Leave the database as a version of the future would."""
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        note = f"oldest code that runs on this schema: {oldest_code}"
        connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{note}'"))


def test_code_runs_on_a_newer_schema_that_says_so(database_of: Callable[[str | None], Database]) -> None:
    """In the midst of a rolling upgrade a service of the old version starts again; its `migrate` changes nothing."""
    owner = database_of(None)
    later_schema(owner, oldest_code=OLDEST_CODE)

    require_current(owner)
    migrate(owner, roles=True)

    with owner.transaction() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


def test_code_refuses_a_newer_schema_that_needs_newer_code(database_of: Callable[[str | None], Database]) -> None:
    """A migration that takes something away names the first code that does without it."""
    owner = database_of(None)
    later_schema(owner, oldest_code="9998")

    for start in (lambda: require_current(owner), lambda: migrate(owner, roles=True)):
        with pytest.raises(StartupError, match=r"revision 9999.*newer than this version"):
            start()
