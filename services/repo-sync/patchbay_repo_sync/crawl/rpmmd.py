"""Crawling rpm-md repositories: repomd.xml, then primary, updateinfo and modules where their checksums differ."""

from collections.abc import Callable
from pathlib import Path

from patchbay_shared.catalogue import IndexContent, ModuleMetadata, RepositoryAdvisory
from patchbay_shared.errors import Untrusted

from patchbay_repo_sync.checksum import expected, strength, verify
from patchbay_repo_sync.crawl.visit import Visit
from patchbay_repo_sync.fetch import shown
from patchbay_repo_sync.formats import rpmmd
from patchbay_repo_sync.swap import NewGeneration, NewIndex, Records

_ENTRY = "repodata/repomd.xml"
_ABSENT = "-"


def crawl(visit: Visit) -> NewGeneration | None:
    """See the package."""
    document = visit.fetcher.document(visit.url(_ENTRY), seen=visit.seen)
    if document is None or visit.is_stored(document.sha256):
        return None
    _refuse_unlisted(visit, document.data)
    signature = visit.optional(f"{_ENTRY}.asc")
    verified = visit.verified(document.data, _ENTRY, signature=signature)
    repomd = rpmmd.parse_repomd(document.data)
    index = _index(visit, repomd)
    return NewGeneration(
        [index] if index else [],
        document.sha256,
        etag=document.etag,
        last_modified=document.last_modified,
        verified_by=verified.fingerprint,
        note=verified.note,
    )


def _refuse_unlisted(visit: Visit, data: bytes) -> None:
    """A metalink names the checksums of the current repomd.xml and of a few older ones."""
    if not visit.entries:
        return
    for each in visit.entries:
        try:
            verify(data, each, name=_ENTRY)
        except Untrusted:
            continue
        return
    raise Untrusted(
        f"{shown(visit.url(_ENTRY))} has no checksum that the metalink lists: the mirror is behind or was altered."
    )


def _index(visit: Visit, repomd: rpmmd.Repomd) -> NewIndex | None:
    """What becomes of the repository's one index; None if none of its files differs."""
    files = (repomd.primary, repomd.updateinfo, repomd.modules)
    checksums = [_checksum(each) for each in files]
    known = visit.stored.get(("", ""))
    stored = known.checksum.split(" ") if known and known.present else []
    if stored == checksums:
        return None
    primary_changed = stored[:1] != checksums[:1]
    content_changed = stored[1:] != checksums[1:]
    return NewIndex(
        "",
        "",
        path=repomd.primary.location,
        checksum=" ".join(checksums),
        records=_records(visit, repomd.primary) if primary_changed else None,
        content=_content(visit, repomd) if content_changed else None,
        content_changed=content_changed,
    )


def _checksum(file: rpmmd.RepomdFile | None) -> str:
    if file is None:
        return _ABSENT
    return expected(file.checksum_type, file.checksum, file.size, where="repomd.xml").text


def _fetch(visit: Visit, file: rpmmd.RepomdFile) -> Path:
    wanted = expected(file.checksum_type, file.checksum, file.size, where="repomd.xml")
    if strength(wanted.algorithm) < strength("sha1"):
        raise Untrusted(f"{shown(visit.url(_ENTRY))} lists {file.location} by a checksum that anybody can forge.")
    return visit.file(file.location, wanted).path


def _records(visit: Visit, primary: rpmmd.RepomdFile) -> Callable[[], Records]:
    file = _fetch(visit, primary)

    def read() -> Records:
        with visit.open(file, primary.location) as stream:
            yield from ((package.digest, package) for package in rpmmd.packages(stream))

    return read


def _content(visit: Visit, repomd: rpmmd.Repomd) -> IndexContent:
    advisories: list[RepositoryAdvisory] = []
    modules: ModuleMetadata | None = None
    if repomd.updateinfo:
        with visit.open(_fetch(visit, repomd.updateinfo), repomd.updateinfo.location) as stream:
            advisories = list(rpmmd.advisories(stream))
    if repomd.modules:
        with visit.open(_fetch(visit, repomd.modules), repomd.modules.location) as stream:
            modules = rpmmd.module_metadata(stream)
    return IndexContent(modules=modules, advisories=advisories)
