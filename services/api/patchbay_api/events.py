"""What changes, as it changes: a stream of server-sent events, or what there was since a moment."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import BoundedSemaphore
from typing import Any

import msgspec
from flask import Response, current_app, request, stream_with_context
from marshmallow import Schema, ValidationError, fields, validate
from patchbay_shared.errors import Unavailable
from patchbay_shared.service import Context

from patchbay_api.auth import principal
from patchbay_api.resource import Resource, context
from patchbay_api.store import changes as store

events = Resource("events", "What changes, as it changes.")

LONGEST_BACK = timedelta(minutes=10)
OVERLAP = timedelta(seconds=15)
"""How long a transaction may take whose changes are still told."""
POLL_SECONDS = 2.0
OVERFLOW = "overflow"
"""The event that tells that there was more than is told one by one."""


def _kinds(text: str) -> None:
    for name in text.split(","):
        if name.strip() not in store.KINDS:
            raise ValidationError(f"{name.strip()!r} is no kind of event; known are {', '.join(store.KINDS)}.")


class _KindsQuery(Schema):
    kinds = fields.String(
        validate=[validate.Length(1, 200), _kinds],
        metadata={"description": f"Only these, with commas between them: {', '.join(store.KINDS)}."},
    )


class EventQuery(_KindsQuery):
    """Which events."""


class RecentQuery(_KindsQuery):
    """Which events, since when."""

    after = fields.AwareDateTime(
        metadata={"description": "`until` of the answer before; at most ten minutes ago. Without it: none yet."}
    )


class Event(Schema):
    """One change."""

    kind = fields.String(required=True)
    at = fields.AwareDateTime(required=True)
    data = fields.Dict(keys=fields.String(), required=True)


class RecentEvents(Schema):
    """What there was, and from when on to ask next."""

    items = fields.List(fields.Nested(Event), required=True)
    until = fields.AwareDateTime(required=True, metadata={"description": "Send it back as `after`."})
    overflow = fields.Boolean(
        required=True, metadata={"description": "There was more than is told one by one: read the lists again."}
    )


@events.get("/events/recent", RecentEvents, query=RecentQuery, permission="hosts.read")
def list_recent_events(query: dict[str, Any]) -> dict[str, Any]:
    """List what changed since a moment; the same change may be told twice."""
    with context().database.transaction() as connection:
        until = store.now(connection)
        after = max(query.get("after") or until, until - LONGEST_BACK)
        found, more = store.changes(
            connection, _wanted(query), since=after - OVERLAP, until=until, jobs_of=_jobs_of()
        ) if "after" in query else ([], False)  # fmt: skip
    return {"items": found, "until": until, "overflow": more}


STREAMED = {
    "description": "One of the server-sent events (WHATWG HTML, 9.2).",
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": [*store.KINDS, OVERFLOW]},
        "id": {"type": "string", "format": "date-time", "description": "Send the last one as Last-Event-ID."},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "id", "data"],
}
"""OpenAPI 3.1 has no word for the items of a stream: by custom, the schema is that of each."""


@events.document(
    "/events",
    content_type="text/event-stream",
    schema=STREAMED,
    query=EventQuery,
    permission="hosts.read",
)
def stream_events(query: dict[str, Any]) -> Response:
    """Stream what changes; ends after a while, and a client comes again with the header Last-Event-ID.

    Each event names its kind and has its data as JSON. `overflow` says that there was more than is told one by one:
    read the lists again. The streams of one process are few; one too many is answered 503.
    """
    places: BoundedSemaphore = current_app.extensions["patchbay_event_places"]
    if not places.acquire(blocking=False):
        raise Unavailable(
            "No more streams of events fit into this process (PATCHBAY_EVENT_LISTENERS); ask GET /events/recent."
        )
    asked = context()
    try:
        with asked.database.transaction() as connection:
            moment = store.now(connection)
    except BaseException:
        places.release()
        raise
    listener = _Listener(asked, _wanted(query), _jobs_of(), max(_last_seen() or moment, moment - LONGEST_BACK))
    response = Response(stream_with_context(listener.run()), mimetype="text/event-stream")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(places.release)
    return response


@dataclass
class _Listener:
    context: Context
    kinds: tuple[str, ...]
    jobs_of: str | None
    since: datetime
    told: dict[tuple[str, str, datetime], None] = field(default_factory=dict)

    def run(self) -> Iterator[str]:
        """Look every other second, and write something each time: so a client that is gone is noticed."""
        ends_at = time.monotonic() + self.context.settings.event_seconds
        pause = threading.Event()
        yield "retry: 3000\n\n"
        while True:
            yield from self._news()
            if time.monotonic() + POLL_SECONDS > ends_at:
                return
            pause.wait(POLL_SECONDS)

    def _news(self) -> Iterator[str]:
        with self.context.database.transaction() as connection:
            until = store.now(connection)
            found, more = store.changes(
                connection, self.kinds, since=self.since - OVERLAP, until=until, jobs_of=self.jobs_of
            )
        self.since = until
        yield ": \n\n"
        if more:
            yield _event(OVERFLOW, until, {})
        for each in found:
            key = (each.kind, each.subject, each.at)
            if key not in self.told:
                self.told[key] = None
                yield _event(each.kind, each.at, each.data)
        for key in [key for key in self.told if key[2] < until - 2 * OVERLAP]:
            del self.told[key]


def _event(kind: str, at: datetime, data: dict[str, Any]) -> str:
    return f"id: {at.isoformat()}\nevent: {kind}\ndata: {msgspec.json.encode(data).decode()}\n\n"


def _wanted(query: dict[str, Any]) -> tuple[str, ...]:
    text: str = query.get("kinds") or ",".join(store.KINDS)
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def _jobs_of() -> str | None:
    """Somebody who may see some hosts only sees their own jobs."""
    return principal().username if principal().scopes else None


def _last_seen() -> datetime | None:
    try:
        moment = datetime.fromisoformat(request.headers.get("Last-Event-ID", ""))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
