"""What became of reports, and the reports themselves as far as they are kept."""

from typing import Any, NoReturn
from uuid import UUID

import msgspec
from flask import abort
from marshmallow import Schema, fields, validate
from patchbay_shared.messages import REPORT_REPROCESS_REQUESTED, ReprocessRequested
from patchbay_shared.report_body import document_in
from patchbay_shared.tables import host, host_credential, receipt, report_body
from sqlalchemy import Select, desc, func, select

from patchbay_api.paging import Key, Moment, Page, PageQuery, fetch_page, page_of
from patchbay_api.resource import Resource, context

receipts = Resource("receipts", "What became of a report.")

_KEPT = select(report_body.c.receipt_id).where(report_body.c.receipt_id == receipt.c.id).exists()
STATES = ["evaluated", "stored", "superseded", "refused"]


class ReceiptQuery(PageQuery):
    """Which receipts; the newest come first."""

    state = fields.String(validate=validate.OneOf(STATES), metadata={"description": "Only this state."})
    kept = fields.Boolean(metadata={"description": "Whether the report is kept as it arrived."})


class AnyReceiptQuery(ReceiptQuery):
    """Of all hosts, or of one."""

    host_id = fields.UUID(metadata={"description": "Only reports of this host."})


class Receipt(Schema):
    """Received, stored, evaluated, how long, or why not."""

    id = fields.UUID(required=True)
    host_id = fields.UUID(required=True)
    hostname = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "As last reported, else as given when enrolling; null: the host was removed."},
    )
    host_known = fields.Boolean(
        required=True,
        metadata={"description": "A report of it was stored once: `GET /hosts/{host_id}` has it."},
    )
    state = fields.String(required=True, metadata={"description": "evaluated, stored, superseded or refused"})
    unchanged = fields.Boolean(required=True, metadata={"description": "It said what the one before had said."})
    reason = fields.String(
        required=True, metadata={"description": "Why it was refused, or what of it could not be read."}
    )
    bytes = fields.Integer(required=True)
    kept = fields.Boolean(
        required=True, metadata={"description": "The report is kept as it arrived and can be processed again."}
    )
    received_at = fields.AwareDateTime(required=True)
    stored_at = fields.AwareDateTime(required=True, allow_none=True)
    evaluated_at = fields.AwareDateTime(required=True, allow_none=True)


class KeptReport(Schema):
    """A report as it arrived, in Patchbay's own form whichever protocol it came by."""

    receipt_id = fields.UUID(required=True)
    host_id = fields.UUID(required=True)
    received_at = fields.AwareDateTime(required=True)
    report = fields.Dict(keys=fields.String(), required=True)


class ReprocessAsked(Schema):
    """A report that the engine was asked to process again."""

    id = fields.UUID(required=True)
    requested = fields.String(required=True)


@receipts.get("/receipts", page_of(Receipt, "ReceiptPage"), query=AnyReceiptQuery, permission="hosts.read")
def list_receipts(query: dict[str, Any]) -> Page:
    """List what became of reports, the newest first."""
    return _page(query, query.get("host_id"))


@receipts.get(
    "/hosts/<uuid:host_id>/receipts", page_of(Receipt, "HostReceiptPage"), query=ReceiptQuery, permission="hosts.read"
)
def list_host_receipts(query: dict[str, Any], host_id: UUID) -> Page:
    """List what became of one host's reports, also of a host none of whose reports was ever stored."""
    return _page(query, host_id)


@receipts.get("/receipts/<uuid:receipt_id>", Receipt, permission="hosts.read")
def get_receipt(receipt_id: UUID) -> Any:
    """Show what became of one report."""
    with context().database.transaction() as connection:
        found = connection.execute(_receipts().where(receipt.c.id == receipt_id)).mappings().one_or_none()
    if found is None:
        abort(404, f"There is no receipt {receipt_id} yet; the report may still be queued.")
    return found


@receipts.get("/receipts/<uuid:receipt_id>/report", KeptReport, permission="reports.read")
def get_kept_report(receipt_id: UUID) -> dict[str, Any]:
    """Show a report as it arrived."""
    with context().database.transaction() as connection:
        found = (
            connection.execute(select(report_body).where(report_body.c.receipt_id == receipt_id))
            .mappings()
            .one_or_none()
        )
    if found is None:
        _not_kept(receipt_id)
    limit = context().settings.report_max_expanded_bytes
    return {**found, "report": document_in(bytes(found["body"]), limit=limit)}


@receipts.post("/receipts/<uuid:receipt_id>/reprocess", ReprocessAsked, status=202, permission="hosts.operate")
def reprocess_report(receipt_id: UUID) -> dict[str, Any]:
    """Ask for a kept report to be processed again; it changes nothing if the host has reported since."""
    with context().database.transaction() as connection:
        if connection.scalar(select(report_body.c.receipt_id).where(report_body.c.receipt_id == receipt_id)) is None:
            _not_kept(receipt_id)
    context().bus.publish(REPORT_REPROCESS_REQUESTED, msgspec.json.encode(ReprocessRequested(receipt_id)))
    return {"id": receipt_id, "requested": "reprocess"}


def _not_kept(receipt_id: UUID) -> NoReturn:
    abort(404, f"No report is kept for the receipt {receipt_id}; only the newest ones of each host are.")


def _receipts() -> Select[Any]:
    enrolled = (
        select(host_credential.c.hostname)
        .where(host_credential.c.host_id == receipt.c.host_id)
        .order_by(desc(host_credential.c.enrolled_at))
        .limit(1)
        .scalar_subquery()
    )
    return select(
        receipt,
        _KEPT.label("kept"),
        func.coalesce(host.c.hostname, enrolled).label("hostname"),
        host.c.id.is_not(None).label("host_known"),
    ).select_from(receipt.outerjoin(host, host.c.id == receipt.c.host_id))


def _page(query: dict[str, Any], host_id: UUID | None) -> Page:
    statement = _receipts()
    if host_id:
        statement = statement.where(receipt.c.host_id == host_id)
    if query.get("state"):
        statement = statement.where(receipt.c.state == query["state"])
    if "kept" in query:
        statement = statement.where(_KEPT if query["kept"] else ~_KEPT)
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            statement,
            [Key(receipt.c.received_at, Moment, descending=True), Key(receipt.c.id, UUID, descending=True)],
            sort="-received_at",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
