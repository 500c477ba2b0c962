"""Crawling pacman repositories: one database file, which is entry document and index at once."""

from collections.abc import Callable, Container
from pathlib import Path

from patchbay_repo_sync import layout
from patchbay_repo_sync.crawl.visit import Visit
from patchbay_repo_sync.formats import pacman
from patchbay_repo_sync.swap import NewGeneration, NewIndex, Records


def crawl(visit: Visit) -> NewGeneration | None:
    """See the package."""
    [form] = layout.pacman_files(visit.repository.definition).forms
    path = form.path
    file = visit.fetcher.file(visit.url(path), visit.folder, seen=visit.seen)
    if file is None or visit.is_stored(bytes.fromhex(file.value)):
        return None
    verified_by, note = _verified(visit, file.path, path)
    checksum = f"sha256:{file.value}"
    known = visit.stored.get(("", ""))
    unchanged = known is not None and known.present and known.checksum == checksum
    index = NewIndex("", "", path=path, checksum=checksum, records=_records(visit, file.path, path))
    return NewGeneration(
        [] if unchanged else [index],
        bytes.fromhex(file.value),
        etag=file.etag,
        last_modified=file.last_modified,
        verified_by=verified_by,
        note=note,
    )


def _verified(visit: Visit, file: Path, path: str) -> tuple[str, str]:
    """Few distributions sign their databases; one that did once must go on."""
    verified = visit.verified(file.read_bytes(), path, signature=visit.optional(f"{path}.sig"))
    return verified.fingerprint, verified.note


def _records(visit: Visit, file: Path, path: str) -> Callable[[Container[int]], Records]:
    def read(_known: Container[int]) -> Records:
        with visit.open(file, path) as stream:
            yield from ((package.digest, package) for package in pacman.packages(stream))

    return read
