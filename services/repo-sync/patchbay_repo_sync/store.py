"""SQL of repositories, their mirrors, indexes and leases. Times are the database's clock.

A lease is (`lease_owner`, `leased_until`): whoever holds it may crawl the repository. It is extended while the crawl
runs, so a repository whose worker died is taken over when the lease runs out.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import structlog
from patchbay_shared.catalogue import ReleaseInfo
from patchbay_shared.report import ReportRepository
from patchbay_shared.repositories import TYPES, location, suite
from patchbay_shared.tables import mirror, repository, repository_index
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from patchbay_repo_sync.mirrorlist import bases_of

_log = structlog.get_logger(__name__)

UNUSED_PATIENCE = 24
"""How many times longer a repository waits that no host uses any more; it costs little and may be wanted again."""
_USED = """EXISTS (
    SELECT FROM repository_set s JOIN host h ON h.repository_set_id = s.id
    WHERE s.repository_ids && ARRAY(
        SELECT m.id FROM repository m WHERE m.id = repository.id OR m.linked_to = repository.id)
)"""
_UNCHECKED = """f.definition @> '{"trusted": true}' OR f.definition @> '{"gpgcheck": false}'"""
_UNEXPIRING = """f.definition @> '{"check_valid_until": false}'"""
LINKED_RANK = 1_000
"""Mirrors that came with a link rank from here; a repository's own are far fewer."""
CRAWLED_TYPES = ("deb", "rpm-md", "susetags", "pacman", "gentoo")


class Repository(msgspec.Struct, frozen=True):
    """A leased repository."""

    id: UUID
    type: str
    name: str
    url: str
    suite: str
    security: bool | None
    generation: int
    release: ReleaseInfo | None
    verified_by: str
    failure_count: int
    state: str
    message: str
    definition: ReportRepository
    """Of the first host that named it."""
    published_at: datetime | None = None
    """What the stored generation's entry document says of its own age."""
    reported: bool = False
    """What is stored was not crawled: it is what hosts report as available."""
    unchecked: bool = False
    """Some host reads it without checking signatures (trusted=yes, gpgcheck=0)."""
    unchecked_by_all: bool = False
    """Every host that names it does."""
    unexpiring: bool = False
    """Every host that names it takes what is past its Valid-Until (check-valid-until=no)."""


class Mirror(msgspec.Struct, frozen=True):
    """A URL that serves a repository, and the entry document last taken from it."""

    id: int
    url: str
    etag: str | None
    last_modified: str | None
    entry_sha256: bytes | None
    failure_count: int
    checked_at: datetime | None = None


class Index(msgspec.Struct, frozen=True):
    """One index of a repository as it is stored."""

    id: int
    component: str
    architecture: str
    checksum: str
    present: bool
    crawled: bool
    """Whether it was ever looked for; False right after a host named it."""

    @property
    def key(self) -> tuple[str, str]:
        return (self.component, self.architecture)


class Outcome(msgspec.Struct, frozen=True):
    """How a sync ended, for the repository's row and its history."""

    result: str
    """changed, unchanged or failed."""
    state: str
    message: str
    transferred_bytes: int = 0
    added_count: int = 0
    removed_count: int = 0


def learn(connection: Connection, ids: Iterable[UUID] | None = None) -> list[UUID]:
    """Make repository, mirrors and indexes of what hosts reference and nobody knows yet; None looks at all.

    Gives the repositories that got something new to crawl; they are due at once.
    """
    rows = connection.execute(
        text("""
            SELECT f.repository_id, f.component, f.architecture, f.definition::text
            FROM repository_reference f
            LEFT JOIN repository_index i USING (repository_id, component, architecture)
            WHERE i.id IS NULL AND (:everything OR f.repository_id = ANY(CAST(:ids AS uuid[])))
            ORDER BY f.repository_id, f.component, f.architecture
        """),
        {"everything": ids is None, "ids": list(ids or [])},
    ).all()
    definitions: dict[UUID, ReportRepository] = {}
    keys: list[tuple[UUID, str, str]] = []
    for repository_id, component, architecture, document in rows:
        try:
            definition = msgspec.json.decode(document, type=ReportRepository)
        except msgspec.ValidationError as exc:
            _log.error("reference_unreadable", repository_id=str(repository_id), error=str(exc))
            continue
        definitions.setdefault(repository_id, definition)
        keys.append((repository_id, component, architecture))
    if not keys:
        return []
    connection.execute(
        insert(repository).on_conflict_do_nothing(),
        [_repository_row(each, definition) for each, definition in definitions.items()],
    )
    if mirrors := [row for each, definition in definitions.items() for row in _mirror_rows(each, definition)]:
        connection.execute(insert(mirror).on_conflict_do_nothing(), mirrors)
    connection.execute(
        insert(repository_index).on_conflict_do_nothing(),
        [{"repository_id": each, "component": c, "architecture": a} for each, c, a in keys],
    )
    request_sync(connection, definitions, force=False)
    return sorted(definitions)


def _repository_row(repository_id: UUID, definition: ReportRepository) -> dict[str, object]:
    kind = TYPES.get(definition.type, definition.type)
    crawled = kind in CRAWLED_TYPES
    return {
        "id": repository_id,
        "type": kind,
        "name": definition.name or definition.id,
        "url": location(definition),
        "suite": suite(definition),
        "security": definition.security,
        "enabled": crawled,
        "message": "" if crawled else f"Repositories of type {kind} are not crawled.",
    }


def _mirror_rows(repository_id: UUID, definition: ReportRepository) -> list[dict[str, object]]:
    return [
        {"repository_id": repository_id, "url": url, "rank": rank} for rank, url in enumerate(bases_of(definition))
    ]


def request_sync(connection: Connection, ids: Iterable[UUID], *, force: bool) -> int:
    """Make repositories due now; `force` also forgets what is known of them, so that everything is fetched anew.

    Rows are taken in the order in which a swap takes them (index, repository, mirror): no deadlock with one.
    """
    wanted = {"ids": sorted(ids)}
    if force:
        leaders = connection.scalars(
            text("SELECT DISTINCT coalesce(linked_to, id) FROM repository WHERE id = ANY(CAST(:ids AS uuid[]))"),
            wanted,
        )
        wanted = {"ids": sorted(leaders)}
        connection.execute(
            text("UPDATE repository_index SET checksum = '' WHERE repository_id = ANY(CAST(:ids AS uuid[]))"), wanted
        )
    due = connection.execute(
        text("""
            UPDATE repository SET next_sync_at = now() WHERE id IN (
                SELECT coalesce(linked_to, id) FROM repository WHERE id = ANY(CAST(:ids AS uuid[])))
        """),
        wanted,
    ).rowcount
    if force:
        connection.execute(
            text("""
                UPDATE mirror SET etag = NULL, last_modified = NULL, entry_sha256 = NULL
                WHERE repository_id = ANY(CAST(:ids AS uuid[]))
            """),
            wanted,
        )
    return due


def wake_used(connection: Connection, *, interval_seconds: float) -> int:
    """Make those due that wait long because no host used them, where one does now."""
    return connection.execute(
        text(f"""
            UPDATE repository SET next_sync_at = now()
            WHERE enabled AND next_sync_at > now() + make_interval(secs => 2 * :interval) AND {_USED}
        """),
        {"interval": interval_seconds},
    ).rowcount


_HOST = "substring(lower({}.url) FROM '^[a-z]+://(?:[^/@]*@)?([^/?#]+)')"
"""SQL: host and port of a repository's URL."""


def lease_next(connection: Connection, owner: str, seconds: float, *, per_host: int = 0) -> Repository | None:
    """Lease the repository that is due longest and that nobody holds; None if there is none.

    Those of a host of which `per_host` are being crawled wait; 0 is no limit. (Processes that ask in the same instant
    do not see each other's, and may exceed it once.)
    """
    which = "next_sync_at <= now()"
    if per_host:
        which += f"""
            AND (SELECT count(*) FROM repository busy
                 WHERE busy.leased_until > now() AND {_HOST.format("busy")} = {_HOST.format("repository")}
                ) < :per_host"""
    return lease(connection, owner, seconds, which=which, values={"per_host": per_host})


def lease(
    connection: Connection, owner: str, seconds: float, *, which: str, values: Mapping[str, object] | None = None
) -> Repository | None:
    """Lease the repository that is due longest of those for which the SQL condition `which` holds.

    Only of those that may be crawled and that nobody holds; None if there is none.
    """
    row = connection.execute(
        text(f"""
            UPDATE repository SET lease_owner = :owner, leased_until = now() + make_interval(secs => :seconds)
            WHERE id = (
                SELECT id FROM repository
                WHERE enabled AND linked_to IS NULL AND {which}
                    AND (leased_until IS NULL OR leased_until < now())
                ORDER BY next_sync_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
            )
            RETURNING id, type, name, url, suite, security, generation, release::text AS release, verified_by,
                failure_count, state, message, published_at, reported_at IS NOT NULL AS reported,
                {_said("bool_or", "unchecked_ids", _UNCHECKED)} AS unchecked,
                {_said("bool_and", "unchecked_ids", _UNCHECKED)} AS unchecked_by_all,
                {_said("bool_and", "unexpiring_ids", _UNEXPIRING)} AS unexpiring,
                (SELECT f.definition::text FROM repository_reference f WHERE f.repository_id = repository.id
                 ORDER BY f.first_seen_at, f.component, f.architecture LIMIT 1) AS definition
        """),
        {"owner": owner, "seconds": seconds, **(values or {})},
    ).one_or_none()
    if row is None:
        return None
    return Repository(
        id=row.id,
        type=row.type,
        name=row.name,
        url=row.url,
        suite=row.suite,
        security=row.security,
        generation=row.generation,
        release=msgspec.json.decode(row.release, type=ReleaseInfo) if row.release else None,
        verified_by=row.verified_by,
        failure_count=row.failure_count,
        state=row.state,
        message=row.message,
        published_at=row.published_at,
        reported=row.reported,
        unchecked=bool(row.unchecked),
        unchecked_by_all=bool(row.unchecked_by_all),
        unexpiring=bool(row.unexpiring),
        definition=msgspec.json.decode(row.definition, type=ReportRepository)
        if row.definition  # no host names it any more
        else ReportRepository(id=row.suite or row.name, type=row.type, urls=[row.url], suite=row.suite),
    )


def _said(together: str, column: str, named: str) -> str:
    """SQL of what the hosts that use a repository (or one linked to it) now say of it, by bool_and or bool_or.

    Where none uses it, what those said that named it first.
    """
    return f"""coalesce(
        (SELECT CASE WHEN count(*) FILTER (WHERE s.{column} IS NULL) = 0
                THEN {together}(used.id = ANY(s.{column})) END
         FROM (SELECT array_agg(m.id) AS ids FROM repository m
               WHERE m.id = repository.id OR m.linked_to = repository.id) own
         JOIN repository_set s ON s.repository_ids && own.ids
         CROSS JOIN LATERAL unnest(s.repository_ids) AS used (id)
         WHERE used.id = ANY(own.ids) AND EXISTS (SELECT FROM host h WHERE h.repository_set_id = s.id)),
        (SELECT {together}({named}) FROM repository_reference f WHERE f.repository_id = repository.id))"""


def extend_lease(connection: Connection, repository_id: UUID, owner: str, seconds: float) -> bool:
    """Whether the lease is still this owner's; then it runs for `seconds` from now."""
    changed = connection.execute(
        text("""
            UPDATE repository SET leased_until = now() + make_interval(secs => :seconds)
            WHERE id = :id AND lease_owner = :owner
        """),
        {"id": repository_id, "owner": owner, "seconds": seconds},
    )
    return changed.rowcount == 1


def begin_sync(connection: Connection, repository_id: UUID) -> int:
    """Open an entry of the sync history, and close those that a dead worker left open."""
    connection.execute(
        text("""
            UPDATE repository_sync SET result = 'failed', finished_at = now(),
                message = 'The worker ended before the sync did.'
            WHERE repository_id = :id AND finished_at IS NULL
        """),
        {"id": repository_id},
    )
    number = connection.scalar(
        text("INSERT INTO repository_sync (repository_id, started_at) VALUES (:id, now()) RETURNING id"),
        {"id": repository_id},
    )
    return int(number or 0)


def finish_sync(
    connection: Connection, repository_id: UUID, owner: str, sync_id: int, outcome: Outcome, *, next_in_seconds: float
) -> bool:
    """Record how it ended and give the lease back; False (and nothing written) if the lease was lost."""
    failed = outcome.result == "failed"
    changed = connection.execute(
        text(f"""
            UPDATE repository SET state = :state, message = :message, checked_at = clock_timestamp(),
                failure_count = CASE WHEN :failed THEN failure_count + 1 ELSE 0 END,
                lease_owner = NULL, leased_until = NULL,
                -- asked for again while it ran: stay due
                next_sync_at = CASE WHEN next_sync_at > (SELECT started_at FROM repository_sync WHERE id = :sync)
                    THEN next_sync_at ELSE clock_timestamp() + make_interval(
                        secs => :wait * CASE WHEN :failed OR {_USED} THEN 1 ELSE {UNUSED_PATIENCE} END) END
            WHERE id = :id AND lease_owner = :owner
        """),
        {
            "state": outcome.state,
            "message": outcome.message,
            "failed": failed,
            "sync": sync_id,
            "wait": next_in_seconds,
            "id": repository_id,
            "owner": owner,
        },
    )
    if changed.rowcount != 1:
        return False
    connection.execute(
        text("""
            UPDATE repository SET state = :state, message = :message, checked_at = clock_timestamp(),
                failure_count = CASE WHEN :failed THEN failure_count + 1 ELSE 0 END
            WHERE linked_to = :id
        """),
        {"state": outcome.state, "message": outcome.message, "failed": failed, "id": repository_id},
    )
    connection.execute(
        text("""
            UPDATE repository_sync SET finished_at = clock_timestamp(), result = :result, message = :message,
                phase = '',
                transferred_bytes = :transferred, added_count = :added, removed_count = :removed
            WHERE id = :sync
        """),
        {
            "result": outcome.result,
            "message": outcome.message,
            "transferred": outcome.transferred_bytes,
            "added": outcome.added_count,
            "removed": outcome.removed_count,
            "sync": sync_id,
        },
    )
    return True


def published_at(connection: Connection, repository_id: UUID) -> datetime | None:
    """What the stored entry document of a repository says of its own age."""
    found: datetime | None = connection.scalar(
        text("SELECT published_at FROM repository WHERE id = :id"), {"id": repository_id}
    )
    return found


def prune_syncs(connection: Connection, *, keep_days: int) -> int:
    """Delete the history of syncs that ended more than `keep_days` ago."""
    return connection.execute(
        text("DELETE FROM repository_sync WHERE finished_at < now() - make_interval(days => :days)"),
        {"days": keep_days},
    ).rowcount


def mirrors_of(connection: Connection, repository_id: UUID, *, retry_seconds: float) -> list[Mirror]:
    """A repository's mirrors in the order to try them: one that failed comes last until its pause has passed.

    The pause is `retry_seconds`, doubled with each failure in a row, a day at most.
    """
    rows = connection.execute(
        text("""
            SELECT id, url, etag, last_modified, entry_sha256, failure_count, checked_at FROM mirror
            WHERE repository_id = :id
            ORDER BY failure_count > 0 AND checked_at + make_interval(
                secs => least(86400, :retry * power(2, least(failure_count, 20)))) > now(), rank, id
        """),
        {"id": repository_id, "retry": retry_seconds},
    )
    return [Mirror(**row) for row in rows.mappings()]


def list_mirrors(connection: Connection, repository_id: UUID, urls: Sequence[str], *, after: int) -> None:
    """Make a repository's mirrors those of its mirror list (each once), after its own `after` configured URLs."""
    connection.execute(
        text("""
            DELETE FROM mirror WHERE repository_id = :id AND rank >= :after AND rank < :linked
                AND url <> ALL(CAST(:urls AS text[]))
        """),
        {"id": repository_id, "after": after, "linked": LINKED_RANK, "urls": list(urls)},
    )
    statement = insert(mirror)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["repository_id", "url"], set_={"rank": statement.excluded.rank}
        ),
        [{"repository_id": repository_id, "url": url, "rank": after + n} for n, url in enumerate(urls)],
    )


def note_progress(
    connection: Connection, sync_id: int, *, phase: str, transferred_bytes: int, read_count: int
) -> None:
    """How far a running sync has come."""
    connection.execute(
        text("""
            UPDATE repository_sync SET phase = :phase, transferred_bytes = :transferred, read_count = :read
            WHERE id = :id AND finished_at IS NULL
        """),
        {"phase": phase, "transferred": transferred_bytes, "read": read_count, "id": sync_id},
    )


def mark_mirror(
    connection: Connection, mirror_id: int, *, state: str, message: str, published_at: datetime | None = None
) -> None:
    """Record what a try of a mirror came to; `published_at` of None leaves what is known."""
    connection.execute(
        text("""
            UPDATE mirror SET state = :state, message = :message, checked_at = now(),
                failure_count = CASE WHEN :state = 'ok' THEN 0 ELSE failure_count + 1 END,
                published_at = coalesce(:published_at, published_at)
            WHERE id = :id
        """),
        {"id": mirror_id, "state": state, "message": message, "published_at": published_at},
    )


def mirror_accesses(connection: Connection) -> list[tuple[str, bytes]]:
    """The operator's entries: URL prefix and sealed access."""
    rows = connection.execute(text("SELECT url, sealed FROM mirror_access ORDER BY url"))
    return [(row.url, bytes(row.sealed)) for row in rows]


def indexes_of(connection: Connection, repository_id: UUID) -> list[Index]:
    """A repository's indexes as stored."""
    rows = connection.execute(
        text("""
            SELECT id, component, architecture, checksum, present, changed_at IS NOT NULL AS crawled
            FROM repository_index WHERE repository_id = :id ORDER BY component, architecture
        """),
        {"id": repository_id},
    )
    return [Index(**row) for row in rows.mappings()]
