"""What needs attention, kind by kind: the whole of what the overview counts."""

from typing import Any

from flask import abort
from sqlalchemy import collate, func, select

from patchbay_api.paging import Key, Number, Page, PageQuery, fetch_page, page_of
from patchbay_api.resource import Resource, context
from patchbay_api.store import attention as store
from patchbay_api.trends import Example

attention = Resource("attention", "What needs attention, kind by kind.")


@attention.get(
    "/attention/<string:kind>", page_of(Example, "AttentionPage"), query=PageQuery, permission="operation.read"
)
def list_attention_of_kind(query: dict[str, Any], kind: str) -> Page:
    """List all of one kind that need attention, the most urgent first."""
    if kind == "dead-letters":
        abort(404, "Dead letters have a list of their own: GET /api/v1/dead-letters.")
    if kind not in store.LISTED:
        abort(404, f"There is no such kind; known are {', '.join(store.LISTED)}.")
    found = store.those_of(kind)
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            select(found.c.id, found.c.name, func.coalesce(found.c.detail, "").label("detail")),
            [Key(found.c.place, Number), Key(collate(found.c.name, "C"), str), Key(collate(found.c.id, "C"), str)],
            sort="place",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
