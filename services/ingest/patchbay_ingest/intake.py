"""What becomes of a decoded report: queued with its receipt; and of a refused one: a note for its host."""

import hashlib
import time
from queue import Full, Queue
from threading import Lock, Thread
from typing import NamedTuple
from uuid import UUID

import msgspec
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.errors import Unavailable
from patchbay_shared.log import get_logger
from patchbay_shared.messages import REPORT_RECEIVED, REPORT_REFUSED, ReportReceived, ReportRefused
from patchbay_shared.metrics import REPORT_BYTES, REPORTS_ACCEPTED
from patchbay_shared.receipts import new_receipt_id
from patchbay_shared.report import Report
from patchbay_shared.report_body import body_of

from patchbay_ingest import store
from patchbay_ingest.identity import Caller
from patchbay_ingest.peer import canonical

log = get_logger("ingest")

REFUSALS_WAITING = 1_000
REFUSAL_PAUSE_SECONDS = 5.0
REASON_MAX_CHARACTERS = 2_000
_EARLIEST, _LATEST = 0, 253_402_300_799
"""Unix seconds of the years that have a calendar: 1970 to 9999."""
_NO_TIME = "Its collected_at is no time (Unix seconds) and was passed over."


class SectionsLacking(Exception):
    """A report leaves out sections that are not stored here as it says (409)."""

    def __init__(self, lacking: list[str], why: str) -> None:
        super().__init__(f"The report leaves out {', '.join(lacking)}, {why}; send the whole report.")
        self.lacking = lacking


class Content(NamedTuple):
    """A report that may be queued."""

    body: bytes
    """See patchbay_shared.report_body."""
    digest: bytes
    """SHA-256 over everything that can change a fact or a verdict, and no times."""
    collected_at: float | None
    sections: dict[str, str] = {}  # noqa: RUF012  (never changed)
    """As in ReportReceived."""
    left_out: list[str] = []  # noqa: RUF012


def require_stored(database: Database, host_id: UUID, content: Content) -> None:
    """Raises SectionsLacking unless everything that a report leaves out is stored.

    Without PostgreSQL nobody can tell, and the whole report is asked for: it can be accepted without it. So an
    accepted report has everything, unless the host sends others at the same moment; update-engine looks again.
    """
    if not content.left_out:
        return
    try:
        with database.transaction() as connection:
            stored = store.section_digests(connection, host_id)
    except Unavailable:
        raise SectionsLacking(content.left_out, "and the database does not answer now") from None
    if lacking := [name for name in content.left_out if stored.get(name) != content.sections[name]]:
        raise SectionsLacking(lacking, "but what is stored of this host is not what it names")


def accept(bus: Bus, caller: Caller, content: Content, *, peer: str, size_bytes: int, note: str = "") -> UUID:
    """Queue a report that came from `peer`; it is durable when this returns.

    The id of its receipt. Raises Unavailable.
    """
    digest = hashlib.sha256(content.digest + "\n".join(caller.tags).encode()) if caller.tags else None
    collected_at = content.collected_at
    if collected_at is not None and not _EARLIEST <= collected_at <= _LATEST:
        note = f"{note} {_NO_TIME}".strip()
        collected_at = None
    header = ReportReceived(
        receipt_id=new_receipt_id(),
        host_id=caller.host_id,
        received_at=time.time(),
        content_digest=(digest.digest() if digest else content.digest).hex(),
        size_bytes=size_bytes,
        collected_at=collected_at,
        note=note[:REASON_MAX_CHARACTERS],
        tags=caller.tags,
        sections=content.sections,
        left_out=content.left_out,
        peer=canonical(peer),
    )
    bus.publish(REPORT_RECEIVED, content.body, {"report": msgspec.json.encode(header).decode()}, wait=True)
    REPORTS_ACCEPTED.inc()
    REPORT_BYTES.observe(size_bytes)
    log.info("report_accepted", host_id=str(caller.host_id), receipt_id=str(header.receipt_id), bytes=size_bytes)
    return header.receipt_id


def content_of(report: Report) -> Content:
    """The content of a report that came in another wire form than Patchbay's own."""
    timeless = msgspec.structs.replace(report, collected_at=None, collect_seconds=None, digests={})
    digest = hashlib.sha256(msgspec.msgpack.encode(timeless)).digest()
    return Content(body_of(report), digest, report.collected_at)


class Refusals:
    """Tells the engine of refused reports, beside the answering of requests and never in its way.

    What cannot be told for long, or when too many wait, is only logged.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: Queue[ReportRefused] = Queue(REFUSALS_WAITING)
        self._thread: Thread | None = None
        self._lock = Lock()

    def tell(self, host_id: UUID, *, reason: str, size_bytes: int) -> UUID:
        """Leave a receipt with the reason; returns its id at once."""
        text = reason.replace("\x00", "\ufffd")[:REASON_MAX_CHARACTERS]
        refused = ReportRefused(new_receipt_id(), host_id, time.time(), size_bytes, text)
        log.warning("report_refused", host_id=str(host_id), receipt_id=str(refused.receipt_id), reason=text)
        try:
            self._waiting.put_nowait(refused)
        except Full:
            log.error("refusal_not_told", receipt_id=str(refused.receipt_id))
        with self._lock:
            if self._thread is None:  # made here and not in __init__, which runs before a server forks
                self._thread = Thread(target=self._work, name="refusals", daemon=True)
                self._thread.start()
        return refused.receipt_id

    def wait(self) -> None:
        """Return when everything has been told."""
        self._waiting.join()

    def _work(self) -> None:
        while True:
            refused = self._waiting.get()
            try:
                self._publish(msgspec.json.encode(refused))
            except Exception as exc:
                log.error("refusal_not_told", receipt_id=str(refused.receipt_id), exc_info=exc)
            finally:
                self._waiting.task_done()

    def _publish(self, body: bytes) -> None:
        deadline = time.monotonic() + 600
        while True:
            try:
                self._bus.publish(REPORT_REFUSED, body)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(REFUSAL_PAUSE_SECONDS)
            else:
                return
