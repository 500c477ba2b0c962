"""By what a result of hosts can be narrowed further, each with the hosts that would be left."""

from typing import Any

from marshmallow import Schema, fields, validate

from patchbay_api.paging import MAX_LIMIT, query_field
from patchbay_api.query.compile import condition_of
from patchbay_api.query.hosts import HOSTS, hosts_matching
from patchbay_api.resource import Resource, context
from patchbay_api.store import host_facets as store

host_facets = Resource("host-facets", "By what a result of hosts can be narrowed further.")


CONDITIONS = (
    "security>0",
    "updates>0",
    "reboot:yes",
    "exploited>0",
    "overdue>0",
    "state:held",
    "state:not-in-any-repository",
    "incomplete:yes",
    "silent:yes",
    "evaluated:no",
    "supported:no",
    "differences>0",
    "cloned:yes",
    "enrolled<1d",
)
"""What a result is narrowed by most often, in the query language."""


class FacetQuery(Schema):
    """Of which result, and how many of each kind."""

    query = query_field()
    limit = fields.Integer(
        load_default=12, validate=validate.Range(1, MAX_LIMIT), metadata={"description": "Of each kind, the largest."}
    )


class Facet(Schema):
    """One value."""

    name = fields.String(required=True)
    host_count = fields.Integer(required=True, metadata={"description": "Of the result's hosts."})


class Condition(Schema):
    """One condition."""

    query = fields.String(required=True, metadata={"description": "In the query language."})
    host_count = fields.Integer(required=True, metadata={"description": "Of the result's hosts."})


class HostFacets(Schema):
    """Values that hosts of the result have, the most frequent first."""

    os = fields.List(fields.Nested(Facet), required=True)
    groups = fields.List(fields.Nested(Facet), required=True)
    tags = fields.List(fields.Nested(Facet), required=True)
    conditions = fields.List(
        fields.Nested(Condition), required=True, metadata={"description": "Always all of them, in the same order."}
    )


@host_facets.get("/hosts/facets", HostFacets, query=FacetQuery, permission="hosts.read")
def list_host_facets(query: dict[str, Any]) -> dict[str, Any]:
    """Count operating systems, groups, tags and conditions within what a query finds."""
    with context().database.transaction() as connection:
        found = hosts_matching(connection, query.get("query", ""))
        conditions = {each: condition_of(each, HOSTS, connection) for each in CONDITIONS}
        counted = store.counts(connection, found, conditions)
        return {
            **store.facets(connection, found, limit=query["limit"]),
            "conditions": [{"query": each, "host_count": count} for each, count in counted.items()],
        }
