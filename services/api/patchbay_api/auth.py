"""Who asks: the session token of a request becomes a `Principal`, or 401."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from flask import g, request
from patchbay_shared.service import Context
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized

from patchbay_api.store import accounts

Role = Literal["viewer", "operator", "admin"]
RANK: dict[str, int] = {"viewer": 0, "operator": 1, "admin": 2}


@dataclass(frozen=True)
class Principal:
    """The person behind a session."""

    user_id: int
    username: str
    role: str
    token_hash: bytes


def token_hash(token: str) -> bytes:
    """What the database keeps of a token: SHA-256 of its text."""
    return hashlib.sha256(token.encode()).digest()


def authenticate(context: Context, role: Role) -> Principal:
    """The person who asks. Raises Unauthorized without a living session, Forbidden below `role`."""
    authorization = request.authorization
    token = authorization.token if authorization and authorization.type == "bearer" else None
    if not token:
        raise unauthorized("Sign in first: send the header `Authorization: Bearer <session token>`.")
    hashed = token_hash(token)
    with context.database.transaction() as connection:
        found = accounts.session_owner(connection, hashed)
    if found is None:
        raise unauthorized("The session has ended; sign in again.")
    principal = Principal(found["id"], found["username"], found["role"], hashed)
    if RANK.get(principal.role, -1) < RANK[role]:
        raise Forbidden(f"This needs the role {role}; {principal.username} has the role {principal.role}.")
    g.principal = principal
    return principal


def principal() -> Principal:
    """The person who asks, in a view that is not public."""
    found: Principal = g.principal
    return found


def unauthorized(detail: str) -> Unauthorized:
    """401 that says how to authenticate."""
    return Unauthorized(detail, www_authenticate=WWWAuthenticate("bearer", {"realm": "patchbay"}))
