"""Every list can be taken away and cut to size: a table over the document, so that a new one cannot forget it."""

import csv
import io
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient
from patchbay_api.app import openapi_document
from patchbay_shared.db import Database

DOCUMENT = openapi_document()
NOT_LISTS = {
    "/api/v1/events/recent": "what changed a moment ago, to be read again; nothing to keep",
    "/api/v1/notifications/{notification_id}": "one message with what it told",
    "/api/v1/query/complete": "what could be typed next",
}
WHOLE = {
    "/api/v1/attention": "one row a kind",
    "/api/v1/hosts/{host_id}/modules": "of one host",
    "/api/v1/hosts/{host_id}/repositories": "of one host",
    "/api/v1/lifecycles/forecast": "one row a release",
    "/api/v1/mirror-access": "configured",
    "/api/v1/notification-channels": "configured",
    "/api/v1/notification-rules": "configured",
    "/api/v1/permissions": "fixed",
    "/api/v1/queues": "fixed",
    "/api/v1/repositories/link-proposals": "computed as a whole",
    "/api/v1/repositories/{repository_id}/mirrors": "of one repository",
    "/api/v1/roles": "configured",
    "/api/v1/settings": "fixed",
}
"""Lists without pages: they are only as long as what is configured, or as one thing has."""


def _shape(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][name] if name else schema
    return found


def _lists() -> dict[str, dict[str, Any]]:
    """The GET operations whose answer has `items`, by path."""
    found = {}
    for path, operations in DOCUMENT["paths"].items():
        answer = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        schema = answer.get("application/json", {}).get("schema", {})
        if any("items" in _shape(each).get("properties", {}) for each in schema.get("anyOf", [schema])):
            found[path] = operations["get"]
    return found


LISTS = {path: operation for path, operation in _lists().items() if path not in NOT_LISTS}


def test_every_exception_is_one() -> None:
    """A line of the tables above that is about nothing hides the next list that forgets something."""
    assert NOT_LISTS.keys() <= _lists().keys()
    assert WHOLE.keys() <= LISTS.keys()


@pytest.mark.parametrize("path", LISTS)
def test_every_list_has_exports_chosen_fields_and_pages(path: str) -> None:
    """Pages with a cursor and a limit, unless it is short by nature."""
    operation = LISTS[path]
    parameters = {each["name"] for each in operation["parameters"] if each["in"] == "query"}

    assert {"fields", "format"} <= parameters
    assert operation["responses"]["200"]["content"].keys() >= {"application/json", "application/x-ndjson", "text/csv"}
    assert ({"cursor", "limit"} <= parameters) is (path not in WHOLE)


@pytest.mark.parametrize("path", [path for path in LISTS if "{" not in path])
def test_every_list_answers_what_its_declaration_says(
    ask: Callable[[str], FlaskClient], database: Database, fleet_seed: ModuleType, path: str
) -> None:
    """The same rows in each format, in the same order each time, of the fields that were asked for."""
    fleet_seed.seed_fleet(database, fleet_seed.HOSTS)
    fleet_seed.seed_dead_letters(database)
    admin = ask("admin")
    rows = admin.get(path).json["items"]
    names = list(rows[0]) if rows else []

    ndjson = admin.get(path, query_string={"format": "ndjson"}).get_data(as_text=True)  # streamed: read at once
    table = admin.get(path, query_string={"format": "csv"}).get_data(as_text=True)

    shown = [json.loads(line) for line in ndjson.splitlines()]
    assert [{name: each[name] for name in names} for each in shown] == rows
    assert len(list(csv.reader(io.StringIO(table)))) == len(rows) + 1
    if names:
        chosen = admin.get(path, query_string={"fields": names[0]}).json
        assert chosen["items"] == [{names[0]: row[names[0]]} for row in rows]
    assert admin.get(path, query_string={"fields": "no_such"}).status_code == 422
