"""Snapshots of the fleet's figures: taken once an hour, thinned to one a day, read as series."""

from datetime import timedelta

from patchbay_shared.tables import fleet_snapshot
from sqlalchemy import Connection, RowMapping, text
from sqlalchemy.dialects.postgresql import insert

from patchbay_api.store import fleet

SEVERITIES = ("unknown", "low", "medium", "high", "critical")
DIMENSIONS = ("fleet", "os", "severity", "age")
MOST_SYSTEMS = 50
HOURLY = timedelta(days=14)
"""For so long every hour is kept; then the last snapshot of each day."""
KEPT = timedelta(days=2 * 366)

# An update's severity and age are those of its advisories: the worst, and the oldest.
_OUTSTANDING = """
    WITH counted AS (
        SELECT evaluation_id, count(*) AS hosts FROM host WHERE evaluation_id IS NOT NULL GROUP BY 1
    ), fixes AS (
        SELECT v.advisories, sum(c.hosts) AS updates
        FROM verdict v JOIN counted c USING (evaluation_id)
        WHERE v.listed AND v.security GROUP BY v.advisories
    ), named AS (
        SELECT f.advisories, f.updates,
               max(CASE a.severity WHEN 'critical' THEN 4 WHEN 'high' THEN 3 WHEN 'medium' THEN 2 WHEN 'low' THEN 1
                   ELSE 0 END) AS severity,
               min(a.issued_at) AS issued_at
        FROM fixes f LEFT JOIN advisory a ON a.name = ANY(f.advisories) AND a.type = 'security'
        GROUP BY f.advisories, f.updates
    )
"""
_BY_SEVERITY = f"""{_OUTSTANDING}
    SELECT (ARRAY['unknown', 'low', 'medium', 'high', 'critical'])[coalesce(severity, 0) + 1] AS value,
           sum(updates)::bigint AS updates
    FROM named GROUP BY 1
"""
_BY_AGE = f"""{_OUTSTANDING}
    SELECT CASE WHEN issued_at IS NULL THEN 'unknown'
                WHEN issued_at > now() - interval '7 days' THEN 'week'
                WHEN issued_at > now() - interval '30 days' THEN 'month'
                WHEN issued_at > now() - interval '90 days' THEN 'quarter'
                ELSE 'older' END AS value,
           sum(updates)::bigint AS updates
    FROM named GROUP BY 1
"""


def take_snapshot(connection: Connection) -> bool:
    """Note this hour's figures; False if a replica of this service has done so already."""
    hour = connection.execute(text("SELECT date_trunc('hour', now()) AS hour")).scalar_one()
    systems = fleet.totals_by_system(connection)
    whole = {
        **fleet.sum_of(systems),
        **{f"repositories_{name}": count for name, count in fleet.repository_totals(connection).items()},
        "dead_letters": fleet.dead_letter_count(connection),
    }
    first = insert(fleet_snapshot).values(at=hour, dimension="fleet", value="", figures=whole)
    if connection.scalar(first.on_conflict_do_nothing().returning(fleet_snapshot.c.at)) is None:
        return False
    rows = [("os", str(row["os"]), _numbers(row)) for row in systems[:MOST_SYSTEMS]]
    for dimension, statement in (("severity", _BY_SEVERITY), ("age", _BY_AGE)):
        rows += [(dimension, row.value, {"updates": int(row.updates)}) for row in connection.execute(text(statement))]
    if rows:
        connection.execute(
            insert(fleet_snapshot).on_conflict_do_nothing(),
            [{"at": hour, "dimension": each[0], "value": each[1], "figures": each[2]} for each in rows],
        )
    return True


def has_snapshot(connection: Connection) -> bool:
    """Whether this hour's figures are there."""
    found = "SELECT EXISTS (SELECT FROM fleet_snapshot WHERE at = date_trunc('hour', now()) AND dimension = 'fleet')"
    return bool(connection.scalar(text(found)))


def latest_severities(connection: Connection) -> dict[str, float]:
    """Outstanding security updates by severity as of the latest snapshot; empty if there is none of two hours.

    To count them anew reads the verdicts of the whole fleet: too much for what is asked every few seconds.
    """
    rows = connection.execute(
        text("""
            SELECT s.value, (s.figures ->> 'updates')::bigint AS updates
            FROM (SELECT max(at) AS at FROM fleet_snapshot WHERE at > now() - interval '2 hours') latest
            LEFT JOIN fleet_snapshot s ON s.at = latest.at AND s.dimension = 'severity'
            WHERE latest.at IS NOT NULL
        """)
    ).all()
    counts = {row.value: row.updates for row in rows}
    return {each: float(counts.get(each, 0)) for each in SEVERITIES} if rows else {}


def thin_out(connection: Connection) -> int:
    """Keep one snapshot a day of what is older than `HOURLY`, and nothing older than `KEPT`."""
    return connection.execute(
        text("""
            DELETE FROM fleet_snapshot s
            WHERE at < now() - CAST(:kept AS interval)
               OR (at < now() - CAST(:hourly AS interval) AND EXISTS (
                    SELECT FROM fleet_snapshot later
                    WHERE later.at > s.at AND later.at < date_trunc('day', s.at) + interval '1 day'
                      AND later.dimension = 'fleet' AND later.value = ''))
        """),
        {"kept": KEPT, "hourly": HOURLY},
    ).rowcount


def series(connection: Connection, dimension: str, *, span: timedelta, step: timedelta) -> list[RowMapping]:
    """(at, value, figures): the last snapshot of each step, oldest first."""
    rows = connection.execute(
        text("""
            SELECT DISTINCT ON (date_bin(CAST(:step AS interval), at, TIMESTAMPTZ '2000-01-01'), value)
                   at, value, figures
            FROM fleet_snapshot
            WHERE dimension = :dimension AND at >= now() - CAST(:span AS interval)
            ORDER BY date_bin(CAST(:step AS interval), at, TIMESTAMPTZ '2000-01-01'), value, at DESC
        """),
        {"step": step, "dimension": dimension, "span": span},
    )
    return list(rows.mappings())


def _numbers(row: RowMapping) -> dict[str, int]:
    return {name: int(count) for name, count in row.items() if name != "os"}
