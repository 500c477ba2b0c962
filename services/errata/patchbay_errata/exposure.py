"""How many vulnerabilities each host has: counted again where something that the counts follow from changed."""

import threading
from collections.abc import Callable

from patchbay_shared.db import Database
from patchbay_shared.exposure import EXPOSED_TAGS, FIXED, LEVELS, PLANNED, RESTART, WAIVED, host_cves
from sqlalchemy import Connection, text

BATCH = 50
_LOCK = 0x70617463_65787073
_TOUCHES = f"(c.rank < {FIXED} OR c.rank = {WAIVED})"

# Exceptions end with time as well: the ids of those that hold are part of the basis.
_STALE = """
    WITH news AS (
        SELECT md5(coalesce(string_agg(x.id::text, ',' ORDER BY x.id), '')) AS exceptions,
               (SELECT coalesce(max(changed_at)::text, '') || count(*) FROM remediation_policy) AS policies,
               (SELECT coalesce(max(changed_at)::text, '') FROM errata_source
                WHERE name = 'cisa-kev') AS exploited
        FROM risk_exception x
        WHERE x.ended_at IS NULL AND (x.expires_at IS NULL OR x.expires_at > now())
    ), repositories AS (
        SELECT rs.id, coalesce(ar.generation, 0) AS generation,
               (SELECT coalesce(string_agg(u.cursor, ',' ORDER BY u.name), '') FROM errata_source u
                WHERE u.repository_id = ANY(rs.repository_ids)) AS published
        FROM repository_set rs LEFT JOIN advisory_release ar USING (ecosystem, distro_release)
    ), now AS (
        SELECT h.id, h.package_set_id, h.repository_set_id,
               md5(concat_ws('|', h.package_set_id, h.repository_set_id, h.kernel, h.tags::text, hl.tags::text,
                   hl.group_id, rv.required,
                   h.facts->>'stale_services', r.generation, r.published, n.exceptions, n.policies, n.exploited,
                   current_date)) AS basis
        FROM host h
        JOIN repositories r ON r.id = h.repository_set_id
        CROSS JOIN news n
        LEFT JOIN reboot_verdict rv ON rv.host_id = h.id
        LEFT JOIN host_label hl ON hl.host_id = h.id
    )
    SELECT now.id, now.basis FROM now LEFT JOIN host_exposure x ON x.host_id = now.id
    WHERE x.basis IS DISTINCT FROM now.basis OR x.exposure_set_id IS NULL
    ORDER BY now.package_set_id, now.repository_set_id LIMIT :batch
"""

_COUNT = f"""
    WITH counted AS MATERIALIZED (
        SELECT b.host_id, b.basis, count(*) FILTER (WHERE c.rank < {FIXED}) AS exposed,
               count(*) FILTER (WHERE c.rank = 0) AS fixable, count(*) FILTER (WHERE c.rank = {RESTART}) AS restart,
               count(*) FILTER (WHERE c.rank < {FIXED} AND c.known_exploited) AS exploited,
               count(*) FILTER (WHERE c.overdue) AS overdue, count(*) FILTER (WHERE c.rank = {WAIVED}) AS waived,
               min(c.due_by) FILTER (WHERE c.rank < {FIXED}) AS next_due_on,
               coalesce((array_agg(c.cve ORDER BY c.priority DESC, c.cve) FILTER (WHERE c.rank < {FIXED}))[1], '')
                   AS worst_cve,
               coalesce(array_agg(c.cve ORDER BY c.cve) FILTER (WHERE {_TOUCHES}), '{{}}') AS cves,
               coalesce(array_agg(c.rank::smallint ORDER BY c.cve) FILTER (WHERE {_TOUCHES}), '{{}}') AS ranks,
               coalesce(array_agg(c.vendor_level::smallint ORDER BY c.cve) FILTER (WHERE {_TOUCHES}), '{{}}')
                   AS levels
        FROM unnest(CAST(:host_ids AS uuid[]), CAST(:bases AS text[])) AS b (host_id, basis)
        LEFT JOIN ({host_cves()}) c ON c.host_id = b.host_id
        GROUP BY b.host_id, b.basis
    ), named AS MATERIALIZED (
        SELECT counted.*, md5(concat_ws('|', cves::text, ranks::text, levels::text))::uuid AS set_id FROM counted
    ), sets AS (
        INSERT INTO exposure_set (id, cves, ranks, levels)
        SELECT DISTINCT ON (set_id) set_id, cves, ranks, levels FROM named ORDER BY set_id
        ON CONFLICT (id) DO NOTHING
    )
    INSERT INTO host_exposure (host_id, basis, exposed_count, fixable_count, restart_count, exploited_count,
        overdue_count, waived_count, next_due_on, worst_cve, exposure_set_id, counted_at)
    SELECT host_id, basis, exposed, fixable, restart, exploited, overdue, waived, next_due_on, worst_cve, set_id,
           now()
    FROM named ORDER BY host_id
    ON CONFLICT (host_id) DO UPDATE SET basis = EXCLUDED.basis, exposed_count = EXCLUDED.exposed_count,
        fixable_count = EXCLUDED.fixable_count, restart_count = EXCLUDED.restart_count,
        exploited_count = EXCLUDED.exploited_count, overdue_count = EXCLUDED.overdue_count,
        waived_count = EXCLUDED.waived_count, next_due_on = EXCLUDED.next_due_on, worst_cve = EXCLUDED.worst_cve,
        exposure_set_id = EXCLUDED.exposure_set_id, counted_at = EXCLUDED.counted_at
"""

_UNUSED_SETS = """
    DELETE FROM exposure_set s
    WHERE NOT EXISTS (SELECT FROM host_exposure x WHERE x.exposure_set_id = s.id)
"""


def count_exposures(database: Database) -> Callable[[threading.Event], None]:
    """Count until no host's counts are out of date; one replica at a time."""

    def run(stop: threading.Event) -> None:
        while not stop.is_set():
            with database.transaction() as connection:
                if not connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK}):
                    return
                if not count_batch(connection):
                    connection.execute(text(_UNUSED_SETS))
                    return

    return run


def count_batch(connection: Connection) -> int:
    """Count the CVEs of some hosts whose counts are out of date; of how many.

    Reports, advisories, updateinfo, exceptions, policies and CISA's catalogue are seen at once, other scores the
    next day.
    """
    stale = connection.execute(text(_STALE), {"batch": BATCH}).all()
    if stale:
        connection.execute(text(PLANNED))
        connection.execute(
            text(_COUNT),
            {
                "host_ids": [row.id for row in stale],
                "bases": [row.basis for row in stale],
                "levels": list(LEVELS),
                "exposed_tags": list(EXPOSED_TAGS),
            },
        )
    return len(stale)
