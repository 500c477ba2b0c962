"""What is summed up over the hosts that somebody sees: of CVEs and of advisories."""

from typing import Any

from patchbay_shared.exposure_totals import CVE_TOTALS, advisory_totals
from sqlalchemy import Integer, SmallInteger, Subquery, Text, column, text
from sqlalchemy.dialects.postgresql import JSONB

_CVES = (
    column("cve", Text),
    column("host_count", Integer),
    column("state_counts", JSONB),
    column("level", SmallInteger),
    column("urgency", Integer),
)
_ADVISORIES: tuple[Any, ...] = (
    column("advisory", Text),
    column("host_count", Integer),
    column("urgency", Integer),
    column("worst_cve", Text),
    column("level", SmallInteger),
)


def cve_totals_sql(*, scoped: bool) -> str:
    """SQL of `CVE_TOTALS`: of the whole fleet as errata summed them up, in a scope of the hosts as counted."""
    return CVE_TOTALS if scoped else "SELECT cve, host_count, state_counts, level, urgency FROM cve_exposure"


def cve_totals(*, scoped: bool) -> Subquery:
    """(cve, host_count, state_counts, level, urgency) of each CVE that touches a host or is waived on it."""
    return text(cve_totals_sql(scoped=scoped)).columns(*_CVES).subquery("cve_total")


def advisory_totals_of(*, scoped: bool) -> Subquery:
    """(advisory, host_count, urgency, worst_cve, level) of each advisory that is outstanding somewhere."""
    sql = "SELECT advisory, host_count, urgency, worst_cve, level FROM advisory_exposure"
    if scoped:
        sql = advisory_totals(CVE_TOTALS)
    return text(sql).columns(*_ADVISORIES).subquery("advisory_total")
