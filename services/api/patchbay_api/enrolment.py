"""Tokens with which new hosts may enrol."""

from typing import Any

from flask import abort
from marshmallow import Schema, fields, validate
from patchbay_shared.tables import enrolment_token

from patchbay_api.accounts import new_token
from patchbay_api.auth import token_hash
from patchbay_api.paging import STORABLE, Key, Number, Page, PageQuery, fetch_page, page_of
from patchbay_api.resource import Resource, context
from patchbay_api.store import accounts as store

enrolment = Resource("enrolment", "Tokens with which new hosts may enrol.")

LONGEST_SECONDS = 366 * 86_400


class NewToken(Schema):
    """What a token is for, and for how long."""

    name = fields.String(required=True, validate=[validate.Length(1, 200), validate.Regexp(STORABLE)])
    expires_in_seconds = fields.Integer(
        load_default=None,
        allow_none=True,
        validate=validate.Range(60, LONGEST_SECONDS),
        metadata={"description": "null: until it is revoked."},
    )


class Token(Schema):
    """A token, without its text."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(required=True, allow_none=True)
    revoked_at = fields.AwareDateTime(required=True, allow_none=True)
    host_count = fields.Integer(required=True, metadata={"description": "Hosts that enrolled with it."})


class CreatedToken(Schema):
    """A new token; its text is shown this once."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    token = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(required=True, allow_none=True)


@enrolment.get("/enrolment-tokens", page_of(Token, "TokenPage"), query=PageQuery, role="operator")
def list_enrolment_tokens(query: dict[str, Any]) -> Page:
    """List enrolment tokens, the newest first."""
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            store.enrolment_tokens(),
            [Key(enrolment_token.c.id, Number, descending=True)],
            sort="-id",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


@enrolment.post("/enrolment-tokens", CreatedToken, status=201, body=NewToken, role="operator")
def create_enrolment_token(body: dict[str, Any]) -> dict[str, Any]:
    """Make an enrolment token."""
    token = new_token("pbe")
    with context().database.transaction() as connection:
        row = store.add_enrolment_token(
            connection, body["name"], token_hash(token), expires_in_seconds=body["expires_in_seconds"]
        )
    return {**row, "token": token}


@enrolment.delete("/enrolment-tokens/<int(max=2147483647):token_id>", role="operator")
def revoke_enrolment_token(token_id: int) -> None:
    """Revoke an enrolment token; hosts that have enrolled with it stay."""
    with context().database.transaction() as connection:
        if not store.revoke_enrolment_token(connection, token_id):
            abort(404, f"There is no enrolment token {token_id}.")
