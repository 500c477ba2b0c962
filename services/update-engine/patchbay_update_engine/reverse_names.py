"""The names of the addresses that hosts report from, looked up beside everything else and a few at a time."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from patchbay_shared.db import Database
from patchbay_shared.errors import Unavailable
from patchbay_shared.log import get_logger
from patchbay_shared.reverse_dns import names_of
from sqlalchemy import Connection, Row, text

log = get_logger("update-engine")

BATCH = 100
"""Addresses that one run looks up at most."""
RUN_SECONDS = 30.0
KEPT = timedelta(days=1)
"""For so long an answer counts."""
RETRY = timedelta(hours=1)
GIVE_UP_AFTER = 5
"""So many without an answer in a row, and the rest of the run is left out: the resolver is away."""

# Of hosts that report, and only where one alone comes from an address: behind a proxy or a translated network the
# name is that of the gateway. The row is claimed by its due_at, so that replicas never look up the same one.
_CLAIM = """
    WITH lone AS (
        SELECT peer_address FROM host
        WHERE peer_address NOT IN ('', '::1') AND peer_address NOT LIKE '127.%'
          AND last_report_at > now() - interval '24 hours'
        GROUP BY peer_address HAVING count(*) = 1
    )
    INSERT INTO reverse_name (host_id, address, state, names, due_at)
    SELECT h.id, h.peer_address, 'unknown', '{}', now() + CAST(:retry AS interval)
    FROM host h JOIN lone USING (peer_address) LEFT JOIN reverse_name r ON r.host_id = h.id
    WHERE h.last_report_at > now() - interval '24 hours'
      AND (r.host_id IS NULL OR r.due_at <= now() OR r.address <> h.peer_address)
    ORDER BY r.due_at NULLS FIRST, h.id LIMIT :batch
    ON CONFLICT (host_id) DO UPDATE SET
        address = EXCLUDED.address, due_at = EXCLUDED.due_at,
        state = CASE WHEN reverse_name.address = EXCLUDED.address THEN reverse_name.state ELSE 'unknown' END,
        names = CASE WHEN reverse_name.address = EXCLUDED.address THEN reverse_name.names ELSE '{}' END
    WHERE reverse_name.due_at <= now() OR reverse_name.address <> EXCLUDED.address
    RETURNING host_id, address
"""
_STORE = """
    UPDATE reverse_name SET state = :state, names = :names, checked_at = now(), due_at = now() + :again
    WHERE host_id = :host_id AND address = :address
"""


class ReverseNames:
    """The job; `look_up` is given an address, and returns its names or raises Unavailable."""

    def __init__(
        self,
        database: Database,
        look_up: Callable[[str], list[str]] = names_of,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._look_up = look_up
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Look up those that are due, within `BATCH` and `RUN_SECONDS`; no transaction is open meanwhile."""
        with self._database.transaction() as connection:
            due = _claim(connection)
        deadline = self._clock() + RUN_SECONDS
        found: list[dict[str, Any]] = []
        unanswered = 0
        for row in due:
            if stop.is_set() or unanswered >= GIVE_UP_AFTER or self._clock() >= deadline:
                break
            try:
                names = self._look_up(row.address)
            except Unavailable as exc:
                unanswered += 1
                log.info("reverse_name_unknown", host_id=str(row.host_id), error=str(exc))
                found.append(_answer(row, "unknown", []))
            else:
                unanswered = 0
                found.append(_answer(row, "named" if names else "none", names))
        if found:
            with self._database.transaction() as connection:
                connection.execute(text(_STORE), found)
            log.info("reverse_names_looked_up", count=len(found), left=len(due) - len(found))


def _claim(connection: Connection) -> list[Row[Any]]:
    return list(connection.execute(text(_CLAIM), {"retry": RETRY, "batch": BATCH}))


def _answer(row: Row[Any], state: str, names: list[str]) -> dict[str, Any]:
    again = RETRY if state == "unknown" else KEPT
    return {"host_id": row.host_id, "address": row.address, "state": state, "names": names, "again": again}
