"""Advisories with what they are to the hosts that somebody sees."""

from collections.abc import Sequence
from typing import Any

from patchbay_shared.exposure import LEVELS
from patchbay_shared.tables import advisory, advisory_cve, advisory_rating, known_exploited
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, cast, exists, func, literal, or_, select

from patchbay_api.store.exposure_totals import advisory_totals_of

_NAMED = select(advisory_cve.c.cve).where(advisory_cve.c.advisory_id == advisory.c.id)
_CVES = (
    select(func.coalesce(func.array_agg(advisory_cve.c.cve), cast(literal("{}"), advisory.c.links.type)))
    .where(advisory_cve.c.advisory_id == advisory.c.id)
    .scalar_subquery()
)
_EXPLOITED = exists(_NAMED.join(known_exploited, known_exploited.c.cve == advisory_cve.c.cve))


def advisories(
    *, scoped: bool, outstanding: bool = False, severity: str | None = None, exploited: bool = False
) -> tuple[Select[Any], dict[str, ColumnElement[Any]]]:
    """Of each advisory what `with_details` takes, and the expressions of its hosts and urgency to sort by.

    `outstanding`: only those whose fix is outstanding on a host. `severity`: the vendor's, or of the worst CVE where
    the vendor gives none. `exploited`: only those of which a CVE is in CISA's catalogue.
    """
    total = advisory_totals_of(scoped=scoped)
    hosts = func.coalesce(total.c.host_count, 0)
    joined = advisory.join(total, total.c.advisory == advisory.c.name, isouter=not outstanding)
    statement = select(advisory.c.id, hosts.label("host_count"), total.c.worst_cve, total.c.level)
    if severity:
        joined = joined.outerjoin(advisory_rating, advisory_rating.c.advisory_id == advisory.c.id)
        unrated = func.coalesce(total.c.level, advisory_rating.c.level) == LEVELS.index(severity) + 1
        statement = statement.where(
            or_(advisory.c.severity == severity, advisory.c.severity.not_in(LEVELS) & unrated)
        )
    if exploited:
        statement = statement.where(_EXPLOITED)
    return statement.select_from(joined), {"hosts": hosts, "urgency": func.coalesce(total.c.urgency, 0)}


def with_details(connection: Connection, rows: Sequence[RowMapping | dict[str, Any]]) -> list[dict[str, Any]]:
    """The advisories of some rows of `advisories`, with `cves`, `known_exploited`, `host_count` and their worst CVE.

    `worst_cve` and `worst_cve_severity` are empty where the vendor rates or no CVE is rated.
    """
    statement = (
        select(
            advisory,
            _CVES.label("cves"),
            _EXPLOITED.label("known_exploited"),
            advisory_rating.c.cve.label("rating_cve"),
            advisory_rating.c.level.label("rating_level"),
        )
        .outerjoin_from(advisory, advisory_rating, advisory_rating.c.advisory_id == advisory.c.id)
        .where(advisory.c.id.in_([row["id"] for row in rows]))
    )
    known = {row["id"]: row for row in connection.execute(statement).mappings()}
    return [_rated(row, known[row["id"]]) for row in rows if row["id"] in known]


def _rated(row: RowMapping | dict[str, Any], found: RowMapping) -> dict[str, Any]:
    cve, level = row["worst_cve"], row["level"]
    if level is None:
        cve, level = found["rating_cve"], found["rating_level"]
    if level is None or found["severity"] in LEVELS:
        cve, severity = "", ""
    else:
        severity = LEVELS[level - 1]
    return {**found, "host_count": row["host_count"], "worst_cve": cve, "worst_cve_severity": severity}
