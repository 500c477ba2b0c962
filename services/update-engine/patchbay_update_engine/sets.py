"""Packages and sets, each stored once: `package`, `package_set`, `repository_set`, `repository_reference`.

Ids are found by digest. What is remembered between reports is only ever added after the transaction that
made it has committed, so a rolled-back id is never used.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from uuid import UUID

import msgspec
from patchbay_shared.errors import InvalidVersion
from patchbay_shared.report import Report, ReportPackage, ReportRepository
from patchbay_shared.repositories import indexes, location, repository_id
from patchbay_shared.source_packages import source_of
from sqlalchemy import Connection, text

from patchbay_update_engine.evaluate.advisories import source_key
from patchbay_update_engine.evaluate.catalog import InstalledPackage, Policy, installed_of, policy_of

REMEMBERED_PACKAGES = 400_000
_DETAILS = ("source", "source_version", "vendor", "modularitylabel", "groups", "content")


class InstalledSet(msgspec.Struct, frozen=True):
    """A stored package set, ready to be judged."""

    id: int
    packages: list[InstalledPackage]
    ids: list[int]
    """Ascending; packages removed with their configuration left are not among them."""


class RepositorySetDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """`repository_set.document`."""

    repositories: list[ReportRepository]
    policy: Policy
    known: bool = True
    """False: the host has never said which repositories it has."""


class RepositorySet(msgspec.Struct, frozen=True):
    """A stored repository set."""

    id: int
    repository_ids: list[UUID]
    """Of the enabled repositories that name a URL; ascending."""
    document: RepositorySetDocument
    new_references: bool = False
    """Whether some repository or index was never named before."""
    is_new: bool = False


class PackageMemory:
    """Package digests to ids and back, least recently used forgotten first; shared by the threads of a process."""

    def __init__(self, limit: int = REMEMBERED_PACKAGES) -> None:
        self._limit = limit
        self._ids: OrderedDict[bytes, int] = OrderedDict()
        self._packages: OrderedDict[int, InstalledPackage] = OrderedDict()
        self._lock = Lock()

    def ids_of(self, digests: Iterable[bytes]) -> dict[bytes, int]:
        known = self._ids
        return {digest: known[digest] for digest in digests if digest in known}

    def packages_of(self, ids: Iterable[int]) -> dict[int, InstalledPackage]:
        known = self._packages
        return {number: known[number] for number in ids if number in known}

    def remember(self, ids: dict[bytes, int], packages: dict[int, InstalledPackage]) -> None:
        """Add what a committed transaction found or made."""
        with self._lock:
            self._ids.update(ids)
            self._packages.update(packages)
            for memory in (self._ids, self._packages):
                while len(memory) > self._limit:
                    memory.popitem(last=False)


def digest_of(package: ReportPackage) -> bytes:
    """16 bytes that name a package: equal for equal type, name, arch, version and details."""
    return hashlib.blake2b(
        "\0".join(
            (
                package.type,
                package.name,
                package.arch,
                package.evr,
                package.source or "",
                package.source_version or "",
                package.vendor or "",
                package.modularitylabel or "",
                ",".join(package.groups),
                package.content or "",
            )
        ).encode("utf-8", "surrogateescape"),
        digest_size=16,
    ).digest()


def store_package_set(
    connection: Connection, packages: Sequence[ReportPackage], memory: PackageMemory
) -> tuple[InstalledSet, dict[bytes, int], dict[int, InstalledPackage]]:
    """The set of the reported packages, made if it is new; and what to remember after the commit."""
    by_digest = {digest_of(package): package for package in packages if package.name != "gpg-pubkey"}
    ids = memory.ids_of(by_digest)
    found: dict[bytes, int] = {}
    missing = sorted(digest for digest in by_digest if digest not in ids)
    read: dict[bytes, InstalledPackage] = {}
    if missing:
        read = {digest: _installed(by_digest[digest]) for digest in missing}
        found = _intern(connection, {digest: by_digest[digest] for digest in missing}, read)
        ids |= found
    installed: list[int] = []
    held: list[int] = []
    config: list[int] = []
    for digest, package in by_digest.items():
        (installed if package.status != "config-files" else config).append(ids[digest])
        if package.held:
            held.append(ids[digest])
    installed.sort()
    held.sort()
    config.sort()
    set_id = _set_id(connection, installed, held, config)
    known = memory.packages_of(ids.values())
    new: dict[int, InstalledPackage] = {}
    judged = []
    for digest, package in by_digest.items():
        number = ids[digest]
        each = known.get(number)
        if each is None:
            each = new[number] = msgspec.structs.replace(read.get(digest) or _installed(package), id=number)
        judged.append(_with_selection(each, package))
    return InstalledSet(set_id, judged, installed), found, new


def load_package_set(connection: Connection, set_id: int, memory: PackageMemory) -> InstalledSet:
    """A stored set as the rules read it."""
    row = connection.execute(
        text("SELECT package_ids, held_ids, config_ids FROM package_set WHERE id = :id"), {"id": set_id}
    ).one()
    held, config = set(row.held_ids), set(row.config_ids)
    wanted = [*row.package_ids, *row.config_ids]
    known = memory.packages_of(wanted)
    missing = [number for number in wanted if number not in known]
    if missing:
        known |= _load_packages(connection, missing)
        memory.remember({}, known)
    judged = []
    for number in wanted:
        package = known[number]
        if number in held or number in config:
            package = msgspec.structs.replace(
                package, held=number in held, status="config-files" if number in config else "installed"
            )
        judged.append(package)
    return InstalledSet(set_id, judged, list(row.package_ids))


def store_repository_set(connection: Connection, report: Report) -> RepositorySet:
    """The set of the reported repositories and policy, made if it is new, with its references."""
    document = RepositorySetDocument(
        repositories=report.repos or [], policy=policy_of(report), known=report.repos is not None
    )
    stored = intern_repository_set(connection, document)
    if not stored.is_new:
        return stored
    enabled = [each for each in document.repositories if each.enabled and location(each)]
    return msgspec.structs.replace(stored, new_references=_store_references(connection, enabled, report))


def intern_repository_set(connection: Connection, document: RepositorySetDocument) -> RepositorySet:
    """The set of a document, made if it is new; its references are not noted."""
    digest = hashlib.blake2b(msgspec.msgpack.encode(document), digest_size=16).digest()
    repository_ids = sorted(
        {repository_id(each) for each in document.repositories if each.enabled and location(each)}
    )
    row = connection.execute(
        text("SELECT id FROM repository_set WHERE digest = :digest"), {"digest": digest}
    ).one_or_none()
    if row is not None:
        return RepositorySet(row.id, repository_ids, document)
    row = connection.execute(
        text("""
            INSERT INTO repository_set (digest, repository_ids, document, unchecked_ids, unexpiring_ids)
            VALUES (:digest, :repository_ids, CAST(:document AS jsonb), :unchecked_ids, :unexpiring_ids)
            ON CONFLICT (digest) DO UPDATE SET digest = EXCLUDED.digest
            RETURNING id
        """),
        {
            "digest": digest,
            "repository_ids": repository_ids,
            "document": msgspec.json.encode(document).decode(),
            "unchecked_ids": _only(document, _is_unchecked),
            "unexpiring_ids": _only(document, _is_unexpiring),
        },
    ).one()
    return RepositorySet(row.id, repository_ids, document, is_new=True)


def note_unchecked(connection: Connection, *, limit: int = 500) -> int:
    """Note of sets of an earlier version which repositories they read unchecked; how many sets that were."""
    rows = connection.execute(
        text("""
            SELECT id, document::text AS document FROM repository_set WHERE unchecked_ids IS NULL
            ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
        """),
        {"limit": limit},
    ).all()
    if not rows:
        return 0
    documents = [msgspec.json.decode(row.document, type=RepositorySetDocument) for row in rows]
    connection.execute(
        text("""
            UPDATE repository_set SET unchecked_ids = CAST(:unchecked_ids AS uuid[]),
                unexpiring_ids = CAST(:unexpiring_ids AS uuid[]) WHERE id = :id
        """),
        [
            {
                "id": row.id,
                "unchecked_ids": _only(document, _is_unchecked),
                "unexpiring_ids": _only(document, _is_unexpiring),
            }
            for row, document in zip(rows, documents, strict=True)
        ],
    )
    return len(rows)


def _only(document: RepositorySetDocument, holds: Callable[[ReportRepository], bool]) -> list[UUID]:
    """The repositories of which every enabled source holds it; ascending."""
    enabled = [each for each in document.repositories if each.enabled and location(each)]
    others = {repository_id(each) for each in enabled if not holds(each)}
    return sorted({repository_id(each) for each in enabled} - others)


def _is_unchecked(source: ReportRepository) -> bool:
    return source.trusted is True or source.gpgcheck is False


def _is_unexpiring(source: ReportRepository) -> bool:
    return source.check_valid_until is False


def load_repository_set(connection: Connection, set_id: int) -> RepositorySet:
    """A stored repository set."""
    row = connection.execute(
        text("SELECT repository_ids, document::text AS document FROM repository_set WHERE id = :id"),
        {"id": set_id},
    ).one()
    return RepositorySet(
        set_id, list(row.repository_ids), msgspec.json.decode(row.document, type=RepositorySetDocument)
    )


def _store_references(connection: Connection, enabled: list[ReportRepository], report: Report) -> bool:
    wanted = {
        (repository_id(each), component, architecture): each
        for each in enabled
        for component, architecture in indexes(each, report)
    }
    if not wanted:
        return False
    keys = sorted(wanted)
    made = connection.execute(
        text("""
            INSERT INTO repository_reference (repository_id, component, architecture, definition)
            SELECT * FROM unnest(
                CAST(:ids AS uuid[]), CAST(:components AS text[]), CAST(:architectures AS text[]),
                CAST(:definitions AS jsonb[]))
            ON CONFLICT DO NOTHING
        """),
        {
            "ids": [key[0] for key in keys],
            "components": [key[1] for key in keys],
            "architectures": [key[2] for key in keys],
            "definitions": [msgspec.json.encode(wanted[key]).decode() for key in keys],
        },
    )
    return made.rowcount > 0


def _intern(
    connection: Connection, packages: Mapping[bytes, ReportPackage], read: Mapping[bytes, InstalledPackage]
) -> dict[bytes, int]:
    """Ids of packages (keyed by digest, ascending; `read` has each as `_installed` does), made where they are new."""
    digests = list(packages)
    ids = _ids_of(connection, digests)
    new = [digest for digest in digests if digest not in ids]
    if not new:
        return ids
    values = [read[digest] for digest in new]
    # Arrays travel in PostgreSQL's binary form (`b`): writing them as text costs more than storing them.
    made = connection.exec_driver_sql(
        """
            INSERT INTO package (digest, type, name, arch, evr, evr_key, details, source_name, source_key)
            SELECT * FROM unnest(
                %(digests)b::bytea[], %(types)b::text[], %(names)b::text[], %(arches)b::text[], %(evrs)b::text[],
                %(keys)b::bytea[], %(details)b::text[]::jsonb[], %(source_names)b::text[], %(source_keys)b::bytea[])
            ON CONFLICT (digest) DO NOTHING
            RETURNING digest, id
        """,
        {
            "digests": new,
            "types": [packages[digest].type for digest in new],
            "names": [each.name for each in values],
            "arches": [each.arch for each in values],
            "evrs": [each.evr for each in values],
            "keys": [each.evr_key for each in values],
            "details": [_details(packages[digest]) for digest in new],
            "source_names": [_source_name(packages[digest], each) for digest, each in zip(new, values, strict=True)],
            "source_keys": [_source_key(packages[digest], each) for digest, each in zip(new, values, strict=True)],
        },
    )
    ids.update({bytes(row.digest): row.id for row in made})
    raced = [digest for digest in new if digest not in ids]
    if raced:
        ids.update(_ids_of(connection, raced))
    return ids


def _source_name(package: ReportPackage, installed: InstalledPackage) -> str:
    named = installed.source or installed.name
    return source_of(named, "")[0] if package.type == "deb" else named


def _source_key(package: ReportPackage, installed: InstalledPackage) -> bytes:
    if package.type != "deb":
        return installed.evr_key
    named = installed.source or installed.name
    return source_key(named, installed.evr, installed.evr_key, installed.source_version)


def _ids_of(connection: Connection, digests: list[bytes]) -> dict[bytes, int]:
    rows = connection.exec_driver_sql(
        "SELECT digest, id FROM package WHERE digest = ANY(%(digests)b::bytea[])", {"digests": digests}
    )
    return {bytes(row.digest): row.id for row in rows}


def _set_id(connection: Connection, installed: list[int], held: list[int], config: list[int]) -> int:
    digest = hashlib.blake2b(repr((installed, held, config)).encode(), digest_size=16).digest()
    found = connection.scalar(text("SELECT id FROM package_set WHERE digest = :digest"), {"digest": digest})
    if found is not None:
        return int(found)
    row = connection.execute(
        text("""
            INSERT INTO package_set (digest, package_ids, held_ids, config_ids)
            VALUES (:digest, CAST(:installed AS integer[]), CAST(:held AS integer[]), CAST(:config AS integer[]))
            ON CONFLICT (digest) DO UPDATE SET digest = EXCLUDED.digest
            RETURNING id
        """),
        {"digest": digest, "installed": _array(installed), "held": _array(held), "config": _array(config)},
    ).one()
    return int(row.id)


def _array(ids: list[int]) -> str:
    """The text of PostgreSQL's array; psycopg makes it of each element by itself, which takes ten times as long."""
    return f"{{{repr(ids)[1:-1]}}}"


def _load_packages(connection: Connection, ids: list[int]) -> dict[int, InstalledPackage]:
    rows = connection.execute(
        text("SELECT id, name, arch, evr, evr_key, details FROM package WHERE id = ANY(:ids)"), {"ids": ids}
    )
    found = {}
    for row in rows:
        details = row.details or {}
        found[row.id] = InstalledPackage(
            name=row.name,
            arch=row.arch,
            evr=row.evr,
            evr_key=bytes(row.evr_key),
            source=details.get("source"),
            source_version=details.get("source_version"),
            vendor=details.get("vendor"),
            modularitylabel=details.get("modularitylabel"),
            groups=tuple(details.get("groups", ())),
            content=details.get("content"),
            id=row.id,
        )
    return found


def _installed(package: ReportPackage) -> InstalledPackage:
    """The package apart from its id and what the host selected for it (held, removed)."""
    try:
        found = installed_of(package)
    except InvalidVersion:
        found = installed_of(package, ordered=False)
    if found.held or found.status != "installed":
        return msgspec.structs.replace(found, held=False, status="installed")
    return found


def _with_selection(installed: InstalledPackage, package: ReportPackage) -> InstalledPackage:
    if package.held or package.status != "installed":
        return msgspec.structs.replace(installed, held=package.held, status=package.status)
    return installed


def _details(package: ReportPackage) -> str | None:
    details = {name: value for name in _DETAILS if (value := getattr(package, name))}
    return msgspec.json.encode(details).decode() if details else None
