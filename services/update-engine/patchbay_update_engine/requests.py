"""What an operator asks of the engine: judge hosts again, process a kept report again, deal with dead letters."""

import threading
from collections.abc import Callable, Iterable

import msgspec
from patchbay_shared.bus import Bus, Delivery
from patchbay_shared.db import Database
from patchbay_shared.errors import InvalidInput
from patchbay_shared.log import get_logger
from patchbay_shared.messages import (
    DEAD_LETTERS_REQUESTED,
    EVALUATION_REQUESTED,
    HOST_REMOVED,
    HOSTS_OPERATED,
    REPORT_REPROCESS_REQUESTED,
    DeadLettersRequested,
    ReprocessRequested,
)
from sqlalchemy import text

from patchbay_update_engine.handlers import Engine
from patchbay_update_engine.kept import kept_report
from patchbay_update_engine.operated import operate

log = get_logger("update-engine")


class Requests:
    """The handler of the operator's queue."""

    def __init__(self, engine: Engine, database: Database, bus: Bus) -> None:
        self._engine = engine
        self._database = database
        self._bus = bus
        self._handlers: dict[str, Callable[[Delivery], None]] = {
            EVALUATION_REQUESTED: engine.evaluation_requested,
            HOST_REMOVED: lambda _: engine.remove_hosts(threading.Event()),
            REPORT_REPROCESS_REQUESTED: self.reprocess_requested,
            DEAD_LETTERS_REQUESTED: self.dead_letters_requested,
            HOSTS_OPERATED: self.hosts_operated,
        }

    def handle(self, delivery: Delivery) -> None:
        """One message of the queue. Raises InvalidInput for one that nobody handles."""
        handler = self._handlers.get(delivery.routing_key)
        if handler is None:
            raise InvalidInput(f"No operator's request is called {delivery.routing_key!r}.")
        handler(delivery)

    def reprocess_requested(self, delivery: Delivery) -> None:
        """REPORT_REPROCESS_REQUESTED: store and judge a kept report as if it came now, unless a newer one did."""
        wanted = msgspec.json.decode(delivery.body, type=ReprocessRequested)
        with self._database.transaction() as connection:
            kept = kept_report(connection, wanted.receipt_id)
        if kept is None:
            log.warning("report_not_kept", receipt_id=str(wanted.receipt_id))
            return
        self._engine.store_report(*kept, again=True)

    def hosts_operated(self, delivery: Delivery) -> None:
        """HOSTS_OPERATED: rename, remove or judge hosts, as part of a job."""
        operate(self._database, delivery.body, self._engine.evaluate_hosts)

    def dead_letters_requested(self, delivery: Delivery) -> None:
        """DEAD_LETTERS_REQUESTED: put messages back on the bus, or forget them. One transaction each."""
        wanted = msgspec.json.decode(delivery.body, type=DeadLettersRequested)
        count = self._replay(wanted.ids) if wanted.action == "replay" else self._discard(wanted.ids)
        log.info("dead_letters_handled", action=wanted.action, count=count)

    def _replay(self, ids: Iterable[int]) -> int:
        count = 0
        for number in sorted(ids):
            with self._database.transaction() as connection:
                row = connection.execute(
                    text("SELECT routing_key, headers, body FROM dead_letter WHERE id = :id FOR UPDATE"),
                    {"id": number},
                ).one_or_none()
                if row is None or not row.routing_key:
                    continue
                headers = {name: value for name, value in row.headers.items() if not name.startswith("x-")}
                # Published before it is deleted: a crash in between repeats it, and every handler is idempotent.
                self._bus.publish(row.routing_key, bytes(row.body), headers)
                connection.execute(text("DELETE FROM dead_letter WHERE id = :id"), {"id": number})
                count += 1
        return count

    def _discard(self, ids: Iterable[int]) -> int:
        with self._database.transaction() as connection:
            return connection.execute(
                text("DELETE FROM dead_letter WHERE id = ANY(:ids)"), {"ids": sorted(ids)}
            ).rowcount
