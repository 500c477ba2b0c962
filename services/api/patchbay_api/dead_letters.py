"""Messages that could not be handled: look at them, replay them, or let them go."""

from typing import Any

import msgspec
from flask import abort
from marshmallow import Schema, fields, validate
from patchbay_shared.messages import DEAD_LETTERS_REQUESTED, DeadLettersRequested
from patchbay_shared.tables import dead_letter
from sqlalchemy import Select, func, select

from patchbay_api.paging import STORABLE, Key, Number, Page, PageQuery, fetch_page, page_of, text_field
from patchbay_api.resource import Resource, context

dead_letters = Resource("dead-letters", "Messages that could not be handled.")

MOST_AT_ONCE = 10_000


class DeadLetterQuery(PageQuery):
    """Which messages; the newest come first."""

    routing_key = text_field("Only messages of this kind, as `report.received`.")


class DeadLetter(Schema):
    """A message, where it died and of what."""

    id = fields.Integer(required=True)
    queue = fields.String(required=True)
    routing_key = fields.String(required=True, metadata={"description": "The kind of message."})
    error = fields.String(required=True)
    attempts = fields.Integer(required=True)
    size_bytes = fields.Integer(required=True)
    first_at = fields.AwareDateTime(required=True)
    last_at = fields.AwareDateTime(required=True)


class DeadLetterDetail(DeadLetter):
    """With what travelled beside the body; the body of a report is with its receipt."""

    headers = fields.Dict(keys=fields.String(), required=True)
    text = fields.String(
        required=True, allow_none=True, metadata={"description": "The body, where it is a short text."}
    )


class Kind(Schema):
    """All messages of a kind."""

    routing_key = fields.String(required=True, validate=[validate.Length(1, 200), validate.Regexp(STORABLE)])


class Asked(Schema):
    """How many messages the engine was asked to deal with; it does so in its own time."""

    requested = fields.String(required=True, metadata={"description": "replay or discard"})
    count = fields.Integer(required=True)


@dead_letters.get(
    "/dead-letters", page_of(DeadLetter, "DeadLetterPage"), query=DeadLetterQuery, permission="dead-letters.read"
)
def list_dead_letters(query: dict[str, Any]) -> Page:
    """List dead letters, the newest first."""
    statement = _letters()
    if query.get("routing_key"):
        statement = statement.where(dead_letter.c.routing_key == query["routing_key"])
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            statement,
            [Key(dead_letter.c.id, Number, descending=True)],
            sort="-id",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


@dead_letters.get(
    "/dead-letters/<int(max=9223372036854775807):letter_id>", DeadLetterDetail, permission="dead-letters.operate"
)
def get_dead_letter(letter_id: int) -> dict[str, Any]:
    """Show one dead letter."""
    with context().database.transaction() as connection:
        found = (
            connection.execute(
                _letters()
                .add_columns(dead_letter.c.headers, func.substr(dead_letter.c.body, 1, 4_001).label("body"))
                .where(dead_letter.c.id == letter_id)
            )
            .mappings()
            .one_or_none()
        )
    if found is None:
        abort(404, f"There is no dead letter {letter_id}; it may have been replayed or discarded.")
    return {**found, "text": _text(bytes(found["body"]))}


@dead_letters.post(
    "/dead-letters/<int(max=9223372036854775807):letter_id>/replay",
    Asked,
    status=202,
    permission="dead-letters.operate",
)
def replay_dead_letter(letter_id: int) -> dict[str, Any]:
    """Put one message back on the bus."""
    return _ask("replay", _existing(letter_id))


@dead_letters.post(
    "/dead-letters/<int(max=9223372036854775807):letter_id>/discard",
    Asked,
    status=202,
    permission="dead-letters.operate",
)
def discard_dead_letter(letter_id: int) -> dict[str, Any]:
    """Forget one message."""
    return _ask("discard", _existing(letter_id))


@dead_letters.post("/dead-letters/replay", Asked, status=202, body=Kind, permission="dead-letters.operate")
def replay_dead_letters(body: dict[str, Any]) -> dict[str, Any]:
    """Put every message of a kind back on the bus, as far as they have died by now."""
    return _ask("replay", _of_kind(body["routing_key"]))


@dead_letters.post("/dead-letters/discard", Asked, status=202, body=Kind, permission="dead-letters.operate")
def discard_dead_letters(body: dict[str, Any]) -> dict[str, Any]:
    """Forget every message of a kind, as far as they have died by now."""
    return _ask("discard", _of_kind(body["routing_key"]))


def _letters() -> Select[Any]:
    return select(
        dead_letter.c.id,
        dead_letter.c.queue,
        dead_letter.c.routing_key,
        dead_letter.c.error,
        dead_letter.c.attempts,
        func.octet_length(dead_letter.c.body).label("size_bytes"),
        dead_letter.c.first_at,
        dead_letter.c.last_at,
    )


def _existing(letter_id: int) -> list[int]:
    with context().database.transaction() as connection:
        found = list(connection.scalars(select(dead_letter.c.id).where(dead_letter.c.id == letter_id)))
    if not found:
        abort(404, f"There is no dead letter {letter_id}; it may have been replayed or discarded.")
    return found


def _of_kind(routing_key: str) -> list[int]:
    wanted = select(dead_letter.c.id).where(dead_letter.c.routing_key == routing_key)
    with context().database.transaction() as connection:
        return list(connection.scalars(wanted.order_by(dead_letter.c.id).limit(MOST_AT_ONCE)))


def _ask(action: Any, ids: list[int]) -> dict[str, Any]:
    if ids:
        message = DeadLettersRequested(action=action, ids=ids)
        context().bus.publish(DEAD_LETTERS_REQUESTED, msgspec.json.encode(message))
    return {"requested": action, "count": len(ids)}


def _text(body: bytes) -> str | None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if len(body) <= 4_000 and text.isprintable() else None
