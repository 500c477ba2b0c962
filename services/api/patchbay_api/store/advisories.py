"""Advisories with what they are to the hosts that somebody sees."""

from collections.abc import Sequence
from typing import Any

from patchbay_shared.exposure import LEVELS
from patchbay_shared.exposure_totals import RATING
from patchbay_shared.tables import advisory, advisory_cve
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, cast, func, literal, select, text

from patchbay_api.store.cves import cve_level
from patchbay_api.store.exposure_totals import advisory_totals_of, cve_totals_sql

_CVES = (
    select(func.coalesce(func.array_agg(advisory_cve.c.cve), cast(literal("{}"), advisory.c.links.type)))
    .where(advisory_cve.c.advisory_id == advisory.c.id)
    .scalar_subquery()
    .label("cves")
)


def advisories(*, scoped: bool, outstanding: bool = False) -> tuple[Select[Any], dict[str, ColumnElement[Any]]]:
    """Each advisory with its `cves` and `host_count`, and the expressions of its hosts and urgency to sort by.

    `outstanding`: only those whose fix is outstanding on a host.
    """
    total = advisory_totals_of(scoped=scoped)
    hosts = func.coalesce(total.c.host_count, 0)
    joined = advisory.join(total, total.c.advisory == advisory.c.name, isouter=not outstanding)
    statement = select(advisory, _CVES, hosts.label("host_count")).select_from(joined)
    return statement, {"hosts": hosts, "urgency": func.coalesce(total.c.urgency, 0)}


def with_worst_cve(
    connection: Connection, rows: Sequence[RowMapping | dict[str, Any]], *, scoped: bool
) -> list[dict[str, Any]]:
    """The rows with `worst_cve` and `worst_cve_severity`, empty where the vendor rates or no CVE is rated."""
    unrated = [row["id"] for row in rows if row["severity"] not in LEVELS]
    worst = _worst_cves(connection, unrated, scoped=scoped) if unrated else {}
    found = []
    for row in rows:
        name, severity = worst.get(row["id"], ("", ""))
        found.append({**row, "worst_cve": name, "worst_cve_severity": severity})
    return found


def _worst_cves(connection: Connection, ids: list[int], *, scoped: bool) -> dict[int, tuple[str, str]]:
    """Advisory id to its most severe CVE and that one's severity; of equals the one with the higher score."""
    rows = connection.execute(
        text(f"""
            WITH total AS ({cve_totals_sql(scoped=scoped)})
            SELECT DISTINCT ON (n.advisory_id) n.advisory_id, n.cve, s.level
            FROM advisory_cve n
            LEFT JOIN total t ON t.cve = n.cve
            LEFT JOIN LATERAL ({RATING.format(cve="n.cve")}) r ON true
            CROSS JOIN LATERAL (SELECT {cve_level("n.cve", "t")} AS level) s
            WHERE n.advisory_id = ANY(:ids) AND s.level IS NOT NULL
            ORDER BY n.advisory_id, s.level DESC, r.score DESC NULLS LAST, n.cve DESC
        """),
        {"ids": ids},
    )
    return {row.advisory_id: (row.cve, LEVELS[row.level - 1]) for row in rows}
