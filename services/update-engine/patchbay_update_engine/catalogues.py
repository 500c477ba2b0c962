"""The catalogue in memory: indexes loaded once a generation, catalogs compiled once a repository set."""

import gc
from collections import OrderedDict
from threading import RLock
from uuid import UUID

import msgspec
import zstandard
from patchbay_shared.catalogue import AdvisoryPackage, AvailablePackage, IndexContent, ReleaseInfo
from patchbay_shared.db import driver
from patchbay_shared.report import ReportRepository
from patchbay_shared.repositories import indexes, location, repository_id
from sqlalchemy import Connection, text

from patchbay_update_engine.evaluate.advisories import NO_ADVISORIES, ReleaseAdvisories
from patchbay_update_engine.evaluate.catalog import Catalog, CatalogRepository, PackageIndex
from patchbay_update_engine.evaluate.families import compile_catalog
from patchbay_update_engine.release_advisories import AdvisoryRelease, release_of, security_fixes
from patchbay_update_engine.sets import RepositorySet

_COLUMNS = """
    name, arch, evr, evr_key, digest, source, source_version, vendor, phased_percentage, content, obsoletes, relations
"""
CONTENT_MAX_BYTES = 1_000_000_000
REMEMBERED_CATALOGS = 2_000


class CompiledCatalog(msgspec.Struct, frozen=True):
    """A catalog and what it was made from."""

    catalog: Catalog
    generations: list[int]
    """Of each of the set's repository ids, in their order; 0 for one that was never crawled."""
    advisory_generation: int
    """Of the distribution release's advisories."""
    incomplete_count: int
    """Enabled repositories that have not been crawled, or that name no URL; 1 if the host named none so far."""
    phased: bool
    """Some candidate is phased, so the verdict depends on the host's machine-id."""
    reported: dict[str, frozenset[AdvisoryPackage]] = {}
    """Repositories, as the host calls them, of which only hosts' reports are known; the updates that those call
    security fixes."""


class _Stored(msgspec.Struct, frozen=True):
    generation: int
    security: bool | None
    release: ReleaseInfo
    reported: bool
    """Nothing of it was crawled: hosts' reports stand in for it."""
    indexes: dict[tuple[str, str], int]
    """(component, architecture) to the id of a present index."""


class _LoadedAdvisories(msgspec.Struct, frozen=True):
    generation: int
    advisories: ReleaseAdvisories


class _Loaded(msgspec.Struct, frozen=True):
    generation: int
    index: PackageIndex
    package_count: int
    phased: bool


class Catalogues:
    """The memory of one engine process; at most `package_limit` entries besides those in use."""

    def __init__(self, package_limit: int) -> None:
        self._package_limit = package_limit
        self._indexes: OrderedDict[int, _Loaded] = OrderedDict()
        self._catalogs: OrderedDict[int, CompiledCatalog] = OrderedDict()
        self._advisories: dict[tuple[str, str], _LoadedAdvisories] = {}
        self._lock = RLock()

    def catalog_of(self, connection: Connection, repository_set: RepositorySet) -> CompiledCatalog:
        """The catalog of a set as the database holds it now."""
        stored = _stored_repositories(connection, repository_set.repository_ids)
        generations = [stored[each].generation if each in stored else 0 for each in repository_set.repository_ids]
        release = release_of(connection, repository_set.id)
        with self._lock:
            compiled = self._catalogs.get(repository_set.id)
            if (
                compiled is None
                or compiled.generations != generations
                or compiled.advisory_generation != release.generation
            ):
                compiled = self._compile(connection, repository_set, stored, generations, release)
                self._catalogs[repository_set.id] = compiled
            self._catalogs.move_to_end(repository_set.id)
            while len(self._catalogs) > REMEMBERED_CATALOGS:
                self._catalogs.popitem(last=False)
            return compiled

    def _compile(
        self,
        connection: Connection,
        repository_set: RepositorySet,
        stored: dict[UUID, _Stored],
        generations: list[int],
        release: AdvisoryRelease,
    ) -> CompiledCatalog:
        policy = repository_set.document.policy
        repositories: list[CatalogRepository] = []
        incomplete = 0 if repository_set.document.known else 1
        phased = False
        reported: dict[str, frozenset[AdvisoryPackage]] = {}
        for definition in repository_set.document.repositories:
            if not definition.enabled:
                repositories.append(CatalogRepository(definition, []))
                continue
            known = stored.get(repository_id(definition)) if location(definition) else None
            if known is None or known.generation == 0:
                incomplete += 1
                repositories.append(CatalogRepository(definition, []))
                continue
            loaded = [
                self._index(connection, number, known.generation, component, architecture)
                for (component, architecture), number in _wanted(definition, known, repository_set)
            ]
            phased = phased or any(each.phased for each in loaded)
            if known.reported:
                incomplete += 1
                called = (fix for each in loaded for fix in each.index.content.reported_security)
                reported[definition.id] = frozenset(called)
            repositories.append(
                CatalogRepository(definition, [each.index for each in loaded], known.release, known.security)
            )
        self._forget()
        catalog = compile_catalog(repositories, policy, self._advisories_of(connection, release))
        return CompiledCatalog(catalog, generations, release.generation, incomplete, phased, reported)

    def _advisories_of(self, connection: Connection, release: AdvisoryRelease) -> ReleaseAdvisories:
        if release.generation == 0:
            return NO_ADVISORIES
        key = (release.ecosystem, release.distro_release)
        loaded = self._advisories.get(key)
        if loaded is None or loaded.generation != release.generation:
            advisories = ReleaseAdvisories(security_fixes(connection, release))
            loaded = self._advisories[key] = _LoadedAdvisories(release.generation, advisories)
        return loaded.advisories

    def _index(
        self, connection: Connection, number: int, generation: int, component: str, architecture: str
    ) -> _Loaded:
        loaded = self._indexes.get(number)
        if loaded is None or loaded.generation != generation:
            packages = _packages(connection, number)
            content = _content(connection, number)
            loaded = _Loaded(
                generation,
                PackageIndex(packages, component=component, architecture=architecture, content=content),
                len(packages),
                any(each.phased_percentage is not None for each in packages),
            )
            self._indexes[number] = loaded
            # An index is a few hundred thousand objects without a cycle: walking them at each full collection
            # cost pauses of 90 ms. Dropped indexes are still freed, by their reference counts.
            gc.freeze()
        self._indexes.move_to_end(number)
        return loaded

    def _forget(self) -> None:
        """Drop the indexes used longest ago, and with them every catalog (they hold their indexes)."""
        total = sum(each.package_count for each in self._indexes.values())
        if total <= self._package_limit:
            return
        self._catalogs.clear()
        while total > self._package_limit and len(self._indexes) > 1:
            _, dropped = self._indexes.popitem(last=False)
            total -= dropped.package_count


def _wanted(
    definition: ReportRepository, stored: _Stored, repository_set: RepositorySet
) -> list[tuple[tuple[str, str], int]]:
    """The present indexes that this host reads; for apt the component's `all` index too, where there is one."""
    wanted = indexes(definition, repository_set.document.policy)
    with_all = dict.fromkeys(key for component, arch in wanted for key in ((component, arch), (component, "all")))
    return [(key, stored.indexes[key]) for key in with_all if key in stored.indexes]


def _stored_repositories(connection: Connection, ids: list[UUID]) -> dict[UUID, _Stored]:
    rows = connection.execute(
        text("""
            SELECT r.id, r.generation, r.security, r.release::text AS release,
                   r.reported_at IS NOT NULL AS reported, i.id AS index_id, i.component, i.architecture
            FROM repository r LEFT JOIN repository_index i ON i.repository_id = r.id AND i.present
            WHERE r.id = ANY(CAST(:ids AS uuid[]))
        """),
        {"ids": ids},
    )
    found: dict[UUID, _Stored] = {}
    for row in rows:
        if row.id not in found:
            release = msgspec.json.decode(row.release, type=ReleaseInfo) if row.release else ReleaseInfo()
            found[row.id] = _Stored(row.generation, row.security, release, row.reported, {})
        if row.index_id is not None:
            found[row.id].indexes[row.component, row.architecture] = row.index_id
    return found


def _packages(connection: Connection, number: int) -> list[AvailablePackage]:
    with driver(connection).cursor(binary=True) as cursor:
        cursor.execute(f"SELECT {_COLUMNS} FROM available_package WHERE index_id = %s", (number,))
        return [
            AvailablePackage(
                row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9],
                tuple(row[10]) if row[10] else (), row[11],
            )
            for row in cursor
        ]  # fmt: skip


def _content(connection: Connection, number: int) -> IndexContent | None:
    packed = connection.scalar(text("SELECT content FROM repository_index WHERE id = :id"), {"id": number})
    if packed is None:
        return None
    with zstandard.ZstdDecompressor().stream_reader(bytes(packed)) as reader:
        return msgspec.msgpack.decode(reader.read(CONTENT_MAX_BYTES), type=IndexContent)
