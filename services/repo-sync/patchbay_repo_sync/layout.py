"""Where the files of a repository are, and what they must be: pure, for every way of fetching them.

Paths are relative: those of apt to the suite's folder (`suite_path`), the others to the repository's URL.
"""

from collections.abc import Iterable, Sequence

import msgspec
from patchbay_shared.errors import InvalidInput
from patchbay_shared.report import ReportRepository
from patchbay_shared.repositories import is_flat, suite

from patchbay_repo_sync.checksum import Expected
from patchbay_repo_sync.formats.apt import Release
from patchbay_repo_sync.formats.rpmmd import Repomd, RepomdFile
from patchbay_repo_sync.formats.susetags import Content

REPOMD_PATH = "repodata/repomd.xml"
CONTENT_PATH = "content"
_SUFFIXES = (".xz", ".zst", ".gz", ".bz2", ".lzma", "")
"""Compressions of apt indexes in the order of preference."""
_BY_HASH = {"sha512": "SHA512", "sha256": "SHA256", "sha1": "SHA1", "md5": "MD5Sum"}


class IndexFile(msgspec.Struct, frozen=True):
    """One file to fetch: any of `paths`, the first that exists, must be what is `wanted`."""

    paths: Sequence[str]
    wanted: Expected | None
    component: str = ""
    architecture: str = ""


def join(base: str, path: str) -> str:
    """`path` below the URL `base`, whether or not that ends with a slash."""
    return f"{base.rstrip('/')}/{path.lstrip('/')}"


def suite_path(definition: ReportRepository) -> str:
    """An apt suite's folder below the repository's URL: `dists/<suite>/`, or the path of a flat repository."""
    if is_flat(definition):
        return suite(definition).removeprefix("./").lstrip("/")
    return f"dists/{suite(definition).strip('/')}/"


def apt_indexes(release: Release, definition: ReportRepository, wanted: Iterable[tuple[str, str]]) -> list[IndexFile]:
    """The Packages files for those of the `wanted` (component, architecture) pairs that the Release file lists.

    Pairs that are not listed are left out, as apt skips them with a notice. `binary-all` is added to each component
    where the Release file says that it counts. Raises InvalidInput for a Release file without any checksum.
    """
    if not release.checksums:
        raise InvalidInput("the Release file lists no files with checksums")
    if is_flat(definition):
        found = _packages_file(release, "", "", "")
        if found is None:
            raise InvalidInput("the Release file of the flat repository lists no Packages file")
        return [found]
    pairs = dict.fromkeys(wanted)
    if release.all_is_separate:
        pairs.update({(component, "all"): None for component, _ in list(pairs)})
    files = (
        _packages_file(release, f"{component}/binary-{architecture}/", component, architecture)
        for component, architecture in pairs
    )
    return [file for file in files if file is not None]


def _packages_file(release: Release, folder: str, component: str, architecture: str) -> IndexFile | None:
    for suffix in _SUFFIXES:
        path = f"{folder}Packages{suffix}"
        wanted = release.checksums.get(path)
        # An index of no packages is often listed with a size of zero and not kept in a compressed form.
        if wanted is not None:
            paths = [path]
            if release.info.acquire_by_hash and wanted.algorithm in _BY_HASH:
                paths.insert(0, f"{folder}by-hash/{_BY_HASH[wanted.algorithm]}/{wanted.value}")
            return IndexFile(paths, wanted, component, architecture)
    return None


def rpmmd_file(file: RepomdFile) -> IndexFile:
    """A file that repomd.xml lists. Raises InvalidInput if it gives no usable checksum."""
    return IndexFile([file.location], file.expected)


def rpmmd_files(repomd: Repomd) -> dict[str, IndexFile]:
    """The files that are read, by type: primary, and updateinfo and modules where the repository has them."""
    wanted = {"primary": repomd.primary, "updateinfo": repomd.updateinfo, "modules": repomd.modules}
    return {kind: rpmmd_file(file) for kind, file in wanted.items() if file is not None}


def susetags_file(content: Content) -> IndexFile:
    """The index of packages of a susetags repository."""
    path = content.packages_path
    return IndexFile([path], content.checksums.get(path))


def pacman_file(definition: ReportRepository) -> IndexFile:
    """A pacman database; what signs it, if anything, is a file beside it."""
    return IndexFile([f"{definition.id}.db"], None)
