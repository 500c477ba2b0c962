"""What became of a report, for a client that waits for it (`?wait=30`, or protocol 1's `report=true`)."""

import threading
import time
from uuid import UUID

import msgspec
from patchbay_shared.db import Database
from patchbay_shared.errors import Unavailable

from patchbay_ingest import store

LONGEST_WAIT_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.5


class OutstandingUpdate(msgspec.Struct, frozen=True):
    """One package that the host's package manager would update."""

    name: str
    arch: str
    installed: str
    candidate: str | None
    security: bool
    repository: str | None
    why: str


class Outcome(msgspec.Struct, frozen=True):
    """The receipt, and the updates that are outstanding."""

    receipt: UUID
    state: str
    """evaluated, superseded or refused."""
    unchanged: bool
    reason: str
    incomplete_count: int
    """Repositories of the host that have not been crawled yet: there may be more updates."""
    updates: list[OutstandingUpdate]


class Outcomes:
    """Looks for receipts on behalf of waiting requests, of which only some may wait at a time."""

    def __init__(self, database: Database, *, waiting_count: int) -> None:
        self._database = database
        self._slots = threading.BoundedSemaphore(max(1, waiting_count))

    def wait_for(self, receipt_id: UUID, seconds: float) -> Outcome | None:
        """The outcome, as soon as there is one within so many seconds. None if not, or if too many wait."""
        if seconds <= 0 or not self._slots.acquire(blocking=False):
            return None
        try:
            return self._look(receipt_id, time.monotonic() + min(seconds, LONGEST_WAIT_SECONDS))
        finally:
            self._slots.release()

    def _look(self, receipt_id: UUID, deadline: float) -> Outcome | None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                with self._database.transaction() as connection:
                    found = store.outcome(connection, receipt_id)
            except Unavailable:
                return None
            if found is not None:
                receipt, updates = found
                return Outcome(
                    receipt=receipt_id,
                    state=receipt.state,
                    unchanged=receipt.unchanged,
                    reason=receipt.reason,
                    incomplete_count=receipt.incomplete_count,
                    updates=[OutstandingUpdate(**row._mapping) for row in updates],
                )
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            time.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def text_of(outcome: Outcome | None) -> str:
    """For a person, as protocol 1's client prints it."""
    if outcome is None:
        return "The updates of this host are still being worked out.\n"
    if outcome.state != "evaluated":
        return f"The report was not evaluated ({outcome.state}): {outcome.reason}\n"
    count, security = len(outcome.updates), sum(each.security for each in outcome.updates)
    lines = [f"Outstanding updates: {count}, of which security fixes: {security}."]
    if outcome.incomplete_count:
        lines.append(f"Repositories still to be read: {outcome.incomplete_count}; there may be more updates.")
    lines += [
        f"  {each.name} {each.installed} -> {each.candidate or '?'}{' (security)' if each.security else ''}"
        for each in outcome.updates
    ]
    return "\n".join(lines) + "\n"
