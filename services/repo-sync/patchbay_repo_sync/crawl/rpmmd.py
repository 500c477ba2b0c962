"""Crawling rpm-md repositories: repomd.xml, then primary, updateinfo and modules where their checksums differ."""

from collections.abc import Callable, Container, Mapping
from datetime import UTC, datetime
from pathlib import Path

from patchbay_shared.catalogue import IndexContent, ModuleMetadata, RepositoryAdvisory
from patchbay_shared.errors import Untrusted
from patchbay_shared.fetching.checksum import strength, verify
from patchbay_shared.fetching.fetch import shown

from patchbay_repo_sync import layout
from patchbay_repo_sync.crawl.visit import Visit
from patchbay_repo_sync.formats import rpmmd
from patchbay_repo_sync.layout import IndexFiles
from patchbay_repo_sync.swap import NewGeneration, NewIndex, Records

_ABSENT = "-"


def crawl(visit: Visit) -> NewGeneration | None:
    """See the package."""
    document = visit.fetcher.document(visit.url(layout.REPOMD_PATH), seen=visit.seen)
    if document is None or visit.is_stored(document.sha256):
        return None
    _refuse_unlisted(visit, document.data)
    signature = visit.optional(f"{layout.REPOMD_PATH}.asc")
    verified = visit.verified(document.data, layout.REPOMD_PATH, signature=signature)
    repomd = rpmmd.parse_repomd(document.data)
    published_at = _revised_at(repomd)
    visit.refuse_older(published_at, "repomd.xml")
    index = _index(visit, layout.rpmmd_files(repomd))
    return NewGeneration(
        [index] if index else [],
        document.sha256,
        etag=document.etag,
        last_modified=document.last_modified,
        verified_by=verified.fingerprint,
        note=verified.note,
        published_at=published_at,
    )


def published(visit: Visit) -> datetime | None:
    """How old the mirror's state is, by the revision of its repomd.xml."""
    document = visit.fetcher.document(visit.url(layout.REPOMD_PATH), seen=visit.seen)
    return _revised_at(rpmmd.parse_repomd(document.data)) if document else visit.repository.published_at


def _revised_at(repomd: rpmmd.Repomd) -> datetime | None:
    """createrepo_c's revision is the time in Unix seconds; others write versions of their own there."""
    revision = repomd.revision
    if not (revision.isascii() and revision.isdigit() and len(revision) in {9, 10}):
        return None
    return datetime.fromtimestamp(int(revision), UTC)


def _refuse_unlisted(visit: Visit, data: bytes) -> None:
    """A metalink names the checksums of the current repomd.xml and of a few older ones."""
    if not visit.entries:
        return
    for each in visit.entries:
        try:
            verify(data, each, name=layout.REPOMD_PATH)
        except Untrusted:
            continue
        return
    entry = shown(visit.url(layout.REPOMD_PATH))
    raise Untrusted(f"{entry} is not what the metalink lists: the mirror is behind, or it was altered.")


def _index(visit: Visit, files: Mapping[str, IndexFiles]) -> NewIndex | None:
    """What becomes of the repository's one index; None if none of its files differs."""
    checksums = [_checksum(files.get(kind)) for kind in ("primary", "updateinfo", "modules")]
    known = visit.stored.get(("", ""))
    stored = known.checksum.split(" ") if known and known.present else []
    if stored == checksums:
        return None
    primary_changed = stored[:1] != checksums[:1]
    content_changed = stored[1:] != checksums[1:]
    return NewIndex(
        "",
        "",
        path=files["primary"].forms[0].path,
        checksum=" ".join(checksums),
        records=_records(visit, files["primary"]) if primary_changed else None,
        package_of=rpmmd.package_of,
        content=_content(visit, files) if content_changed else None,
        content_changed=content_changed,
    )


def _checksum(files: IndexFiles | None) -> str:
    wanted = files.forms[0].wanted if files else None
    return wanted.text if wanted else _ABSENT


def _fetch(visit: Visit, files: IndexFiles) -> tuple[Path, str]:
    """A file that repomd.xml lists, and its path on the mirror."""
    [form] = files.forms
    if form.wanted is None or strength(form.wanted.algorithm) < strength("sha1"):
        raise Untrusted(f"{shown(visit.url(layout.REPOMD_PATH))} lists {form.path} without a checksum worth having.")
    return visit.file(form.path, form.wanted).path, form.path


def _records(visit: Visit, primary: IndexFiles) -> Callable[[Container[int]], Records]:
    file, path = _fetch(visit, primary)

    def read(known: Container[int]) -> Records:
        with visit.open(file, path) as stream:
            yield from rpmmd.records(stream, known)

    return read


def _content(visit: Visit, files: Mapping[str, IndexFiles]) -> IndexContent:
    advisories: list[RepositoryAdvisory] = []
    modules: ModuleMetadata | None = None
    if updateinfo := files.get("updateinfo"):
        with visit.open(*_fetch(visit, updateinfo)) as stream:
            advisories = list(rpmmd.advisories(stream))
    if listed := files.get("modules"):
        with visit.open(*_fetch(visit, listed)) as stream:
            modules = rpmmd.module_metadata(stream)
    return IndexContent(modules=modules, advisories=advisories)
