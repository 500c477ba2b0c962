"""API tokens: what programs ask with."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from patchbay_api.auth import token_hash
from patchbay_shared.db import Database
from patchbay_shared.tables import api_token, user_account
from sqlalchemy import func, select, text, update

Ask = Callable[[str], FlaskClient]


@pytest.fixture
def program(app: Flask, ask: Ask) -> Callable[..., FlaskClient]:
    """A client that asks with a new API token of somebody."""

    def made(owner: str, **fields: Any) -> FlaskClient:
        answer = ask(owner).post("/api/v1/tokens", json={"name": "nightly", **fields})
        assert answer.status_code == 201, answer.text
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {answer.json['token']}"
        return client

    return made


def test_a_token_is_shown_once_and_stored_as_its_hash(ask: Ask, database: Database) -> None:
    """What leaks from the database opens nothing; the prefix says which token leaked elsewhere."""
    viewer = ask("viewer")

    made = viewer.post("/api/v1/tokens", json={"name": "nightly"}).json

    with database.transaction() as connection:
        [stored] = connection.scalars(select(api_token.c.token_hash))
    [listed] = viewer.get("/api/v1/tokens").json["items"]
    assert stored == token_hash(made["token"])
    assert made["token"].startswith("pba_")
    assert made["token"].startswith(listed["prefix"])
    assert "token" not in listed
    assert listed["expires_at"]


def test_a_token_may_what_its_owner_may(program: Callable[..., FlaskClient]) -> None:
    """No more."""
    viewer = program("viewer")

    assert viewer.get("/api/v1/hosts").status_code == 200
    assert viewer.get("/api/v1/enrolment-tokens").status_code == 403


def test_a_token_of_some_permissions_has_only_those(program: Callable[..., FlaskClient]) -> None:
    """Whatever its owner may beside."""
    reader = program("admin", permissions=["hosts.read"])

    statuses = [reader.get(f"/api/v1/{path}").status_code for path in ("hosts", "repositories", "users")]

    assert statuses == [200, 403, 403]
    assert reader.get("/api/v1/me").json["permissions"] == ["hosts.read"]


def test_a_token_never_outgrows_its_owner(program: Callable[..., FlaskClient], ask: Ask, database: Database) -> None:
    """What the owner loses, the token loses."""
    crawler = program("operator", permissions=["hosts.read", "enrolment.operate"])
    with database.transaction() as connection:
        connection.execute(update(user_account).where(user_account.c.username == "operator").values(role="viewer"))

    assert [crawler.get(f"/api/v1/{path}").status_code for path in ("hosts", "enrolment-tokens")] == [200, 403]


def test_nobody_gives_a_token_what_they_may_not(ask: Ask) -> None:
    """422, with the names."""
    answer = ask("viewer").post("/api/v1/tokens", json={"name": "x", "permissions": ["users.manage"]})

    assert answer.status_code == 422
    assert "users.manage" in answer.json["detail"]


def test_with_a_scope_a_token_has_no_rights_over_the_whole_fleet(program: Callable[..., FlaskClient]) -> None:
    """Even an administrator's."""
    narrow = program("admin", scope=["tag:web"])

    assert [narrow.get(f"/api/v1/{path}").status_code for path in ("hosts", "users")] == [200, 403]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/me/password"),
        ("POST", "/api/v1/tokens"),
        ("GET", "/api/v1/tokens"),
        ("GET", "/api/v1/sessions"),
        ("POST", "/api/v1/sessions/end-others"),
        ("DELETE", "/api/v1/sessions/current"),
    ],
)
def test_a_token_does_not_manage_its_owners_account(
    program: Callable[..., FlaskClient], method: str, path: str
) -> None:
    """A leaked one makes no others and locks nobody out."""
    body = {"name": "x"} if path.endswith("tokens") else {"current_password": "a", "new_password": "b"}

    answer = program("admin").open(path, method=method, json=body if method == "POST" else None)

    assert answer.status_code == 403
    assert "in person" in answer.json["detail"]


def test_a_revoked_token_is_worth_nothing(program: Callable[..., FlaskClient], ask: Ask) -> None:
    """At once; the list keeps it, as revoked."""
    nightly, viewer = program("viewer"), ask("viewer")
    [listed] = viewer.get("/api/v1/tokens").json["items"]

    viewer.delete(f"/api/v1/tokens/{listed['id']}")

    assert nightly.get("/api/v1/hosts").status_code == 401
    assert viewer.get("/api/v1/tokens").json["items"][0]["revoked_at"]


def test_an_expired_token_is_worth_nothing(program: Callable[..., FlaskClient], database: Database) -> None:
    """From its end on."""
    nightly = program("viewer", expires_in_seconds=60)
    with database.transaction() as connection:
        connection.execute(update(api_token).values(expires_at=func.now()))

    assert nightly.get("/api/v1/hosts").status_code == 401


def test_the_last_use_is_known(program: Callable[..., FlaskClient], ask: Ask, database: Database) -> None:
    """When, to the minute, and from where."""
    nightly, viewer = program("viewer"), ask("viewer")
    [before] = viewer.get("/api/v1/tokens").json["items"]

    nightly.get("/api/v1/hosts")

    [after] = viewer.get("/api/v1/tokens").json["items"]
    assert (before["last_used_at"], before["last_used_from"]) == (None, "")
    assert after["last_used_at"]
    assert after["last_used_from"] == "127.0.0.1"


def test_a_later_use_is_noted_once_the_minute_is_over(
    program: Callable[..., FlaskClient], database: Database
) -> None:
    """Not with each request."""
    nightly = program("viewer")
    nightly.get("/api/v1/hosts")
    with database.transaction() as connection:
        connection.execute(update(api_token).values(last_used_at=func.now() - text("interval '2 minutes'")))

    nightly.get("/api/v1/hosts")

    with database.transaction() as connection:
        assert connection.scalar(select(func.now() - api_token.c.last_used_at < text("interval '1 minute'")))


def test_tokens_of_others_are_out_of_reach(program: Callable[..., FlaskClient], ask: Ask) -> None:
    """But an administrator sees and revokes them all."""
    nightly = program("operator")
    viewer, admin = ask("viewer"), ask("admin")
    [listed] = admin.get("/api/v1/tokens/all").json["items"]

    assert viewer.get("/api/v1/tokens").json["items"] == []
    assert viewer.get("/api/v1/tokens/all").status_code == 403
    assert viewer.delete(f"/api/v1/tokens/{listed['id']}").status_code == 404
    assert listed["owner"] == "operator"
    assert admin.delete(f"/api/v1/tokens/{listed['id']}").status_code == 204
    assert nightly.get("/api/v1/hosts").status_code == 401


def test_everybodys_tokens_are_narrowed_to_an_owners_living_ones(
    program: Callable[..., FlaskClient], ask: Ask
) -> None:
    """Which is what the number of tokens of a user counts."""
    program("operator")
    program("viewer")
    admin = ask("admin")
    [kept] = admin.get("/api/v1/tokens/all?owner=operator").json["items"]
    [gone] = admin.get("/api/v1/tokens/all?owner=viewer").json["items"]
    admin.delete(f"/api/v1/tokens/{gone['id']}")

    def names(query: str) -> list[str]:
        return [each["owner"] for each in admin.get(f"/api/v1/tokens/all?{query}").json["items"]]

    assert kept["owner"] == "operator"
    assert names("living=true") == ["operator"]
    assert names("living=false") == ["viewer"]
    assert names("owner=viewer&living=true") == []
    counts = {each["username"]: each["token_count"] for each in admin.get("/api/v1/users").json["items"]}
    assert (counts["operator"], counts["viewer"]) == (1, 0)


def test_a_disabled_owners_token_is_worth_nothing(program: Callable[..., FlaskClient], database: Database) -> None:
    """Nor is one of an account that is gone."""
    nightly = program("viewer")
    with database.transaction() as connection:
        connection.execute(update(user_account).values(disabled=True))

    assert nightly.get("/api/v1/hosts").status_code == 401
