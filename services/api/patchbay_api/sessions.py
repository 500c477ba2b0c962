"""Signing in and out, and the sessions that are open."""

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import abort
from marshmallow import Schema, fields, validate
from patchbay_shared import metrics
from patchbay_shared.tables import user_session
from sqlalchemy import Connection, RowMapping
from werkzeug.exceptions import TooManyRequests, Unauthorized

from patchbay_api.accounts import LONGEST_PASSWORD, new_token, password_holds, refreshed_hash
from patchbay_api.auditing import about
from patchbay_api.auth import Principal, asked_from, person_of, principal, token_hash, unauthorized
from patchbay_api.paging import STORABLE, Key, Moment, Page, PageQuery, fetch_page, page_of
from patchbay_api.resource import Resource, context, separate_transaction
from patchbay_api.second_factors import holds as code_holds
from patchbay_api.store import accounts as store
from patchbay_api.store import second_factors
from patchbay_api.store.users import user_by_id

sessions = Resource("sessions", "Who may ask: signing in and out.")


SECOND_HALF_SECONDS = 300
"""For as long a code may be given after the password."""


class SignIn(Schema):
    """What a person signs in with."""

    username = fields.String(required=True, validate=[validate.Length(1, 100), validate.Regexp(STORABLE)])
    password = fields.String(
        required=True, validate=[validate.Length(1, LONGEST_PASSWORD), validate.Regexp(STORABLE)], load_only=True
    )


class Person(Schema):
    """Who asks, and what they may."""

    username = fields.String(required=True)
    role = fields.String(required=True)
    permissions = fields.List(fields.String(), required=True)
    scopes = fields.List(
        fields.List(fields.String()),
        required=True,
        metadata={"description": "Of each a host must have a tag or group to be seen; none: every host is."},
    )
    api_token = fields.String(
        required=True, allow_none=True, metadata={"description": "Name of the API token; null: a session."}
    )
    second_factor = fields.Boolean(required=True)
    restriction = fields.String(
        required=True,
        metadata={
            "description": "What is due before anything else: password, second-factor (one has to be set up) or code "
            "(POST /sessions/second-factor finishes signing in); empty: nothing."
        },
    )


class Session(Person):
    """A session; the token is shown this once."""

    token = fields.String(required=True, metadata={"description": "Send as `Authorization: Bearer <token>`."})
    expires_at = fields.AwareDateTime(required=True)


class SignedIn(Person):
    """A session, or the first half of one."""

    token = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Send as `Authorization: Bearer <token>`; null: a code is needed first."},
    )
    pending_token = fields.String(
        required=True, allow_none=True, metadata={"description": "For POST /sessions/second-factor; else null."}
    )
    expires_at = fields.AwareDateTime(required=True)


class SecondHalf(Schema):
    """The code that is still needed."""

    pending_token = fields.String(
        required=True, validate=[validate.Length(1, 200), validate.Regexp(STORABLE)], load_only=True
    )
    code = fields.String(
        required=True,
        validate=[validate.Length(1, 40), validate.Regexp(STORABLE)],
        load_only=True,
        metadata={"description": "Of the authenticator, or a recovery code."},
    )


class OpenSession(Schema):
    """An open session, without its token."""

    id = fields.String(required=True)
    current = fields.Boolean(required=True, metadata={"description": "The one that asks."})
    address = fields.String(required=True, metadata={"description": "Where it was opened from."})
    user_agent = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)
    last_used_at = fields.AwareDateTime(required=True, metadata={"description": "To the minute."})
    expires_at = fields.AwareDateTime(required=True)


class Ended(Schema):
    """How many sessions ended."""

    count = fields.Integer(required=True)


@sessions.post("/sessions", SignedIn, status=201, body=SignIn, permission="public", errors=(429,))
def sign_in(body: dict[str, str]) -> dict[str, Any]:
    """Sign in.

    After five failures in a row each further one makes the account wait: 30 seconds, doubling up to 15
    minutes. The answer is the same, and as late, for a wrong password, a waiting account and an unknown user.
    An account with a second factor gets a `pending_token` first.
    """
    username = body["username"].strip().lower()
    about(object_id=username, credential="password")
    source = _count_attempt()
    with separate_transaction() as connection:
        account = store.begin_attempt(connection, username)
    holds = password_holds(account["password_hash"] if account else None, body["password"])
    if account is None or not holds:
        raise _failed(
            "User name and password do not match, or the account waits after too many failures; "
            "check both, and try again in a while."
        )
    refreshed = refreshed_hash(account["password_hash"], body["password"])
    with context().database.transaction() as connection:
        second_factors.take_back_attempt(connection, source)
        if account["second_factor"]:
            about(object_id=username, credential="password", asked_for="code")
            store.forget_attempt(connection, account["id"])
            return _first_half(connection, account)
        about(object_id=username, actor=username, credential="password", opened="session")
        store.sign_in_succeeded(connection, account["id"], password_hash=refreshed)
        opened = opened_session(connection, account["id"])
    metrics.SIGN_INS.labels("succeeded").inc()
    return {**opened, "pending_token": None}


@sessions.post("/sessions/second-factor", Session, status=201, body=SecondHalf, permission="public", errors=(429,))
def finish_sign_in(body: dict[str, str]) -> dict[str, Any]:
    """Finish signing in with a code, or with a recovery code. Failures count as wrong passwords do."""
    hashed = token_hash(body["pending_token"])
    about(credential="second factor")
    source = _count_attempt()
    with separate_transaction() as connection:
        found = second_factors.pending(connection, hashed, kind="second-factor")
        account = store.begin_attempt(connection, found["username"]) if found else None
    if found is None or account is None:
        raise _failed("The sign-in took too long, or the account waits after too many failures; begin again.")
    about(object_id=account["username"], credential="second factor")
    with separate_transaction() as connection:
        right = code_holds(connection, context().settings.secret_key, account["id"], body["code"])
    if not right:
        raise _failed("The code is not right, or was used already; wait for the next one.")
    about(object_id=account["username"], actor=account["username"], credential="second factor", opened="session")
    with context().database.transaction() as connection:
        if not second_factors.end(connection, hashed):
            raise _failed("The sign-in is over; begin again.")
        second_factors.take_back_attempt(connection, source)
        store.sign_in_succeeded(connection, account["id"], password_hash=None)
        opened = opened_session(connection, account["id"])
    metrics.SIGN_INS.labels("succeeded").inc()
    return opened


@sessions.delete("/sessions/current", permission="first-steps")
def sign_out() -> None:
    """Sign out: the token is worth nothing from now on."""
    with context().database.transaction() as connection:
        store.end_session(connection, principal().token_hash)


@sessions.get("/sessions", page_of(OpenSession, "SessionPage"), query=PageQuery, permission="own-account")
def list_sessions(query: dict[str, Any]) -> Page:
    """List my open sessions, the last opened first."""
    return _page(query, principal().user_id)


@sessions.get(
    "/users/<int(max=2147483647):user_id>/sessions",
    page_of(OpenSession, "UserSessionPage"),
    query=PageQuery,
    permission="users.read",
)
def list_user_sessions(query: dict[str, Any], user_id: int) -> Page:
    """List the open sessions of a user, the last opened first."""
    with context().database.transaction() as connection:
        if user_by_id(connection, user_id) is None:
            abort(404, f"There is no user {user_id}.")
    return _page(query, user_id)


@sessions.delete("/sessions/<string(length=16):session_id>", permission="own-account")
def end_session(session_id: str) -> None:
    """End one of my sessions."""
    with context().database.transaction() as connection:
        if "\0" in session_id or not store.end_session_of(connection, principal().user_id, session_id):
            abort(404, f"You have no session {session_id}; it may have ended.")


@sessions.post("/sessions/end-others", Ended, status=200, permission="own-account")
def end_other_sessions() -> dict[str, int]:
    """End all my sessions but this one."""
    me = principal()
    with context().database.transaction() as connection:
        return {"count": store.end_sessions(connection, me.user_id, but=me.token_hash)}


@sessions.get("/me", Person, permission="signed-in")
def me() -> dict[str, Any]:
    """Who I am, and what I may."""
    return described(principal())


def opened_session(connection: Connection, user_id: int) -> dict[str, Any]:
    """A new session, as `Session`: with a token that nobody had before (no fixation)."""
    token = new_token("pbs")
    hashed = token_hash(token)
    address, user_agent = asked_from(context())
    expires_at = store.add_session(
        connection,
        user_id,
        hashed,
        seconds=context().settings.session_seconds,
        address=address,
        user_agent=user_agent,
    )
    found = store.session_owner(connection, hashed)
    if found is None:
        raise unauthorized("The account has just been disabled.")
    return {"token": token, "expires_at": expires_at, **described(person_of(context().settings, found, hashed))}


def _first_half(connection: Connection, account: RowMapping) -> dict[str, Any]:
    pending_token = new_token("pbp")
    second_factors.begin(
        connection,
        token_hash(pending_token),
        kind="second-factor",
        seconds=SECOND_HALF_SECONDS,
        user_id=account["id"],
    )
    return {
        "username": account["username"],
        "role": "",
        "permissions": [],
        "scopes": [],
        "api_token": None,
        "second_factor": True,
        "restriction": "code",
        "token": None,
        "pending_token": pending_token,
        "expires_at": datetime.now(UTC) + timedelta(seconds=SECOND_HALF_SECONDS),
    }


def _page(query: dict[str, Any], user_id: int) -> Page:
    asking = principal().token_hash
    with context().database.transaction() as connection:
        page = fetch_page(
            connection,
            store.sessions_of(user_id),
            [
                Key(user_session.c.created_at, Moment, descending=True),
                Key(store.session_id, str, descending=True),
            ],
            sort="-created_at",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
    shown = [{**row, "current": bytes(row["token_hash"]) == asking} for row in page.items]
    return Page(shown, page.next_cursor, page.total_count)


def _count_attempt() -> str:
    """Count an attempt by its address before it is judged. Raises TooManyRequests above the limit."""
    limit = context().settings.sign_in_failures_per_address
    source = second_factors.source_of(asked_from(context())[0])
    with separate_transaction() as connection:
        count = second_factors.count_attempt(connection, source)
    if limit and count > limit:
        metrics.SIGN_INS.labels("limited").inc()
        raise TooManyRequests(
            "Too many failed attempts to sign in from this address; wait a quarter of an hour.",
            retry_after=int(second_factors.WINDOW.total_seconds()),
        )
    return source


def _failed(detail: str) -> Unauthorized:
    metrics.SIGN_INS.labels("failed").inc()
    return unauthorized(detail)


def described(person: Principal) -> dict[str, Any]:
    """As `Person`."""
    return {
        "username": person.username,
        "role": person.role,
        "permissions": sorted(person.permissions),
        "scopes": person.scopes,
        "api_token": person.api_token,
        "second_factor": person.second_factor,
        "restriction": person.restriction,
    }
