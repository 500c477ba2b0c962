"""Signing in and out."""

from typing import Any

from marshmallow import Schema, fields, validate

from patchbay_api.accounts import new_token, password_holds, refreshed_hash
from patchbay_api.auth import principal, token_hash, unauthorized
from patchbay_api.paging import STORABLE
from patchbay_api.resource import Resource, context
from patchbay_api.store import accounts as store

sessions = Resource("sessions", "Who may ask: signing in and out.")


class SignIn(Schema):
    """What a person signs in with."""

    username = fields.String(required=True, validate=[validate.Length(1, 100), validate.Regexp(STORABLE)])
    password = fields.String(
        required=True, validate=[validate.Length(1, 500), validate.Regexp(STORABLE)], load_only=True
    )


class Person(Schema):
    """Whose session this is."""

    username = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(["viewer", "operator", "admin"]))


class Session(Person):
    """A session; the token is shown this once."""

    token = fields.String(required=True, metadata={"description": "Send as `Authorization: Bearer <token>`."})
    expires_at = fields.AwareDateTime(required=True)


@sessions.post("/sessions", Session, status=201, body=SignIn, role=None)
def sign_in(body: dict[str, str]) -> dict[str, Any]:
    """Sign in.

    After five failures in a row each further one makes the account wait: 30 seconds, doubling up to 15
    minutes. The answer is the same, and as late, for a wrong password, a waiting account and an unknown user.
    """
    database, settings = context().database, context().settings
    with database.transaction() as connection:
        account = store.begin_attempt(connection, body["username"].strip().lower())
    holds = password_holds(account["password_hash"] if account else None, body["password"])
    if account is None or not holds:
        raise unauthorized(
            "User name and password do not match, or the account waits after too many failures; "
            "check both, and try again in a while."
        )
    token = new_token("pbs")
    with database.transaction() as connection:
        store.sign_in_succeeded(
            connection, account["id"], password_hash=refreshed_hash(account["password_hash"], body["password"])
        )
        expires_at = store.add_session(connection, account["id"], token_hash(token), seconds=settings.session_seconds)
    return {"token": token, "expires_at": expires_at, "username": account["username"], "role": account["role"]}


@sessions.delete("/sessions/current", role="viewer")
def sign_out() -> None:
    """Sign out: the token is worth nothing from now on."""
    with context().database.transaction() as connection:
        store.end_session(connection, principal().token_hash)


@sessions.get("/me", Person)
def me() -> Any:
    """Who I am."""
    return principal()
