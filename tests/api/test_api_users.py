"""Users and roles: who makes them, what they may, and what nobody may do."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from patchbay_api.accounts import password_complaint
from patchbay_shared.db import Database
from patchbay_shared.tables import user_account
from sqlalchemy import select, update

Ask = Callable[[str], FlaskClient]


@pytest.fixture
def admin(ask: Ask) -> FlaskClient:
    """A client signed in as the administrator."""
    return ask("admin")


@pytest.fixture
def sign_in(app: Flask) -> Callable[..., FlaskClient]:
    """Sign in with a password of one's own."""

    def signed_in(username: str, password: str) -> FlaskClient:
        client = app.test_client()
        answer = client.post("/api/v1/sessions", json={"username": username, "password": password})
        assert answer.status_code == 201, answer.text
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {answer.json['token']}"
        return client

    return signed_in


def _made(admin: FlaskClient, **fields: Any) -> Any:
    answer = admin.post("/api/v1/users", json={"username": "kim", "role": "viewer", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json


def _id(admin: FlaskClient, username: str) -> int:
    [found] = admin.get(f"/api/v1/users?q={username}").json["items"]
    number: int = found["id"]
    return number


def test_a_new_user_gets_a_password_that_is_shown_once(admin: FlaskClient) -> None:
    """There is no default password, and no list that shows one."""
    made, other = _made(admin), _made(admin, username="lee")

    assert len(made["initial_password"]) >= 16
    assert made["initial_password"] != other["initial_password"]
    assert "initial_password" not in admin.get(f"/api/v1/users/{made['id']}").json


def test_a_new_user_chooses_a_password_before_anything_else(
    admin: FlaskClient, sign_in: Callable[..., FlaskClient]
) -> None:
    """Until then the session opens nothing, and makes no API token either."""
    kim = sign_in("kim", _made(admin)["initial_password"])

    refused = [kim.get("/api/v1/hosts"), kim.post("/api/v1/tokens", json={"name": "x"})]

    assert [answer.status_code for answer in refused] == [403, 403]
    assert "/me/password" in refused[0].json["detail"]
    assert kim.get("/api/v1/me").json["restriction"] == "password"


def test_choosing_a_password_ends_every_session_and_opens_a_new_one(
    admin: FlaskClient, sign_in: Callable[..., FlaskClient]
) -> None:
    """A token from before is worth nothing: no fixation."""
    initial = _made(admin)["initial_password"]
    kim, elsewhere = sign_in("kim", initial), sign_in("kim", initial)

    answer = kim.post(
        "/api/v1/me/password", json={"current_password": initial, "new_password": "amber violin lighthouse"}
    )

    assert answer.status_code == 200
    assert [each.get("/api/v1/me").status_code for each in (kim, elsewhere)] == [401, 401]
    kim.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {answer.json['token']}"
    assert kim.get("/api/v1/hosts").status_code == 200


@pytest.mark.parametrize(
    ("password", "complaint"),
    [
        ("short-1!", "at least 12"),
        ("kim-is-my-name-forever", "user name"),
        ("passwordpassword", "easy|common|guess"),
        ("aaaaaaaaaaaaaaaaaaaa", "guess"),
    ],
)
def test_a_password_that_is_easy_to_guess_is_refused(password: str, complaint: str) -> None:
    """By its length and by what guessers try first, not by classes of characters."""
    found = password_complaint(password, "kim", min_length=12)

    assert found
    assert any(word in found for word in complaint.split("|"))


def test_a_password_of_several_words_is_good() -> None:
    """No digit is asked for."""
    assert password_complaint("amber violin lighthouse", "kim", min_length=12) is None


def test_a_weak_choice_does_not_count_as_a_failed_sign_in(ask: Ask, database: Database) -> None:
    """The current password was right."""
    body = {"current_password": "correct horse", "new_password": "viewer"}
    answer = ask("viewer").post("/api/v1/me/password", json=body)

    with database.transaction() as connection:
        [count] = connection.scalars(
            select(user_account.c.failed_sign_in_count).where(user_account.c.username == "viewer")
        )
    assert (answer.status_code, answer.json["pointer"], count) == (422, "$.json.new_password", 0)


def test_the_current_password_must_be_right(ask: Ask) -> None:
    """A stolen session alone does not take over the account."""
    body = {"current_password": "wrong", "new_password": "amber violin lighthouse"}

    assert ask("viewer").post("/api/v1/me/password", json=body).status_code == 403


def test_a_reset_password_ends_the_sessions_and_is_to_be_changed(
    admin: FlaskClient, ask: Ask, sign_in: Callable[..., FlaskClient]
) -> None:
    """Who was inside is out at once."""
    viewer = ask("viewer")

    answer = admin.post(f"/api/v1/users/{_id(admin, 'viewer')}/password", json={})

    assert viewer.get("/api/v1/me").status_code == 401
    assert sign_in("viewer", answer.json["initial_password"]).get("/api/v1/hosts").status_code == 403


def test_a_disabled_user_is_out_at_once(admin: FlaskClient, ask: Ask) -> None:
    """And cannot sign in."""
    viewer = ask("viewer")

    admin.patch(f"/api/v1/users/{_id(admin, 'viewer')}", json={"disabled": True})

    body = {"username": "viewer", "password": "correct horse"}
    assert viewer.get("/api/v1/me").status_code == 401
    assert viewer.post("/api/v1/sessions", json=body).status_code == 401


def test_a_changed_role_needs_a_new_session(
    admin: FlaskClient, ask: Ask, sign_in: Callable[..., FlaskClient]
) -> None:
    """A session never changes what it may: no fixation."""
    viewer = ask("viewer")

    admin.patch(f"/api/v1/users/{_id(admin, 'viewer')}", json={"role": "operator"})

    assert viewer.get("/api/v1/me").status_code == 401
    assert "hosts.operate" in sign_in("viewer", "correct horse").get("/api/v1/me").json["permissions"]


def test_nobody_changes_their_own_rights(admin: FlaskClient) -> None:
    """Neither up nor down, nor removes themselves."""
    me = f"/api/v1/users/{_id(admin, 'admin')}"

    answers = [admin.patch(me, json={"role": "viewer"}), admin.delete(me), admin.post(f"{me}/password", json={})]

    assert [answer.status_code for answer in answers] == [409, 409, 409]


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"disabled": True}, {"scope": ["tag:web"]}])
def test_the_last_administrator_stays(
    admin: FlaskClient, database: Database, sign_in: Callable[..., FlaskClient], change: dict[str, Any]
) -> None:
    """Somebody who may manage users but is no admin cannot leave the fleet without one."""
    permissions = [each["name"] for each in admin.get("/api/v1/permissions").json["items"]]
    admin.post("/api/v1/roles", json={"name": "almighty", "permissions": permissions})
    _made(admin, role="almighty", password="amber violin lighthouse")
    with database.transaction() as connection:
        connection.execute(update(user_account).values(must_change_password=False))
    kim = sign_in("kim", "amber violin lighthouse")

    answer = kim.patch(f"/api/v1/users/{_id(kim, 'admin')}", json=change)

    assert answer.status_code == 409
    assert "last administrator" in answer.json["detail"]
    assert admin.get("/api/v1/me").status_code == 200


@pytest.fixture
def helpdesk(admin: FlaskClient, database: Database, sign_in: Callable[..., FlaskClient]) -> FlaskClient:
    """Somebody who manages users and may see hosts, and nothing else."""
    made = admin.post(
        "/api/v1/roles",
        json={"name": "helpdesk", "permissions": ["users.read", "users.manage", "hosts.read"]},
    )
    assert made.status_code == 201, made.text
    _made(admin, role="helpdesk", password="amber violin lighthouse")
    with database.transaction() as connection:
        connection.execute(update(user_account).values(must_change_password=False))
    return sign_in("kim", "amber violin lighthouse")


def test_a_custom_role_may_exactly_what_it_says(helpdesk: FlaskClient) -> None:
    """Its permissions, no others."""
    statuses = [helpdesk.get(f"/api/v1/{path}").status_code for path in ("users", "hosts", "repositories", "cves")]

    assert statuses == [200, 200, 403, 403]


def test_nobody_gives_rights_that_they_do_not_have(helpdesk: FlaskClient) -> None:
    """Neither by a role that exists, nor by one of their own making, nor by the password of an administrator."""
    users = f"/api/v1/users/{_id(helpdesk, 'viewer')}"
    answers = [
        helpdesk.patch(users, json={"role": "admin"}),
        helpdesk.post("/api/v1/users", json={"username": "eve", "role": "operator"}),
        helpdesk.post("/api/v1/roles", json={"name": "more", "permissions": ["audit.read"]}),
        helpdesk.patch("/api/v1/roles/helpdesk", json={"permissions": ["settings.manage"]}),
        helpdesk.post(f"/api/v1/users/{_id(helpdesk, 'admin')}/password", json={}),
        helpdesk.delete(f"/api/v1/users/{_id(helpdesk, 'admin')}"),
    ]

    assert [answer.status_code for answer in answers] == [403] * 6


def test_built_in_roles_stay_as_they_are(admin: FlaskClient) -> None:
    """They are what the documentation says."""
    answers = [
        admin.patch("/api/v1/roles/viewer", json={"permissions": ["users.manage"]}),
        admin.delete("/api/v1/roles/operator"),
        admin.post("/api/v1/roles", json={"name": "admin", "permissions": ["hosts.read"]}),
    ]

    assert [answer.status_code for answer in answers] == [409, 409, 409]


def test_a_role_that_somebody_has_is_not_removed(admin: FlaskClient, helpdesk: FlaskClient) -> None:
    """Who would have an unknown role could do nothing."""
    refused = admin.delete("/api/v1/roles/helpdesk")
    admin.patch(f"/api/v1/users/{_id(admin, 'kim')}", json={"role": "viewer"})

    assert (refused.status_code, admin.delete("/api/v1/roles/helpdesk").status_code) == (409, 204)


def test_a_changed_role_holds_at_once(admin: FlaskClient, helpdesk: FlaskClient) -> None:
    """For sessions that are open too: it can only be read anew."""
    admin.patch("/api/v1/roles/helpdesk", json={"permissions": ["hosts.read"]})

    assert helpdesk.get("/api/v1/users").status_code == 403


def test_with_a_scope_nobody_has_rights_over_the_whole_fleet(
    admin: FlaskClient, database: Database, sign_in: Callable[..., FlaskClient]
) -> None:
    """An administrator of some hosts manages neither users nor enrolment."""
    _made(admin, role="admin", scope=["tag:web"], password="amber violin lighthouse")
    with database.transaction() as connection:
        connection.execute(update(user_account).values(must_change_password=False))
    kim = sign_in("kim", "amber violin lighthouse")

    statuses = [kim.get(f"/api/v1/{path}").status_code for path in ("hosts", "users", "enrolment-tokens")]

    assert statuses == [200, 403, 403]


@pytest.mark.parametrize(
    "body",
    [
        {"username": "Kim", "role": "viewer"},
        {"username": "kim", "role": "nobody"},
        {"username": "kim", "role": "viewer", "scope": []},
        {"username": "kim", "role": "viewer", "scope": ["host:a"]},
        {"username": "kim", "role": "viewer", "password": "kim"},
        {"username": "kim", "role": "viewer", "password": "amber violin lighthouse", "oidc_subject": "x"},
    ],
)
def test_an_account_that_makes_no_sense_is_refused(admin: FlaskClient, body: dict[str, Any]) -> None:
    """With the place; an empty scope would be a way to lock out or to let in by mistake."""
    answer = admin.post("/api/v1/users", json=body)

    assert answer.status_code == 422
    assert answer.json["pointer"].startswith("$.json")


def test_a_name_is_given_once(admin: FlaskClient) -> None:
    """409, and the account stays as it is."""
    answer = admin.post("/api/v1/users", json={"username": "viewer", "role": "admin"})

    assert answer.status_code == 409
    assert admin.get(f"/api/v1/users/{_id(admin, 'viewer')}").json["role"] == "viewer"


def test_own_sessions_are_listed_and_ended(ask: Ask) -> None:
    """One by one, or all others at once."""
    here, there, elsewhere = ask("viewer"), ask("viewer"), ask("viewer")
    listed = here.get("/api/v1/sessions").json["items"]
    newest = listed[0]["id"]

    ended = here.delete(f"/api/v1/sessions/{newest}").status_code

    assert (len(listed), [each["current"] for each in listed].count(True), ended) == (3, 1, 204)
    assert elsewhere.get("/api/v1/me").status_code == 401
    assert here.post("/api/v1/sessions/end-others").json == {"count": 1}
    assert (there.get("/api/v1/me").status_code, here.get("/api/v1/me").status_code) == (401, 200)


def test_nobody_ends_the_session_of_another(ask: Ask) -> None:
    """To them there is none."""
    viewer, admin = ask("viewer"), ask("admin")
    [session] = viewer.get("/api/v1/sessions").json["items"]

    assert admin.delete(f"/api/v1/sessions/{session['id']}").status_code == 404
    assert viewer.get("/api/v1/me").status_code == 200


def test_an_administrator_sees_where_a_user_is_signed_in(
    admin: FlaskClient, sign_in: Callable[..., FlaskClient]
) -> None:
    """As many sessions as the list of users counts; nobody's token is shown, and viewers see none of it."""
    sign_in("viewer", "correct horse")
    viewer = sign_in("viewer", "correct horse")
    number = _id(admin, "viewer")

    found = admin.get(f"/api/v1/users/{number}/sessions").json

    assert found["total_count"] == admin.get(f"/api/v1/users/{number}").json["session_count"] == 2
    assert {each["current"] for each in found["items"]} == {False}
    assert "token" not in found["items"][0]
    assert admin.get("/api/v1/users/999999/sessions").status_code == 404
    assert viewer.get(f"/api/v1/users/{number}/sessions").status_code == 403
