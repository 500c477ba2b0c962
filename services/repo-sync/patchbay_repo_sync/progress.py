"""How far a sync has come, kept in its row of the history for whoever looks on."""

import time
from collections.abc import Callable, Iterator

import structlog
from patchbay_shared.db import Database
from patchbay_shared.errors import Unavailable

from patchbay_repo_sync.store import note_progress
from patchbay_repo_sync.swap import Records

_log = structlog.get_logger(__name__)

WRITE_EVERY_SECONDS = 1.0
_LOOK_EVERY_RECORDS = 2_000


class Progress:
    """Written at most every second, in transactions of its own, by the thread that does the work."""

    def __init__(self, database: Database, sync_id: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._sync_id = sync_id
        self._clock = clock
        self._written_at = clock()
        self._phase = "fetching"
        self._bytes = 0
        self._records = 0

    def fetched(self, transferred_bytes: int) -> None:
        """So many bytes have come so far."""
        self._bytes = transferred_bytes
        self._tick()

    def counted(self, records: Records) -> Records:
        """The same records, counted while they are stored."""
        return self._counted(records)

    def _counted(self, records: Records) -> Iterator[tuple[int, object]]:
        self._phase = "storing"
        for record in records:
            self._records += 1
            if self._records % _LOOK_EVERY_RECORDS == 0:
                self._tick()
            yield record

    def _tick(self) -> None:
        now = self._clock()
        if now - self._written_at < WRITE_EVERY_SECONDS:
            return
        self._written_at = now
        try:
            with self._database.transaction() as connection:
                note_progress(
                    connection,
                    self._sync_id,
                    phase=self._phase,
                    transferred_bytes=self._bytes,
                    read_count=self._records,
                )
        except Unavailable as exc:
            _log.warning("progress_not_written", error=str(exc))
