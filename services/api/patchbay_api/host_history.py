"""One host over time and beside others: the changes of its packages, a comparison, its modules."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from patchbay_shared.tables import package_event
from sqlalchemy import Connection, RowMapping, select, true
from werkzeug.exceptions import UnprocessableEntity

from patchbay_api.conventions.lists import WholeList
from patchbay_api.hosts import host_or_404
from patchbay_api.paging import Key, Moment, Number, Page, PageQuery, fetch_page, page_of, text_field
from patchbay_api.resource import Resource, context
from patchbay_api.store import host_history as store
from patchbay_api.store import packages

host_history = Resource("host-history", "One host over time and beside others.")

MOST_CHANGES = 500
"""Shown of one event; a release upgrade changes thousands of packages."""
HISTORY = timedelta(days=730)
"""For as long the engine keeps the changes."""


class TimelineQuery(PageQuery):
    """Which changes; the newest come first."""

    package = text_field("Only changes of the package of this name.")


class PackageChange(Schema):
    """One package that a report had otherwise than the report before."""

    name = fields.String(required=True)
    arch = fields.String(required=True)
    change = fields.String(
        required=True, metadata={"description": "installed, removed, upgraded, downgraded or replaced"}
    )
    before = fields.List(fields.String(), required=True, metadata={"description": "Versions no longer installed."})
    after = fields.List(fields.String(), required=True, metadata={"description": "Versions newly installed."})


class TimelineEvent(Schema):
    """What one report changed."""

    at = fields.AwareDateTime(required=True, metadata={"description": "When the report arrived."})
    change_count = fields.Integer(required=True)
    changes = fields.List(
        fields.Nested(PackageChange),
        required=True,
        metadata={"description": f"In order of their names; the first {MOST_CHANGES}."},
    )


class DiffQuery(PageQuery):
    """With what to compare."""

    with_ = fields.UUID(data_key="with", metadata={"description": "Another host."})
    at = fields.AwareDateTime(metadata={"description": "This host as it was then."})
    difference = fields.String(
        validate=validate.OneOf(store.DIFFERENCES), metadata={"description": "Only differences of this kind."}
    )

    @validates_schema
    def one_of_both(self, data: dict[str, Any], **_: Any) -> None:
        """Two comparisons are two requests."""
        if ("with_" in data) == ("at" in data):
            raise ValidationError("Give either `with` (another host) or `at` (a time).", "with")


class PackageDifference(Schema):
    """A package that is not the same on both sides."""

    type = fields.String(required=True)
    name = fields.String(required=True)
    arch = fields.String(required=True)
    here = fields.List(fields.String(), required=True, metadata={"description": "Versions that this host has now."})
    there = fields.List(
        fields.String(), required=True, metadata={"description": "Versions of the other host, or of the other time."}
    )
    difference = fields.String(
        required=True, metadata={"description": "only-here, only-there, newer, older or other: as seen from here"}
    )


class DifferenceCounts(Schema):
    """The whole comparison in numbers."""

    only_here = fields.Integer(required=True)
    only_there = fields.Integer(required=True)
    newer = fields.Integer(required=True)
    older = fields.Integer(required=True)


class DiffPage(page_of(PackageDifference, "PackageDifferencePage")):  # type: ignore[misc]  # a class made at run time
    """One page of the comparison, and its numbers."""

    counts = fields.Nested(DifferenceCounts, required=True)


class Module(Schema):
    """One module of the host, as dnf has it."""

    name = fields.String(required=True)
    stream = fields.String(required=True)
    state = fields.String(required=True, metadata={"description": "enabled or disabled"})
    profiles = fields.List(fields.String(), required=True)


class Modules(WholeList):
    """All of them."""

    items = fields.List(fields.Nested(Module), required=True)


@host_history.get("/hosts/<uuid:host_id>/modules", Modules, permission="hosts.read")
def list_host_modules(host_id: UUID) -> dict[str, Any]:
    """List the module streams that a host has enabled or disabled."""
    with context().database.transaction() as connection:
        modules = host_or_404(connection, host_id)["facts"].get("modules") or []
    defaults = {"stream": "", "state": "", "profiles": []}
    return {"items": sorted(({**defaults, **each} for each in modules), key=lambda each: str(each["name"]))}


@host_history.get(
    "/hosts/<uuid:host_id>/timeline",
    page_of(TimelineEvent, "TimelinePage"),
    query=TimelineQuery,
    permission="hosts.read",
)
def list_host_timeline(query: dict[str, Any], host_id: UUID) -> Page:
    """List what changed on a host when."""
    with context().database.transaction() as connection:
        host_or_404(connection, host_id)
        name = query.get("package")
        wanted = packages.ids_of(connection, name, type_=None, version=None) if name else None
        page = fetch_page(
            connection,
            store.events(host_id, wanted),
            [
                Key(package_event.c.at, Moment, descending=True),
                Key(package_event.c.id, Number, descending=True),
            ],
            sort="-at",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
        ids = {each for row in page.items for each in (*row["added_ids"], *row["removed_ids"])}
        known = packages.packages_by_ids(connection, ids)
    return Page([_event(row, known, name) for row in page.items], page.next_cursor, page.total_count)


@host_history.get("/hosts/<uuid:host_id>/diff", DiffPage, query=DiffQuery, permission="hosts.read")
def diff_host(query: dict[str, Any], host_id: UUID) -> dict[str, Any]:
    """Compare what is installed on a host with another host, or with itself at another time."""
    with context().database.transaction() as connection:
        found = host_or_404(connection, host_id)
        here = store.installed_ids(connection, found["package_set_id"])
        if "with_" in query:
            other = host_or_404(connection, query["with_"])
            there = store.installed_ids(connection, other["package_set_id"])
        else:
            there = _at(connection, found, here, query["at"])
        compared = store.difference(here, there)
        wanted = store.differing(compared, query["difference"]) if "difference" in query else true()
        page = fetch_page(
            connection,
            select(compared).where(wanted),
            [Key(compared.c[name], str) for name in ("name", "arch", "type")],
            sort="name",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
        counts = store.difference_counts(connection, compared)
    return {
        "items": [_difference(row) for row in page.items],
        "next_cursor": page.next_cursor,
        "total_count": page.total_count,
        "counts": counts,
    }


def _at(connection: Connection, found: RowMapping, here: set[int], at: datetime) -> set[int]:
    first: datetime = found["first_report_at"]
    oldest = max(first, found["last_report_at"] - HISTORY)
    if at < oldest:
        error = UnprocessableEntity()
        complaint = f"What this host had is known since {oldest:%Y-%m-%d %H:%M} UTC."
        error.data = {"messages": {"query": {"at": [complaint]}}}  # type: ignore[attr-defined]
        raise error
    return store.installed_ids_at(connection, found["id"], here, at)


def _event(row: Any, known: dict[int, RowMapping], name: str | None) -> dict[str, Any]:
    sides: dict[tuple[str, str], tuple[list[RowMapping], list[RowMapping]]] = {}
    for side, ids in enumerate((row["removed_ids"], row["added_ids"])):
        for each in ids:
            if (package := known.get(each)) and (name is None or package["name"] == name):
                sides.setdefault((package["name"], package["arch"]), ([], []))[side].append(package)
    changes = [
        {
            "name": key[0],
            "arch": key[1],
            "change": _change(before, after),
            "before": [each["evr"] for each in before],
            "after": [each["evr"] for each in after],
        }
        for key, (before, after) in sorted(sides.items())
    ]
    return {"at": row["at"], "change_count": len(changes), "changes": changes[:MOST_CHANGES]}


def _change(before: list[RowMapping], after: list[RowMapping]) -> str:
    if not before:
        return "installed"
    if not after:
        return "removed"
    old, new = (max(bytes(each["evr_key"]) for each in side) for side in (before, after))
    return "upgraded" if new > old else "downgraded" if new < old else "replaced"


def _difference(row: Any) -> dict[str, Any]:
    here, there = row["here_key"], row["there_key"]
    word = "other"
    if there is None:
        word = "only-here"
    elif here is None:
        word = "only-there"
    elif bytes(here) != bytes(there):
        word = "newer" if bytes(here) > bytes(there) else "older"
    return {**row, "here": row["here"] or [], "there": row["there"] or [], "difference": word}
