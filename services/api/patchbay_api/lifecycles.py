"""Lifecycles: until when a distribution release gets security updates, and where that is known from."""

from typing import Any

from marshmallow import Schema, fields
from patchbay_shared.tables import lifecycle
from sqlalchemy import select

from patchbay_api.conventions.lists import WholeList
from patchbay_api.hosts import PHASES
from patchbay_api.paging import Key, Page, PageQuery, fetch_page, page_of, text_field
from patchbay_api.resource import Resource, context
from patchbay_api.store import lifecycles as store

lifecycles = Resource(
    "lifecycles", "Until when distribution releases and third-party repositories get security updates."
)


FORECAST_DAYS = (0, 90, 180, 365)


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


class ForecastEntry(Schema):
    """A distribution release or third-party repository that hosts use."""

    kind = fields.String(required=True, metadata={"description": "distribution or repository"})
    name = fields.String(required=True)
    phase = fields.String(required=True, metadata={"description": PHASES})
    ends_on = fields.Date(required=True, allow_none=True)
    extended_ends_on = fields.Date(required=True, allow_none=True)
    days_left = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Until `ends_on`; negative: it is past."}
    )
    hosts = fields.Integer(required=True)


class ForecastTotal(Schema):
    """How many hosts lose the support that everybody gets within so many days."""

    days = fields.Integer(required=True, metadata={"description": "0: it has ended already."})
    hosts = fields.Integer(
        required=True, metadata={"description": "By their distribution release; those of fewer days are included."}
    )
    repositories = fields.Integer(required=True, metadata={"description": "Third-party repositories, likewise."})


class Forecast(WholeList):
    """What ends when."""

    totals = fields.List(fields.Nested(ForecastTotal), required=True)
    items = fields.List(
        fields.Nested(ForecastEntry),
        required=True,
        metadata={"description": "The first to end first; those without a known date last."},
    )


@lifecycles.get("/lifecycles/forecast", Forecast, permission="hosts.read")
def forecast_lifecycles() -> dict[str, Any]:
    """Forecast the ends of support for what hosts use: ended, and within 90, 180 and 365 days."""
    with context().database.transaction() as connection:
        items = store.forecast(connection)

    def ending(kind: str, days: int) -> list[Any]:
        return [
            each
            for each in items
            if each["kind"] == kind and each["days_left"] is not None and each["days_left"] < days
        ]

    return {
        "items": items,
        "totals": [
            {
                "days": days,
                "hosts": sum(each["hosts"] for each in ending("distribution", days)),
                "repositories": len(ending("repository", days)),
            }
            for days in FORECAST_DAYS
        ],
    }


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
