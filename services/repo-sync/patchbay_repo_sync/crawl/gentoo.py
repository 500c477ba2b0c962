"""Crawling Gentoo's ebuild trees: the snapshot that webrsync uses, entry document and index at once.

Trees are configured with rsync or git addresses, which are not fetched from here. Their snapshots lie on web servers;
the mirror map says where, or a source names one itself. A tree in a local folder is read from its cache; over
http that would be thirty thousand requests, and no server lists them.
"""

import hashlib
from collections.abc import Callable, Container, Iterator
from pathlib import Path

from patchbay_shared.errors import InvalidInput
from patchbay_shared.fetching.fetch import FetchedFile, NotFound, shown

from patchbay_repo_sync.crawl.visit import Visit
from patchbay_repo_sync.formats import gentoo
from patchbay_repo_sync.swap import NewGeneration, NewIndex, Records

SNAPSHOTS = ("snapshots/gentoo-latest.tar.xz", "snapshots/portage-latest.tar.xz")
_CACHE = "metadata/md5-cache"
_TAR_SUFFIXES = (".tar.xz", ".tar.gz", ".tar.bz2", ".tar.zst", ".tar")


def crawl(visit: Visit) -> NewGeneration | None:
    """See the package."""
    cache = visit.fetcher.folder(f"{visit.mirror.url}/{_CACHE}")
    if cache is not None:
        return _tree(visit, cache)
    found = _snapshot(visit)
    if found is None or visit.is_stored(bytes.fromhex(found[0].value)):
        return None
    file, url = found
    verified = visit.verified_as(file.path.read_bytes(), url, signature=visit.optional(f"{url}.gpgsig"))
    checksum = f"sha256:{file.value}"
    known = visit.stored.get(("", ""))
    unchanged = known is not None and known.present and known.checksum == checksum
    name = url.rpartition("/")[2]
    index = NewIndex("", "", path=name, checksum=checksum, records=_records(visit, file.path, name))
    return NewGeneration(
        [] if unchanged else [index],
        bytes.fromhex(file.value),
        etag=file.etag,
        last_modified=file.last_modified,
        verified_by=verified.fingerprint,
        note=verified.note,
    )


def _tree(visit: Visit, cache: Path) -> NewGeneration | None:
    """A tree as rsync or git keep it up to date in a folder that the operator named. Nothing in it is signed."""
    records = [(package.digest, package) for package in gentoo.packages_in(cache)]
    entry = hashlib.sha256(b"".join(digest.to_bytes(8, "big", signed=True) for digest, _ in records)).digest()
    if visit.is_stored(entry):
        return None
    verified = visit.verified_as(b"", f"{visit.mirror.url}/{_CACHE}", signature=None)
    index = NewIndex("", "", path=_CACHE, checksum=f"sha256:{entry.hex()}", records=lambda _known: records)
    return NewGeneration([index], entry, note=verified.note)


def _snapshot(visit: Visit) -> tuple[FetchedFile, str] | None:
    """The snapshot and its URL; None if the mirror says that it is the stored one."""
    base = visit.mirror.url
    if not visit.fetcher.can_fetch(base):
        raise InvalidInput(
            f"{shown(base)} is not fetched: only http and https addresses are. Name a web server with the tree's "
            "snapshots in its place: PATCHBAY_MIRROR_MAP=<this address>=https://…, where "
            "snapshots/gentoo-latest.tar.xz is."
        )
    missing: NotFound | None = None
    for url in _candidates(base):
        try:
            file = visit.fetcher.file(url, visit.folder, seen=visit.seen)
        except NotFound as exc:
            missing = missing or exc
            continue
        return (file, url) if file else None
    assert missing is not None  # noqa: S101  (there is always a candidate)
    raise missing


def _candidates(base: str) -> Iterator[str]:
    if base.endswith(_TAR_SUFFIXES):
        yield base
    else:
        yield from (f"{base}/{path}" for path in SNAPSHOTS)


def _records(visit: Visit, file: Path, name: str) -> Callable[[Container[int]], Records]:
    def read(_known: Container[int]) -> Records:
        with visit.open(file, name) as stream:
            yield from ((package.digest, package) for package in gentoo.packages(stream))

    return read
