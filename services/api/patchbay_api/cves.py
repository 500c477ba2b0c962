"""CVEs: the list, one of them, the hosts that it touches, and the CVEs that touch a host."""

from datetime import date
from typing import Any
from uuid import UUID

from flask import abort
from marshmallow import Schema, fields, validate
from patchbay_shared.exposure import FIXED, LEVELS, PLANNED, STATES
from patchbay_shared.tables import host
from sqlalchemy import select, text

from patchbay_api.auth import principal
from patchbay_api.hosts import host_or_404
from patchbay_api.paging import Key, Number, Page, PageQuery, fetch_page, page_of, text_field
from patchbay_api.resource import Resource, context
from patchbay_api.store import cves as known
from patchbay_api.store import vulnerabilities as store

cves = Resource("cves", "Vulnerabilities, with their scores, their fixes, and what they touch.")

_STATE = (
    "fix-available: a fixed version is published; restart-pending: it is installed, but the old kernel or a service"
    " that was started before still runs; restricted: only where a subscription gives it; open: there is no fix;"
    " no-fix-planned: the distribution will not publish one; undetermined: it does not say; fixed: the installed"
    " version has the fix; not-affected: the distribution's version never had the flaw; waived: an exception holds."
)


EXPOSED = "exposed"
"""Stands for every state in which a CVE touches a host and is not waived."""

_SORT_KINDS: dict[str, Any] = {"score": float, "epss": float, "hosts": Number, "urgency": Number}
_HOST_CVE_SORTS: dict[str, tuple[str, Any]] = {
    "priority": ("priority", Number),
    "score": ("sort_score", float),
    "due_by": ("sort_due", date),
}


class CveQuery(PageQuery):
    """Which CVEs, in which order."""

    sort = fields.String(
        load_default="-id",
        validate=validate.OneOf(["-id", "-urgency", "-hosts", "-score", "-epss"]),
        metadata={
            "description": "Newest ids first; or by urgency: what touches hosts, of that what is exploited, then by"
            " severity and EPSS, then by the number of hosts."
        },
    )
    exposed = fields.Boolean(
        load_default=False, metadata={"description": "Only those that touch a host now and are not waived on it."}
    )
    severity = fields.String(validate=validate.OneOf(LEVELS))

    q = text_field("Part of the id, such as CVE-2024-.")
    known_exploited = fields.Boolean(
        load_default=False, metadata={"description": "Only those in CISA's catalogue of known exploited ones."}
    )


class Cve(Schema):
    """A CVE with the rating that counts."""

    id = fields.String(required=True)
    state = fields.String(required=True, metadata={"description": "published or rejected"})
    score = fields.Float(required=True, allow_none=True, metadata={"description": "CVSS; null: nobody rated it."})
    severity = fields.String(
        required=True,
        metadata={"description": "The vendor's, of the worst advisory; else by the CVSS score; empty: nobody's."},
    )
    severity_by = fields.String(
        required=True, metadata={"description": "Whose severity it is: an advisory, a vendor, or who gave the score."}
    )
    cvss_severity = fields.String(required=True, metadata={"description": "By the CVSS score alone."})
    host_count = fields.Integer(
        required=True,
        metadata={"description": "Hosts that it touches now and that do not waive it, as counted lately."},
    )
    hosts_by_state = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "Number of hosts of each state in which it touches any, and waived."},
    )
    vector = fields.String(required=True)
    cvss_version = fields.String(required=True)
    provider = fields.String(required=True, metadata={"description": "Who gave the CVSS score."})
    known_exploited = fields.Boolean(required=True)
    due_on = fields.Date(required=True, allow_none=True, metadata={"description": "CISA's date for it to be fixed."})
    epss = fields.Float(
        required=True, allow_none=True, metadata={"description": "Probability of exploitation within 30 days."}
    )
    epss_percentile = fields.Float(required=True, allow_none=True)
    advisories = fields.List(fields.String(), required=True)
    published_at = fields.AwareDateTime(required=True, allow_none=True)
    updated_at = fields.AwareDateTime(required=True, allow_none=True)


class CveDetail(Cve):
    """One CVE with everything that is known of it."""

    description = fields.String(required=True)
    cwes = fields.List(fields.String(), required=True)
    ratings = fields.List(
        fields.Dict(keys=fields.String()), required=True, metadata={"description": "Every rating, with who gave it."}
    )
    exploited_since = fields.Date(required=True, allow_none=True)
    ransomware = fields.Boolean(required=True, allow_none=True)
    required_action = fields.String(required=True, allow_none=True)
    hosts_by_state = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": f"Number of hosts, 0 as well. {_STATE}"},
    )
    epss_model = fields.String(required=True, allow_none=True)
    epss_date = fields.Date(required=True, allow_none=True)


class StateQuery(PageQuery):
    """Which states."""

    state = fields.String(
        validate=validate.OneOf([*STATES, EXPOSED]),
        metadata={
            "description": f"Only this state; without it, all but fixed and not-affected. {EXPOSED}: those of these"
            f" that are not waived. {_STATE}"
        },
    )


class HostCveQuery(StateQuery):
    """Which CVEs of a host, in which order."""

    sort = fields.String(
        load_default="-priority",
        validate=validate.OneOf(
            [sign + name for name in ("priority", "score", "cve", "due_by") for sign in ("", "-")]
        ),
        metadata={
            "description": "Priority: exploited, then EPSS, CVSS, age and exposure. Equals are in order of their ids."
        },
    )
    known_exploited = fields.Boolean(metadata={"description": "Whether CISA knows that it is exploited."})
    overdue = fields.Boolean(metadata={"description": "Whether its due date is past and it is not waived."})


class Touch(Schema):
    """What a CVE is on a host."""

    state = fields.String(required=True, metadata={"description": _STATE})
    packages = fields.List(
        fields.String(),
        required=True,
        metadata={
            "description": "Vulnerable ones, name and installed version; of a fixed CVE those that have the fix."
        },
    )
    advisories = fields.List(
        fields.String(), required=True, metadata={"description": "Those whose fix is not installed, or not running."}
    )
    since = fields.AwareDateTime(
        required=True,
        allow_none=True,
        metadata={
            "description": "When it was published or the package installed, the later of both as far as known."
        },
    )
    due_by = fields.Date(
        required=True,
        allow_none=True,
        metadata={"description": "By the policy for its severity, or CISA's date if that is earlier; null: none."},
    )
    overdue = fields.Boolean(required=True, metadata={"description": "`due_by` is past, and it is not waived."})
    waived = fields.Boolean(required=True)
    exception_id = fields.Integer(required=True, allow_none=True, metadata={"description": "By which it is waived."})
    priority = fields.Integer(required=True, metadata={"description": "Greater comes first."})


class HostCve(Touch):
    """A CVE that touches a host."""

    cve = fields.String(required=True)
    score = fields.Float(required=True, allow_none=True, metadata={"description": "CVSS; null: nobody rated it."})
    vector = fields.String(required=True)
    cvss_version = fields.String(required=True)
    cwes = fields.List(fields.String(), required=True)
    severity = fields.String(
        required=True, metadata={"description": "The vendor's, of the worst advisory; else by the CVSS score."}
    )
    known_exploited = fields.Boolean(required=True)
    due_on = fields.Date(required=True, allow_none=True, metadata={"description": "CISA's date for it to be fixed."})
    epss = fields.Float(required=True, allow_none=True)
    epss_percentile = fields.Float(required=True, allow_none=True)


class CveHost(Touch):
    """A host that a CVE touches."""

    id = fields.UUID(required=True)
    hostname = fields.String(required=True)
    os = fields.String(required=True)


@cves.get("/cves", page_of(Cve, "CvePage"), query=CveQuery, permission="advisories.read")
def list_cves(query: dict[str, Any]) -> Page:
    """List CVEs."""
    scoped = bool(principal().scopes)
    statement, number, columns = known.cves(
        scoped=scoped,
        exposed=query["exposed"],
        known_exploited=query["known_exploited"],
        severity=query.get("severity"),
        part=query.get("q"),
    )
    sort: str = query["sort"]
    names = {"-id": [], "-urgency": ["urgency", "hosts"]}.get(sort, [sort.removeprefix("-")])
    keys = [Key(columns[name], _SORT_KINDS[name], descending=True) for name in names]
    with context().database.transaction() as connection:
        page = fetch_page(
            connection,
            statement,
            [*keys, Key(number, str, descending=True)],
            sort=sort,
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
        details = known.cve_details(connection, [row["cve"] for row in page.items], scoped=scoped)
    return Page(
        [details[row["cve"]] for row in page.items if row["cve"] in details], page.next_cursor, page.total_count
    )


@cves.get("/cves/<string:cve_id>", CveDetail, permission="advisories.read")
def get_cve(cve_id: str) -> Any:
    """Show one CVE."""
    with context().database.transaction() as connection:
        found = known.cve_details(connection, [_storable(cve_id)], scoped=bool(principal().scopes))
        if not found:
            abort(404, f"Nothing is known of {cve_id[:40]}; ids are written as in CVE-2024-1234.")
        counts = store.packages_judged_for(connection, cve_id).counts()
        touched = sum(counts[name] for name in STATES[:FIXED])
        return {**found[cve_id], "host_count": touched, "hosts_by_state": counts}


@cves.get("/cves/<string:cve_id>/hosts", page_of(CveHost, "CveHostPage"), query=StateQuery, permission="hosts.read")
def list_cve_hosts(query: dict[str, Any], cve_id: str) -> Page:
    """List the hosts that a CVE touches."""
    with context().database.transaction() as connection:
        judged = store.packages_judged_for(connection, _storable(cve_id))
        page = fetch_page(
            connection,
            judged.hosts(_ranks(query.get("state"))),
            [Key(host.c.hostname, str), Key(host.c.id, UUID)],
            sort="hostname",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
        found = judged.on(page.items)
    return Page(found, page.next_cursor, page.total_count)


@cves.get("/hosts/<uuid:host_id>/cves", page_of(HostCve, "HostCvePage"), query=HostCveQuery, permission="hosts.read")
def list_host_cves(query: dict[str, Any], host_id: UUID) -> Page:
    """List the CVEs that touch a host."""
    sort: str = query["sort"]
    rows = store.cves_of_host(host_id)
    number = Key(rows.c.cve, str, descending=sort == "-cve")
    keys = [number]
    if not sort.endswith("cve"):
        name, kind = _HOST_CVE_SORTS[sort.removeprefix("-")]
        keys.insert(0, Key(rows.c[name], kind, descending=sort.startswith("-")))
    statement = select(rows).where(rows.c.rank.in_(_ranks(query.get("state"))))
    if "known_exploited" in query:
        statement = statement.where(rows.c.known_exploited == query["known_exploited"])
    if "overdue" in query:
        statement = statement.where(rows.c.overdue == query["overdue"])
    with context().database.transaction() as connection:
        host_or_404(connection, host_id)
        connection.execute(text(PLANNED))
        page = fetch_page(connection, statement, keys, sort=sort, limit=query["limit"], cursor=query.get("cursor"))
    return Page([{**row, "state": STATES[row["rank"]]} for row in page.items], page.next_cursor, page.total_count)


def _ranks(state: str | None) -> list[int]:
    if state == EXPOSED:
        return list(range(FIXED))
    return list(store.TOUCHING) if state is None else [STATES.index(state)]


def _storable(text: str) -> str:
    if "\0" in text:
        abort(404, "No id holds a NUL.")
    return text
