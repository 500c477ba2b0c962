"""Who a host is: the enrolments behind it, and ending its token."""

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, validate
from patchbay_shared.tables import host_credential

from patchbay_api.auth import principal
from patchbay_api.hosts import host_or_404
from patchbay_api.paging import Key, Moment, Page, PageQuery, fetch_page, page_of
from patchbay_api.resource import Resource, context
from patchbay_api.store import host_identity as store

host_identity = Resource("host-identity", "Who a host is: its enrolments, and ending its token.")


class Enrolment(Schema):
    """One time that a host was let in: a re-installed agent, or a new name, is another one of the same host."""

    hostname = fields.String(required=True, metadata={"description": "As given then."})
    machine_id = fields.String(required=True, metadata={"description": "As given then; empty: none."})
    enrolment_token = fields.String(
        required=True, allow_none=True, metadata={"description": "Name of the token that let it in; null: none did."}
    )
    shared_token = fields.Boolean(
        required=True, metadata={"description": "It reports with that token itself, as patchman-clients do."}
    )
    enrolled_at = fields.AwareDateTime(required=True)
    state = fields.String(
        required=True,
        validate=validate.OneOf(store.STATES),
        metadata={"description": "valid; replaced by a later enrolment; revoked by an operator."},
    )


class TokenRevocation(Schema):
    """Who ended the token of a host, and when."""

    host_id = fields.UUID(required=True)
    revoked_by = fields.String(required=True)
    revoked_at = fields.AwareDateTime(required=True)


@host_identity.get(
    "/hosts/<uuid:host_id>/enrolments", page_of(Enrolment, "EnrolmentPage"), query=PageQuery, permission="hosts.read"
)
def list_enrolments(query: dict[str, Any], host_id: UUID) -> Page:
    """List how a host was let in, the latest first."""
    with context().database.transaction() as connection:
        host_or_404(connection, host_id)
        return fetch_page(
            connection,
            store.enrolments(host_id),
            [Key(host_credential.c.enrolled_at, Moment, descending=True)],
            sort="-enrolled_at",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


@host_identity.post("/hosts/<uuid:host_id>/revoke-token", TokenRevocation, status=200, permission="hosts.operate")
def revoke_token(host_id: UUID) -> Any:
    """End the token of a host: it stays as it is, and reports again once it has enrolled anew.

    Each ingest process forgets the token within half a minute. Reports that were accepted before are stored.
    """
    with context().database.transaction() as connection:
        host_or_404(connection, host_id)
        return store.revoke_token(connection, host_id, by=principal().username)
