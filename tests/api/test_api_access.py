"""The table of access against the API itself: every operation, asked by every kind of person."""

import re
from collections.abc import Callable

import pytest
from access_table import ACCESS
from flask import Flask
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.tables import user_account
from sqlalchemy import update

ALLOWED = {
    "stranger": {"anybody"},
    "viewer": {"anybody", "signed-in", "person", "viewer", "viewer fleet"},
    "operator": {"anybody", "signed-in", "person", "viewer", "viewer fleet", "operator", "operator fleet"},
    "admin": set(ACCESS.values()),
    "admin of some hosts": {"anybody", "signed-in", "person", "viewer", "operator", "admin"},
    "token of an admin": set(ACCESS.values()) - {"person"},
    "token for reading hosts": {"anybody", "signed-in"},
}
"""Kind of person to the words of the table that let them in."""
_ENDS_THE_SESSION = "DELETE /sessions/current"


@pytest.fixture
def person(app: Flask, ask: Callable[[str], FlaskClient], database: Database) -> Callable[[str], FlaskClient]:
    """A client of that kind."""

    def made(kind: str) -> FlaskClient:
        if kind == "stranger":
            return app.test_client()
        if kind == "admin of some hosts":
            with database.transaction() as connection:
                narrowed = update(user_account).where(user_account.c.username == "admin")
                connection.execute(narrowed.values(scope=["tag:web"]))
            return ask("admin")
        if kind.startswith("token"):
            permissions = ["advisories.read"] if kind == "token for reading hosts" else None
            body = {"name": "x", "permissions": permissions}
            token = ask("admin").post("/api/v1/tokens", json=body).json["token"]
            client = app.test_client()
            client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
            return client
        return ask(kind)

    return made


def _path(operation: str) -> str:
    """Its path with parameters that name nothing."""
    filled = re.sub(r"\{(\w*name|source|cve_id)\}", "nothing", operation.split()[1])
    filled = re.sub(r"\{session_id\}", "0" * 16, filled)
    filled = re.sub(r"\{(host_id|job_id|receipt_id|repository_id)\}", "7f0c2c54-4a54-4e4f-8f5e-6c3f8f1d0001", filled)
    return "/api/v1" + re.sub(r"\{\w+\}", "999999", filled)


@pytest.mark.parametrize("kind", [kind for kind in ALLOWED if kind != "token for reading hosts"])
def test_each_kind_of_person_gets_what_the_table_says(person: Callable[[str], FlaskClient], kind: str) -> None:
    """Refused with 401 or 403, or let in: then nothing is found, or the body is complained of."""
    client = person(kind)
    wrong = {}
    for operation in sorted(ACCESS, key=lambda each: each == _ENDS_THE_SESSION):
        method, _ = operation.split()
        answer = client.open(
            _path(operation), method=method, json={"nonsense": 1} if method in {"POST", "PATCH"} else None
        )
        refused = {401} if kind == "stranger" else {403}
        if (answer.status_code in refused) == (ACCESS[operation] in ALLOWED[kind]) or answer.status_code >= 500:
            wrong[operation] = answer.status_code

    assert wrong == {}


def test_a_token_of_one_permission_opens_only_what_needs_it(person: Callable[[str], FlaskClient]) -> None:
    """Whatever its owner may beside."""
    client = person("token for reading hosts")

    opened = {
        operation
        for operation in ACCESS
        if operation.startswith("GET ") and client.get(_path(operation)).status_code not in {401, 403}
    }

    free = {operation for operation, who in ACCESS.items() if who in {"anybody", "signed-in"}}
    assert {"GET /advisories", "GET /cves", "GET /lifecycles"} <= opened
    assert {each for each in opened - free if "advisor" not in each} <= {
        "GET /cves",
        "GET /cves/{cve_id}",
        "GET /errata-feeds",
        "GET /lifecycles",
    }
