"""The record of who did what, in SQL: a chain of events, each of which holds the hash of the one before."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from patchbay_shared.tables import audit_event
from sqlalchemy import Connection, RowMapping, Select, func, insert, select, text

_LOCK = 0x61756474  # advisory lock: events are chained one after the other
FIRST_PREVIOUS_HASH = bytes(32)
_BATCH = 1_000


@dataclass(frozen=True)
class Event:
    """One thing that somebody did, or was not allowed to do."""

    actor: str
    credential: str
    address: str
    action: str
    object_type: str
    object_id: str
    outcome: str
    before: str | None = None
    """JSON."""
    after: str | None = None
    """JSON."""


@dataclass(frozen=True)
class Verification:
    """What is left of the chain, and where it is broken, if it is."""

    count: int
    last_id: int
    last_hash: bytes
    complaint: str = ""


def append(connection: Connection, event: Event) -> int:
    """Chain an event to the last one; the number of the new one. Holds a lock until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    last = connection.execute(
        select(audit_event.c.id, audit_event.c.hash).order_by(audit_event.c.id.desc()).limit(1)
    ).one_or_none()
    at: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    number = last.id + 1 if last else 1
    previous = bytes(last.hash) if last else FIRST_PREVIOUS_HASH
    values = {"id": number, "at": at, **event.__dict__}
    connection.execute(insert(audit_event).values(**values, previous_hash=previous, hash=hash_of(values, previous)))
    return number


def lock_thing(connection: Connection, thing: str) -> None:
    """Wait for whoever changes the same thing, and make others wait until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock, hashtext(:thing))"), {"lock": _LOCK, "thing": thing})


def hash_of(values: Any, previous: bytes) -> bytes:
    """SHA-256 over the hash of the event before and the event, as JSON with its fields in this order."""
    fields = [
        values["id"],
        values["at"].isoformat(),
        *(
            values[name]
            for name in (
                "actor",
                "credential",
                "address",
                "action",
                "object_type",
                "object_id",
                "outcome",
                "before",
                "after",
            )
        ),
    ]
    return hashlib.sha256(previous + json.dumps(fields, ensure_ascii=True).encode()).digest()


def events() -> Select[Any]:
    """Select of every event."""
    return select(audit_event)


def in_order(connection: Connection) -> Iterator[RowMapping]:
    """Every event from the first on, a batch at a time in memory."""
    after = 0
    while True:
        rows = connection.execute(
            events().where(audit_event.c.id > after).order_by(audit_event.c.id).limit(_BATCH)
        ).mappings()
        found = rows.all()
        yield from found
        if len(found) < _BATCH:
            return
        after = found[-1]["id"]


def verify(connection: Connection, *, known: tuple[int, bytes] | None = None) -> Verification:
    """Compute the whole chain anew, up to its first break.

    Events cut off at the end leave a chain that holds: `known`, the number and hash of an event that an earlier
    verification printed, must still be in it.
    """
    count, previous, seen = 0, FIRST_PREVIOUS_HASH, False
    for row in in_order(connection):
        number = row["id"]
        complaint = ""
        if number != count + 1:
            complaint = f"Event {count + 1} is missing; {number} comes next."
        elif bytes(row["previous_hash"]) != previous:
            complaint = f"Event {number} does not follow the event before it."
        elif hash_of(row, previous) != bytes(row["hash"]):
            complaint = f"Event {number} was changed after it was written."
        if complaint:
            return Verification(count, count, previous, complaint)
        count, previous = number, bytes(row["hash"])
        if known and number == known[0]:
            seen = known[1] == previous
    if known and not seen:
        return Verification(count, count, previous, f"Event {known[0]} is not the one that it was, or is gone.")
    return Verification(count, count, previous)
