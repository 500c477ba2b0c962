"""Every CVE that an advisory, NVD or CISA names, with what lists of them are filtered and sorted by.

What is known of a CVE stands in four tables; to put it together for all of them takes longer than a page may.
"""

from patchbay_shared.exposure_totals import RATES, level
from sqlalchemy import Connection, text

from patchbay_errata.replacing import replacing

_EVERY_CVE = f"""
    WITH named AS (
        SELECT cve FROM known_exploited UNION SELECT cve FROM advisory_cve UNION SELECT id FROM cve
    ), vendor AS (
        SELECT ac.cve, max({level("a.severity")}) AS level
        FROM advisory_cve ac JOIN advisory a ON a.id = ac.advisory_id WHERE {RATES} GROUP BY ac.cve
    ), rated AS (
        SELECT DISTINCT ON (id) id AS cve, {level("severity")} AS level, score
        FROM cve ORDER BY id, score IS NULL, updated_at DESC NULLS LAST
    )
    SELECT cve, coalesce(vendor.level, 0) AS vendor_level, coalesce(rated.level, 0) AS rated_level, rated.score,
           e.score AS epss, k.cve IS NOT NULL AS known_exploited
    FROM named LEFT JOIN vendor USING (cve) LEFT JOIN rated USING (cve)
    LEFT JOIN exploit_score e USING (cve) LEFT JOIN known_exploited k USING (cve)
"""
_INDEX = replacing(
    "cve_index", "cve", ("vendor_level", "rated_level", "score", "epss", "known_exploited"), _EVERY_CVE
)


def index_cves(connection: Connection) -> None:
    """Bring the index to what is known now."""
    connection.execute(text("SELECT set_config('jit', 'off', true)"))
    connection.execute(text(_INDEX))
