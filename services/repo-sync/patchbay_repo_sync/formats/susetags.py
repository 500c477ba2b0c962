"""YaST2 repositories of type susetags: the content file and packages.

Rules: libzypp's and libsolv's readers (`repo_content.c`, `repo_susetags.c`); the format has no specification.
"""

from collections.abc import Iterator
from typing import BinaryIO

import msgspec
import structlog
from patchbay_shared.catalogue import AvailablePackage, Relations
from patchbay_shared.errors import InvalidInput, InvalidVersion
from patchbay_shared.fetching.checksum import Expected, expected
from patchbay_shared.versions import evr_key

from patchbay_repo_sync.formats.text import digest64, relative_path

MAX_CONTENT_BYTES = 16 * 1024 * 1024
MAX_LINE_BYTES = 1024 * 1024
MAX_PACKAGE_LINES = 200_000

_log = structlog.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_SOURCE_ARCHES = frozenset({"src", "nosrc"})


class Content(msgspec.Struct, frozen=True):
    """The content file of a repository."""

    vendor: str
    """Vendor of packages that name none."""
    descrdir: str
    """Folder of the package descriptions below the repository's URL."""
    datadir: str
    base_architectures: list[str]
    checksums: dict[str, Expected]
    """By path below the repository's URL."""

    @property
    def packages_path(self) -> str:
        """Path of the index of packages: the compressed one if it is listed."""
        plain = f"{self.descrdir}/packages"
        listed = [path for path in (f"{plain}.gz", plain) if path in self.checksums]
        return listed[0] if listed else f"{plain}.gz"


def parse_content(data: bytes) -> Content:
    """Read a content file. Raises InvalidInput, also where a path leaves the repository."""
    if len(data) > MAX_CONTENT_BYTES:
        raise InvalidInput(f"the content file has more than {MAX_CONTENT_BYTES} bytes")
    if b"\0" in data:
        raise InvalidInput("the content file holds NUL bytes")
    fields: dict[str, str] = {}
    checksums: list[tuple[str, str]] = []
    for line in data.decode("utf-8", "replace").splitlines():
        key, _, value = line.strip().partition(" ")
        if key in {"META", "HASH", "KEY"}:
            checksums.append((key, value))
        else:
            fields.setdefault(key.partition(".")[0], value.strip())
    if "DESCRDIR" not in fields:
        raise InvalidInput("the content file names no DESCRDIR: this is no susetags repository")
    descrdir = relative_path(fields["DESCRDIR"].strip("/"), where="the content file, DESCRDIR")
    known: dict[str, Expected] = {}
    for key, line in checksums:
        path, checksum = _checksum(line, folder=f"{descrdir}/" if key == "META" else "")
        known[path] = checksum
    return Content(
        vendor=fields.get("VENDOR", ""),
        descrdir=descrdir,
        datadir=relative_path(fields.get("DATADIR", "suse").strip("/"), where="the content file, DATADIR"),
        base_architectures=fields.get("BASEARCHS", "").split(),
        checksums=known,
    )


def _checksum(line: str, *, folder: str) -> tuple[str, Expected]:
    parts = line.split(None, 2)
    if len(parts) != 3:
        raise InvalidInput(f"the content file has an unreadable checksum: {line[:200]!r}")
    path = relative_path(folder + parts[2].strip(), where="the content file")
    return path, expected(parts[0], parts[1], None, where=f"the content file, {path}")


def packages(stream: BinaryIO, *, default_vendor: str = "") -> Iterator[AvailablePackage]:
    """The binary packages of a `packages` file, in its order. Raises InvalidInput.

    `default_vendor` is `Content.vendor`, which packages without a vendor of their own get.
    """
    refused = 0
    for record in _records(stream):
        try:
            package = _package(record, default_vendor)
        except InvalidVersion:
            refused += 1
        else:
            if package is not None:
                yield package
    if refused:
        _log.warning("packages_without_usable_version", index="packages", count=refused)


def _records(stream: BinaryIO) -> Iterator[list[bytes]]:
    """The lines of each package, its `=Pkg:` line first."""
    record: list[bytes] = []
    seen_version = False
    while line := stream.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise InvalidInput(f"the packages file holds a line of more than {MAX_LINE_BYTES} bytes")
        if b"\0" in line:
            raise InvalidInput("the packages file holds NUL bytes")
        line = line.strip()
        if not line or line.startswith(b"##"):
            continue
        if line.startswith(b"=Ver:"):
            seen_version = True
        elif not seen_version:
            raise InvalidInput("the packages file does not begin with =Ver: this is no susetags index")
        elif line.startswith(b"=Pkg:"):
            if record:
                yield record
            record = [line]
        elif record:
            record.append(line)
            if len(record) > MAX_PACKAGE_LINES:
                raise InvalidInput(f"the packages file holds a package of more than {MAX_PACKAGE_LINES} lines")
    if not seen_version:
        raise InvalidInput("the packages file is empty: it has not even a =Ver line")
    if record:
        yield record


def _package(record: list[bytes], default_vendor: str) -> AvailablePackage | None:
    lines = b"\n".join(record).decode("utf-8", "replace").split("\n")
    identity = lines[0].removeprefix("=Pkg:").split()
    if len(identity) != 4:
        raise InvalidInput(f"the packages file has an unreadable package line: {lines[0][:200]!r}")
    name, version, release, arch = identity
    if arch in _SOURCE_ARCHES:
        return None
    values, blocks = _fields(lines)
    evr = _without_zero_epoch(f"{version}-{release}")
    vendor = values.get("Vnd") or default_vendor
    source = values.get("Src", "").split()
    return AvailablePackage(
        name=name,
        arch=arch,
        evr=evr,
        evr_key=evr_key("rpm", evr),
        digest=digest64(b"\n".join([vendor.encode(), *record])),
        source=source[0] if source else None,
        vendor=vendor or None,
        obsoletes=tuple(_relations(blocks, "Obs")),
        relations=_encode(
            Relations(
                provides=_relations(blocks, "Prv", "Fil"),
                requires=[text for text in _relations(blocks, "Prq", "Req") if not text.startswith("rpmlib(")],
                conflicts=_relations(blocks, "Con"),
            )
        ),
    )


def _fields(lines: list[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """`=Key: value` lines, and the lines between `+Key:` and `-Key:`."""
    values: dict[str, str] = {}
    blocks: dict[str, list[str]] = {}
    block = ""
    for line in lines:
        if block:
            if line == f"-{block}:":
                block = ""
            else:
                blocks[block].append(line)
        elif line[:1] == "=" and line[4:5] == ":":
            values.setdefault(line[1:4], line[5:].strip())
        elif line[:1] == "+" and line[4:5] == ":":
            block = line[1:4]
            blocks.setdefault(block, [])
    if block:
        raise InvalidInput(f"the packages file is truncated: the block {block!r} of {lines[0][:200]!r} has no end")
    return values, blocks


def _relations(blocks: dict[str, list[str]], *keys: str) -> list[str]:
    found: dict[str, None] = {}
    for key in keys:
        for line in blocks.get(key, ()):
            name, _, condition = line.partition(" ")
            operator, _, evr = condition.strip().partition(" ")
            found[f"{name} {operator} {_without_zero_epoch(evr.strip())}" if evr else name] = None
    return list(found)


def _without_zero_epoch(evr: str) -> str:
    epoch, colon, rest = evr.partition(":")
    return rest if colon and not epoch.strip("0") else evr
