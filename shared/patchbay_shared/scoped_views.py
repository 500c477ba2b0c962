"""What somebody sees who may see some hosts only: views of the same names as the tables, in a schema of their own.

In a transaction that `enter` has narrowed, `host` is a view of the hosts in scope, and every table with a `host_id`
is a view of the rows of those hosts; what counts the whole fleet is empty. Names are looked up there first, so
whatever a query says and wherever it stands, it reads and writes no other host: nobody has to think of it. A
transaction that is not narrowed never meets the views, and pays nothing for them.

The views follow the tables: `make` draws them anew after each migration.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import ProgrammingError

from patchbay_shared.errors import StartupError
from patchbay_shared.tables import metadata

SCHEMA = "patchbay_scoped"
MOST_SCOPES = 2
"""An account's, and that of its API token: a host must be in both."""

# The setting is read in a query of its own, once; otherwise it would be read for every host.
_IN_SCOPE = """
    (SELECT nullif(current_setting('patchbay.scope_{n}', true), '') IS NULL) OR h.id IN (
        SELECT x.id FROM public.host x WHERE x.tags && current_setting('patchbay.scope_{n}_tags')::text[]
        UNION ALL
        SELECT l.host_id FROM public.host_label l WHERE l.tags && current_setting('patchbay.scope_{n}_tags')::text[]
        UNION ALL
        SELECT l.host_id FROM public.host_label l JOIN public.host_group g ON g.id = l.group_id
        WHERE g.name = ANY (current_setting('patchbay.scope_{n}_groups')::text[])
    )"""
_ENTER = "SELECT set_config('search_path', :path, true), " + ", ".join(
    f"set_config('patchbay.scope_{n}', :scope_{n}, true),"
    f" set_config('patchbay.scope_{n}_tags', CAST(CAST(:tags_{n} AS text[]) AS text), true),"
    f" set_config('patchbay.scope_{n}_groups', CAST(CAST(:groups_{n} AS text[]) AS text), true)"
    for n in range(1, MOST_SCOPES + 1)
)


def enter(connection: Connection, scopes: Sequence[Sequence[str]]) -> None:
    """Narrow the running transaction to the hosts that are in each of the scopes, given as terms tag:… and group:…"""
    if not 0 < len(scopes) <= MOST_SCOPES:
        raise ValueError(f"A transaction is narrowed by one or {MOST_SCOPES} scopes, not {len(scopes)}.")
    values: dict[str, object] = {"path": f"{SCHEMA}, public"}
    for n in range(1, MOST_SCOPES + 1):
        scope = scopes[n - 1] if n <= len(scopes) else ()
        values[f"scope_{n}"] = "given" if n <= len(scopes) else ""
        for kind in ("tag", "group"):
            values[f"{kind}s_{n}"] = [each.removeprefix(f"{kind}:") for each in scope if each.startswith(f"{kind}:")]
    connection.execute(text(_ENTER), values)


def drop(connection: Connection) -> None:
    """Remove the views, so that the tables below them can be changed."""
    connection.execute(text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))


def make(connection: Connection, *, role: str | None) -> None:
    """Draw the views anew, for this role to use. Raises StartupError if the database user may not make a schema."""
    drop(connection)
    try:
        connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
    except ProgrammingError as exc:
        raise StartupError(
            f"The database user may not make a schema ({str(exc.orig).splitlines()[0]}); "
            "make it the owner of the database, or grant it CREATE on the database."
        ) from exc
    views_below = ("host", "host_label")  # others are drawn upon these
    for table in sorted(metadata.sorted_tables, key=lambda each: (each.name not in views_below, each.name)):
        condition = _condition(table)
        if condition:
            checked = "" if condition == "false" else " WITH LOCAL CHECK OPTION"
            connection.exec_driver_sql(
                f"CREATE VIEW {SCHEMA}.{table.name} AS SELECT h.* FROM public.{table.name} h"
                f" WHERE {condition}{checked}"
            )
            if role and table.info["writer"] == "api":
                connection.execute(text(f'GRANT INSERT, UPDATE, DELETE ON {SCHEMA}.{table.name} TO "{role}"'))
    if role:
        connection.execute(text(f'GRANT USAGE ON SCHEMA {SCHEMA} TO "{role}"'))
        connection.execute(text(f'GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO "{role}"'))


def _condition(table: Table) -> str:
    """Which of a table's rows are in scope; empty: all of them."""
    if table.info.get("whole_fleet"):
        return "false"
    if table.name == "host":
        return " AND ".join(f"({_IN_SCOPE.format(n=n)})" for n in range(1, MOST_SCOPES + 1))
    if table.name == "host_group":
        return f"h.id IN (SELECT l.group_id FROM {SCHEMA}.host_label l)"
    if table.name == "risk_exception":
        return f"h.scope <> 'host' OR h.target IN (SELECT s.id::text FROM {SCHEMA}.host s)"
    if "host_id" in table.c:
        return f"h.host_id IN (SELECT s.id FROM {SCHEMA}.host s)"
    return ""
