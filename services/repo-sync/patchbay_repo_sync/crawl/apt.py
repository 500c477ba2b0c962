"""Crawling apt repositories, with dists/ and flat: (In)Release, then the Packages files it lists.

Rules: apt-secure(8), sources.list(5), and https://wiki.debian.org/DebianRepository/Format.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from patchbay_shared.catalogue import ReleaseInfo
from patchbay_shared.errors import Unavailable, Untrusted

from patchbay_repo_sync.checksum import Expected, expected, strength
from patchbay_repo_sync.crawl.visit import Visit
from patchbay_repo_sync.fetch import Document, FetchedFile, NotFound, shown
from patchbay_repo_sync.formats import apt
from patchbay_repo_sync.signature import Verified
from patchbay_repo_sync.swap import NewGeneration, NewIndex, Records

_SUFFIXES = (".zst", ".xz", ".gz", ".bz2", ".lzma", "")
"""Of Packages, the one to fetch first; the plain file is often listed without being there."""
_NO_ALL = re.compile(rb"^No-Support-for-Architecture-all:.*\bPackages\b", re.MULTILINE | re.IGNORECASE)


def crawl(visit: Visit) -> NewGeneration | None:
    """See the package. Raises also Untrusted for a bad signature, Unavailable for an expired or outdated Release."""
    entry = _entry(visit)
    if entry is None or visit.is_stored(entry[0].sha256):
        _refuse_expired(visit, visit.repository.release)
        return None
    document, path = entry
    verified = _verified(visit, document, path)
    release = apt.parse_release(verified.data)
    _refuse_expired(visit, release.info)
    _refuse_older(visit, release.info)
    indexes = [
        index
        for component, architecture in _wanted(visit, release, verified.data)
        if (index := _index(visit, release, component, architecture)) is not None
    ]
    return NewGeneration(
        indexes,
        document.sha256,
        etag=document.etag,
        last_modified=document.last_modified,
        release=release.info,
        security=says_security(release.info),
        verified_by=verified.fingerprint,
        note=verified.note,
    )


def says_security(release: ReleaseInfo) -> bool | None:
    """Whether a distribution labels a suite as its security updates; None if it says nothing of the kind."""
    words = (release.origin, release.label, release.suite, release.codename)
    return True if any("security" in word.lower() for word in words) else None


def _root(visit: Visit) -> str:
    """Folder of the Release file below the mirror, with a slash at its end unless it is the mirror itself."""
    suite = visit.repository.suite
    if suite.endswith("/"):
        path = "/".join(part for part in suite.split("/") if part not in {"", "."})
        return f"{path}/" if path else ""
    return f"dists/{suite}/"


def _entry(visit: Visit) -> tuple[Document, str] | None:
    """InRelease, else Release, and its path; None if the mirror says that it is the stored one."""
    for name in ("InRelease", "Release"):
        path = f"{_root(visit)}{name}"
        try:
            document = visit.fetcher.document(visit.url(path), seen=visit.seen)
        except NotFound:
            continue
        return None if document is None else (document, path)
    raise NotFound(f"There is neither an InRelease nor a Release file at {shown(visit.url(_root(visit)))}.")


def _verified(visit: Visit, document: Document, path: str) -> Verified:
    clear_signed = b"-----BEGIN PGP SIGNED MESSAGE-----" in document.data
    signature = None
    if not clear_signed and path.rpartition("/")[2] == "Release":
        signature = visit.optional(f"{path}.gpg")
    return visit.verified(document.data, path, signature=signature, clear_signed=clear_signed)


def _refuse_expired(visit: Visit, release: ReleaseInfo | None) -> None:
    until = _time(release.valid_until) if release else None
    if until and until < visit.now:
        raise Unavailable(
            f"The Release file of {shown(visit.mirror.url)} expired on {until:%Y-%m-%d %H:%M} UTC, "
            "so hosts refuse it too: the mirror is no longer updated."
        )


def _refuse_older(visit: Visit, release: ReleaseInfo) -> None:
    """As apt does: a mirror that is behind another, or a replayed old Release, must not take updates away."""
    stored = _time(visit.repository.release.date) if visit.repository.release else None
    date = _time(release.date)
    if stored and date and date < stored and not visit.forced:
        raise Unavailable(
            f"The Release file of {shown(visit.mirror.url)} is of {date:%Y-%m-%d %H:%M} UTC, older than the stored "
            f"one of {stored:%Y-%m-%d %H:%M} UTC: the mirror is behind."
        )


def _time(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _wanted(visit: Visit, release: apt.Release, text: bytes) -> list[tuple[str, str]]:
    """The indexes that hosts named, and each component's `all` where the Release file keeps those apart."""
    wanted = dict.fromkeys(visit.stored)
    if "all" in release.info.architectures and not _NO_ALL.search(text):
        wanted |= dict.fromkeys((component, "all") for component, architecture in visit.stored if architecture)
    return list(wanted)


def _index(visit: Visit, release: apt.Release, component: str, architecture: str) -> NewIndex | None:
    """What becomes of one index; None if it is as stored."""
    known = visit.stored.get((component, architecture))
    stem = _stem(release, component, architecture)
    if stem is None:
        if known and known.crawled and not known.present:
            return None
        return NewIndex(component, architecture, present=False)
    listed = {suffix: release.checksums[stem + suffix] for suffix in _SUFFIXES if stem + suffix in release.checksums}
    wanted = {
        suffix: expected(each.algorithm, each.value, each.size, where="The Release file")
        for suffix, each in listed.items()
        if strength(each.algorithm) >= strength("sha256")
    }
    if not wanted:
        raise Untrusted(
            f"The Release file of {shown(visit.mirror.url)} lists only checksums that can be forged (MD5, SHA-1)."
        )
    identity = wanted.get("") or next(iter(wanted.values()))
    if known and known.present and known.checksum == identity.text:
        return None
    path, file = _fetch(visit, release, stem, wanted)
    return NewIndex(
        component,
        architecture,
        path=path,
        checksum=identity.text,
        records=_records(visit, file.path, path),
        package_of=apt.package_of,
    )


def _stem(release: apt.Release, component: str, architecture: str) -> str | None:
    """Path of an index without its suffix, if the Release file lists it in any form.

    Components may be written with a folder (`updates/main`) that the paths do not have.
    """
    if not architecture:
        stems = ["Packages"]
    else:
        folders = dict.fromkeys((component, component.rpartition("/")[2]))
        stems = [f"{folder}/binary-{architecture}/Packages" for folder in folders]
    return next((stem for stem in stems if any(stem + suffix in release.checksums for suffix in _SUFFIXES)), None)


def _fetch(visit: Visit, release: apt.Release, stem: str, wanted: dict[str, Expected]) -> tuple[str, FetchedFile]:
    """The first of an index's forms that is there, by its checksum where the mirror offers that."""
    root = _root(visit)
    for suffix, each in wanted.items():
        path = f"{root}{stem}{suffix}"
        folder = path.rpartition("/")[0]
        by_hash = f"{folder}/by-hash/{each.algorithm.upper()}/{each.value}".lstrip("/")
        for candidate in ([by_hash] if release.info.acquire_by_hash else []) + [path]:
            try:
                return path, visit.file(candidate, each)
            except NotFound:
                continue
    raise Unavailable(
        f"{shown(visit.url(root + stem))} is listed in the Release file, but the mirror has it in no form."
    )


def _records(visit: Visit, file: Path, path: str) -> Callable[[], Records]:
    def read() -> Records:
        with visit.open(file, path) as stream:
            yield from apt.records(stream)

    return read
