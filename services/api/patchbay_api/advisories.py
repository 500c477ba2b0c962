"""Advisories as their vendors published them, and the feeds that they come from."""

from typing import Any

from flask import abort
from marshmallow import Schema, fields, validate
from patchbay_shared.exposure import LEVELS
from patchbay_shared.tables import advisory, advisory_cve, advisory_fix, errata_source
from sqlalchemy import ColumnElement, func, literal_column, or_, select

from patchbay_api.auth import principal
from patchbay_api.paging import Key, Moment, Number, Page, PageQuery, fetch_page, page_of, text_field
from patchbay_api.resource import Resource, context
from patchbay_api.store import advisories as store

advisories = Resource("advisories", "What vendors publish about security fixes, and where it was read.")

_ISSUED: ColumnElement[Any] = func.coalesce(
    advisory.c.issued_at, literal_column("'1970-01-01 00:00:00+00'::timestamptz")
)
_SORTS: dict[str, tuple[ColumnElement[Any], Any]] = {
    "issued_at": (_ISSUED, Moment),
    "name": (advisory.c.name, str),
}
_BY_HOSTS = {"-hosts": ["hosts"], "-urgency": ["urgency", "hosts"]}
"""What these orders go by, of the columns of `store.advisories`."""


class AdvisoryQuery(PageQuery):
    """Which advisories, in which order."""

    sort = fields.String(
        load_default="-issued_at",
        validate=validate.OneOf([*(sign + name for name in _SORTS for sign in ("", "-")), *_BY_HOSTS]),
        metadata={
            "description": "Advisories without a date count as the oldest. Urgency: what is outstanding on hosts, of"
            " that what names an exploited CVE, then by severity and EPSS, then by the number of hosts."
        },
    )
    outstanding = fields.Boolean(
        load_default=False, metadata={"description": "Only those whose fix is outstanding on a host."}
    )
    q = text_field("Part of the id or the title.")
    vendor = text_field("Such as debian, ubuntu, arch, rocky, almalinux.")
    known_exploited = fields.Boolean(
        load_default=False, metadata={"description": "Only those of which a CVE is in CISA's catalogue."}
    )
    severity = fields.String(
        validate=validate.OneOf(LEVELS),
        metadata={"description": "As the vendor gives it; where it gives none, as its worst CVE is rated."},
    )
    type = text_field("security, bugfix, enhancement, newpackage, other or cve (what a tracker says of one CVE).")
    cve = text_field("A CVE that it names.")
    package = text_field("A source or binary package that it names.")


class Advisory(Schema):
    """One advisory."""

    source = fields.String(required=True, metadata={"description": "The feed that it was read in."})
    name = fields.String(required=True, metadata={"description": "The vendor's id, unchanged."})
    vendor = fields.String(required=True)
    type = fields.String(required=True)
    severity = fields.String(
        required=True, metadata={"description": "low, medium, high or critical; empty: the vendor gives none."}
    )
    vendor_severity = fields.String(required=True, metadata={"description": "In the vendor's own word."})
    worst_cve = fields.String(
        required=True,
        metadata={"description": "Where the vendor gives no severity, its most severe CVE; empty: none is rated."},
    )
    worst_cve_severity = fields.String(required=True, metadata={"description": "That CVE's severity, or empty."})
    known_exploited = fields.Boolean(
        required=True, metadata={"description": "One of its CVEs is in CISA's catalogue of known exploited ones."}
    )
    host_count = fields.Integer(
        required=True,
        metadata={
            "description": "Hosts on which its fix is outstanding, as counted lately; the query `advisory:` has them."
        },
    )
    status = fields.String(required=True)
    title = fields.String(required=True)
    url = fields.String(required=True)
    cves = fields.List(fields.String(), required=True)
    issued_at = fields.AwareDateTime(required=True, allow_none=True)
    updated_at = fields.AwareDateTime(required=True, allow_none=True)


class AdvisoryFix(Schema):
    """What an advisory says of one package of one distribution release."""

    ecosystem = fields.String(required=True, metadata={"description": "os-release ID"})
    distro_release = fields.String(required=True)
    package = fields.String(required=True)
    kind = fields.String(required=True, metadata={"description": "source or binary"})
    arch = fields.String(required=True, metadata={"description": "empty: any"})
    module = fields.String(required=True)
    pocket = fields.String(required=True, metadata={"description": "esm-…: not there for everybody"})
    state = fields.String(required=True)
    evr = fields.String(required=True, metadata={"description": "first fixed version; empty: none"})
    note = fields.String(required=True)


class AdvisoryDetail(Advisory):
    """One advisory with its text and its fixes."""

    description = fields.String(required=True, metadata={"description": "Text, never markup."})
    links = fields.List(fields.String(), required=True)
    fixes = fields.List(fields.Nested(AdvisoryFix), required=True)


class Feed(Schema):
    """A feed, and how fresh what is stored of it is."""

    name = fields.String(required=True)
    url = fields.String(required=True)
    enabled = fields.Boolean(required=True)
    state = fields.String(
        required=True,
        metadata={"description": "pending, ok, failing, or shrunk: much is gone at once and is kept."},
    )
    message = fields.String(required=True)
    record_count = fields.Integer(required=True)
    rejected_count = fields.Integer(required=True, metadata={"description": "Records that cannot be read."})
    rejected = fields.List(
        fields.List(fields.String()),
        required=True,
        metadata={"description": "Place and reason of the first."},
    )
    failure_count = fields.Integer(required=True)
    checked_at = fields.AwareDateTime(required=True, allow_none=True)
    changed_at = fields.AwareDateTime(required=True, allow_none=True)
    next_check_at = fields.AwareDateTime(required=True)


@advisories.get("/advisories", page_of(Advisory, "AdvisoryPage"), query=AdvisoryQuery, permission="advisories.read")
def list_advisories(query: dict[str, Any]) -> Page:
    """List advisories."""
    sort: str = query["sort"]
    descending = sort.startswith("-")
    statement, columns = store.advisories(
        scoped=bool(principal().scopes),
        outstanding=query["outstanding"],
        severity=query.get("severity"),
        exploited=query["known_exploited"],
    )
    if sort in _BY_HOSTS:
        keys = [Key(columns[name], Number, descending=True) for name in _BY_HOSTS[sort]]
    else:
        expression, kind = _SORTS[sort.removeprefix("-")]
        keys = [Key(expression, kind, descending=descending)]
    for name in ("vendor", "type"):
        if query.get(name):
            statement = statement.where(advisory.c[name] == query[name])
    if not query.get("type"):
        statement = statement.where(advisory.c.type != "cve")
    if query.get("q"):
        # LIKE of small letters takes a third of what ILIKE does.
        part = query["q"].lower()
        matches = [func.lower(c).contains(part, autoescape=True) for c in (advisory.c.name, advisory.c.title)]
        statement = statement.where(or_(*matches))
    if query.get("cve"):
        named = select(advisory_cve.c.advisory_id).where(advisory_cve.c.cve == query["cve"])
        statement = statement.where(advisory.c.id.in_(named))
    if query.get("package"):
        fixed = select(advisory_fix.c.advisory_id).where(advisory_fix.c.package == query["package"])
        statement = statement.where(advisory.c.id.in_(fixed))
    with context().database.transaction() as connection:
        page = fetch_page(
            connection,
            statement,
            [*keys, Key(advisory.c.id, Number, descending=descending)],
            sort=sort,
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
        found = store.with_details(connection, page.items)
    return Page(found, page.next_cursor, page.total_count)


@advisories.get("/advisories/<string:source>/<string:name>", AdvisoryDetail, permission="advisories.read")
def get_advisory(source: str, name: str) -> dict[str, Any]:
    """Show one advisory; where its feed repeats an id, with the fixes of all its records."""
    if "\0" in source + name:
        abort(404, "No id holds a NUL.")
    statement, _ = store.advisories(scoped=bool(principal().scopes))
    statement = statement.where(advisory.c.source == source, advisory.c.name == name).order_by(advisory.c.part)
    with context().database.transaction() as connection:
        found = connection.execute(statement).mappings().all()
        if not found:
            abort(404, f"The feed {source[:40]} has no advisory {name[:40]}.")
        table = advisory_fix.c
        fixes = connection.execute(
            select(advisory_fix)
            .where(table.advisory_id.in_([row["id"] for row in found]))
            .order_by(table.ecosystem, table.distro_release, table.package, table.arch)
        )
        [first] = store.with_details(connection, found[:1])
        return {**first, "fixes": list(fixes.mappings())}


@advisories.get("/errata-feeds", page_of(Feed, "FeedPage"), query=PageQuery, permission="advisories.read")
def list_errata_feeds(query: dict[str, Any]) -> Page:
    """List the feeds of advisories, CVEs, scores and lifecycles."""
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            select(errata_source),
            [Key(errata_source.c.name, str)],
            sort="name",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
