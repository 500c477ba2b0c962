"""Lifecycles: until when a distribution release gets security updates, and where that is known from."""

from typing import Any

from marshmallow import Schema, fields
from patchbay_shared.tables import lifecycle
from sqlalchemy import select

from patchbay_api.paging import Key, Page, PageQuery, fetch_page, page_of, text_field
from patchbay_api.resource import Resource, context

lifecycles = Resource("lifecycles", "Until when distribution releases get security updates.")


class LifecycleQuery(PageQuery):
    """Which releases."""

    ecosystem = text_field("The distribution, by its os-release ID: debian, ubuntu, rocky, …")


class Lifecycle(Schema):
    """One release of a distribution."""

    ecosystem = fields.String(required=True, metadata={"description": "os-release ID"})
    version = fields.String(required=True)
    codename = fields.String(required=True)
    name = fields.String(required=True)
    released_on = fields.Date(required=True, allow_none=True)
    ends_on = fields.Date(
        required=True, allow_none=True, metadata={"description": "Of free security updates for everybody."}
    )
    extended_ends_on = fields.Date(
        required=True, allow_none=True, metadata={"description": "Of longer support, such as LTS or ESM."}
    )
    source = fields.String(required=True, metadata={"description": "Where the dates are from."})


@lifecycles.get(
    "/lifecycles", page_of(Lifecycle, "LifecyclePage"), query=LifecycleQuery, permission="advisories.read"
)
def list_lifecycles(query: dict[str, Any]) -> Page:
    """List lifecycles."""
    statement = select(lifecycle)
    if query.get("ecosystem"):
        statement = statement.where(lifecycle.c.ecosystem == query["ecosystem"])
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            statement,
            [Key(lifecycle.c.ecosystem, str), Key(lifecycle.c.version, str)],
            sort="ecosystem",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
