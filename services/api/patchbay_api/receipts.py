"""What became of a report."""

from typing import Any
from uuid import UUID

from flask import abort
from marshmallow import Schema, fields
from patchbay_shared.tables import receipt
from sqlalchemy import select

from patchbay_api.resource import Resource, context

receipts = Resource("receipts", "What became of a report.")


class Receipt(Schema):
    """Received, stored, evaluated, how long, or why not."""

    id = fields.UUID(required=True)
    host_id = fields.UUID(required=True)
    state = fields.String(required=True, metadata={"description": "evaluated, stored, superseded or refused"})
    unchanged = fields.Boolean(required=True, metadata={"description": "It said what the one before had said."})
    reason = fields.String(required=True, metadata={"description": "Why it was refused."})
    bytes = fields.Integer(required=True)
    received_at = fields.AwareDateTime(required=True)
    stored_at = fields.AwareDateTime(required=True, allow_none=True)
    evaluated_at = fields.AwareDateTime(required=True, allow_none=True)


@receipts.get("/receipts/<uuid:receipt_id>", Receipt)
def get_receipt(receipt_id: UUID) -> Any:
    """Show what became of one report."""
    with context().database.transaction() as connection:
        found = connection.execute(select(receipt).where(receipt.c.id == receipt_id)).mappings().one_or_none()
    if found is None:
        abort(404, f"There is no receipt {receipt_id} yet; the report may still be queued.")
    return found
