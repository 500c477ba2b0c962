"""Signing in, being refused, signing out."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from patchbay_api.accounts import create_enrolment_token, ensure_first_admin, password_holds
from patchbay_api.auth import token_hash
from patchbay_shared.db import Database
from patchbay_shared.tables import enrolment_token, user_account, user_session
from sqlalchemy import func, select, text, update


def _sign_in(client: FlaskClient, password: str, username: str = "viewer") -> int:
    return client.post("/api/v1/sessions", json={"username": username, "password": password}).status_code


def test_the_right_password_opens_a_session(stranger: FlaskClient) -> None:
    """The answer carries the token, its end and the role."""
    answer = stranger.post("/api/v1/sessions", json={"username": "Viewer", "password": "correct horse"})

    assert answer.status_code == 201
    assert answer.json["token"].startswith("pbs_")
    assert answer.json["role"] == "viewer"
    assert answer.headers["Cache-Control"] == "no-store"


def test_only_the_hash_of_a_session_token_is_stored(stranger: FlaskClient, database: Database) -> None:
    """A stolen database opens no session."""
    answer = stranger.post("/api/v1/sessions", json={"username": "viewer", "password": "correct horse"})

    with database.transaction() as connection:
        [stored] = connection.scalars(select(user_session.c.token_hash))
    assert stored == token_hash(answer.json["token"])


@pytest.mark.parametrize(("username", "password"), [("viewer", "wrong"), ("nobody", "correct horse")])
def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(
    stranger: FlaskClient, username: str, password: str
) -> None:
    """Nobody learns which names exist."""
    answer = stranger.post("/api/v1/sessions", json={"username": username, "password": password})

    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    assert answer.json["detail"].startswith("User name and password do not match")


def test_after_five_failures_the_right_password_waits_too(stranger: FlaskClient) -> None:
    """Guessing is slowed down."""
    failures = [_sign_in(stranger, "wrong") for _ in range(5)]

    assert [*failures, _sign_in(stranger, "correct horse")] == [401] * 6


def test_a_pause_doubles_with_each_further_failure(stranger: FlaskClient, database: Database) -> None:
    """The sixth failure costs twice what the fifth did."""
    pauses = []
    for _ in range(6):
        _sign_in(stranger, "wrong")
        with database.transaction() as connection:
            pauses.append(
                connection.scalar(
                    select(func.round(func.extract("epoch", user_account.c.locked_until - func.now()) / 10)).where(
                        user_account.c.username == "viewer"
                    )
                )
            )
            connection.execute(
                update(user_account)
                .values(locked_until=func.now() - text("interval '1 second'"))
                .where(user_account.c.locked_until.is_not(None))
            )

    assert [None if p is None else int(p) for p in pauses] == [None, None, None, None, 3, 6]


def test_a_success_forgets_the_failures_before_it(stranger: FlaskClient, database: Database) -> None:
    """Four slips and a success leave nothing behind."""
    statuses = [_sign_in(stranger, word) for word in ("wrong", "wrong", "wrong", "wrong", "correct horse")]

    with database.transaction() as connection:
        count = connection.scalar(
            select(user_account.c.failed_sign_in_count).where(user_account.c.username == "viewer")
        )
    assert (statuses[-1], count) == (201, 0)


def test_signing_out_ends_the_session(viewer: FlaskClient) -> None:
    """The token is worth nothing afterwards."""
    assert viewer.delete("/api/v1/sessions/current").status_code == 204
    assert viewer.get("/api/v1/me").status_code == 401


def test_an_expired_session_is_refused(viewer: FlaskClient, database: Database) -> None:
    """A session has an end."""
    with database.transaction() as connection:
        connection.execute(update(user_session).values(expires_at=func.now()))

    assert viewer.get("/api/v1/me").status_code == 401


def test_a_disabled_account_loses_its_sessions(viewer: FlaskClient, database: Database) -> None:
    """Disabling somebody works at once."""
    with database.transaction() as connection:
        connection.execute(update(user_account).values(disabled=True))

    assert viewer.get("/api/v1/me").status_code == 401


def test_without_a_session_the_answer_says_how_to_authenticate(stranger: FlaskClient) -> None:
    """401 carries WWW-Authenticate and a problem document."""
    answer = stranger.get("/api/v1/hosts")

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer realm=patchbay"
    assert answer.json["status"] == 401


def test_a_viewer_may_not_make_enrolment_tokens(viewer: FlaskClient) -> None:
    """Roles are held by the API itself."""
    answer = viewer.post("/api/v1/enrolment-tokens", json={"name": "x"})

    assert answer.status_code == 403
    assert "permission enrolment.operate" in answer.json["detail"]


def test_the_first_administrator_is_made_once(database_of: Callable[[str | None], Database]) -> None:
    """A second start neither makes another nor changes the password."""
    owner = database_of(None)

    generated = ensure_first_admin(owner, "Admin", None)
    again = ensure_first_admin(owner, "other", "another password")

    with owner.transaction() as connection:
        [account] = connection.execute(select(user_account)).all()
    assert (account.username, account.role, again) == ("admin", "admin", None)
    assert generated
    assert password_holds(account.password_hash, generated)


def test_a_given_password_of_the_first_administrator_is_not_returned(
    database_of: Callable[[str | None], Database],
) -> None:
    """What the operator chose is never printed."""
    assert ensure_first_admin(database_of(None), "admin", "chosen by hand") is None


def test_an_enrolment_token_is_stored_as_its_hash(database_of: Callable[[str | None], Database]) -> None:
    """The token that `patchbay up` prints is the one that ingest will know."""
    token = create_enrolment_token(database_of(None), "first start")

    with database_of("ingest").transaction() as connection:
        assert connection.scalars(select(enrolment_token.c.token_hash)).all() == [token_hash(token)]
