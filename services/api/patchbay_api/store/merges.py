"""Two entries of one machine as one, in SQL: what is known of the one that goes, and what operators said of it."""

from uuid import UUID

from patchbay_shared.tables import host_merge, host_removal
from sqlalchemy import Connection, RowMapping, insert, select, text

_COUNTS = """
    SELECT (SELECT count(*) FROM package_event WHERE host_id = h.id) AS change_count,
           (SELECT count(*) FROM receipt WHERE host_id = h.id) AS receipt_count,
           (SELECT count(*) FROM report_body WHERE host_id = h.id) AS kept_report_count,
           (SELECT count(*) FROM risk_exception WHERE scope = 'host' AND target = h.id::text) AS exception_count,
           coalesce(l.tags, '{}') AS tags, coalesce(l.notes, '') AS notes, g.name AS group_name,
           c.use_host_repos
    FROM host h LEFT JOIN host_label l ON l.host_id = h.id LEFT JOIN host_group g ON g.id = l.group_id
    LEFT JOIN host_repository_choice c ON c.host_id = h.id
    WHERE h.id = :id
"""
_MOVE = (
    """INSERT INTO host_label AS l (host_id, tags, group_id, notes, changed_by)
       SELECT :into, o.tags, o.group_id, o.notes, :by FROM host_label o WHERE o.host_id = :other
       ON CONFLICT (host_id) DO UPDATE SET
           tags = ARRAY(SELECT DISTINCT unnest(l.tags || EXCLUDED.tags) ORDER BY 1),
           group_id = coalesce(l.group_id, EXCLUDED.group_id),
           notes = left(concat_ws(E'\\n\\n', nullif(l.notes, ''), nullif(EXCLUDED.notes, '')), :longest),
           changed_by = :by, changed_at = now()""",
    """UPDATE risk_exception SET target = CAST(CAST(:into AS uuid) AS text)
       WHERE scope = 'host' AND target = CAST(CAST(:other AS uuid) AS text)""",
    """INSERT INTO host_repository_choice (host_id, use_host_repos, changed_by)
       SELECT :into, use_host_repos, :by FROM host_repository_choice WHERE host_id = :other
       ON CONFLICT (host_id) DO NOTHING""",
    "DELETE FROM host_repository_choice WHERE host_id = :other",
    # Hosts that were merged into the other one are gone, and out of sight of whoever sees some hosts only.
    "UPDATE public.host_merge SET into_id = :into WHERE into_id = :other",
)


def known_of(connection: Connection, host_id: UUID) -> RowMapping:
    """What is kept of a host: counts of its changes, receipts, reports and exceptions, and what operators said."""
    return connection.execute(text(_COUNTS), {"id": host_id}).mappings().one()


def lock(connection: Connection) -> None:
    """One merge after the other: two could else point at each other."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('host_merge', 0))"))


def on_its_way_out(connection: Connection, host_id: UUID) -> bool:
    """Whether a host was removed, or merged into another, and update-engine has yet to carry it out."""
    gone = select(host_removal.c.host_id).where(host_removal.c.host_id == host_id)
    merged = select(host_merge.c.host_id).where(host_merge.c.host_id == host_id)
    return connection.scalar(gone) is not None or connection.scalar(merged) is not None


def merge(connection: Connection, *, other: UUID, into: UUID, by: str, longest_notes: int) -> None:
    """Note the merge, and give the host that stays what operators said of the other."""
    for statement in _MOVE:
        connection.execute(text(statement), {"other": other, "into": into, "by": by, "longest": longest_notes})
    connection.execute(insert(host_merge).values(host_id=other, into_id=into, merged_by=by))
