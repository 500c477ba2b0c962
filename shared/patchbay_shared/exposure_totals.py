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

WORST_FIRST = "{level} DESC NULLS LAST, {score} DESC NULLS LAST, {cve} DESC"
"""SQL of the order of an advisory's CVEs: of equally severe ones first the higher score, then the newer one."""

RATES = "a.type IN ('security', 'cve') AND a.status <> 'retracted'"
"""SQL of whether what an advisory `a` says of a CVE's severity counts."""


WORST = f"""
    SELECT max({level("a.severity")}) FROM advisory_cve ac JOIN advisory a ON a.id = ac.advisory_id
    WHERE ac.cve = {{cve}} AND {RATES}
"""
"""SQL of the worst that any advisory says of a CVE, as a `level`; null: none. `cve` is of no alias `a`, `ac`."""


def cve_level(total: str, index: str) -> str:
    """SQL of a CVE's severity as its place in `LEVELS`, from 1; null: nobody rated it.

    The vendor's, of the worst advisory for the hosts that it touches (or, touching none, of all), and only without
    one that of its score. `total` and `index`: the aliases of its rows of `CVE_TOTALS`, outer joined, and
    of `cve_index`.
    """
    vendor = f"CASE WHEN {total}.cve IS NULL THEN {index}.vendor_level ELSE {total}.level END"
    return f"coalesce(nullif({vendor}, 0), nullif({index}.rated_level, 0))"


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
                ELSE {urgency("i.known_exploited", "coalesce(nullif(s.level, 0), i.rated_level)", "i.epss")}
                END AS urgency
    FROM summed s LEFT JOIN cve_index i ON i.cve = s.cve
"""
"""SQL of (cve, host_count, state_counts, level, urgency) of every CVE that touches a host or is waived on it."""


def advisory_totals(cve_totals: str) -> str:
    """SQL of (advisory, host_count, urgency, worst_cve, level) of every advisory that an outstanding update applies.

    `cve_totals`: SQL of the `CVE_TOTALS` of the same hosts. `level` is that of the worst CVE, both null where none is
    rated; in the urgency the vendor's severity comes before it.
    """
    severity = cve_level("t", "i")
    worst_first = WORST_FIRST.format(level=severity, score="i.score", cve="n.cve")
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
        ), rated AS (
            SELECT o.advisory, max({level("v.severity")}) AS level, bool_or(i.known_exploited) AS exploited,
                   max(i.epss) AS epss, max({severity}) AS worst,
                   (array_agg(n.cve ORDER BY {worst_first}) FILTER (WHERE {severity} IS NOT NULL))[1] AS worst_cve
            FROM counted o
            JOIN advisory v ON v.name = o.advisory
            LEFT JOIN advisory_cve n ON n.advisory_id = v.id
            LEFT JOIN cve_index i ON i.cve = n.cve
            LEFT JOIN cve_total t ON t.cve = n.cve
            GROUP BY o.advisory
        )
        SELECT o.advisory, o.host_count,
               {urgency("coalesce(x.exploited, false)", "coalesce(x.level, x.worst)", "x.epss")} AS urgency,
               x.worst_cve, x.worst AS level
        FROM counted o LEFT JOIN rated x ON x.advisory = o.advisory
    """


ADVISORY_RATINGS = f"""
    SELECT DISTINCT ON (n.advisory_id) n.advisory_id, n.cve, s.level
    FROM advisory v
    JOIN advisory_cve n ON n.advisory_id = v.id
    JOIN (SELECT cve, score, coalesce(nullif(vendor_level, 0), nullif(rated_level, 0)) AS level FROM cve_index) s
        ON s.cve = n.cve
    WHERE v.severity <> ALL ({_LEVELS}) AND s.level IS NOT NULL
    ORDER BY n.advisory_id, {WORST_FIRST.format(level="s.level", score="s.score", cve="n.cve")}
"""
"""SQL of (advisory_id, cve, level): the worst CVE of every advisory that its vendor does not rate, by `cve_level`.

It is what the advisory is where it is outstanding on no host; none of whose CVEs is rated is absent.
"""
