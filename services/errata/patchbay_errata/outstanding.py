"""How severe and how old the security updates are that hosts have outstanding.

The engine says which updates are security fixes and by which advisories; how bad those are and when they came out
stands in the advisories, and changes with them. So it is kept by evaluation, and looked at again when either changes.
"""

import threading
from collections.abc import Callable

from patchbay_shared.db import Database
from patchbay_shared.exposure import LEVELS, past
from patchbay_shared.exposure_totals import RATING, WORST, level
from sqlalchemy import Connection, text

BATCH = 500
_LOCK = 0x70617463_6F757473

_STALE = """
    WITH repositories AS (
        SELECT rs.id, concat_ws('|', coalesce(ar.generation, 0), (
                   SELECT string_agg(u.cursor, ',' ORDER BY u.name) FROM errata_source u
                   WHERE u.repository_id = ANY(rs.repository_ids))) AS published
        FROM repository_set rs LEFT JOIN advisory_release ar USING (ecosystem, distro_release)
    ), now AS (
        SELECT e.id, md5(concat_ws('|', extract(epoch FROM e.evaluated_at), r.published, current_date)) AS basis
        FROM evaluation e JOIN repositories r ON r.id = e.repository_set_id
        WHERE e.security_count > 0
    )
    SELECT now.id, now.basis FROM now LEFT JOIN outstanding_security o ON o.evaluation_id = now.id
    WHERE o.basis IS DISTINCT FROM now.basis
    ORDER BY now.id LIMIT :batch
"""

# Of several advisories with one name, from several feeds, the worst and the oldest counts. Debian rates none of its
# own: the worst of their CVEs counts then, as any advisory rates it, or else its score.
_RATE = f"""
    WITH named AS MATERIALIZED (
        SELECT DISTINCT v.evaluation_id, u.name
        FROM verdict v CROSS JOIN LATERAL unnest(v.advisories) AS u (name)
        WHERE v.evaluation_id = ANY(CAST(:ids AS bigint[])) AND v.listed AND v.security
    ), known AS MATERIALIZED (
        SELECT a.name,
               max(coalesce({level("a.severity")}, (
                   SELECT max(coalesce(({WORST.format(cve="n.cve")}), {level("r.severity")}))
                   FROM advisory_cve n LEFT JOIN LATERAL ({RATING.format(cve="n.cve")}) r ON true
                   WHERE n.advisory_id = a.id), 0)) AS level,
               min({past("a.issued_at")}) AS issued_at
        FROM advisory a
        WHERE a.type = 'security' AND a.status <> 'retracted' AND a.name IN (SELECT name FROM named)
        GROUP BY a.name
    )
    INSERT INTO outstanding_security (evaluation_id, basis, severity, issued_at)
    SELECT b.evaluation_id, b.basis,
           coalesce((CAST(:levels AS text[]))[max(k.level)], 'unknown'), min(k.issued_at)
    FROM unnest(CAST(:ids AS bigint[]), CAST(:bases AS text[])) AS b (evaluation_id, basis)
    LEFT JOIN named n USING (evaluation_id)
    LEFT JOIN known k ON k.name = n.name
    GROUP BY b.evaluation_id, b.basis
    ORDER BY b.evaluation_id
    ON CONFLICT (evaluation_id) DO UPDATE SET
        basis = EXCLUDED.basis, severity = EXCLUDED.severity, issued_at = EXCLUDED.issued_at
"""


def rate_outstanding(database: Database) -> Callable[[threading.Event], None]:
    """Look until every evaluation's security updates are rated; one replica at a time."""

    def run(stop: threading.Event) -> None:
        while not stop.is_set():
            with database.transaction() as connection:
                if not connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK}):
                    return
                if rate_batch(connection) < BATCH:
                    return

    return run


def rate_batch(connection: Connection) -> int:
    """Rate the security updates of some evaluations that changed, or whose advisories did; of how many.

    New scores of CVEs are seen the next day.
    """
    stale = connection.execute(text(_STALE), {"batch": BATCH}).all()
    if stale:
        connection.execute(
            text(_RATE),
            {"ids": [row.id for row in stale], "bases": [row.basis for row in stale], "levels": list(LEVELS)},
        )
    return len(stale)
