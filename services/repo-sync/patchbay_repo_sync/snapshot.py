"""Whole repositories in memory, without a database: what the offline evaluation and tests read."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

import msgspec
from patchbay_shared.catalogue import AvailablePackage, IndexContent, ReleaseInfo
from patchbay_shared.errors import InvalidInput, PatchbayError, Unavailable, Untrusted
from patchbay_shared.fetching.checksum import Expected, verify
from patchbay_shared.fetching.compression import open_decompressed
from patchbay_shared.fetching.fetch import NotFound
from patchbay_shared.report import ReportRepository
from patchbay_shared.repositories import TYPES

from patchbay_repo_sync import layout, mirrorlist
from patchbay_repo_sync.formats import apt, pacman, rpmmd, susetags
from patchbay_repo_sync.layout import IndexFiles, join

Fetch = Callable[[str], bytes]
"""The bytes of a URL. Raises NotFound (another form of the file may exist), Unavailable or InvalidInput."""


class SnapshotIndex(msgspec.Struct, frozen=True):
    """One index; the same object for every repository that is served from the same URL."""

    component: str
    architecture: str
    packages: Sequence[AvailablePackage]
    content: IndexContent = IndexContent()


class Snapshot(msgspec.Struct, frozen=True):
    """What a repository offers to the hosts that configure it so."""

    indexes: Sequence[SnapshotIndex]
    release: ReleaseInfo = ReleaseInfo()
    security: bool | None = None
    """Whether the distribution labels it as its security updates; None if nothing says so."""


class Snapshots:
    """Takes snapshots; every document and index is fetched and read once, and a failure is remembered too.

    Checksums are verified, signatures are not.
    """

    def __init__(self, fetch: Fetch, *, limit_bytes: int = 4_000_000_000) -> None:
        self._fetch = fetch
        self._limit_bytes = limit_bytes
        self._documents: dict[str, bytes | PatchbayError] = {}
        self._indexes: dict[tuple[str, str], SnapshotIndex | PatchbayError] = {}

    def take(
        self, definition: ReportRepository, wanted: Iterable[tuple[str, str]] = (), *, relations: bool = True
    ) -> Snapshot:
        """The repository as its first working mirror serves it.

        `wanted`: the (component, architecture) pairs of apt's dists/ (`patchbay_shared.repositories.indexes`).
        `relations=False` leaves dependencies of rpm packages out. Raises Unavailable, InvalidInput, Untrusted.
        """
        pairs = list(wanted)
        failure: PatchbayError = InvalidInput("it names no URL")
        for base, entries in self._mirrors(definition):
            try:
                return self._take(base, definition, pairs, entries, relations=relations)
            except (Unavailable, Untrusted, InvalidInput) as exc:
                failure = exc
        raise failure

    def _mirrors(self, definition: ReportRepository) -> Iterator[tuple[str, Sequence[Expected]]]:
        """Base URLs in the order in which they are tried, with what a metalink says of the entry document."""
        lists = [url for url in (definition.mirrorlist, definition.metalink) if url]
        for url in definition.urls:
            if mirrorlist.names_a_list(url):
                lists.append(url)
            elif url.strip():
                yield url.strip(), ()
        for url in dict.fromkeys(lists):
            found = mirrorlist.parse(
                self._document(url), architecture=next(iter(definition.architectures), ""), repository=definition.id
            )
            yield from ((base, found.entries) for base in found.urls)

    def _take(
        self,
        base: str,
        definition: ReportRepository,
        pairs: list[tuple[str, str]],
        entries: Sequence[Expected],
        *,
        relations: bool,
    ) -> Snapshot:
        kind = TYPES.get(definition.type, definition.type)
        if kind == "deb":
            return self._apt(join(base, layout.suite_path(definition)), definition, pairs)
        if kind == "rpm-md":
            try:
                return Snapshot([self._rpmmd(base, entries, relations=relations)])
            except NotFound as missing:
                # zypper finds a repository's type out by itself, so its hosts may not know it.
                try:
                    return Snapshot([self._susetags(base)])
                except NotFound:
                    raise missing from None
        if kind == "susetags":
            return Snapshot([self._susetags(base)])
        if kind == "pacman":
            return Snapshot([self._index(base, layout.pacman_files(definition), "alpm", pacman.packages)])
        raise InvalidInput(f"repositories of type {definition.type!r} cannot be read")

    def _apt(self, base: str, definition: ReportRepository, pairs: list[tuple[str, str]]) -> Snapshot:
        try:
            document = self._document(join(base, "InRelease"))
        except NotFound:
            document = self._document(join(base, "Release"))
        release = apt.parse_release(document)
        files = layout.apt_indexes(release, definition, pairs)
        return Snapshot(
            [self._index(base, file, "deb", apt.packages) for file in files],
            release.info,
            layout.says_security(release.info),
        )

    def _rpmmd(self, base: str, entries: Sequence[Expected], *, relations: bool) -> SnapshotIndex:
        document = self._document(join(base, layout.REPOMD_PATH))
        if entries and not any(_is(document, entry) for entry in entries):
            raise Untrusted(f"{join(base, layout.REPOMD_PATH)} is not what the metalink lists")
        files = layout.rpmmd_files(rpmmd.parse_repomd(document))

        def content() -> IndexContent:
            modules, updateinfo = files.get("modules"), files.get("updateinfo")
            return IndexContent(
                modules=rpmmd.module_metadata(self._open(base, modules)) if modules else None,
                advisories=list(rpmmd.advisories(self._open(base, updateinfo))) if updateinfo else [],
            )

        return self._index(
            base,
            files["primary"],
            f"rpm{relations}",
            lambda stream: rpmmd.packages(stream, relations=relations),
            content,
        )

    def _susetags(self, base: str) -> SnapshotIndex:
        content = susetags.parse_content(self._document(join(base, layout.CONTENT_PATH)))
        return self._index(
            base,
            layout.susetags_files(content),
            "susetags",
            lambda stream: susetags.packages(stream, default_vendor=content.vendor),
        )

    def _index(
        self,
        base: str,
        file: IndexFiles,
        reader: str,
        read: Callable[[BinaryIO], Iterable[AvailablePackage]],
        content: Callable[[], IndexContent] = IndexContent,
    ) -> SnapshotIndex:
        key = (join(base, file.forms[-1].path), reader)
        known = self._indexes.get(key)
        if known is None:
            try:
                packages = list(read(self._open(base, file)))
                known = SnapshotIndex(file.component, file.architecture, packages, content())
            except (Unavailable, Untrusted, InvalidInput) as exc:
                known = exc
            self._indexes[key] = known
        if isinstance(known, PatchbayError):
            raise known
        return known

    def _open(self, base: str, file: IndexFiles) -> BinaryIO:
        """The plain bytes of the first form that the mirror has, verified."""
        failure: NotFound | None = None
        for form in file.forms:
            url = join(base, form.path)
            try:
                data = self._fetch(url)
            except NotFound as exc:
                failure = exc
                continue
            if form.wanted is not None:
                verify(data, form.wanted, name=url)
            return open_decompressed(io.BytesIO(data), name=url, limit_bytes=self._limit_bytes)
        raise failure or InvalidInput(f"{base} has an index that is listed in no form")

    def _document(self, url: str) -> bytes:
        known = self._documents.get(url)
        if known is None:
            try:
                known = self._fetch(url)
            except (Unavailable, InvalidInput) as exc:
                known = exc
            self._documents[url] = known
        if isinstance(known, PatchbayError):
            raise known
        return known


def _is(document: bytes, entry: Expected) -> bool:
    try:
        verify(document, entry, name="repomd.xml")
    except Untrusted:
        return False
    return True
