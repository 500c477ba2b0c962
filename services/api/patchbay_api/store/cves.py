"""The CVEs that an advisory, NVD or CISA names, and what is known of each."""

from typing import Any

from patchbay_shared.exposure import LEVELS, REPOSITORY
from patchbay_shared.exposure_totals import RATES, RATING, WORST, cve_level, level
from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    RowMapping,
    Select,
    Text,
    column,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.sql.elements import TextClause

from patchbay_api.store.exposure_totals import cve_totals, cve_totals_sql

_NAMED = "SELECT cve FROM known_exploited UNION SELECT cve FROM advisory_cve UNION SELECT id FROM cve"
_HERE = f"""
    EXISTS (SELECT 1 FROM advisory_fix f WHERE f.advisory_id = a.id AND (
        f.ecosystem = '{REPOSITORY}'
        OR (f.ecosystem, f.distro_release) IN (SELECT ecosystem, distro_release FROM repository_set)))
"""


_SEVERITY = f"""
    (SELECT ({"ARRAY['" + "', '".join(LEVELS) + "']"})[{cve_level("every_cve.cve", "cve_total")}])
"""


def cves(*, scoped: bool, exposed: bool = False, known_exploited: bool = False, severity: str | None = None) -> Any:
    """(cve) of all that fit, with the expressions that they are sorted by: a statement and name to (column, type).

    `exposed`: only those that touch a host now.
    """
    total = cve_totals(scoped=scoped)
    number: ColumnElement[Any]
    if exposed:
        every = select(total.c.cve).where(total.c.host_count > 0).subquery("every_cve")
    else:
        every = text(_NAMED).columns(column("cve", Text)).subquery("every_cve")
    number = every.c.cve
    statement: Select[Any] = select(number).select_from(every.outerjoin(total, total.c.cve == number))
    if known_exploited:
        statement = statement.where(number.in_(_ids("SELECT cve FROM known_exploited")))
    if severity:
        rated = _ids(
            "SELECT ac.cve FROM advisory_cve ac JOIN advisory a ON a.id = ac.advisory_id WHERE a.severity = :rated"
            " UNION ALL SELECT id FROM cve WHERE severity = :rated"
        ).bindparams(rated=severity)
        exact = text(f"{_SEVERITY} = :severity").bindparams(severity=severity)
        statement = statement.where(number.in_(rated), exact)
    score = _value(f"coalesce((SELECT score FROM ({RATING.format(cve='every_cve.cve')}) r), -1)")
    epss = _value("coalesce((SELECT score FROM exploit_score WHERE cve = every_cve.cve), -1)")
    keys = {
        "score": score,
        "epss": epss,
        "hosts": func.coalesce(total.c.host_count, 0),
        "urgency": func.coalesce(total.c.urgency, 0),
    }
    return statement, number, keys


def _ids(sql: str) -> TextClause:
    return text(f"({sql})")


def _value(sql: str) -> ColumnElement[Any]:
    return literal_column(f"({sql})", Float())


def cve_details(connection: Connection, ids: list[str], *, scoped: bool) -> dict[str, RowMapping]:
    """What is known of each CVE, the rating that counts chosen; ids that nothing names are absent.

    The severity is the vendor's, of the worst advisory for the hosts that it touches (or, touching none, of all),
    and only without one that of the CVSS score: as on the page of a host.
    """
    rows = connection.execute(
        text(f"""
            WITH total AS ({cve_totals_sql(scoped=scoped)})
            SELECT i.id, coalesce(c.state, 'published') AS state, coalesce(c.description, '') AS description,
                   c.score, coalesce(c.severity, '') AS cvss_severity, coalesce(c.vector, '') AS vector,
                   coalesce(b.severity, nullif(c.severity, 'none'), '') AS severity,
                   CASE WHEN b.severity IS NOT NULL THEN coalesce(b.named, '')
                        WHEN nullif(c.severity, 'none') <> '' THEN c.provider ELSE '' END AS severity_by,
                   coalesce(c.cvss_version, '') AS cvss_version, coalesce(c.provider, '') AS provider,
                   coalesce(c.metrics, '[]') AS ratings, coalesce(c.cwes, '{{}}') AS cwes,
                   c.published_at, c.updated_at,
                   k.cve IS NOT NULL AS known_exploited, k.added_on AS exploited_since, k.due_on, k.ransomware,
                   k.action AS required_action, e.score AS epss, e.percentile AS epss_percentile,
                   e.model AS epss_model, e.scored_on AS epss_date,
                   coalesce(t.host_count, 0) AS host_count, coalesce(t.state_counts, '{{}}') AS hosts_by_state,
                   ARRAY(SELECT DISTINCT a.name FROM advisory_cve ac JOIN advisory a ON a.id = ac.advisory_id
                         WHERE ac.cve = i.id AND a.type <> 'cve' ORDER BY 1) AS advisories,
                   (c.id IS NOT NULL OR k.cve IS NOT NULL
                    OR EXISTS (SELECT 1 FROM advisory_cve ac WHERE ac.cve = i.id)) AS known
            FROM unnest(CAST(:ids AS text[])) i (id)
            LEFT JOIN LATERAL ({RATING.format(cve="i.id")}) c ON true
            LEFT JOIN known_exploited k ON k.cve = i.id
            LEFT JOIN exploit_score e ON e.cve = i.id
            LEFT JOIN total t ON t.cve = i.id
            LEFT JOIN LATERAL (
                SELECT a.severity, CASE a.type WHEN 'cve' THEN a.vendor ELSE a.name END AS named
                FROM advisory_cve ac JOIN advisory a ON a.id = ac.advisory_id
                WHERE ac.cve = i.id AND {RATES} AND {level("a.severity")} = CASE WHEN t.cve IS NULL
                      THEN ({WORST.format(cve="i.id")}) ELSE t.level END
                ORDER BY {_HERE} DESC, a.type DESC, a.issued_at DESC NULLS LAST, a.name LIMIT 1) b ON true
        """),
        {"ids": ids},
    )
    return {row["id"]: row for row in rows.mappings() if row["known"]}
