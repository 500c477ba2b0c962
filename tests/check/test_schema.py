"""The tables, their migrations, and who may write what."""

from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from patchbay_shared.db import Database
from patchbay_shared.errors import StartupError
from patchbay_shared.migrate import migrate, require_current
from patchbay_shared.tables import SERVICES, metadata
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError


def test_every_table_names_one_writer() -> None:
    """Facts and conclusions have one writing service each."""
    writers = {table.name: table.info.get("writer") for table in metadata.sorted_tables}

    assert {name for name, writer in writers.items() if writer not in SERVICES} == set()


def test_migrations_make_exactly_the_tables(database_of: Callable[[str | None], Database]) -> None:
    """A fresh database after all migrations differs in nothing from the tables in the code."""
    with database_of(None).transaction() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_service_cannot_write_the_table_of_another(database_of: Callable[[str | None], Database]) -> None:
    """PostgreSQL itself refuses, whatever the code does."""
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        database_of("ingest").transaction() as connection,
    ):
        connection.execute(text("DELETE FROM verdict"))


def test_a_service_writes_its_own_table(database_of: Callable[[str | None], Database]) -> None:
    """The grant is there for the writer."""
    with database_of("update-engine").transaction() as connection:
        assert connection.execute(text("DELETE FROM verdict")).rowcount == 0


def test_a_newer_schema_than_the_code_is_refused(database_of: Callable[[str | None], Database]) -> None:
    """Unless the newer one has noted that the old one may go on (test_migration_rules.py)."""
    owner = database_of(None)
    with owner.transaction() as connection:
        connection.execute(text("COMMENT ON TABLE alembic_version IS NULL"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(StartupError, match=r"9999.*newer than this version"):
        migrate(owner, roles=True)
    with pytest.raises(StartupError, match="newer than this version"):
        require_current(owner)
