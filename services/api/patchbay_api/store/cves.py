"""The CVEs that an advisory, NVD or CISA names, and what is known of each."""

import re
from typing import Any

from patchbay_shared.exposure import LEVELS, REPOSITORY
from patchbay_shared.exposure_totals import RATES, RATING, WORST, cve_level, level
from patchbay_shared.tables import cve_index
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, literal_column, select, text

from patchbay_api.store.exposure_totals import cve_totals, cve_totals_sql

_HERE = f"""
    EXISTS (SELECT 1 FROM advisory_fix f WHERE f.advisory_id = a.id AND (
        f.ecosystem = '{REPOSITORY}'
        OR (f.ecosystem, f.distro_release) IN (SELECT ecosystem, distro_release FROM repository_set)))
"""


_PREFIX = re.compile(r"(?:CVE-)?([0-9]{4}-[0-9]*)")


def cves(
    *,
    scoped: bool,
    exposed: bool = False,
    known_exploited: bool = False,
    severity: str | None = None,
    part: str | None = None,
) -> tuple[Select[Any], ColumnElement[str], dict[str, ColumnElement[Any]]]:
    """(cve) of all that fit, that column, and the expressions that they are sorted by.

    `exposed`: only those that touch a host now; `part`: of the id.
    """
    total = cve_totals(scoped=scoped)
    listed = cve_index.c
    statement = select(listed.cve).select_from(cve_index.outerjoin(total, total.c.cve == listed.cve))
    if exposed:
        statement = statement.where(total.c.host_count > 0)
    if known_exploited:
        statement = statement.where(listed.known_exploited)
    if severity:
        found: ColumnElement[int] = literal_column(cve_level("cve_total", "cve_index"))
        statement = statement.where(found == LEVELS.index(severity) + 1)
    if part:
        statement = statement.where(_has_part(part.upper()))
    keys: dict[str, ColumnElement[Any]] = {
        "score": func.coalesce(listed.score, -1),
        "epss": func.coalesce(listed.epss, -1),
        "hosts": func.coalesce(total.c.host_count, 0),
        "urgency": func.coalesce(total.c.urgency, 0),
    }
    return statement, listed.cve, keys


def _has_part(part: str) -> ColumnElement[bool]:
    # Four digits before a dash are the year: then it is the beginning, and an index finds it.
    beginning = _PREFIX.fullmatch(part)
    if beginning:
        return cve_index.c.cve.startswith(f"CVE-{beginning[1]}", autoescape=True)
    return cve_index.c.cve.contains(part, autoescape=True)


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
