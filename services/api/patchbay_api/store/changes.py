"""What changed lately, in SQL: read from the tables themselves, so that nothing has to be written for it.

A change is known by its kind, its subject and its time. Transactions end later than the times that they note, so
callers look back a little further than they have read, and leave out what they know.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

KINDS = ("host.evaluated", "receipt", "repository.changed", "job")
MOST = 500
"""Changes of one kind that are read at once; more than that is told as one `overflow`."""

_STATEMENTS = {
    "host.evaluated": """
        SELECT h.id AS subject, e.evaluated_at AS at, jsonb_build_object('host_id', h.id, 'hostname', h.hostname,
               'updates', e.listed_count, 'security', e.security_count) AS data
        FROM evaluation e JOIN host h ON h.evaluation_id = e.id
        WHERE e.evaluated_at > :since AND e.evaluated_at <= :until
    """,
    "receipt": """
        SELECT r.id AS subject, r.noted_at AS at, jsonb_build_object('receipt_id', r.id, 'host_id', r.host_id,
               'state', r.state, 'unchanged', r.unchanged, 'reason', r.reason) AS data
        FROM receipt r WHERE r.noted_at > :since AND r.noted_at <= :until
    """,
    "repository.changed": """
        SELECT r.id AS subject, r.changed_at AS at, jsonb_build_object('repository_id', r.id, 'name', r.name,
               'generation', r.generation, 'state', r.state) AS data
        FROM repository r WHERE r.changed_at > :since AND r.changed_at <= :until
    """,
    "job": """
        SELECT j.id AS subject, c.at, jsonb_build_object('job_id', j.id, 'action', j.action,
               'requested_by', j.requested_by) AS data
        FROM (SELECT id, requested_at AS at FROM job WHERE requested_at > :since AND requested_at <= :until
              UNION ALL
              SELECT job_id, max(finished_at) FROM job_part WHERE finished_at > :since AND finished_at <= :until
              GROUP BY job_id) c JOIN job j ON j.id = c.id
        WHERE CAST(:only_of AS text) IS NULL OR j.requested_by = :only_of
    """,
}


@dataclass(frozen=True)
class Change:
    """One change."""

    kind: str
    subject: str
    at: datetime
    data: dict[str, Any]


def now(connection: Connection) -> datetime:
    """The database's clock: that of every time that is compared here."""
    found: datetime = connection.execute(text("SELECT now()")).scalar_one()
    return found


def changes(
    connection: Connection, kinds: Iterable[str], *, since: datetime, until: datetime, jobs_of: str | None
) -> tuple[list[Change], bool]:
    """Changes in the order of their times, and whether there were more of a kind than are read at once.

    `jobs_of`: only jobs that this person asked for; None: all jobs.
    """
    found: list[Change] = []
    more = False
    for kind in kinds:
        values = {"since": since, "until": until, "only_of": jobs_of, "limit": MOST + 1}
        bound = {name: value for name, value in values.items() if f":{name}" in _STATEMENTS[kind] or name == "limit"}
        rows = connection.execute(text(f"{_STATEMENTS[kind]} ORDER BY at DESC LIMIT :limit"), bound).all()
        more = more or len(rows) > MOST
        found += [Change(kind, str(row.subject), row.at, row.data) for row in rows[:MOST]]
    return sorted(found, key=lambda each: (each.at, each.kind, each.subject)), more
