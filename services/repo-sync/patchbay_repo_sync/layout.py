"""Where the files of a repository are, and what they must be: pure, for every way of fetching them.

Paths are relative: those of apt to the suite's folder (`suite_path`), the others to the repository's URL.
Rules: https://wiki.debian.org/DebianRepository/Format and apt-secure(8).
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from patchbay_shared.catalogue import ReleaseInfo
from patchbay_shared.errors import InvalidInput, Untrusted
from patchbay_shared.fetching.checksum import Expected, strength
from patchbay_shared.report import ReportRepository
from patchbay_shared.repositories import is_flat, suite

from patchbay_repo_sync.formats.apt import Release
from patchbay_repo_sync.formats.rpmmd import Repomd
from patchbay_repo_sync.formats.susetags import Content
from patchbay_repo_sync.formats.text import relative_path

REPOMD_PATH = "repodata/repomd.xml"
CONTENT_PATH = "content"
PACKAGES_SUFFIXES = (".zst", ".gz", ".xz", ".bz2", ".lzma", "")
"""Of Packages, the one to fetch first: the cheapest to read. Debian's main is a third larger in gz than in xz, and
takes a quarter of the time, which is most of what a small change costs. The plain file is often listed without being
there.
"""
_SECURE = strength("sha256")


class Form(msgspec.Struct, frozen=True):
    """One way to get an index: a path, and what the bytes there must be (None: nothing vouches for them)."""

    path: str
    wanted: Expected | None


class IndexFiles(msgspec.Struct, frozen=True):
    """An index: the first of its forms that the mirror has."""

    forms: Sequence[Form]
    component: str = ""
    architecture: str = ""


def join(base: str, path: str) -> str:
    """`path` below the URL `base`, whether or not that ends with a slash; a URL as `path` stays what it is.

    A query of the base, which is where SUSE's servers want their token, stays at the end.
    """
    if path.startswith(("http://", "https://")):
        return path
    place, mark, query = base.partition("?")
    return f"{place.rstrip('/')}/{path.lstrip('/')}{mark}{query}"


def suite_path(definition: ReportRepository) -> str:
    """An apt suite's folder below the repository's URL: `dists/<suite>/`, or the path of a flat repository."""
    if is_flat(definition):
        path = "/".join(part for part in suite(definition).split("/") if part not in {"", "."})
        return f"{path}/" if path else ""
    return f"dists/{suite(definition).strip('/')}/"


def apt_indexes(
    release: Release, definition: ReportRepository, wanted: Iterable[tuple[str, str]]
) -> list[IndexFiles]:
    """The Packages files for those of the `wanted` (component, architecture) pairs that the Release file lists.

    Pairs that are not listed are left out, as apt skips them with a notice. `binary-all` is added to each component
    where the Release file says that it counts. Raises InvalidInput for a Release file that lists no files, Untrusted
    if it lists an index only by a checksum that can be forged.
    """
    if not release.checksums:
        raise InvalidInput("the Release file lists no files with checksums")
    if is_flat(definition):
        return [IndexFiles(forms)] if (forms := _forms(release, "Packages")) else []
    pairs = dict.fromkeys(wanted)
    if release.all_is_separate:
        pairs.update({(component, "all"): None for component, _ in list(pairs)})
    found: list[IndexFiles] = []
    for component, architecture in pairs:
        # Components may be written with a folder (`updates/main`) that the paths do not have.
        folders = dict.fromkeys((component, component.rpartition("/")[2]))
        candidates = (_forms(release, f"{folder}/binary-{architecture}/Packages") for folder in folders)
        forms = next((each for each in candidates if each), [])
        if forms:
            found.append(IndexFiles(forms, component, architecture))
    return found


def _forms(release: Release, stem: str) -> list[Form]:
    listed = {stem + suffix: release.checksums.get(stem + suffix) for suffix in PACKAGES_SUFFIXES}
    known = {path: wanted for path, wanted in listed.items() if wanted is not None}
    secure = {path: wanted for path, wanted in known.items() if strength(wanted.algorithm) >= _SECURE}
    if known and not secure:
        raise Untrusted(f"the Release file lists {stem} only by checksums that can be forged (MD5, SHA-1)")
    return list(_with_hashes(secure, by_hash=release.info.acquire_by_hash))


def _with_hashes(files: dict[str, Expected], *, by_hash: bool) -> Iterator[Form]:
    for path, wanted in files.items():
        if by_hash:
            folder, slash, _ = path.rpartition("/")
            yield Form(f"{folder}{slash}by-hash/{wanted.algorithm.upper()}/{wanted.value}", wanted)
        yield Form(path, wanted)


def says_security(release: ReleaseInfo) -> bool | None:
    """Whether a distribution labels a suite as its security updates; None if it says nothing of the kind."""
    words = (release.origin, release.label, release.suite, release.codename)
    return True if any("security" in word.lower() for word in words) else None


def rpmmd_files(repomd: Repomd) -> dict[str, IndexFiles]:
    """The files that are read, by type: primary, and updateinfo and modules where the repository has them.

    Raises InvalidInput if repomd.xml gives no usable checksum of one of them.
    """
    wanted = {"primary": repomd.primary, "updateinfo": repomd.updateinfo, "modules": repomd.modules}
    return {
        kind: IndexFiles([Form(file.location, file.expected)]) for kind, file in wanted.items() if file is not None
    }


def susetags_files(content: Content) -> IndexFiles:
    """The index of packages of a susetags repository."""
    path = content.packages_path
    return IndexFiles([Form(path, content.checksums.get(path))])


def pacman_files(definition: ReportRepository) -> IndexFiles:
    """A pacman database. Raises InvalidInput for a name that is a path."""
    return IndexFiles([Form(relative_path(f"{suite(definition)}.db", where="the name of the repository"), None)])
