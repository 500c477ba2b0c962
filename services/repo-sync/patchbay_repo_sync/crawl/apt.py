"""Crawling apt repositories, with dists/ and flat: (In)Release, then the Packages files it lists.

Rules: apt-secure(8), sources.list(5), and https://wiki.debian.org/DebianRepository/Format.
"""

from collections.abc import Callable, Container, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from patchbay_shared.catalogue import ReleaseInfo
from patchbay_shared.errors import Unavailable, Untrusted
from patchbay_shared.fetching.fetch import Document, FetchedFile, NotFound, Withheld, shown
from patchbay_shared.repositories import is_flat

from patchbay_repo_sync import layout
from patchbay_repo_sync.crawl.visit import Visit
from patchbay_repo_sync.formats import apt
from patchbay_repo_sync.layout import IndexFiles
from patchbay_repo_sync.signature import Verified
from patchbay_repo_sync.swap import NewGeneration, NewIndex, Records


def crawl(visit: Visit) -> NewGeneration | None:
    """See the package. Raises also Untrusted for a bad signature or an expired Release, Lagging for an old one."""
    try:
        entry = _entry(visit)
    except NotFound as missing:
        if isinstance(missing, Withheld) or not _may_lack_release(visit):
            raise
        return _without_release(visit)
    if entry is None or visit.is_stored(entry[0].sha256):
        _expiry(visit, visit.repository.release)
        return None
    document, path = entry
    verified = _verified(visit, document, path)
    release = apt.parse_release(verified.data)
    expiry = _expiry(visit, release.info)
    published_at = _time(release.info.date)
    visit.refuse_older(published_at, "The Release file")
    indexes = sorted(_changed_indexes(visit, release), key=lambda each: each.key)
    return NewGeneration(
        indexes,
        document.sha256,
        etag=document.etag,
        last_modified=document.last_modified,
        release=release.info,
        security=layout.says_security(release.info),
        verified_by=verified.fingerprint,
        note=" ".join(filter(None, (verified.note, expiry))),
        published_at=published_at,
    )


def published(visit: Visit) -> datetime | None:
    """How old the mirror's state is, by its Release file's own word."""
    entry = _entry(visit)
    return _time(apt.parse_release(entry[0].data).info.date) if entry else visit.repository.published_at


def _entry(visit: Visit) -> tuple[Document, str] | None:
    """InRelease, else Release, and its path; None if the mirror says that it is the stored one."""
    folder = layout.suite_path(visit.repository.definition)
    for name in ("InRelease", "Release"):
        path = f"{folder}{name}"
        try:
            document = visit.fetcher.document(visit.url(path), seen=visit.seen)
        except Withheld:
            if name == "Release":
                raise
            continue
        except NotFound:
            continue
        return None if document is None else (document, path)
    raise NotFound(f"There is neither an InRelease nor a Release file at {shown(visit.url(folder))}.")


def _may_lack_release(visit: Visit) -> bool:
    """A flat repository never seen with a Release file, and that every host reads unchecked (trusted=yes)."""
    repository = visit.repository
    known = repository.release is not None or repository.verified_by
    return is_flat(repository.definition) and repository.unchecked_by_all and not (known or visit.must_verify)


def _without_release(visit: Visit) -> NewGeneration | None:
    """What apt accepts only where it is told to trust: a Packages file that nothing vouches for."""
    folder = layout.suite_path(visit.repository.definition)
    for suffix in layout.PACKAGES_SUFFIXES:
        path = f"{folder}Packages{suffix}"
        try:
            file = visit.fetcher.file(visit.url(path), visit.folder, seen=visit.seen)
        except NotFound:
            continue
        if file is None or visit.is_stored(bytes.fromhex(file.value)):
            return None
        index = NewIndex(
            "",
            "",
            path=path,
            checksum=f"sha256:{file.value}",
            records=_records(visit, file.path, path),
            package_of=apt.package_of,
        )
        return NewGeneration(
            [index],
            bytes.fromhex(file.value),
            etag=file.etag,
            last_modified=file.last_modified,
            note="There is no Release file, so nothing vouches for it: not verified.",
        )
    raise NotFound(f"There is neither a Release nor a Packages file at {shown(visit.url(folder))}.")


def _verified(visit: Visit, document: Document, path: str) -> Verified:
    clear_signed = b"-----BEGIN PGP SIGNED MESSAGE-----" in document.data
    signature = None
    if not clear_signed and path.rpartition("/")[2] == "Release":
        signature = visit.optional(f"{path}.gpg")
    return visit.verified(document.data, path, signature=signature, clear_signed=clear_signed)


def _expiry(visit: Visit, release: ReleaseInfo | None) -> str:
    """What is to be said of a Release file that expired and that hosts take all the same. Raises Untrusted."""
    until = _time(release.valid_until) if release else None
    if until is None or until >= visit.now:
        return ""
    expired = f"The Release file of {shown(visit.mirror.url)} expired on {until:%Y-%m-%d %H:%M} UTC"
    if visit.repository.unexpiring and not visit.settings.refuse_unchecked_sources:
        return f"{expired}, which its hosts do not check (check-valid-until=no)."
    raise Untrusted(f"{expired}, so hosts refuse it too: the mirror is no longer updated.")


def _time(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _changed_indexes(visit: Visit, release: apt.Release) -> Iterator[NewIndex]:
    """The indexes that hosts named and that are not as stored, with their files fetched."""
    listed = {
        (files.component, files.architecture): files
        for files in layout.apt_indexes(release, visit.repository.definition, visit.stored)
    }
    for component, architecture in visit.stored.keys() | listed.keys():
        files = listed.get((component, architecture))
        known = visit.stored.get((component, architecture))
        if files is None:
            if known is None or not known.crawled or known.present:
                yield NewIndex(component, architecture, present=False)
            continue
        identity = files.forms[-1].wanted  # the plain form's, where that is listed
        checksum = identity.text if identity else ""
        if known and known.present and known.checksum == checksum:
            continue
        path, file = _fetch(visit, files)
        yield NewIndex(
            component,
            architecture,
            path=path,
            checksum=checksum,
            records=_records(visit, file.path, path),
            package_of=apt.package_of,
        )


def _fetch(visit: Visit, files: IndexFiles) -> tuple[str, FetchedFile]:
    """The first of an index's forms that is there, and its path."""
    root = layout.suite_path(visit.repository.definition)
    withheld: Withheld | None = None
    for form in files.forms:
        try:
            return root + form.path, visit.file(root + form.path, form.wanted)
        except Withheld as exc:
            withheld = exc
        except NotFound:
            continue
    if withheld is not None:
        raise Unavailable(str(withheld)) from withheld
    plain = shown(visit.url(root + files.forms[-1].path))
    raise Unavailable(f"{plain} is listed in the Release file, but the mirror does not have it in any form.")


def _records(visit: Visit, file: Path, path: str) -> Callable[[Container[int]], Records]:
    def read(_known: Container[int]) -> Records:
        with visit.open(file, path) as stream:
            yield from apt.records(stream)

    return read
