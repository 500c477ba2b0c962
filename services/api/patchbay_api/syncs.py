"""The history of a repository's crawls, the running one with its progress."""

from typing import Any
from uuid import UUID

from flask import abort
from marshmallow import Schema, fields
from patchbay_shared.tables import repository_sync

from patchbay_api.paging import Key, Moment, Number, Page, PageQuery, fetch_page, page_of
from patchbay_api.resource import Resource, context
from patchbay_api.store import mirrors as store
from patchbay_api.store import repositories

syncs = Resource("syncs", "Crawls of repositories: when, how long, how much, what changed.")


class Sync(Schema):
    """One crawl."""

    id = fields.Integer(required=True)
    started_at = fields.AwareDateTime(required=True)
    finished_at = fields.AwareDateTime(required=True, allow_none=True)
    duration_seconds = fields.Float(required=True, metadata={"description": "Until now, while it runs."})
    result = fields.String(required=True, metadata={"description": "running, changed, unchanged or failed"})
    phase = fields.String(required=True, metadata={"description": "While it runs: fetching or storing; else empty."})
    message = fields.String(required=True)
    transferred_bytes = fields.Integer(required=True, metadata={"description": "So far, while it runs."})
    read_count = fields.Integer(
        required=True, metadata={"description": "Packages read so far, at most a second old while it runs."}
    )
    added_count = fields.Integer(required=True)
    removed_count = fields.Integer(required=True)


@syncs.get(
    "/repositories/<uuid:repository_id>/syncs",
    page_of(Sync, "SyncPage"),
    query=PageQuery,
    permission="repositories.read",
)
def list_syncs(query: dict[str, Any], repository_id: UUID) -> Page:
    """List a repository's crawls of the last month, the newest first."""
    with context().database.transaction() as connection:
        if repositories.repository_by_id(connection, repository_id) is None:
            abort(404, f"There is no repository {repository_id}; no host names it any more.")
        return fetch_page(
            connection,
            store.syncs_of(repository_id),
            [
                Key(repository_sync.c.started_at, Moment, descending=True),
                Key(repository_sync.c.id, Number, descending=True),
            ],
            sort="-started_at",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
