"""One crawl of one feed: fetch conditionally, read, store in one transaction, say which packages changed."""

import os
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec
import psycopg
from patchbay_shared import tracing
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.errors import InvalidInput, PatchbayError
from patchbay_shared.fetching.compression import open_decompressed
from patchbay_shared.fetching.fetch import Document, Fetcher, NotFound, Seen
from patchbay_shared.log import get_logger
from patchbay_shared.messages import ADVISORIES_CHANGED, AdvisoriesChanged, AdvisoryChange
from patchbay_shared.settings import Settings
from sqlalchemy import Connection

from patchbay_errata import sources_table, store
from patchbay_errata.advisory import Record, Rejected, moment
from patchbay_errata.feeds import Feed, wanted_feeds
from patchbay_errata.lifecycle import repository_table, small_table
from patchbay_errata.sources import rocky
from patchbay_errata.sources_table import SourceRow

log = get_logger("errata")

_PAGE_SIZE = 100
_MAX_PAGES = 2_000
_DOCUMENTS = 250
"""Fetched in one crawl of a list, with those of the same second as the last."""
_BETWEEN_BATCHES_SECONDS = 5.0
_STORES: dict[str, Callable[[Connection, str, Iterator[Any]], store.Outcome]] = {
    "advisories": store.store_advisories,
    "cves": store.store_cves,
    "known-exploited": lambda connection, _, records: store.store_known_exploited(connection, records),
    "exploit-scores": lambda connection, _, records: store.store_exploit_scores(connection, records),
    "lifecycles": lambda connection, _, records: store.store_lifecycles(connection, records),
}
_ADDING: dict[str, Callable[[Connection, str, Iterator[Any]], store.Outcome]] = {
    "advisories": lambda connection, name, records: store.store_advisories(connection, name, records, whole=False),
    "cves": lambda connection, name, records: store.store_cves(connection, name, records, whole=False),
}
"""For feeds of which not everything is at hand: nothing is removed."""


class _Fetched(msgspec.Struct):
    """A feed in files of a temporary folder, in their order."""

    paths: list[Path]
    sha256: bytes
    etag: str | None
    last_modified: str | None
    incomplete: str = ""
    """What is missing, for people; nothing is removed then."""
    cursor: str = ""
    """Of a list of documents: up to where they are here."""
    waiting_count: int = 0
    """Documents that the next crawls are for."""
    gone: list[tuple[str, str]] = []
    """Documents that could not be fetched, and why."""
    listed: frozenset[str] = frozenset()
    """Of a list of everything that there is: its paths. What is no longer among them was withdrawn."""


class Crawler:
    """Crawls for one thread."""

    def __init__(self, settings: Settings, database: Database, bus: Bus, *, today: date | None = None) -> None:
        self._settings = settings
        self._database = database
        self._bus = bus
        self._feeds = wanted_feeds(settings, (today or datetime.now(UTC).date()).year)
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._registered = False

    def register(self) -> None:
        """Make the feeds known as the settings have them, and store the small table of lifecycles."""
        with self._database.transaction() as connection:
            sources_table.register(connection, self._feeds)
            store.store_lifecycles(connection, [*small_table(), *repository_table()])
        self._registered = True

    def crawl_next(self) -> bool:
        """Crawl the feed that is due the longest; whether there was one."""
        if not self._registered:
            self.register()
        with self._database.transaction() as connection:
            row = sources_table.claim_due(connection, self._owner)
        if row is None:
            return False
        feed, _ = self._feeds[row.name]
        with tracing.span("crawl feed", carrier={}, feed=feed.name):
            try:
                self._crawl(feed, row)
            except PatchbayError as exc:
                log.warning("feed_failed", feed=feed.name, error=str(exc))
                with self._database.transaction() as connection:
                    sources_table.finish_failed(connection, row, self._owner, str(exc), longest=feed.every_seconds)
        return True

    def _crawl(self, feed: Feed, row: SourceRow) -> None:
        after = timedelta(seconds=feed.every_seconds)
        with (
            tempfile.TemporaryDirectory(prefix="patchbay-feed-", dir=self._settings.sync_temp_dir or None) as folder,
            closing(Fetcher(self._settings)) as fetcher,
        ):
            fetch = self._fetch_pages if feed.paged else self._fetch_listed if feed.listed else self._fetch
            fetched = fetch(fetcher, feed, row, Path(folder))
            if fetched is None or not (fetched.paths or fetched.gone or fetched.listed):
                with self._database.transaction() as connection:
                    sources_table.finish_unchanged(
                        connection,
                        row.name,
                        self._owner,
                        etag=fetched.etag if fetched else None,
                        last_modified=fetched.last_modified if fetched else None,
                        after=after,
                    )
                return
            try:
                outcome = self._store(feed, fetched, after)
            except psycopg.DataError as exc:
                raise InvalidInput(f"{feed.name} holds what the database cannot: {exc}") from exc
        if outcome is not None and outcome.touched:
            self._bus.publish(ADVISORIES_CHANGED, msgspec.json.encode(_message(feed.name, outcome)))

    def _fetch(self, fetcher: Fetcher, feed: Feed, row: SourceRow, folder: Path) -> _Fetched | None:
        """The feed, without paths if its bytes are those that are stored; None if the server says so itself."""
        seen = Seen(row.etag, row.last_modified) if row.current else None
        file = fetcher.file(feed.url, folder, seen=seen)
        if file is None:
            return None
        digest = bytes.fromhex(file.value)
        same = row.current and digest == row.sha256
        return _Fetched([] if same else [file.path], digest, file.etag, file.last_modified)

    def _fetch_pages(self, fetcher: Fetcher, feed: Feed, row: SourceRow, folder: Path) -> _Fetched | None:
        """Every page; the first says when the list last changed, so that an unchanged one costs one request."""
        seen = Seen(row.etag, row.last_modified) if row.current else None
        document = self._page(fetcher, feed, 1, seen)
        if document is None:
            return None
        fetched = _Fetched([], document.sha256, document.etag, document.last_modified)
        if row.current and document.sha256 == row.sha256:
            return fetched
        first = rocky.page(document.data)
        last = min(-(-first.total // max(first.size, 1)), _MAX_PAGES)
        before = b""
        number = 1
        while True:
            if document.data == before:
                fetched.incomplete = f"page {number} of {last} repeats the one before"
                return fetched
            path = folder / f"page-{number}"
            path.write_bytes(document.data)
            fetched.paths.append(path)
            if number >= last:
                return fetched
            before = document.data
            number += 1
            following = self._page(fetcher, feed, number, None)
            if following is None:
                raise InvalidInput(f"{feed.url} answered page {number} with “not modified”.")
            document = following

    def _page(self, fetcher: Fetcher, feed: Feed, number: int, seen: Seen | None) -> Document | None:
        return fetcher.document(f"{feed.url}?page={number}&size={_PAGE_SIZE}", seen=seen)

    def _fetch_listed(self, fetcher: Fetcher, feed: Feed, row: SourceRow, folder: Path) -> _Fetched | None:
        """The documents that changed since the last crawl, the longest changed first, at most a batch of them."""
        assert feed.listed is not None  # noqa: S101  (for mypy: the caller has asked)
        seen = Seen(row.etag, row.last_modified) if row.current else None
        listing = fetcher.document(feed.url, seen=seen)
        if listing is None:
            return None
        cursor = row.cursor if row.parser_version == sources_table.PARSER_VERSION else ""
        fetched = _Fetched([], listing.sha256, listing.etag, listing.last_modified, cursor=cursor)
        if row.current and listing.sha256 == row.sha256:
            return fetched
        now = datetime.now(UTC)
        since = moment(cursor) if cursor else None
        if since is not None and since > now:
            since = None
        entries = feed.listed(listing.data)
        if feed.path_of is not None:
            fetched.listed = frozenset(path for path, _ in entries)
        # A date ahead of our clock must not carry the cursor past what is published until then.
        due = sorted((min(at, now), path) for path, at in entries if since is None or at > since)
        batch = [each for n, each in enumerate(due) if n < _DOCUMENTS or each[0] == due[_DOCUMENTS - 1][0]]
        base = feed.url.rpartition("/")[0]
        for number, (at, path) in enumerate(batch):
            target = folder / f"document-{number}"
            try:
                document = fetcher.document(f"{base}/{quote(path)}", seen=None)
                target.write_bytes(document.data if document is not None else b"")
                fetched.paths.append(target)
            except (NotFound, InvalidInput) as exc:
                fetched.gone.append((path, str(exc)))
            fetched.cursor = at.isoformat()
        fetched.waiting_count = len(due) - len(batch)
        if fetched.waiting_count:
            fetched.etag = fetched.last_modified = None
            fetched.sha256 = b""
        return fetched

    def _store(self, feed: Feed, fetched: _Fetched, after: timedelta) -> store.Outcome | None:
        rejected = Rejected()
        records = self._records(feed, fetched, rejected)
        with self._database.transaction() as connection:
            if not sources_table.still_leased(connection, feed.name, self._owner):
                log.warning("feed_lease_lost", feed=feed.name)
                return None
            if fetched.incomplete or feed.listed:
                outcome = _ADDING[feed.kind](connection, feed.name, records)
            else:
                outcome = _STORES[feed.kind](connection, feed.name, records)
            if feed.path_of is not None:
                store.withdraw_unlisted(connection, feed.name, feed.path_of, fetched.listed, outcome)
            if rejected.count and not outcome.record_count:
                raise InvalidInput(f"No record of {feed.name} can be read; the first: {rejected.samples[0][1]}")
            sources_table.finish_stored(
                connection,
                feed.name,
                etag=fetched.etag,
                last_modified=fetched.last_modified,
                sha256=fetched.sha256,
                outcome=outcome,
                rejected=rejected,
                message=_explanation(fetched, outcome, rejected),
                after=timedelta(seconds=_BETWEEN_BATCHES_SECONDS) if fetched.waiting_count else after,
                cursor=fetched.cursor,
            )
        log.info(
            "feed_stored",
            feed=feed.name,
            records=outcome.record_count,
            changed=outcome.added_count + outcome.changed_count,
            removed=outcome.removed_count,
            rejected=rejected.count,
        )
        return outcome

    def _records(self, feed: Feed, fetched: _Fetched, rejected: Rejected) -> Iterator[Record]:
        for place, reason in fetched.gone:
            rejected.add(place, reason)
        for path in fetched.paths:
            try:
                with closing(self._open(feed, path)) as stream:
                    yield from feed.read(stream, rejected)
            except InvalidInput as exc:
                if not feed.listed:
                    raise
                rejected.add(path.name, str(exc))
            path.unlink()

    def _open(self, feed: Feed, path: Path) -> BinaryIO:
        return open_decompressed(path, name=feed.name, limit_bytes=self._settings.errata_max_expanded_bytes)


def _explanation(fetched: _Fetched, outcome: store.Outcome, rejected: Rejected) -> str:
    parts = []
    if fetched.waiting_count:
        parts.append(f"{fetched.waiting_count} more documents are to be fetched.")
    if fetched.incomplete:
        parts.append(f"The list is not whole: {fetched.incomplete}.")
    if outcome.kept_count:
        parts.append(
            f"{outcome.kept_count} records are gone from the feed at once; they are kept until it has them again"
            " or fewer are missing."
        )
    if rejected.count:
        parts.append(f"{rejected.count} records cannot be read; the first: {rejected.samples[0][1]}.")
    return " ".join(parts)


def _message(source: str, outcome: store.Outcome) -> AdvisoriesChanged:
    return AdvisoriesChanged(
        source=source,
        changes=[
            AdvisoryChange(ecosystem, distro_release, outcome.generations[ecosystem, distro_release], sorted(names))
            for (ecosystem, distro_release), names in sorted(outcome.touched.items())
        ],
    )
