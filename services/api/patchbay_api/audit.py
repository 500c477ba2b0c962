"""The audit: who did what from where to which object, before and after."""

import json
from typing import Any

from flask import abort
from marshmallow import Schema, fields, validate
from patchbay_shared.tables import audit_event

from patchbay_api.paging import Key, Number, Page, PageQuery, fetch_page, page_of, text_field
from patchbay_api.resource import Resource, context
from patchbay_api.store import audit as store

audit = Resource("audit", "Who did what from where to which object, before and after.")


class AuditQuery(PageQuery):
    """Which events; the newest come first."""

    actor = text_field("Exactly this user name.")
    action = text_field("Exactly this action, as `sync_repository`.")
    object_type = text_field("Exactly this kind of object, as `hosts`.")
    object_id = text_field("Exactly this object.")
    outcome = fields.String(validate=validate.OneOf(["done", "denied"]))
    since = fields.AwareDateTime(metadata={"description": "At this time or later."})
    until = fields.AwareDateTime(metadata={"description": "Before this time."})


class AuditEvent(Schema):
    """One thing that somebody did, or was not allowed to do."""

    id = fields.Integer(required=True, metadata={"description": "1, 2, 3 … without a gap."})
    at = fields.AwareDateTime(required=True)
    actor = fields.String(required=True, metadata={"description": "User name; empty: nobody had signed in."})
    credential = fields.String(required=True, metadata={"description": "session, token NAME, password, oidc, …"})
    address = fields.String(required=True)
    action = fields.String(required=True, metadata={"description": "The operationId."})
    object_type = fields.String(required=True)
    object_id = fields.String(required=True)
    outcome = fields.String(required=True, metadata={"description": "done or denied"})
    before = fields.Dict(keys=fields.String(), required=True, allow_none=True)
    after = fields.Dict(
        keys=fields.String(),
        required=True,
        allow_none=True,
        metadata={"description": "What differs from before; or what was asked and answered. Secrets are hidden."},
    )
    hash = fields.String(
        required=True, metadata={"description": "SHA-256 over the event and the hash of the one before it."}
    )


class Verification(Schema):
    """Whether the events are those that were written, in their order."""

    holds = fields.Boolean(required=True)
    complaint = fields.String(required=True, metadata={"description": "Where the chain breaks; empty: nowhere."})
    count = fields.Integer(required=True, metadata={"description": "Events that hold together, from the first on."})
    last_id = fields.Integer(required=True)
    last_hash = fields.String(
        required=True, metadata={"description": "To be kept elsewhere: whoever cuts events off cannot make it again."}
    )


@audit.get("/audit", page_of(AuditEvent, "AuditPage"), query=AuditQuery, permission="audit.read")
def list_audit_events(query: dict[str, Any]) -> Page:
    """List what was done, the newest first."""
    statement = store.events()
    for name in ("actor", "action", "object_type", "object_id", "outcome"):
        if name in query:
            statement = statement.where(audit_event.c[name] == query[name])
    if "since" in query:
        statement = statement.where(audit_event.c.at >= query["since"])
    if "until" in query:
        statement = statement.where(audit_event.c.at < query["until"])
    with context().database.transaction() as connection:
        page = fetch_page(
            connection,
            statement,
            [Key(audit_event.c.id, Number, descending=True)],
            sort="-id",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
    return Page([shown(row) for row in page.items], page.next_cursor, page.total_count)


@audit.get("/audit/verification", Verification, permission="audit.read")
def verify_audit() -> dict[str, Any]:
    """Compute the whole chain anew; `patchbay audit verify` does the same, and can compare with an earlier run."""
    with context().database.transaction() as connection:
        found = store.verify(connection)
    return {
        "holds": not found.complaint,
        "complaint": found.complaint,
        "count": found.count,
        "last_id": found.last_id,
        "last_hash": found.last_hash.hex(),
    }


@audit.get("/audit/<int(max=9223372036854775807):event_id>", AuditEvent, permission="audit.read")
def get_audit_event(event_id: int) -> dict[str, Any]:
    """Show one event."""
    with context().database.transaction() as connection:
        found = connection.execute(store.events().where(audit_event.c.id == event_id)).mappings().one_or_none()
    if found is None:
        abort(404, f"There is no event {event_id}.")
    return shown(found)


def shown(row: Any) -> dict[str, Any]:
    """An event as the API and the exports show it."""
    parsed = {name: json.loads(row[name]) if row[name] else None for name in ("before", "after")}
    return {**row, **parsed, "hash": bytes(row["hash"]).hex()}
