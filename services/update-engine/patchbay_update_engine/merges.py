"""Hosts that operators have merged into others, as two entries of one machine (`host_merge`).

The host that stays gets the history, the receipts and the kept reports of the other; of the two, the newer report
says how it is now. Reports of the other that are under way are stored as reports of the host that stays: whoever
stores one holds the lock of its host, and so does who merges it.
"""

from uuid import UUID

from sqlalchemy import Connection, text

_MOVED = (
    "UPDATE package_event SET host_id = :into WHERE host_id = :other",
    "UPDATE receipt SET host_id = :into, noted_at = now() WHERE host_id = :other",
    """UPDATE report_body SET host_id = :into, header = jsonb_set(header, '{host_id}', to_jsonb(CAST(:into AS text)))
       WHERE host_id = :other""",
    """UPDATE host h SET first_report_at = least(h.first_report_at, o.first_report_at)
       FROM host o WHERE h.id = :into AND o.id = :other""",
)
_NEWER = (
    """INSERT INTO package_event (host_id, at, added_ids, removed_ids)
       SELECT :into, o.last_report_at,
              ARRAY(SELECT unnest(now_is.package_ids) EXCEPT SELECT unnest(was.package_ids) ORDER BY 1),
              ARRAY(SELECT unnest(was.package_ids) EXCEPT SELECT unnest(now_is.package_ids) ORDER BY 1)
       FROM host h JOIN host o ON o.id = :other
       JOIN package_set was ON was.id = h.package_set_id JOIN package_set now_is ON now_is.id = o.package_set_id
       WHERE h.id = :into AND was.package_ids <> now_is.package_ids""",
    """UPDATE host h SET
           hostname = CASE WHEN h.reported_hostname IS NULL THEN coalesce(o.reported_hostname, o.hostname)
                           ELSE h.hostname END,
           reported_hostname = CASE WHEN h.reported_hostname IS NULL THEN NULL
                                    ELSE coalesce(o.reported_hostname, o.hostname) END,
           machine_id = o.machine_id, facts = o.facts, os_name = o.os_name, arch = o.arch, kernel = o.kernel,
           boot_id = o.boot_id, tags = o.tags, reboot_required = o.reboot_required,
           content_digest = o.content_digest, section_digests = o.section_digests, package_set_id = o.package_set_id,
           repository_set_id = o.repository_set_id, group_repository_set_id = o.group_repository_set_id,
           evaluation_id = o.evaluation_id, package_count = o.package_count, last_report_at = o.last_report_at,
           collected_at = o.collected_at, changed_at = o.changed_at,
           peer_address = o.peer_address
       FROM host o WHERE h.id = :into AND o.id = :other""",
    "DELETE FROM reboot_verdict WHERE host_id = :into",
    "UPDATE reboot_verdict SET host_id = :into WHERE host_id = :other",
    "DELETE FROM opinion WHERE host_id = :into",
    "UPDATE opinion SET host_id = :into WHERE host_id = :other",
)


def merge_hosts(connection: Connection) -> int:
    """Carry out the merges that operators have decided and that are not done yet; their number."""
    waiting = connection.execute(
        text("""
            SELECT m.host_id, m.into_id FROM host_merge m JOIN host h ON h.id = m.host_id
            ORDER BY m.merged_at, m.host_id
        """)
    ).all()
    for row in waiting:
        _merge(connection, row.host_id, row.into_id)
    return len(waiting)


def merged_into(connection: Connection, host_id: UUID) -> UUID | None:
    """The host that this one, which is gone, was merged into; None: it was not."""
    found: UUID | None = connection.scalar(
        text("SELECT into_id FROM host_merge WHERE host_id = :id"), {"id": host_id}
    )
    return found


def _merge(connection: Connection, other: UUID, into: UUID) -> None:
    ids = {"other": other, "into": into}
    for each in sorted((other, into)):
        connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:host_id, 0))"), {"host_id": str(each)}
        )
    rows = connection.execute(
        text("SELECT id, last_report_at FROM host WHERE id IN (:other, :into) ORDER BY id FOR UPDATE"), ids
    )
    reported = {row.id: row.last_report_at for row in rows}
    if other in reported and into in reported:
        statements = (*_NEWER, *_MOVED) if reported[other] > reported[into] else _MOVED
        for statement in statements:
            connection.execute(text(statement), ids)
    connection.execute(text("DELETE FROM report_body WHERE host_id = :other"), ids)
    connection.execute(text("DELETE FROM host WHERE id = :other"), ids)
