"""Signing in with a second factor: set up, asked for, used once, lost, required."""

import time
from collections.abc import Callable
from typing import Any

import pyotp
import pytest
from flask import Flask
from flask.testing import FlaskClient
from patchbay_api.app import make_app
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.service import Context
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import pending_sign_in, second_factor, sign_in_failure, user_account
from sqlalchemy import func, select, update

PASSWORD = "correct horse"


@pytest.fixture
def make(database: Database, database_of: Callable[[str | None], Database], bus: Bus) -> Callable[..., Flask]:
    """The API with a key to seal secrets with, and these settings."""

    def made(**settings: Any) -> Flask:
        return make_app(Context(settings_from({}, secret_key="k" * 32, **settings), database_of("api"), bus))

    return made


@pytest.fixture
def app(make: Callable[..., Flask]) -> Flask:
    """The API with a key to seal secrets with."""
    return make()


def _first_half(client: FlaskClient, username: str = "viewer") -> Any:
    answer = client.post("/api/v1/sessions", json={"username": username, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return answer.json


def _use(client: FlaskClient, answer: Any) -> None:
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {answer['token']}"


def _set_up(client: FlaskClient) -> tuple[pyotp.TOTP, Any]:
    """A second factor of the person who is signed in; the answer to its confirmation."""
    made = client.post("/api/v1/me/second-factor", json={"password": PASSWORD})
    assert made.status_code == 201, made.text
    totp = pyotp.TOTP(made.json["secret"])
    confirmed = client.post("/api/v1/me/second-factor/confirm", json={"code": totp.now()})
    assert confirmed.status_code == 200, confirmed.text
    _use(client, confirmed.json)
    return totp, confirmed.json


def _forget_the_step(database: Database) -> None:
    """As if the next half minute had come: the code of this one may be used again."""
    with database.transaction() as connection:
        connection.execute(update(second_factor).values(used_step=0))


def _second_half(client: FlaskClient, pending: Any, code: str) -> Any:
    body = {"pending_token": pending["pending_token"], "code": code}
    return client.post("/api/v1/sessions/second-factor", json=body)


def test_a_confirmed_factor_is_asked_for_at_the_next_sign_in(viewer: FlaskClient, database: Database) -> None:
    """The password alone opens nothing: what it gives is no session token."""
    totp, _ = _set_up(viewer)
    _forget_the_step(database)

    half = _first_half(viewer)
    opened = _second_half(viewer, half, totp.now())

    assert (half["token"], half["restriction"], half["permissions"]) == (None, "code", [])
    refused = viewer.get("/api/v1/me", headers={"Authorization": f"Bearer {half['pending_token']}"})
    assert refused.status_code == 401
    assert opened.status_code == 201
    _use(viewer, opened.json)
    assert viewer.get("/api/v1/hosts").status_code == 200


def test_until_it_is_confirmed_nothing_is_asked_for(viewer: FlaskClient) -> None:
    """Who closes the page in between is not locked out."""
    viewer.post("/api/v1/me/second-factor", json={"password": PASSWORD})

    assert _first_half(viewer)["token"]


def test_confirming_ends_the_sessions_of_before(ask: Callable[[str], FlaskClient]) -> None:
    """They were opened with less."""
    here, there = ask("viewer"), ask("viewer")

    _set_up(here)

    assert there.get("/api/v1/me").status_code == 401
    assert here.get("/api/v1/me").json["second_factor"] is True


def test_setting_up_takes_the_password(viewer: FlaskClient) -> None:
    """A stolen session puts no factor of its own in the way."""
    assert viewer.post("/api/v1/me/second-factor", json={"password": "wrong"}).status_code == 403


def test_a_code_is_taken_once(viewer: FlaskClient, database: Database) -> None:
    """Who looks over a shoulder is too late."""
    totp, _ = _set_up(viewer)
    _forget_the_step(database)
    code = totp.now()

    statuses = [_second_half(viewer, _first_half(viewer), code).status_code for _ in range(2)]

    assert statuses == [201, 401]


def test_a_code_of_the_half_minute_before_still_holds_and_an_older_one_does_not(
    viewer: FlaskClient, database: Database
) -> None:
    """Clocks differ a little."""
    totp, _ = _set_up(viewer)
    statuses = []
    for steps in (2, 1):
        _forget_the_step(database)
        code = totp.generate_otp(int(time.time()) // 30 - steps)
        statuses.append(_second_half(viewer, _first_half(viewer), code).status_code)

    assert statuses == [401, 201]


def test_five_wrong_codes_make_the_account_wait(viewer: FlaskClient, database: Database) -> None:
    """Also with the password in hand; a right code waits too."""
    totp, _ = _set_up(viewer)
    _forget_the_step(database)
    halves = [_first_half(viewer) for _ in range(6)]

    statuses = [_second_half(viewer, half, "000000").status_code for half in halves[:5]]

    assert statuses == [401] * 5
    assert _second_half(viewer, halves[5], totp.now()).status_code == 401
    with database.transaction() as connection:
        assert connection.scalar(
            select(user_account.c.locked_until > func.now()).where(user_account.c.username == "viewer")
        )


def test_a_first_half_is_over_after_a_while_and_serves_once(viewer: FlaskClient, database: Database) -> None:
    """Five minutes, and one session."""
    totp, confirmed = _set_up(viewer)
    late, used = _first_half(viewer), _first_half(viewer)
    assert _second_half(viewer, used, confirmed["recovery_codes"][0]).status_code == 201
    _forget_the_step(database)
    again = _second_half(viewer, used, totp.now())
    with database.transaction() as connection:
        connection.execute(update(pending_sign_in).values(expires_at=func.now()))

    assert (again.status_code, _second_half(viewer, late, totp.now()).status_code) == (401, 401)


def test_each_recovery_code_lets_in_once(viewer: FlaskClient) -> None:
    """Typed as one likes."""
    _, confirmed = _set_up(viewer)
    [first, second, *others] = confirmed["recovery_codes"]

    statuses = [
        _second_half(viewer, _first_half(viewer), code).status_code
        for code in (first, first, second.replace("-", " ").upper())
    ]

    assert len(others) == 8
    assert statuses == [201, 401, 201]


def test_new_recovery_codes_end_the_old_ones(viewer: FlaskClient, database: Database) -> None:
    """And take a code to get."""
    totp, confirmed = _set_up(viewer)
    refused = viewer.post("/api/v1/me/second-factor/recovery-codes", json={"code": "000000"})
    _forget_the_step(database)

    answer = viewer.post("/api/v1/me/second-factor/recovery-codes", json={"code": totp.now()})

    assert refused.status_code == 422
    old, new = confirmed["recovery_codes"][0], answer.json["recovery_codes"][0]
    assert [_second_half(viewer, _first_half(viewer), code).status_code for code in (old, new)] == [401, 201]


def test_the_secret_is_sealed_at_rest(viewer: FlaskClient, database: Database) -> None:
    """A copy of the database makes no codes."""
    totp, confirmed = _set_up(viewer)

    with database.transaction() as connection:
        [row] = connection.execute(select(second_factor)).all()
    everything = repr(row)
    assert totp.secret not in everything
    assert not any(code.replace("-", "") in everything for code in confirmed["recovery_codes"])


def test_giving_it_up_takes_a_code(viewer: FlaskClient, database: Database) -> None:
    """A stolen session does not take it away."""
    totp, _ = _set_up(viewer)
    refused = viewer.post("/api/v1/me/second-factor/remove", json={"code": "000000"})
    _forget_the_step(database)

    given_up = viewer.post("/api/v1/me/second-factor/remove", json={"code": totp.now()})

    assert (refused.status_code, given_up.status_code) == (422, 200)
    assert _first_half(viewer)["token"]


def test_an_administrator_takes_a_lost_one_away(viewer: FlaskClient, ask: Callable[[str], FlaskClient]) -> None:
    """The person signs in with the password again, and is signed out meanwhile."""
    _set_up(viewer)
    admin = ask("admin")
    [user] = admin.get("/api/v1/users?q=viewer").json["items"]

    answer = admin.delete(f"/api/v1/users/{user['id']}/second-factor")

    assert (user["second_factor"], answer.status_code) == (True, 204)
    assert viewer.get("/api/v1/me").status_code == 401
    assert _first_half(viewer)["token"]


def test_a_role_can_require_one(make: Callable[..., Flask], database: Database) -> None:
    """Without it the session may set one up, and nothing else; it cannot be given up."""
    client = make(second_factor_roles="admin,viewer").test_client()
    _use(client, _first_half(client))

    before = client.get("/api/v1/hosts")
    totp, _ = _set_up(client)
    _forget_the_step(database)

    assert before.status_code == 403
    assert "second-factor" in before.json["detail"]
    assert client.get("/api/v1/hosts").status_code == 200
    assert client.post("/api/v1/me/second-factor/remove", json={"code": totp.now()}).status_code == 409


def test_failures_are_limited_by_address(make: Callable[..., Flask], database: Database) -> None:
    """Whatever names are tried; after a quarter of an hour it is forgotten. Successes do not count."""
    client = make(sign_in_failures_per_address=3).test_client()

    def attempt(password: str, username: str) -> int:
        body = {"username": username, "password": password}
        return client.post("/api/v1/sessions", json=body).status_code

    successes = [attempt(PASSWORD, "viewer") for _ in range(4)]
    failures = [attempt("wrong", f"nobody-{number}") for number in range(4)]
    right_one_too = attempt(PASSWORD, "viewer")
    with database.transaction() as connection:
        connection.execute(
            update(sign_in_failure).values(counted_since=func.now() - func.make_interval(0, 0, 0, 0, 1))
        )

    assert (successes, failures, right_one_too) == ([201] * 4, [401, 401, 401, 429], 429)
    assert attempt(PASSWORD, "viewer") == 201
