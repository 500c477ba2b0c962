"""Hosts that have enrolled and wait for an operator (`PATCHBAY_APPROVE_HOSTS`)."""

from typing import Any
from uuid import UUID

from flask import abort
from marshmallow import Schema, fields
from patchbay_shared.tables import host_credential

from patchbay_api.auth import principal
from patchbay_api.paging import Key, Moment, Page, PageQuery, fetch_page, page_of
from patchbay_api.resource import Resource, context
from patchbay_api.store import approvals as store

approvals = Resource("approvals", "Hosts that have enrolled and wait for an operator.")


class WaitingHost(Schema):
    """A host whose reports are refused until it is approved."""

    host_id = fields.UUID(required=True)
    hostname = fields.String(required=True, metadata={"description": "As given when enrolling."})
    machine_id = fields.String(required=True)
    enrolment_token = fields.String(
        required=True, allow_none=True, metadata={"description": "The name of the token that it enrolled with."}
    )
    enrolled_at = fields.AwareDateTime(required=True)


class Approval(Schema):
    """Who let the host in, and when."""

    host_id = fields.UUID(required=True)
    approved_by = fields.String(required=True)
    approved_at = fields.AwareDateTime(required=True)


@approvals.get(
    "/waiting-hosts", page_of(WaitingHost, "WaitingHostPage"), query=PageQuery, permission="enrolment.read"
)
def list_waiting_hosts(query: dict[str, Any]) -> Page:
    """List hosts that wait for approval, the longest waiting first."""
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            store.waiting_hosts(),
            [Key(host_credential.c.enrolled_at, Moment), Key(host_credential.c.host_id, UUID)],
            sort="enrolled_at",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


@approvals.post("/waiting-hosts/<uuid:host_id>/approve", Approval, status=200, permission="enrolment.operate")
def approve_host(host_id: UUID) -> Any:
    """Let a host report; approving it twice changes nothing."""
    with context().database.transaction() as connection:
        if not store.is_enrolled(connection, host_id):
            abort(404, f"No host has enrolled as {host_id}.")
        return store.approve(connection, host_id, by=principal().username)
