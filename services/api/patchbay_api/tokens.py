"""API tokens: what programs ask with, in the name of a person, for a part of what that person may."""

from typing import Any

from flask import abort
from marshmallow import Schema, fields, validate
from patchbay_shared.tables import api_token, user_account
from sqlalchemy import Select

from patchbay_api.accounts import new_token
from patchbay_api.auth import API_TOKEN_PREFIX, principal, token_hash
from patchbay_api.paging import STORABLE, Key, Number, Page, PageQuery, fetch_page, page_of, text_field
from patchbay_api.permissions import PERMISSIONS
from patchbay_api.problems import unprocessable
from patchbay_api.resource import Resource, context
from patchbay_api.scopes import scope_field, shown_scope
from patchbay_api.store import tokens as store

tokens = Resource("tokens", "API tokens: what programs ask with, in the name of a person.")

SHOWN_CHARACTERS = 10
DEFAULT_SECONDS = 90 * 86_400
LONGEST_SECONDS = 3_660 * 86_400


class TokensQuery(PageQuery):
    """Whose tokens, and which; the newest come first."""

    owner = text_field("Only those of the user of this name.")
    living = fields.Boolean(metadata={"description": "Whether it is neither revoked nor expired."})


class NewApiToken(Schema):
    """What a token is for, what it may, and for how long."""

    name = fields.String(required=True, validate=[validate.Length(1, 200), validate.Regexp(STORABLE)])
    permissions = fields.List(
        fields.String(validate=validate.OneOf(sorted(PERMISSIONS))),
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, 200),
        metadata={"description": "What it may do; null: all that its owner may, also later on."},
    )
    scope = scope_field("Narrower than its owner's, never wider.")
    expires_in_seconds = fields.Integer(
        load_default=DEFAULT_SECONDS,
        allow_none=True,
        validate=validate.Range(60, LONGEST_SECONDS),
        metadata={"description": "90 days unless given; null: until it is revoked."},
    )


class ApiToken(Schema):
    """A token, without its text."""

    id = fields.Integer(required=True)
    owner = fields.String(required=True)
    name = fields.String(required=True)
    prefix = fields.String(required=True, metadata={"description": "Its first characters, to recognise it by."})
    permissions = fields.List(
        fields.String(), required=True, allow_none=True, metadata={"description": "null: all that its owner may."}
    )
    scope = shown_scope("Beside its owner's.")
    created_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(required=True, allow_none=True)
    last_used_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "To the minute; null: never."}
    )
    last_used_from = fields.String(required=True, metadata={"description": "Address; empty: it was never used."})
    revoked_at = fields.AwareDateTime(required=True, allow_none=True)


class CreatedApiToken(ApiToken):
    """A new token; its text is shown this once."""

    token = fields.String(required=True, metadata={"description": "Send as `Authorization: Bearer <token>`."})


@tokens.get("/tokens", page_of(ApiToken, "ApiTokenPage"), query=PageQuery, permission="own-account")
def list_api_tokens(query: dict[str, Any]) -> Page:
    """List my API tokens, the newest first."""
    return _page(query, store.api_tokens().where(api_token.c.user_id == principal().user_id))


@tokens.get("/tokens/all", page_of(ApiToken, "EverybodysTokenPage"), query=TokensQuery, permission="users.read")
def list_everybodys_api_tokens(query: dict[str, Any]) -> Page:
    """List everybody's API tokens, the newest first."""
    statement = store.api_tokens()
    if query.get("owner"):
        statement = statement.where(user_account.c.username == query["owner"])
    if "living" in query:
        statement = statement.where(store.living if query["living"] else ~store.living)
    return _page(query, statement)


@tokens.post("/tokens", CreatedApiToken, status=201, body=NewApiToken, permission="own-account")
def create_api_token(body: dict[str, Any]) -> dict[str, Any]:
    """Make an API token."""
    me = principal()
    beyond = set(body["permissions"] or ()) - me.permissions
    if beyond:
        raise unprocessable("permissions", f"You do not have these yourself: {', '.join(sorted(beyond))}.")
    token = new_token(API_TOKEN_PREFIX)
    with context().database.transaction() as connection:
        row = store.add_token(
            connection,
            user_id=me.user_id,
            name=body["name"],
            token_hash=token_hash(token),
            prefix=token[:SHOWN_CHARACTERS],
            permissions=sorted(set(body["permissions"])) if body["permissions"] else None,
            scope=sorted(set(body["scope"])) if body["scope"] else None,
            expires_in_seconds=body["expires_in_seconds"],
        )
    return {**row, "owner": me.username, "token": token}


@tokens.delete("/tokens/<int(max=2147483647):token_id>", permission="own-account")
def revoke_api_token(token_id: int) -> None:
    """Revoke an API token of mine; with `users.manage`, anybody's."""
    me = principal()
    anybodys = "users.manage" in me.permissions
    with context().database.transaction() as connection:
        if not store.revoke_token(connection, token_id, user_id=None if anybodys else me.user_id):
            abort(404, f"You have no API token {token_id}.")


def _page(query: dict[str, Any], statement: Select[Any]) -> Page:
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            statement,
            [Key(api_token.c.id, Number, descending=True)],
            sort="-id",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
