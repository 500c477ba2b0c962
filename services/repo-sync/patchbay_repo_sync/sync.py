"""One sync of one repository: lease it, try its mirrors in order, swap in what changed, say so.

| the mirror | its state | the repository |
|---|---|---|
| serves what is stored | ok | unchanged, same generation |
| serves something new that holds | ok | swapped in, generation + 1 if anything differs |
| does not answer, is behind, expired, unreadable | failing | next mirror; after the last: failing, backed off |
| serves what signature or checksums do not cover | untrusted | next mirror; after the last: untrusted, backed off |

Whatever goes wrong, the stored generation stays as it was.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import msgspec
import structlog
from patchbay_shared import tracing
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.errors import InvalidInput, PatchbayError, Unavailable, Untrusted
from patchbay_shared.fetching.checksum import Expected
from patchbay_shared.fetching.fetch import Fetcher, shown
from patchbay_shared.log import get_logger
from patchbay_shared.messages import REPOSITORY_CHANGED, RepositoryChanged
from patchbay_shared.metrics import count_sync
from patchbay_shared.mirror_access import AccessTable
from patchbay_shared.settings import Settings
from sqlalchemy import Connection
from sqlalchemy.exc import DataError

from patchbay_repo_sync import links, mirrorlist, sisters, store
from patchbay_repo_sync.crawl import Lagging, Visit, crawl
from patchbay_repo_sync.lease import LEASE_SECONDS, Heartbeat, new_owner
from patchbay_repo_sync.progress import Progress
from patchbay_repo_sync.reported import STANDS_IN
from patchbay_repo_sync.store import Index, Mirror, Outcome, Repository
from patchbay_repo_sync.swap import Change, LeaseLost, NewGeneration, swap

log = get_logger("repo-sync")

_MAX_SENTENCE = 1_000
_NO_MIRROR = "No host named an address that this repository could be fetched from."


@dataclass
class _Run:
    """What one sync knows and has met so far."""

    repository: Repository
    heartbeat: Heartbeat
    sync_id: int
    stored: dict[tuple[str, str], Index]
    mirrors: list[Mirror]
    entries: list[Expected] = field(default_factory=list)
    failures: list[tuple[Mirror | None, Exception]] = field(default_factory=list)
    told: list[RepositoryChanged] = field(default_factory=list)
    """Changes that are committed and not published yet."""
    progress: Progress | None = None
    began: float = field(default_factory=time.perf_counter)


class Syncer:
    """Crawls repositories, one at a time; one for each thread.

    `clock` gives the time in UTC that Valid-Until is judged by.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        bus: Bus,
        *,
        random: Random | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.owner = new_owner()
        self._settings = settings
        self._database = database
        self._bus = bus
        self._fetcher = Fetcher(settings)
        self._random = random or Random()  # noqa: S311  (spreads load, guards nothing)
        self._clock = clock

    def sync_next(self) -> bool:
        """Sync the repository that is due longest; False if none is due. Raises Unavailable (the database)."""
        with self._database.transaction() as connection:
            repository = store.lease_next(
                connection, self.owner, LEASE_SECONDS, per_host=self._settings.sync_per_host
            )
        if repository is None:
            return False
        self._fetcher.transferred_bytes = 0
        with (
            tracing.span("sync repository", carrier={}),
            structlog.contextvars.bound_contextvars(repository=repository.name, repository_id=str(repository.id)),
            Heartbeat(self._database, repository.id, self.owner) as heartbeat,
        ):
            self._sync(self._begin(repository, heartbeat))
        return True

    def _begin(self, repository: Repository, heartbeat: Heartbeat) -> _Run:
        with self._database.transaction() as connection:
            links.adopt(connection, repository.id)
            entries = store.mirror_accesses(connection)
        self._fetcher.admit(AccessTable(entries, secret_key=self._settings.secret_key))
        with self._database.transaction() as connection:
            run = _Run(
                repository,
                heartbeat,
                store.begin_sync(connection, repository.id),
                {each.key: each for each in store.indexes_of(connection, repository.id)},
                self._mirrors(connection, repository),
            )
        run.progress = Progress(self._database, run.sync_id)
        self._fetcher.on_bytes = run.progress.fetched
        return run

    def _sync(self, run: _Run) -> None:
        try:
            self._read_lists(run)
            with tempfile.TemporaryDirectory(prefix="patchbay-", dir=self._settings.sync_temp_dir or None) as folder:
                settled = next((each for each in run.mirrors if self._visited(run, each, Path(folder))), None)
                if settled is None:
                    self._record_failure(run)
                else:
                    self._look_at_sisters(run, settled, Path(folder))
        except LeaseLost as exc:
            log.warning("lease_lost", error=str(exc))
        except Unavailable:
            raise  # the database: the lease runs out, and the repository is tried again
        except Exception as exc:
            log.error("sync_failed", exc_info=exc)
            run.failures.append((None, exc))
            self._record_failure(run)

    def _read_lists(self, run: _Run) -> None:
        """Refresh the mirrors that a mirror list gives; what it gave before serves as long as it does not answer."""
        definition = run.repository.definition
        for url in mirrorlist.lists_of(definition):
            try:
                document = self._fetcher.document(url)
                found = mirrorlist.parse(
                    document.data if document else b"",
                    architecture=next(iter(definition.architectures), ""),
                    repository=run.repository.suite,
                )
            except (InvalidInput, Unavailable) as exc:
                run.failures.append((None, exc))
                log.warning("mirror_list_failed", url=shown(url), error=str(exc))
                continue
            run.entries = found.entries
            with self._database.transaction() as connection:
                own = len(mirrorlist.bases_of(definition))
                store.list_mirrors(connection, run.repository.id, found.urls, after=own)
                run.mirrors = self._mirrors(connection, run.repository)
            return

    def _visited(self, run: _Run, mirror: Mirror, folder: Path) -> bool:
        """Whether this mirror settled it; else its failure is noted and the next one's turn has come."""
        if run.heartbeat.lost.is_set():
            raise LeaseLost("Another worker has taken this repository over.")
        try:
            new = crawl(self._visit(run, mirror, folder))
        except (InvalidInput, Unavailable, Untrusted) as exc:
            self._note(run, mirror, exc)
            return False
        if new is None:
            self._record(run, mirror, _outcome("unchanged", self._kept_note(run), self._fetcher))
            return True
        try:
            self._swap(run, mirror, new)
        except (InvalidInput, Untrusted) as exc:  # found while reading what was fetched
            self._note(run, mirror, exc)
            return False
        except DataError as exc:
            self._note(run, mirror, InvalidInput(f"It holds a text that cannot be stored: {exc.orig}"))
            return False
        for each in run.told:
            self._publish(each)
        return True

    def _look_at_sisters(self, run: _Run, settled: Mirror, folder: Path) -> None:
        met = {settled.id, *(each.id for each, _ in run.failures if each is not None)}
        others = [each for each in run.mirrors if each.id not in met]
        with self._database.transaction() as connection:
            repository = msgspec.structs.replace(
                run.repository, published_at=store.published_at(connection, run.repository.id)
            )
        run.repository = repository
        looks = [sisters.look(self._visit(run, each, folder)) for each in sisters.due(others, self._clock())]
        if looks:
            with self._database.transaction() as connection:
                sisters.record(connection, repository, settled, looks)

    def _visit(self, run: _Run, mirror: Mirror, folder: Path) -> Visit:
        return Visit(
            settings=self._settings,
            fetcher=self._fetcher,
            folder=folder,
            now=self._clock(),
            repository=run.repository,
            mirror=mirror,
            stored=run.stored,
            forced=all(each.entry_sha256 is None for each in run.mirrors),
            entries=run.entries,
        )

    def _note(self, run: _Run, mirror: Mirror, exc: Exception) -> None:
        log.warning("mirror_failed", url=shown(mirror.url), error=str(exc), kind=type(exc).__name__)
        run.failures.append((mirror, exc))

    def _swap(self, run: _Run, mirror: Mirror, new: NewGeneration) -> None:
        """Everything that a successful sync writes, in one transaction."""
        with self._database.transaction() as connection:
            counted = run.progress.counted if run.progress else lambda records: records
            change = swap(connection, run.repository, mirror, run.stored, new, owner=self.owner, counted=counted)
            if change.changed:
                run.told.append(RepositoryChanged(run.repository.id, change.generation, change.names))
            for follower, copied in links.copy_to_followers(connection, run.repository.id):
                run.told.append(RepositoryChanged(follower, copied.generation, copied.names))
            outcome = _outcome("changed" if change.changed else "unchanged", new.note, self._fetcher, change)
            self._finish(connection, run, mirror, outcome)
        if change.changed:
            log.info(
                "repository_changed",
                generation=change.generation,
                added=change.added_count,
                removed=change.removed_count,
                transferred_bytes=self._fetcher.transferred_bytes,
            )

    def _record(self, run: _Run, mirror: Mirror | None, outcome: Outcome) -> None:
        with self._database.transaction() as connection:
            self._finish(connection, run, mirror, outcome)

    def _record_failure(self, run: _Run) -> None:
        state, message = _failure(run.failures)
        if state == "failing" and run.repository.reported:
            state, message = "reported", message + STANDS_IN
        log.warning("repository_failed", state=state, message=message)
        self._record(run, None, Outcome("failed", state, message, self._fetcher.transferred_bytes))

    def _finish(self, connection: Connection, run: _Run, mirror: Mirror | None, outcome: Outcome) -> None:
        """Give the lease back, and record what each mirror came to. Raises LeaseLost."""
        wait = self._wait_seconds(run.repository, failed=outcome.result == "failed")
        if not store.finish_sync(
            connection, run.repository.id, self.owner, run.sync_id, outcome, next_in_seconds=wait
        ):
            raise LeaseLost("Another worker has taken this repository over.")
        for failed, exc in run.failures:
            if failed is not None:
                state = "lagging" if isinstance(exc, Lagging) else _state(exc)
                store.mark_mirror(connection, failed.id, state=state, message=_sentence(exc))
        if mirror is not None:
            at = store.published_at(connection, run.repository.id)
            store.mark_mirror(connection, mirror.id, state="ok", message=outcome.message, published_at=at)
        count_sync(outcome.result, outcome.state, outcome.transferred_bytes, time.perf_counter() - run.began)

    def _mirrors(self, connection: Connection, repository: Repository) -> list[Mirror]:
        return store.mirrors_of(connection, repository.id, retry_seconds=self._settings.sync_interval_seconds)

    def _wait_seconds(self, repository: Repository, *, failed: bool) -> float:
        """Until the next sync: the interval, or after failures a doubling part of it; spread, so that a thousand
        repositories that became due together do not stay together."""
        interval = float(self._settings.sync_interval_seconds)
        if failed:
            doubled = self._settings.sync_retry_seconds * 2.0 ** min(repository.failure_count, 30)
            interval = min(doubled, interval)
        return interval * self._random.uniform(0.85, 1.15)

    def _kept_note(self, run: _Run) -> str:
        """What was noted when the stored generation was swapped in."""
        if run.repository.state == "ok":
            return run.repository.message
        return "" if run.repository.verified_by else "Its signature could not be checked: not verified."

    def _publish(self, body: RepositoryChanged) -> None:
        try:
            self._bus.publish(REPOSITORY_CHANGED, msgspec.json.encode(body))
        except Unavailable as exc:
            # The generation is committed; the engine's sweep compares generations and finds it.
            log.warning("change_not_published", error=str(exc))


def _outcome(result: str, note: str, fetcher: Fetcher, change: Change | None = None) -> Outcome:
    return Outcome(
        result,
        "ok",
        note,
        fetcher.transferred_bytes,
        change.added_count if change else 0,
        change.removed_count if change else 0,
    )


def _failure(failures: list[tuple[Mirror | None, Exception]]) -> tuple[str, str]:
    """State and sentence of a repository none of whose mirrors could be used."""
    if not failures:
        return "failing", _NO_MIRROR
    told = next((exc for _, exc in failures if isinstance(exc, Untrusted)), failures[0][1])
    others = len(failures) - 1
    more = f" ({others} more {'address' if others == 1 else 'addresses'} failed too.)" if others else ""
    return _state(told), _sentence(told) + more


def _state(exc: Exception) -> str:
    return "untrusted" if isinstance(exc, Untrusted) else "failing"


def _sentence(exc: Exception) -> str:
    """For people. Parsers' messages begin small and have no full stop."""
    if not isinstance(exc, PatchbayError):
        return f"Patchbay could not read it ({type(exc).__name__}: {str(exc)[:200]}); its log says where."
    text = "".join(char if char.isprintable() else " " for char in str(exc))[:_MAX_SENTENCE].strip()
    first = text.split(" ", 1)[0]
    if first.isalpha():  # a word, not a URL or a path
        text = first.capitalize() + text[len(first) :] if first.islower() else text
    return text + ("" if text.endswith((".", "!", ")")) else ".")
