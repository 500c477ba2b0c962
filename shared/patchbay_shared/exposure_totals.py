"""How many hosts each CVE touches, and on how many each advisory's fix is outstanding, in SQL.

Errata sums both up over the fleet; the API asks the same over the hosts in somebody's scope. What a CVE is on a
host stands in `exposure_set`, as `patchbay_shared.exposure` has it; what is outstanding are the engine's verdicts.
"""

from patchbay_shared.exposure import FIXED, LEVELS, STATES

_LEVELS = "ARRAY['" + "', '".join(LEVELS) + "']"
_STATES = "ARRAY['" + "', '".join(STATES) + "']"


def level(severity: str) -> str:
    """SQL of a severity's place in `LEVELS`, from 1; null: it is none of them."""
    return f"array_position({_LEVELS}, {severity})"


def urgency(exploited: str, worst: str, epss: str) -> str:
    """SQL of what comes first: what is known to be exploited, then the severity (a `level`), then EPSS."""
    return (
        f"CASE WHEN {exploited} THEN 100000 ELSE 0 END + 10000 * coalesce({worst}, 0)"
        f" + floor(1000 * coalesce({epss}, 0))::integer"
    )


RATING = "SELECT * FROM cve WHERE cve.id = {cve} ORDER BY score IS NULL, updated_at DESC NULLS LAST LIMIT 1"
"""SQL of the rating of a CVE that counts."""

CVE_TOTALS = f"""
    WITH alike AS (
        SELECT exposure_set_id, count(*) AS hosts FROM host_exposure GROUP BY exposure_set_id
    ), in_state AS (
        SELECT u.cve, u.rank, sum(a.hosts)::integer AS hosts, max(u.level) AS level
        FROM alike a
        JOIN exposure_set s ON s.id = a.exposure_set_id,
             unnest(s.cves, s.ranks, s.levels) AS u (cve, rank, level)
        GROUP BY u.cve, u.rank
    ), summed AS (
        SELECT cve, coalesce(sum(hosts) FILTER (WHERE rank < {FIXED}), 0)::integer AS host_count,
               jsonb_object_agg(({_STATES})[rank + 1], hosts) AS state_counts, max(level) AS level
        FROM in_state GROUP BY cve
    )
    SELECT s.cve, s.host_count, s.state_counts, s.level,
           CASE WHEN s.host_count = 0 THEN 0
                ELSE {urgency("k.cve IS NOT NULL", f"coalesce(nullif(s.level, 0), {level('c.severity')})", "e.score")}
                END AS urgency
    FROM summed s
    LEFT JOIN known_exploited k ON k.cve = s.cve
    LEFT JOIN exploit_score e ON e.cve = s.cve
    LEFT JOIN LATERAL ({RATING.format(cve="s.cve")}) c ON true
"""
"""SQL of (cve, host_count, state_counts, level, urgency) of every CVE that touches a host or is waived on it."""


def advisory_totals(cve_totals: str) -> str:
    """SQL of (advisory, host_count, urgency) of every advisory that an outstanding update applies somewhere.

    `cve_totals`: SQL of the `CVE_TOTALS` of the same hosts. The severity that counts is the vendor's, and only
    where the vendor gives none that of the worst CVE.
    """
    return f"""
        WITH cve_total AS MATERIALIZED ({cve_totals}), alike AS MATERIALIZED (
            SELECT evaluation_id, count(*) AS hosts FROM host WHERE evaluation_id IS NOT NULL GROUP BY evaluation_id
        ), named AS (
            SELECT DISTINCT v.evaluation_id, n.advisory
            FROM alike JOIN verdict v ON v.evaluation_id = alike.evaluation_id, unnest(v.advisories) AS n (advisory)
            WHERE v.listed AND v.advisories <> '{{}}'
        ), counted AS MATERIALIZED (
            SELECT n.advisory, sum(a.hosts)::integer AS host_count
            FROM named n JOIN alike a ON a.evaluation_id = n.evaluation_id GROUP BY n.advisory
        ), cves AS (
            SELECT c.advisory, max({level("a.severity")}) AS level, bool_or(k.cve IS NOT NULL) AS exploited,
                   max(e.score) AS epss, max(coalesce(nullif(t.level, 0), {level("r.severity")})) AS worst
            FROM counted c
            JOIN advisory a ON a.name = c.advisory
            LEFT JOIN advisory_cve ac ON ac.advisory_id = a.id
            LEFT JOIN known_exploited k ON k.cve = ac.cve
            LEFT JOIN exploit_score e ON e.cve = ac.cve
            LEFT JOIN cve_total t ON t.cve = ac.cve
            LEFT JOIN LATERAL ({RATING.format(cve="ac.cve")}) r ON true
            GROUP BY c.advisory
        )
        SELECT c.advisory, c.host_count,
               {urgency("coalesce(x.exploited, false)", "coalesce(x.level, x.worst)", "x.epss")} AS urgency
        FROM counted c LEFT JOIN cves x ON x.advisory = c.advisory
    """
