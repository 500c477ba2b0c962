"""The own account: choosing a password."""

from typing import Any

from marshmallow import Schema, fields, validate
from werkzeug.exceptions import Forbidden

from patchbay_api.accounts import LONGEST_PASSWORD, hash_password, password_complaint, password_holds
from patchbay_api.auth import principal
from patchbay_api.paging import STORABLE
from patchbay_api.problems import unprocessable
from patchbay_api.resource import Resource, context, separate_transaction
from patchbay_api.sessions import Session, opened_session
from patchbay_api.store import accounts
from patchbay_api.store import users as store

own_account = Resource("own-account", "The own account.")


def _password(description: str) -> fields.String:
    return fields.String(
        required=True,
        validate=[validate.Length(1, LONGEST_PASSWORD), validate.Regexp(STORABLE)],
        load_only=True,
        metadata={"description": description},
    )


class PasswordChange(Schema):
    """From the old one to the new one."""

    current_password = _password("The one that holds now.")
    new_password = _password("Long enough, and not easy to guess; no rules of character classes.")


@own_account.post("/me/password", Session, status=200, body=PasswordChange, permission="first-steps")
def change_password(body: dict[str, str]) -> dict[str, Any]:
    """Choose a new password: all my sessions end, and the answer is a new one. API tokens stay."""
    me = principal()
    with separate_transaction() as connection:
        account = accounts.begin_attempt(connection, me.username)
    if account is None or not password_holds(account["password_hash"], body["current_password"]):
        raise Forbidden("The current password does not match, or the account waits after too many failures.")
    with separate_transaction() as connection:
        accounts.forget_attempt(connection, me.user_id)
    complaint = password_complaint(
        body["new_password"], me.username, min_length=context().settings.password_min_length
    )
    if body["new_password"] == body["current_password"]:
        complaint = "It is the one that you have."
    if complaint:
        raise unprocessable("new_password", complaint)
    password_hash = hash_password(body["new_password"])
    with context().database.transaction() as connection:
        store.set_password(connection, me.user_id, password_hash, must_change=False)
        accounts.end_sessions(connection, me.user_id)
        return opened_session(connection, me.user_id)
