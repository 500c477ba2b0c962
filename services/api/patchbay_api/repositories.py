"""Repositories: the list, one of them, and "crawl it now"."""

from typing import Any
from uuid import UUID

import msgspec
from flask import abort
from marshmallow import Schema, fields, validate
from patchbay_shared.messages import SYNC_REQUESTED, RepositoryNudge
from patchbay_shared.tables import repository
from sqlalchemy import ColumnElement, or_

from patchbay_api.hosts import Requested
from patchbay_api.paging import Key, Number, Page, PageQuery, fetch_page, page_of, text_field
from patchbay_api.resource import Resource, context
from patchbay_api.store import repositories as store

repositories = Resource("repositories", "Where packages come from, and how fresh our knowledge of it is.")

STATES = ["pending", "ok", "failing", "reported", "untrusted"]
_SORTS: dict[str, tuple[ColumnElement[Any], Any]] = {
    "name": (repository.c.name, str),
    "state": (store.worst_first, Number),
}


class RepositoryQuery(PageQuery):
    """Which repositories, in which order."""

    sort = fields.String(
        load_default="name",
        validate=validate.OneOf([sign + name for name in _SORTS for sign in ("", "-")]),
        metadata={"description": "`state` puts the worst first; equals are in order of their names."},
    )
    state = fields.String(validate=validate.OneOf(STATES), metadata={"description": "Only this state."})
    overdue = fields.Boolean(metadata={"description": "Whether it should have been looked at an hour ago."})
    syncing = fields.Boolean(metadata={"description": "Whether it is being crawled at this moment."})
    package = text_field("Offers a package of this name.")
    job = fields.UUID(metadata={"description": "This job asked for it to be crawled."})
    linked_to = fields.UUID(metadata={"description": "The crawls of this repository serve it."})
    q = text_field("Part of the name or the URL.")


class Repository(Schema):
    """A repository, one however many hosts name it."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    type = fields.String(required=True, metadata={"description": "deb, rpm-md, susetags or pacman"})
    url = fields.String(required=True)
    suite = fields.String(required=True)
    enabled = fields.Boolean(required=True)
    security = fields.Boolean(required=True, allow_none=True, metadata={"description": "null: nobody said"})
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    message = fields.String(
        required=True, metadata={"description": "What happened last, signature and errors included."}
    )
    syncing = fields.Boolean(required=True, metadata={"description": "Being crawled at this moment."})
    overdue = fields.Boolean(
        required=True,
        metadata={"description": "It should have been looked at an hour ago: what is known of it may be stale."},
    )
    generation = fields.Integer(required=True, metadata={"description": "One more with each change."})
    failure_count = fields.Integer(required=True, metadata={"description": "Failures in a row."})
    package_count = fields.Integer(required=True)
    host_count = fields.Integer(required=True)
    checked_at = fields.AwareDateTime(required=True, allow_none=True)
    changed_at = fields.AwareDateTime(required=True, allow_none=True)
    reported_at = fields.AwareDateTime(
        required=True,
        allow_none=True,
        metadata={
            "description": "When it was last filled from what its hosts report as available, because no mirror of it "
            "can be read; null: what is known of it was read from a mirror."
        },
    )
    next_sync_at = fields.AwareDateTime(required=True)


class Mirror(Schema):
    """A URL that serves the repository."""

    url = fields.String(required=True)
    rank = fields.Integer(required=True, metadata={"description": "The lowest is tried first."})
    state = fields.String(required=True)
    message = fields.String(required=True)
    checked_at = fields.AwareDateTime(required=True, allow_none=True)


class RepositoryIndex(Schema):
    """One index file."""

    component = fields.String(required=True, metadata={"description": "apt; else empty"})
    architecture = fields.String(required=True, metadata={"description": "apt; else empty"})
    package_count = fields.Integer(required=True)
    present = fields.Boolean(required=True, metadata={"description": "The mirror has it."})
    changed_at = fields.AwareDateTime(required=True, allow_none=True)


class RepositorySync(Schema):
    """One crawl."""

    started_at = fields.AwareDateTime(required=True)
    finished_at = fields.AwareDateTime(required=True, allow_none=True)
    result = fields.String(required=True, metadata={"description": "running, changed, unchanged or failed"})
    message = fields.String(required=True)
    transferred_bytes = fields.Integer(required=True)
    added_count = fields.Integer(required=True)
    removed_count = fields.Integer(required=True)


class RepositoryDetail(Repository):
    """One repository with its mirrors, indexes and last crawls."""

    created_at = fields.AwareDateTime(required=True)
    release = fields.Dict(
        keys=fields.String(),
        required=True,
        allow_none=True,
        metadata={"description": "apt: the fields of the Release file that pins and freshness read."},
    )
    mirrors = fields.List(fields.Nested(Mirror), required=True)
    indexes = fields.List(fields.Nested(RepositoryIndex), required=True)
    syncs = fields.List(fields.Nested(RepositorySync), required=True)


@repositories.get(
    "/repositories", page_of(Repository, "RepositoryPage"), query=RepositoryQuery, permission="repositories.read"
)
def list_repositories(query: dict[str, Any]) -> Page:
    """List repositories."""
    sort: str = query["sort"]
    expression, kind = _SORTS[sort.removeprefix("-")]
    keys = [Key(expression, kind, descending=sort.startswith("-"))]
    if expression is not repository.c.name:
        keys.append(Key(repository.c.name, str))
    keys.append(Key(repository.c.id, UUID))
    statement = store.repositories()
    if query.get("state"):
        statement = statement.where(repository.c.state == query["state"])
    if "overdue" in query:
        statement = statement.where(store.overdue if query["overdue"] else ~store.overdue)
    if "syncing" in query:
        statement = statement.where(store.syncing if query["syncing"] else ~store.syncing)
    if query.get("package"):
        statement = statement.where(store.offers(query["package"]))
    if "job" in query:
        statement = statement.where(store.asked_by(query["job"]))
    if "linked_to" in query:
        statement = statement.where(repository.c.linked_to == query["linked_to"])
    if query.get("q"):
        matches = [c.icontains(query["q"], autoescape=True) for c in (repository.c.name, repository.c.url)]
        statement = statement.where(or_(*matches))
    with context().database.transaction() as connection:
        page = fetch_page(connection, statement, keys, sort=sort, limit=query["limit"], cursor=query.get("cursor"))
        counts = store.host_counts(connection, [row["id"] for row in page.items])
    rows = [{**row, "host_count": counts.get(row["id"], 0)} for row in page.items]
    return Page(rows, page.next_cursor, page.total_count)


@repositories.get("/repositories/<uuid:repository_id>", RepositoryDetail, permission="repositories.read")
def get_repository(repository_id: UUID) -> dict[str, Any]:
    """Show one repository."""
    with context().database.transaction() as connection:
        found = store.repository_by_id(connection, repository_id)
        if found is None:
            abort(404, f"There is no repository {repository_id}; no host names it any more.")
        return {
            **found,
            "host_count": store.host_counts(connection, [repository_id]).get(repository_id, 0),
            "mirrors": store.mirrors_of(connection, repository_id),
            "indexes": store.indexes_of(connection, repository_id),
            "syncs": store.recent_syncs(connection, repository_id),
        }


class SyncQuery(Schema):
    """How thoroughly."""

    force = fields.Boolean(
        load_default=False,
        metadata={"description": "Forget what is known of the mirrors' files, and fetch everything anew."},
    )


@repositories.post(
    "/repositories/<uuid:repository_id>/sync",
    Requested,
    status=202,
    query=SyncQuery,
    permission="repositories.operate",
)
def sync_repository(query: dict[str, Any], repository_id: UUID) -> dict[str, Any]:
    """Ask for a repository to be crawled now."""
    with context().database.transaction() as connection:
        if store.repository_by_id(connection, repository_id) is None:
            abort(404, f"There is no repository {repository_id}; no host names it any more.")
    nudge = RepositoryNudge(repository_ids=[repository_id], force=query["force"])
    context().bus.publish(SYNC_REQUESTED, msgspec.json.encode(nudge))
    return {"id": repository_id, "requested": "sync"}
