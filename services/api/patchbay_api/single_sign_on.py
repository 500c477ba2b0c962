"""Signing in at an OpenID Connect provider."""

import json
from typing import Any

from flask import current_app
from marshmallow import Schema, fields, validate
from patchbay_shared.errors import InvalidInput
from patchbay_shared.sealing import seal, unseal
from sqlalchemy import Connection
from werkzeug.exceptions import Forbidden

from patchbay_api.accounts import new_token
from patchbay_api.auditing import about
from patchbay_api.auth import token_hash, unauthorized
from patchbay_api.oidc import Identity, NotBelieved, Provider
from patchbay_api.paging import STORABLE
from patchbay_api.permissions import BUILT_IN_ROLES
from patchbay_api.problems import conflict
from patchbay_api.resource import Resource, context, separate_transaction
from patchbay_api.sessions import Session, opened_session
from patchbay_api.store import accounts, users
from patchbay_api.store import second_factors as store

single_sign_on = Resource("single-sign-on", "Signing in at an OpenID Connect provider.")

UNDER_WAY_SECONDS = 600


class Ways(Schema):
    """How one may sign in."""

    password = fields.Boolean(required=True)
    oidc = fields.String(
        required=True, allow_none=True, metadata={"description": "What to call the provider; null: there is none."}
    )


class Begun(Schema):
    """A sign-in that is under way."""

    authorization_url = fields.String(required=True, metadata={"description": "Where to send the browser."})
    state = fields.String(
        required=True, metadata={"description": "To be kept by that browser, and compared when it comes back."}
    )


class ComingBack(Schema):
    """What the provider gave the browser along."""

    state = fields.String(
        required=True, validate=[validate.Length(1, 200), validate.Regexp(STORABLE)], load_only=True
    )
    code = fields.String(
        required=True, validate=[validate.Length(1, 4_000), validate.Regexp(STORABLE)], load_only=True
    )


@single_sign_on.get("/sessions/ways", Ways, permission="public")
def list_ways() -> dict[str, Any]:
    """How one may sign in here."""
    settings = context().settings
    return {"password": True, "oidc": settings.oidc_name if settings.oidc_issuer else None}


@single_sign_on.post("/sessions/oidc/begin", Begun, status=201, permission="public", errors=(409,))
def begin_oidc() -> dict[str, str]:
    """Begin to sign in at the provider."""
    provider = _provider()
    state = new_token("pbo")
    url, remembered = provider.begin(state)
    sealed = seal(context().settings.secret_key, json.dumps(remembered).encode())
    with context().database.transaction() as connection:
        store.begin(connection, token_hash(state), kind="oidc", seconds=UNDER_WAY_SECONDS, sealed=sealed)
    about(credential="oidc", begun=True)
    return {"authorization_url": url, "state": state}


@single_sign_on.post("/sessions/oidc", Session, status=201, body=ComingBack, permission="public", errors=(403, 409))
def finish_oidc(body: dict[str, str]) -> dict[str, Any]:
    """Come back from the provider: a new session. Each state serves once."""
    provider = _provider()
    hashed = token_hash(body["state"])
    about(credential="oidc")
    with separate_transaction() as connection:
        found = store.pending(connection, hashed, kind="oidc")
        if found is None or not store.end(connection, hashed):
            raise unauthorized("This sign-in was not begun here, took too long, or is over; begin again.")
    try:
        remembered = json.loads(unseal(context().settings.secret_key, bytes(found["sealed"])))
        identity = provider.finish(body["code"], remembered)
    except (NotBelieved, InvalidInput) as exc:
        raise unauthorized(str(exc)) from exc
    about(credential="oidc", object_id=identity.subject)
    with context().database.transaction() as connection:
        user_id = _account(connection, identity)
        accounts.sign_in_succeeded(connection, user_id, password_hash=None)
        opened = opened_session(connection, user_id)
    about(credential="oidc", object_id=identity.subject, actor=opened["username"], opened="session")
    return opened


def _account(connection: Connection, identity: Identity) -> int:
    """The account of somebody, made or brought up to date as the settings say. Raises Forbidden, Conflict."""
    settings = context().settings
    if settings.oidc_roles and identity.role is None:
        raise Forbidden("None of your groups has a role here (PATCHBAY_OIDC_ROLES); ask an administrator.")
    role = identity.role
    if role and role not in BUILT_IN_ROLES and users.custom_role(connection, role) is None:
        raise Forbidden(f"PATCHBAY_OIDC_ROLES names the role {role}, which does not exist; ask an administrator.")
    users.lock(connection)
    found = users.user_of_subject(connection, identity.subject)
    if found is not None:
        if found["disabled"]:
            raise Forbidden("The account is disabled; ask an administrator.")
        if role and role != found["role"]:
            users.change_user(connection, found["id"], role=role)
            accounts.end_sessions(connection, found["id"])
        number: int = found["id"]
        return number
    if not settings.oidc_auto_provision:
        raise Forbidden(f"No account is linked to {identity.subject}; ask an administrator to make one.")
    if not role:
        raise Forbidden("New accounts get their role from PATCHBAY_OIDC_ROLES, which is empty; ask an administrator.")
    if not identity.username or "\0" in identity.username:
        raise Forbidden(f"The provider gives no {settings.oidc_username_claim} to call the account by.")
    made = users.add_user(
        connection, username=identity.username[:100], role=role, password_hash="", must_change_password=False
    )
    if made is None:
        # Taking over an account because the provider's user is called alike would be a gift to whoever names users.
        raise conflict(f"There is another account called {identity.username}; an administrator can link it to you.")
    users.link(connection, made, identity.subject)
    return made


def _provider() -> Provider:
    settings = context().settings
    if not settings.oidc_issuer:
        raise conflict("No OpenID Connect provider is configured (PATCHBAY_OIDC_ISSUER).")
    found: Provider | None = current_app.extensions.get("patchbay_oidc")
    if found is None:
        found = current_app.extensions["patchbay_oidc"] = Provider(settings)
    return found
