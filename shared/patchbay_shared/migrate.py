"""Bring a database to this code's schema, one process at a time."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from patchbay_shared import scoped_views
from patchbay_shared.db import Database, role
from patchbay_shared.errors import StartupError
from patchbay_shared.log import get_logger
from patchbay_shared.tables import SERVICES, metadata

log = get_logger("migrate")

_LOCK = 0x70617463  # advisory lock: one migration at a time
# From PostgreSQL 16 on, who creates a role is a member that may give it away, but may not SET ROLE to it.
_MAY_BECOME = """
    SELECT pg_has_role(current_user, :name,
                       CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
"""


OLDEST_CODE = "0001"
"""Newest revision that the oldest code knows which runs on this schema: migrations since then only added to it.

Noted in the database, so that code which is replaced by this one goes on, and starts again if it must. A migration
that takes something away raises this to the revision of the first code that does without it.
"""
_NOTE = "oldest code that runs on this schema: "


def migrate(database: Database, *, roles: bool, beside_newer: bool = True) -> None:
    """Upgrade to the newest revision, under an advisory lock; then hold grants equal to the tables' writers.

    A schema of newer code that this code can run on is left as it is, while services are replaced one after the
    other (`beside_newer`). Raises StartupError if the schema is too new, or if roles are wanted and may not be made.
    """
    with database.transaction() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text("SET LOCAL lock_timeout = '30s'"))
        if require_usable_revision(connection, beside_newer=beside_newer):
            log.info("schema_is_newer", revision=_revision(connection))
            return
        config = _config()
        config.attributes["connection"] = connection
        scoped_views.drop(connection)
        command.upgrade(config, "head")
        connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{_NOTE}{OLDEST_CODE}'"))
        if roles:
            _apply_grants(connection)
        scoped_views.make(connection, role=role("api") if roles else None)


def require_current(database: Database) -> None:
    """Raises StartupError unless the schema is the one that this code knows, or a newer one that it can run on."""
    with database.transaction() as connection:
        if require_usable_revision(connection):
            return
        if _revision(connection) != _script().get_current_head():
            raise StartupError(
                "The database schema is older than this version of Patchbay; run `patchbay migrate` first."
            )


def require_usable_revision(connection: Connection, *, beside_newer: bool = True) -> bool:
    """Whether newer code has migrated this database. Raises StartupError if this code cannot run on it any more."""
    revision = _revision(connection)
    known = {script.revision for script in _script().walk_revisions()}
    if revision is None or revision in known:
        return False
    note = connection.scalar(text("SELECT obj_description('alembic_version'::regclass, 'pg_class')")) or ""
    if not beside_newer or not note.startswith(_NOTE) or note.removeprefix(_NOTE) not in known:
        raise StartupError(
            f"The database schema (revision {revision}) is newer than this version of Patchbay; "
            "install the newer version again, or restore a backup made before the upgrade."
        )
    return True


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "patchbay_shared:migrations")
    return config


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _apply_grants(connection: Connection) -> None:
    """Roles are made once a cluster, grants are made anew each time: they follow `Table.info["writer"]`."""
    try:
        for service in SERVICES:
            exists = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": role(service)})
            if not exists:
                connection.execute(text(f'CREATE ROLE "{role(service)}" NOLOGIN'))
            if not connection.scalar(text(_MAY_BECOME), {"name": role(service)}):
                connection.execute(text(f'GRANT "{role(service)}" TO current_user'))
    except DBAPIError as exc:
        raise StartupError(
            f"The database user may not create roles ({str(exc.orig).splitlines()[0]}); "
            "grant it CREATEROLE, or set PATCHBAY_DATABASE_ROLES=false."
        ) from exc
    for service in SERVICES:
        connection.execute(text(f'REVOKE ALL ON ALL TABLES IN SCHEMA public FROM "{role(service)}"'))
        connection.execute(text(f'GRANT USAGE ON SCHEMA public TO "{role(service)}"'))
        if service != "web":
            connection.execute(text(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{role(service)}"'))
            connection.execute(text(f'GRANT TEMPORARY ON DATABASE "{_database(connection)}" TO "{role(service)}"'))
    for table in metadata.sorted_tables:
        rights = "INSERT" if table.info.get("append_only") else "INSERT, UPDATE, DELETE"
        connection.execute(text(f'GRANT {rights} ON "{table.name}" TO "{role(table.info["writer"])}"'))


def _database(connection: Connection) -> str:
    return str(connection.scalar(text("SELECT current_database()")))
