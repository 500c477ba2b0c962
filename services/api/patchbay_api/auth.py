"""Who asks: the session or the API token of a request becomes a `Principal`, or 401."""

import hashlib
from dataclasses import dataclass

from flask import g, request
from patchbay_shared import asker
from patchbay_shared.service import Context
from patchbay_shared.settings import Settings, comma_separated
from sqlalchemy import RowMapping
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from patchbay_api.permissions import FIRST_STEPS, OWN_ACCOUNT, SIGNED_IN, permissions_of, within
from patchbay_api.store import accounts, tokens

API_TOKEN_PREFIX = "pba"  # noqa: S105  (no secret: what API tokens begin with)


@dataclass(frozen=True)
class Principal:
    """The person behind a session or an API token, with what both together may do."""

    user_id: int
    username: str
    role: str
    permissions: frozenset[str]
    scopes: tuple[tuple[str, ...], ...]
    """Terms such as tag:web; of each scope a host must meet one. None: every host."""
    token_hash: bytes
    api_token: str | None = None
    """The name of the API token; None: a session."""
    restriction: str = ""
    """Why this session may only be used for the first steps: password or second-factor; empty: it is not so."""
    second_factor: bool = False


def token_hash(token: str) -> bytes:
    """What the database keeps of a token: SHA-256 of its text."""
    return hashlib.sha256(token.encode()).digest()


def authenticate(context: Context, permission: str) -> Principal:
    """The person who asks. Raises Unauthorized without a living session or token, Forbidden without `permission`."""
    token = _token_of_request()
    if not token:
        raise unauthorized("Sign in first: send the header `Authorization: Bearer <session or API token>`.")
    principal = (
        _of_api_token(context, token) if token.startswith(f"{API_TOKEN_PREFIX}_") else _of_session(context, token)
    )
    g.principal = principal
    _require(principal, permission)
    return principal


def _token_of_request() -> str | None:
    """A bearer token; or, to read, an API token as the password of basic authentication: calendars know no other.

    A browser that remembers it can be made to read what it may not see, but to change nothing.
    """
    authorization = request.authorization
    if authorization is None:
        return None
    if authorization.type == "bearer":
        return authorization.token
    password = authorization.password if authorization.type == "basic" else None
    reads = request.method in {"GET", "HEAD"}
    return password if password and reads and password.startswith(f"{API_TOKEN_PREFIX}_") else None


def principal() -> Principal:
    """The person who asks, in a view that is not public."""
    found: Principal = g.principal
    return found


def unauthorized(detail: str) -> Unauthorized:
    """401 that says how to authenticate."""
    return Unauthorized(detail, www_authenticate=WWWAuthenticate("bearer", {"realm": "patchbay"}))


def asked_from(context: Context) -> tuple[str, str]:
    """Address and user agent of who asks; of the browser, where web asks for it."""
    header = asker.verified(context.settings.secret_key, request.headers.get(asker.HEADER, ""))
    return header or (request.remote_addr or "", (request.user_agent.string or "")[:200])


def second_factor_required(settings: Settings, role: str) -> bool:
    """Whether accounts of a role must have a second factor."""
    return role in comma_separated(settings.second_factor_roles)


def person_of(settings: Settings, found: RowMapping, hashed: bytes) -> Principal:
    """The principal of a row of `session_owner`. Who has no password leaves second factors to the provider."""
    scopes = (tuple(found["scope"]),) if found["scope"] is not None else ()
    granted = permissions_of(found["role"], found["role_permissions"])
    return Principal(
        user_id=found["id"],
        username=found["username"],
        role=found["role"],
        permissions=within(granted, scoped=bool(scopes)),
        scopes=scopes,
        token_hash=hashed,
        restriction=_restriction(settings, found),
        second_factor=found["second_factor"],
    )


def _restriction(settings: Settings, found: RowMapping) -> str:
    if found["must_change_password"]:
        return "password"
    lacking = found["has_password"] and not found["second_factor"]
    return "second-factor" if lacking and second_factor_required(settings, found["role"]) else ""


def _of_session(context: Context, token: str) -> Principal:
    hashed = token_hash(token)
    with context.database.transaction() as connection:
        found = accounts.session_owner(connection, hashed)
        if found and found["idle"]:
            accounts.touch_session(connection, hashed)
    if found is None:
        raise unauthorized("The session has ended; sign in again.")
    return person_of(context.settings, found, hashed)


def _of_api_token(context: Context, token: str) -> Principal:
    hashed = token_hash(token)
    with context.database.transaction() as connection:
        found = tokens.token_owner(connection, hashed)
        if found and found["idle"]:
            tokens.touch_token(connection, found["token_id"], address=asked_from(context)[0])
    if found is None:
        raise unauthorized("The API token is unknown, revoked or expired; make a new one.")
    scopes = tuple(tuple(each) for each in (found["scope"], found["token_scope"]) if each is not None)
    granted = permissions_of(found["role"], found["role_permissions"])
    if found["token_permissions"] is not None:
        granted &= frozenset(found["token_permissions"])
    return Principal(
        user_id=found["id"],
        username=found["username"],
        role=found["role"],
        permissions=within(granted, scoped=bool(scopes)),
        scopes=scopes,
        token_hash=hashed,
        api_token=found["token_name"],
    )


def _require(principal: Principal, permission: str) -> None:
    if permission == SIGNED_IN:
        return
    if permission in {OWN_ACCOUNT, FIRST_STEPS} and principal.api_token is not None:
        raise Forbidden("An account is managed by the person in person: sign in, API tokens may not do this.")
    if permission == FIRST_STEPS:
        return
    if principal.restriction:
        raise Forbidden(_FIRST[principal.restriction])
    if permission != OWN_ACCOUNT and permission not in principal.permissions:
        by = f"the API token {principal.api_token}" if principal.api_token else principal.username
        narrow = " within its scope" if principal.scopes else ""
        raise Forbidden(f"This needs the permission {permission}; {by}, role {principal.role}, has it not{narrow}.")


_FIRST = {
    "password": "Choose a password of your own first: POST /api/v1/me/password.",
    "second-factor": "Your role needs a second factor; set one up first: POST /api/v1/me/second-factor.",
}
