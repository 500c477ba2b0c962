"""Swapping in a new generation of a repository: only what differs is written, all of it in one transaction.

Rows are told apart by the digest of their source record. A record whose digest an index already has is neither
parsed nor copied; new ones are COPYed, vanished ones deleted. Until the commit every reader sees the old generation.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import msgspec
import psycopg
import structlog
import zstandard
from patchbay_shared.catalogue import AvailablePackage, IndexContent, ReleaseInfo
from patchbay_shared.db import driver
from patchbay_shared.errors import InvalidInput, Unavailable
from psycopg.types.string import BytesBinaryDumper
from sqlalchemy import Connection, text

from patchbay_repo_sync.store import Index, Mirror, Repository

_log = structlog.get_logger(__name__)

MAX_TOLD_NAMES = 20_000
"""More changed names than these are not told one by one: whoever listens looks at everything."""
MAX_TEXT_CHARACTERS = 500
"""Longest name, architecture or version: longer ones fit no database index, and no package manager makes them."""
MAX_PACKAGES = 2_000_000
"""Most packages of one index, thirty times the largest known: a bomb need not be compressed."""
_FETCHED_AT_ONCE = 20_000
_CONTENT_MAX_BYTES = 1_000_000_000

Records = Iterable[tuple[int, Any]]
"""Digest and source record, in the order of the index."""
PackageOf = Callable[[int, Any], AvailablePackage | None]


class NewIndex(msgspec.Struct, frozen=True):
    """What an index is to become. `records` of None: its packages are unchanged; not `present`: it has none."""

    component: str
    architecture: str
    present: bool = True
    path: str = ""
    checksum: str = ""
    records: Callable[[Container[int]], Records] | None = None
    """Given the digests that are stored already; of those a record need not be read (None)."""
    package_of: PackageOf = lambda _digest, record: record
    content: IndexContent | None = None
    content_changed: bool = False
    """Whether `content` is to replace what is stored."""

    @property
    def key(self) -> tuple[str, str]:
        return (self.component, self.architecture)


class NewGeneration(msgspec.Struct, frozen=True):
    """What a crawl found; indexes that are not named stay as they are."""

    indexes: list[NewIndex]
    entry_sha256: bytes = b""
    etag: str | None = None
    last_modified: str | None = None
    release: ReleaseInfo | None = None
    security: bool | None = None
    """The distribution's label, where it says one."""
    verified_by: str = ""
    note: str = ""
    published_at: datetime | None = None
    """What the entry document says of its own age."""
    reported: bool = False
    """Nothing of it was crawled: it is what hosts report as available (`reported`)."""


class Change(msgspec.Struct, frozen=True):
    """What a swap changed. `names` of None: anything may have."""

    generation: int
    changed: bool
    added_count: int
    removed_count: int
    names: list[str] | None


class LeaseLost(Unavailable):
    """Another worker has taken the repository over; nothing of this sync may be kept."""


_COLUMNS = (
    "index_id, name, arch, evr, evr_key, digest, source, source_version, vendor, phased_percentage, content,"
    " obsoletes, relations"
)
_TYPES = [
    *("int4", "text", "text", "text", "bytea", "int8", "text", "text", "text", "int2", "text", "text[]", "bytea"),
]


def swap(
    connection: Connection,
    repository: Repository,
    mirror: Mirror | None,
    stored: dict[tuple[str, str], Index],
    new: NewGeneration,
    *,
    owner: str,
    counted: Callable[[Records], Records] = lambda records: records,
) -> Change:
    """Write a new generation in the caller's transaction. Raises InvalidInput, LeaseLost, Unavailable.

    `counted` is given every index's records to pass on. `mirror` is the one that was crawled; None: none was.

    The repository's row is taken last, so that heartbeats go on while packages are written.
    """
    names: set[str] = set()
    anything = (
        repository.generation == 0
        or repository.reported != new.reported
        or _rules_differ(repository.release, new.release)
    )
    added = removed = 0
    for index in new.indexes:
        known = stored.get(index.key)
        index_id = known.id if known else _new_index(connection, repository, index)
        if index.records is not None or not index.present:
            more, fewer, touched = _replace_packages(connection, index_id, index, counted)
            added, removed = added + more, removed + fewer
            names |= touched
        if index.content_changed:
            told = _replace_content(connection, index_id, index.content)
            anything = anything or told is None
            names |= told or set()
        _update_index(connection, index_id, index)
    changed = anything or bool(names)
    generation = _update_repository(connection, repository, new, changed=changed, owner=owner)
    if mirror is not None:
        _update_mirrors(connection, repository, mirror, new)
    told_names = None if anything or len(names) > MAX_TOLD_NAMES else sorted(names)
    return Change(generation, changed, added, removed, told_names)


def _rules_differ(old: ReleaseInfo | None, new: ReleaseInfo | None) -> bool:
    """Whether something of a Release file changed that pins and policies read."""
    return _read_by_rules(old) != _read_by_rules(new)


def _read_by_rules(release: ReleaseInfo | None) -> tuple[object, ...]:
    if release is None:
        return ()
    return (
        release.origin,
        release.label,
        release.suite,
        release.codename,
        release.version,
        release.not_automatic,
        release.but_automatic_upgrades,
    )


def _new_index(connection: Connection, repository: Repository, index: NewIndex) -> int:
    """An index that the repository itself announces (apt's `all`)."""
    number = connection.scalar(
        text("""
            INSERT INTO repository_index (repository_id, component, architecture)
            VALUES (:id, :component, :architecture)
            ON CONFLICT (repository_id, component, architecture) DO UPDATE SET path = repository_index.path
            RETURNING id
        """),
        {"id": repository.id, "component": index.component, "architecture": index.architecture},
    )
    return int(number or 0)


def _replace_packages(
    connection: Connection, index_id: int, index: NewIndex, counted: Callable[[Records], Records]
) -> tuple[int, int, set[str]]:
    """Added and removed rows, and the names of both."""
    raw = driver(connection)
    try:
        # Binary, because text would cost as much as the whole comparison.
        with raw.cursor(binary=True) as cursor:
            cursor.execute("SELECT digest FROM available_package WHERE index_id = %s", (index_id,))
            existing: set[int] = set()
            while rows := cursor.fetchmany(_FETCHED_AT_ONCE):  # a million tuples at once would be 100 MB
                existing.update(digest for (digest,) in rows)
        vanished = existing.copy()
        names: set[str] = set()
        added = 0
        if index.records is not None:
            with raw.cursor() as cursor, _copy(cursor) as copy:
                copy.set_types(_TYPES)
                for package in _new_packages(index, counted(index.records(existing)), existing, vanished):
                    copy.write_row(_row(index_id, package))
                    if len(names) <= MAX_TOLD_NAMES:
                        names.add(package.name)
                    added += 1
        if vanished:
            with raw.cursor() as cursor:
                cursor.execute(
                    "DELETE FROM available_package WHERE index_id = %s AND digest = ANY(%s) RETURNING name",
                    (index_id, list(vanished)),
                )
                names.update(name for (name,) in cursor.fetchall())
    except (psycopg.DataError, UnicodeError) as exc:
        raise InvalidInput(f"{index.path} holds a text that cannot be stored: {_first_line(exc)}") from exc
    except psycopg.OperationalError as exc:
        raise Unavailable(f"The database did not answer: {_first_line(exc)}") from exc
    return added, len(vanished), names


def _copy(cursor: psycopg.Cursor[Any]) -> AbstractContextManager[psycopg.Copy]:
    # For bytea psycopg takes the dumper of DB-API's Binary, which is in Python; this one is compiled.
    cursor.adapters.register_dumper(bytes, BytesBinaryDumper)
    return cursor.copy(f"COPY available_package ({_COLUMNS}) FROM STDIN (FORMAT BINARY)")


def _new_packages(
    index: NewIndex, records: Records, existing: set[int], vanished: set[int]
) -> Iterator[AvailablePackage]:
    """The packages that are not stored yet; takes those that still are out of `vanished`. Each record once."""
    seen: set[int] = set()
    refused = 0
    for digest, record in records:
        if digest in existing:
            vanished.discard(digest)
        elif digest not in seen:
            seen.add(digest)
            if len(seen) > MAX_PACKAGES:
                raise InvalidInput(f"{index.path} lists more than {MAX_PACKAGES} packages.")
            package = index.package_of(digest, record)
            if package is None:
                refused += 1
                continue
            if max(len(package.name), len(package.arch), len(package.evr)) > MAX_TEXT_CHARACTERS:
                raise InvalidInput(f"{index.path} names a package with an impossibly long name or version.")
            yield package
    if refused:
        _log.warning("packages_without_usable_version", index=index.path, count=refused)


def _row(index_id: int, package: AvailablePackage) -> tuple[Any, ...]:
    return (
        index_id,
        package.name,
        package.arch,
        package.evr,
        package.evr_key,
        package.digest,
        package.source,
        package.source_version,
        package.vendor,
        package.phased_percentage,
        package.content,
        list(package.obsoletes) or None,
        package.relations,
    )


def _replace_content(connection: Connection, index_id: int, content: IndexContent | None) -> set[str] | None:
    """Store modules and advisories; the packages that this concerns, or None if modules changed."""
    stored = connection.scalar(text("SELECT content FROM repository_index WHERE id = :id"), {"id": index_id})
    old = decode_content(stored) if stored else IndexContent()
    new = content or IndexContent()
    if old == new:
        return set()
    connection.execute(
        text("UPDATE repository_index SET content = :content WHERE id = :id"),
        {"id": index_id, "content": encode_content(new)},
    )
    if old.modules != new.modules:
        return None
    said = {package.name for package in set(old.reported_security) ^ set(new.reported_security)}
    before = {msgspec.msgpack.encode(each): each for each in old.advisories}
    after = {msgspec.msgpack.encode(each): each for each in new.advisories}
    differing = [before.get(each) or after[each] for each in before.keys() ^ after.keys()]
    return said | {package.name for advisory in differing for package in advisory.packages}


def encode_content(content: IndexContent) -> bytes:
    """As `repository_index.content` keeps it."""
    return zstandard.ZstdCompressor(level=3).compress(msgspec.msgpack.encode(content))


def decode_content(stored: bytes) -> IndexContent:
    """The reverse of `encode_content`."""
    plain = zstandard.ZstdDecompressor().decompress(stored, max_output_size=_CONTENT_MAX_BYTES)
    return msgspec.msgpack.decode(plain, type=IndexContent)


def _update_index(connection: Connection, index_id: int, index: NewIndex) -> None:
    connection.execute(
        text("""
            UPDATE repository_index SET present = :present, path = :path, checksum = :checksum, changed_at = now(),
                package_count = CASE WHEN :counted
                    THEN (SELECT count(*) FROM available_package WHERE index_id = :id) ELSE package_count END
            WHERE id = :id
        """),
        {
            "id": index_id,
            "present": index.present,
            "path": index.path,
            "checksum": index.checksum,
            "counted": index.records is not None or not index.present,
        },
    )


def _update_repository(
    connection: Connection, repository: Repository, new: NewGeneration, *, changed: bool, owner: str
) -> int:
    """The generation after this swap. Raises LeaseLost."""
    generation = connection.scalar(
        text("""
            UPDATE repository SET generation = generation + CAST(:changed AS int), verified_by = :verified_by,
                changed_at = CASE WHEN :changed THEN now() ELSE changed_at END,
                release = CAST(:release AS jsonb), published_at = :published_at,
                reported_at = CASE WHEN :reported THEN now() END,
                security = coalesce(security, :security)
            WHERE id = :id AND lease_owner = :owner
            RETURNING generation
        """),
        {
            "changed": changed,
            "verified_by": new.verified_by,
            "release": msgspec.json.encode(new.release).decode() if new.release else None,
            "security": new.security,
            "published_at": new.published_at,
            "reported": new.reported,
            "id": repository.id,
            "owner": owner,
        },
    )
    if generation is None:
        raise LeaseLost("Another worker took this repository over; its sync counts.")
    return int(generation)


def _update_mirrors(connection: Connection, repository: Repository, mirror: Mirror, new: NewGeneration) -> None:
    """Remember the entry document with the mirror that served it; what others said is of an older generation."""
    connection.execute(
        text("""
            UPDATE mirror SET
                etag = CASE WHEN id = :mirror THEN :etag END,
                last_modified = CASE WHEN id = :mirror THEN :last_modified END,
                entry_sha256 = CASE WHEN id = :mirror THEN CAST(:entry AS bytea) END
            WHERE repository_id = :id AND (id = :mirror OR entry_sha256 IS DISTINCT FROM :entry)
        """),
        {
            "mirror": mirror.id,
            "etag": new.etag,
            "last_modified": new.last_modified,
            "entry": new.entry_sha256,
            "id": repository.id,
        },
    )


def _first_line(exc: Exception) -> str:
    return str(exc).strip().split("\n", 1)[0]
