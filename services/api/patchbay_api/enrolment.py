"""Tokens with which new hosts may enrol."""

from ipaddress import ip_network
from typing import Any
from uuid import UUID

from flask import abort
from marshmallow import Schema, ValidationError, fields, validate
from patchbay_shared.tables import enrolment_token, host_credential

from patchbay_api.accounts import new_token
from patchbay_api.auth import token_hash
from patchbay_api.paging import STORABLE, Key, Moment, Number, Page, PageQuery, fetch_page, page_of
from patchbay_api.resource import Resource, context
from patchbay_api.store import accounts as store

enrolment = Resource("enrolment", "Tokens with which new hosts may enrol.")

LONGEST_SECONDS = 366 * 86_400


def _network(text: str) -> None:
    try:
        ip_network(text)
    except ValueError as exc:
        raise ValidationError("Not a network such as 10.20.0.0/16 or 2001:db8::/48.") from exc


class NewToken(Schema):
    """What a token is for, and for how long."""

    name = fields.String(required=True, validate=[validate.Length(1, 200), validate.Regexp(STORABLE)])
    expires_in_seconds = fields.Integer(
        load_default=None,
        allow_none=True,
        validate=validate.Range(60, LONGEST_SECONDS),
        metadata={"description": "null: until it is revoked."},
    )
    use_limit = fields.Integer(
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, 1_000_000),
        metadata={"description": "How many hosts it lets in; null: any number."},
    )
    networks = fields.List(
        fields.String(validate=[validate.Length(1, 50), _network]),
        load_default=list,
        validate=validate.Length(max=50),
        metadata={"description": "Networks (CIDR) that hosts must enrol from; empty: from anywhere."},
    )
    tags = fields.List(
        fields.String(validate=[validate.Length(1, 100), validate.Regexp(STORABLE)]),
        load_default=list,
        validate=validate.Length(max=50),
        metadata={"description": "Given to each of its hosts."},
    )


class _Terms(Schema):
    id = fields.Integer(required=True)
    name = fields.String(required=True)
    use_limit = fields.Integer(
        required=True, allow_none=True, metadata={"description": "How many hosts it lets in; null: any number."}
    )
    networks = fields.List(
        fields.String(), required=True, metadata={"description": "From where (CIDR); empty: from anywhere."}
    )
    tags = fields.List(fields.String(), required=True, metadata={"description": "Given to each of its hosts."})
    created_at = fields.AwareDateTime(required=True)
    expires_at = fields.AwareDateTime(required=True, allow_none=True)


class Token(_Terms):
    """A token, without its text."""

    revoked_at = fields.AwareDateTime(required=True, allow_none=True)
    host_count = fields.Integer(required=True, metadata={"description": "Hosts that enrolled with it."})


class CreatedToken(_Terms):
    """A new token; its text is shown this once."""

    token = fields.String(required=True)


class EnrolledHost(Schema):
    """A host that enrolled with a token, and how far its first report has come."""

    host_id = fields.UUID(required=True)
    hostname = fields.String(required=True, metadata={"description": "As given when enrolling."})
    enrolled_at = fields.AwareDateTime(required=True)
    waiting = fields.Boolean(required=True, metadata={"description": "An operator has to approve it first."})
    first_report_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "null: none of its reports was stored yet."}
    )
    evaluated_at = fields.AwareDateTime(required=True, allow_none=True)
    updates = fields.Integer(required=True, allow_none=True)


@enrolment.get("/enrolment-tokens", page_of(Token, "TokenPage"), query=PageQuery, permission="enrolment.operate")
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


@enrolment.post("/enrolment-tokens", CreatedToken, status=201, body=NewToken, permission="enrolment.operate")
def create_enrolment_token(body: dict[str, Any]) -> dict[str, Any]:
    """Make an enrolment token."""
    token = new_token("pbe")
    with context().database.transaction() as connection:
        row = store.add_enrolment_token(
            connection,
            body["name"],
            token_hash(token),
            expires_in_seconds=body["expires_in_seconds"],
            use_limit=body["use_limit"],
            networks=body["networks"],
            tags=body["tags"],
        )
    return {**row, "token": token}


@enrolment.get(
    "/enrolment-tokens/<int(max=2147483647):token_id>/hosts",
    page_of(EnrolledHost, "EnrolledHostPage"),
    query=PageQuery,
    permission="enrolment.operate",
)
def list_enrolled_hosts(query: dict[str, Any], token_id: int) -> Page:
    """List the hosts that enrolled with a token, the newest first."""
    with context().database.transaction() as connection:
        if not store.enrolment_token_exists(connection, token_id):
            abort(404, f"There is no enrolment token {token_id}.")
        return fetch_page(
            connection,
            store.hosts_of_token(token_id),
            [
                Key(host_credential.c.enrolled_at, Moment, descending=True),
                Key(host_credential.c.host_id, UUID, descending=True),
            ],
            sort="-enrolled_at",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


@enrolment.delete("/enrolment-tokens/<int(max=2147483647):token_id>", permission="enrolment.operate")
def revoke_enrolment_token(token_id: int) -> None:
    """Revoke an enrolment token; hosts that have enrolled with it stay."""
    with context().database.transaction() as connection:
        if not store.revoke_enrolment_token(connection, token_id):
            abort(404, f"There is no enrolment token {token_id}.")
