"""Gentoo's ebuild trees: the metadata cache (md5-cache) in a snapshot of the tree.

Rules: PMS 8, chapter 14.2 (md5-dict), 3.1 and 3.2 (names and versions), 7.2 (slots).
"""

import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog
from patchbay_shared.catalogue import AvailablePackage, Relations
from patchbay_shared.errors import InvalidInput, InvalidVersion
from patchbay_shared.versions import evr_key
from patchbay_shared.versions.portage import VERSION

from patchbay_repo_sync.formats.text import digest64

MAX_ENTRY_BYTES = 1024 * 1024

_log = structlog.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_PACKAGE = re.compile(rf"([A-Za-z0-9_][A-Za-z0-9+_-]*?)-({VERSION})")
_CACHE = ["metadata", "md5-cache"]
_LIVE = re.compile(r"9{4,}")


def split(text: str) -> tuple[str, str]:
    """Name and version of `name-version`: the version begins after the first hyphen that leaves one.

    Raises InvalidInput.

    >>> split("font-adobe-100dpi-1.0.3-r1")
    ('font-adobe-100dpi', '1.0.3-r1')
    """
    match = _PACKAGE.fullmatch(text)
    if match is None:
        raise InvalidInput(f"{text[:200]!r} is not a package's name and version as portage writes them")
    return match[1], match[2]


def packages(stream: BinaryIO) -> Iterator[AvailablePackage]:
    """The ebuilds of a tree's tar file, in its order; live ones are left out. Raises InvalidInput.

    A live ebuild (9999, or live in its properties) builds whatever its project has at that moment: it is a version
    of nothing, and no update.
    """
    return _packages(_entries(stream))


def packages_in(cache: Path) -> Iterator[AvailablePackage]:
    """The same of a tree's `metadata/md5-cache` as a folder, in order of names. Raises InvalidInput."""
    return _packages(_files(cache))


def _packages(entries: Iterable[tuple[str, str, bytes]]) -> Iterator[AvailablePackage]:
    found = refused = 0
    for category, name, entry in entries:
        found += 1
        try:
            package = _package(category, name, entry)
        except InvalidVersion:
            refused += 1
            continue
        if package is not None:
            yield package
    if not found:
        raise InvalidInput("the tree has no metadata cache (metadata/md5-cache), so it is no ebuild tree")
    if refused:
        _log.warning("packages_without_usable_version", index="md5-cache", count=refused)


def _entries(stream: BinaryIO) -> Iterator[tuple[str, str, bytes]]:
    """Category, file name and content of each cache entry."""
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 18) as archive:
            for member in archive:
                parts = member.name.removeprefix("./").split("/")
                if not member.isreg() or parts[-4:-2] != _CACHE or parts[-1].startswith("Manifest"):
                    continue
                if member.size > MAX_ENTRY_BYTES:
                    raise InvalidInput(f"the snapshot holds a cache entry of more than {MAX_ENTRY_BYTES} bytes")
                reader = archive.extractfile(member)
                if reader is not None:
                    yield parts[-2], parts[-1], reader.read()
    except tarfile.TarError as exc:
        raise InvalidInput(f"the snapshot is no readable tar file: {exc}") from exc


def _files(cache: Path) -> Iterator[tuple[str, str, bytes]]:
    """Category, file name and content of each cache entry; links are not followed."""
    try:
        for category in sorted(cache.iterdir()):
            if category.is_symlink() or not category.is_dir():
                continue
            for file in sorted(category.iterdir()):
                if file.is_symlink() or not file.is_file() or file.name.startswith("Manifest"):
                    continue
                if file.stat().st_size > MAX_ENTRY_BYTES:
                    raise InvalidInput(f"the tree holds a cache entry of more than {MAX_ENTRY_BYTES} bytes")
                yield category.name, file.name, file.read_bytes()
    except OSError as exc:
        raise InvalidInput(f"the tree's metadata cache cannot be read: {exc.strerror}") from exc


def _package(category: str, file: str, entry: bytes) -> AvailablePackage | None:
    name, version = split(file)
    fields = dict(line.split("=", 1) for line in entry.decode("utf-8", "replace").split("\n") if "=" in line)
    if _LIVE.fullmatch(version.split("-r")[0].rpartition(".")[2]) or "live" in fields.get("PROPERTIES", "").split():
        return None
    slot, _, subslot = fields.get("SLOT", "").strip().partition("/")
    if not slot:
        raise InvalidInput(f"the cache entry of {category[:80]}/{file[:80]} has no SLOT")
    return AvailablePackage(
        name=f"{category}/{name}",
        arch="",
        evr=version,
        evr_key=evr_key("portage", version),
        digest=digest64(b"\0".join((category.encode(), file.encode(), entry))),
        relations=_encode(Relations(slot=slot, subslot=subslot, keywords=fields.get("KEYWORDS", "").split())),
    )
