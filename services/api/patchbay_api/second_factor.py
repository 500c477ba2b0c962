"""The own second factor: set up, confirmed, given up."""

import time
from typing import Any

from marshmallow import Schema, fields, validate
from patchbay_shared.sealing import seal, unseal
from werkzeug.exceptions import Forbidden

from patchbay_api import second_factors
from patchbay_api.accounts import LONGEST_PASSWORD, password_holds
from patchbay_api.auth import principal, second_factor_required
from patchbay_api.paging import STORABLE
from patchbay_api.problems import conflict, unprocessable
from patchbay_api.resource import Resource, context, separate_transaction
from patchbay_api.sessions import Session, opened_session
from patchbay_api.store import accounts, users
from patchbay_api.store import second_factors as store

second_factor = Resource("second-factor", "The own second factor: codes that change every 30 seconds (TOTP).")

_WRONG = "The code is not right, or was used already; wait for the next one."


def code_field(description: str) -> fields.String:
    """A body's code."""
    return fields.String(
        required=True,
        validate=[validate.Length(1, 40), validate.Regexp(STORABLE)],
        load_only=True,
        metadata={"description": description},
    )


class SetUp(Schema):
    """That it is really the person."""

    password = fields.String(
        load_default="",
        validate=[validate.Length(max=LONGEST_PASSWORD), validate.Regexp(STORABLE)],
        load_only=True,
        metadata={"description": "The own password; empty for an account that has none."},
    )


class Proposal(Schema):
    """What the authenticator needs; shown this once."""

    secret = fields.String(required=True, metadata={"description": "Base32, for typing."})
    uri = fields.String(required=True, metadata={"description": "otpauth://…, for a QR code."})


class Code(Schema):
    """A code."""

    code = code_field("Of the authenticator.")


class AnyCode(Schema):
    """A code, or one for emergencies."""

    code = code_field("Of the authenticator, or a recovery code.")


class RecoveryCodes(Schema):
    """Each lets in once, without the authenticator; shown this once."""

    recovery_codes = fields.List(fields.String(), required=True)


class ConfirmedSession(Session):
    """The new session, and the codes for emergencies; both shown this once."""

    recovery_codes = fields.List(fields.String(), required=True)


@second_factor.post("/me/second-factor", Proposal, status=201, body=SetUp, permission="first-steps", errors=(409,))
def set_up_second_factor(body: dict[str, str]) -> dict[str, str]:
    """Begin to set up a second factor; it is asked for once it is confirmed."""
    me = principal()
    _require_password(me.user_id, me.username, body["password"])
    secret = second_factors.new_secret()
    sealed = seal(context().settings.secret_key, secret.encode())
    with context().database.transaction() as connection:
        if not store.propose(connection, me.user_id, sealed):
            raise conflict("You have a second factor; give it up first.")
    return {"secret": secret, "uri": second_factors.uri(secret, me.username)}


@second_factor.post(
    "/me/second-factor/confirm", ConfirmedSession, status=200, body=Code, permission="first-steps", errors=(409,)
)
def confirm_second_factor(body: dict[str, str]) -> dict[str, Any]:
    """Confirm with a first code: all my sessions end, and the answer is a new one, with recovery codes."""
    me = principal()
    codes = second_factors.new_recovery_codes()
    with context().database.transaction() as connection:
        found = store.factor_of(connection, me.user_id)
        if found is None or found["confirmed_at"] is not None:
            raise conflict("There is nothing to confirm: begin with POST /api/v1/me/second-factor.")
        step = second_factors.step_of(_secret(found["sealed"]), body["code"], time.time())
        if step is None:
            raise unprocessable("code", _WRONG)
        hashes = [second_factors.recovery_hash(code) for code in codes]
        store.confirm(connection, me.user_id, step=step, recovery_hashes=hashes)
        accounts.end_sessions(connection, me.user_id)
        return {**opened_session(connection, me.user_id), "recovery_codes": codes}


@second_factor.post(
    "/me/second-factor/recovery-codes", RecoveryCodes, status=200, body=AnyCode, permission="own-account"
)
def renew_recovery_codes(body: dict[str, str]) -> dict[str, Any]:
    """Make new recovery codes; the old ones are worth nothing from now on."""
    me = principal()
    _require_code(me.user_id, me.username, body["code"])
    codes = second_factors.new_recovery_codes()
    with context().database.transaction() as connection:
        hashes = [second_factors.recovery_hash(code) for code in codes]
        store.replace_recovery_codes(connection, me.user_id, hashes)
    return {"recovery_codes": codes}


@second_factor.post(
    "/me/second-factor/remove", Session, status=200, body=AnyCode, permission="own-account", errors=(409,)
)
def give_up_second_factor(body: dict[str, str]) -> dict[str, Any]:
    """Give up the second factor: all my sessions end, and the answer is a new one."""
    me = principal()
    if second_factor_required(context().settings, me.role):
        raise conflict(f"The role {me.role} needs a second factor (PATCHBAY_SECOND_FACTOR_ROLES).")
    _require_code(me.user_id, me.username, body["code"])
    with context().database.transaction() as connection:
        users.drop_second_factor(connection, me.user_id)
        accounts.end_sessions(connection, me.user_id)
        return opened_session(connection, me.user_id)


def _secret(sealed: bytes) -> str:
    return unseal(context().settings.secret_key, bytes(sealed)).decode()


def _require_password(user_id: int, username: str, password: str) -> None:
    with separate_transaction() as connection:
        found = users.user_by_id(connection, user_id)
        if found is not None and not found["has_password"]:
            return
        account = accounts.begin_attempt(connection, username)
    if account is None or not password_holds(account["password_hash"], password):
        raise Forbidden("The password does not match, or the account waits after too many failures.")
    with separate_transaction() as connection:
        accounts.forget_attempt(connection, user_id)


def _require_code(user_id: int, username: str, code: str) -> None:
    """Counted as an attempt to sign in: nobody tries all the codes with a stolen session."""
    with separate_transaction() as connection:
        account = accounts.begin_attempt(connection, username)
    if account is None:
        raise Forbidden("The account waits after too many failures.")
    with context().database.transaction() as connection:
        if not second_factors.holds(connection, context().settings.secret_key, user_id, code):
            raise unprocessable("code", _WRONG)
        accounts.forget_attempt(connection, user_id)
