"""Crawling YaST2 repositories: the content file, then the packages file that it lists."""

from collections.abc import Callable, Container
from pathlib import Path

from patchbay_repo_sync import layout
from patchbay_repo_sync.crawl.visit import Visit
from patchbay_repo_sync.formats import susetags
from patchbay_repo_sync.swap import NewGeneration, NewIndex, Records


def crawl(visit: Visit) -> NewGeneration | None:
    """See the package."""
    document = visit.fetcher.document(visit.url(layout.CONTENT_PATH), seen=visit.seen)
    if document is None or visit.is_stored(document.sha256):
        return None
    signature = visit.optional(f"{layout.CONTENT_PATH}.asc")
    verified = visit.verified(document.data, layout.CONTENT_PATH, signature=signature)
    index = _index(visit, susetags.parse_content(document.data))
    return NewGeneration(
        [index] if index else [],
        document.sha256,
        etag=document.etag,
        last_modified=document.last_modified,
        verified_by=verified.fingerprint,
        note=verified.note,
    )


def _index(visit: Visit, content: susetags.Content) -> NewIndex | None:
    [form] = layout.susetags_files(content).forms
    path, wanted = form.path, form.wanted
    known = visit.stored.get(("", ""))
    if wanted and known and known.present and known.checksum == wanted.text:
        return None
    file = visit.file(path, wanted)
    checksum = wanted.text if wanted else f"sha256:{file.value}"
    return NewIndex("", "", path=path, checksum=checksum, records=_records(visit, file.path, path, content.vendor))


def _records(visit: Visit, file: Path, path: str, vendor: str) -> Callable[[Container[int]], Records]:
    def read(_known: Container[int]) -> Records:
        with visit.open(file, path) as stream:
            yield from ((each.digest, each) for each in susetags.packages(stream, default_vendor=vendor))

    return read
