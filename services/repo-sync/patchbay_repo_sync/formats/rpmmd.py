"""rpm-md repositories (dnf, zypper, yum): repomd.xml, primary, updateinfo and modules.

The format is described by createrepo_c, whose own reader is used for primary.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import BinaryIO

import defusedxml.ElementTree
import msgspec
import structlog
from defusedxml.common import DefusedXmlException
from patchbay_shared.catalogue import AvailablePackage, Relations
from patchbay_shared.errors import InvalidInput, InvalidVersion
from patchbay_shared.fetching.checksum import Expected, expected
from patchbay_shared.versions import evr_key

from patchbay_repo_sync.formats.librpm import createrepo_c
from patchbay_repo_sync.formats.modulemd import module_metadata
from patchbay_repo_sync.formats.primary import records
from patchbay_repo_sync.formats.text import relative_path
from patchbay_repo_sync.formats.updateinfo import advisories

__all__ = [
    "Repomd",
    "RepomdFile",
    "advisories",
    "module_metadata",
    "package_of",
    "packages",
    "parse_repomd",
    "records",
]

MAX_REPOMD_BYTES = 4 * 1024 * 1024

_log = structlog.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_OPERATORS = {"EQ": "=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}
_XML_BASE = "{http://www.w3.org/XML/1998/namespace}base"


class RepomdFile(msgspec.Struct, frozen=True):
    """One `<data>` of repomd.xml. Checksum types as published: sha (SHA-1), sha256, sha512, …; sizes in bytes."""

    type: str
    location: str
    """Path below the repository's base URL; a URL where the file lies elsewhere (xml:base)."""
    checksum_type: str = ""
    checksum: str = ""
    open_checksum_type: str = ""
    open_checksum: str = ""
    size: int | None = None
    open_size: int | None = None

    @property
    def expected(self) -> Expected:
        """What the file as served must be. Raises InvalidInput if repomd.xml gives no usable checksum."""
        return expected(self.checksum_type, self.checksum, self.size, where=f"repomd.xml, {self.type}")


class Repomd(msgspec.Struct, frozen=True):
    """repomd.xml: what the repository consists of."""

    revision: str
    files: dict[str, RepomdFile]
    """By type, without the `_db` and `_zck` twins of plain files."""

    @property
    def primary(self) -> RepomdFile:
        return self.files["primary"]

    @property
    def updateinfo(self) -> RepomdFile | None:
        return self.files.get("updateinfo")

    @property
    def modules(self) -> RepomdFile | None:
        return self.files.get("modules")


def parse_repomd(data: bytes) -> Repomd:
    """Read repomd.xml. Raises InvalidInput, also where a location leaves the repository or primary is missing."""
    if len(data) > MAX_REPOMD_BYTES:
        raise InvalidInput(f"repomd.xml has more than {MAX_REPOMD_BYTES} bytes")
    try:
        root = defusedxml.ElementTree.fromstring(data)
    except (ET.ParseError, DefusedXmlException, LookupError, ValueError) as exc:  # LookupError: unknown encoding
        raise InvalidInput(f"repomd.xml cannot be read: {exc}") from exc
    if _local(root.tag) != "repomd":
        raise InvalidInput(f"repomd.xml has the root element {_local(root.tag)!r}, not 'repomd'")
    revision = ""
    files: dict[str, RepomdFile] = {}
    for element in root:
        if _local(element.tag) == "revision":
            revision = (element.text or "").strip()
        elif _local(element.tag) == "data":
            file = _repomd_file(element)
            if not file.type.endswith(("_db", "_zck")):
                files.setdefault(file.type, file)
    if "primary" not in files:
        raise InvalidInput("repomd.xml lists no primary metadata in XML")
    return Repomd(revision=revision, files=files)


def _repomd_file(data: ET.Element) -> RepomdFile:
    kind = data.get("type", "")
    children = {_local(child.tag): child for child in data}
    location = children.get("location")
    if location is None:
        raise InvalidInput(f"repomd.xml gives no location for {kind!r}")
    checksum = children.get("checksum")
    open_checksum = children.get("open-checksum")
    return RepomdFile(
        type=kind,
        location=_location(location, kind),
        checksum_type=_attribute(checksum, "type").lower(),
        checksum=_text(checksum).lower(),
        open_checksum_type=_attribute(open_checksum, "type").lower(),
        open_checksum=_text(open_checksum).lower(),
        size=_number(_text(children.get("size")), f"size of {kind}"),
        open_size=_number(_text(children.get("open-size")), f"open-size of {kind}"),
    )


def _location(element: ET.Element, kind: str) -> str:
    path = relative_path(element.get("href", ""), where=f"repomd.xml, {kind}")
    base = element.get(_XML_BASE, "")
    return f"{base.rstrip('/')}/{path}" if base.startswith(("http://", "https://")) else path


def packages(stream: BinaryIO, *, relations: bool = True) -> Iterator[AvailablePackage]:
    """The binary packages of a primary.xml, in its order. Raises InvalidInput.

    `relations=False` keeps of the relations only the names beside its own that a package provides, which saves
    about half of the time: dnf's list of updates does not solve dependencies, but module streams hide by such names.
    """
    refused = 0
    for digest, record in records(stream):
        package = package_of(digest, record, relations=relations)
        if package is None:
            refused += 1
        else:
            yield package
    if refused:
        _log.warning("packages_without_usable_version", index="primary.xml", count=refused)


def package_of(
    digest: int, package: "createrepo_c.Package | None", *, relations: bool = True
) -> AvailablePackage | None:
    """A package as the catalogue keeps it; None if its version cannot be ordered.

    Raises InvalidInput for one without name, version or architecture, and for text that is not UTF-8.
    """
    if package is None:
        return None
    try:
        return _package(digest, package, relations=relations)
    except InvalidVersion:
        return None
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"primary.xml cannot be read: {exc}") from exc


def _package(digest: int, package: "createrepo_c.Package", *, relations: bool) -> AvailablePackage:
    name, arch = package.name, package.arch
    if not name or not arch or not package.version:
        raise InvalidInput(f"primary.xml lists a package without name, version or architecture ({name!r})")
    evr = _evr(package.epoch, package.version, package.release)
    return AvailablePackage(
        name=name,
        arch=arch,
        evr=evr,
        evr_key=evr_key("rpm", evr),
        digest=digest,
        source=_source_name(package.rpm_sourcerpm),
        vendor=package.rpm_vendor or None,
        obsoletes=tuple(dict.fromkeys(map(_relation, package.obsoletes))),
        relations=_encode(_relations(package)) if relations else _other_names(package),
    )


def _relations(package: "createrepo_c.Package") -> Relations:
    # Most relations have no version, and a call for each of a million costs.
    provides = dict.fromkeys([r[0] if r[1] is None else _relation(r) for r in package.provides])
    if files := package.files:  # those that primary lists are the ones that others may require by path
        provides.update(dict.fromkeys([f"{entry[1]}{entry[2]}" for entry in files]))
    requires = [r[0] if r[1] is None else _relation(r) for r in package.requires if r[0][:7] != "rpmlib("]
    conflicts = package.conflicts
    return Relations(
        provides=list(provides),
        requires=list(dict.fromkeys(requires)),
        conflicts=list(dict.fromkeys(map(_relation, conflicts))) if conflicts else [],
    )


def _other_names(package: "createrepo_c.Package") -> bytes | None:
    # A name with a bracket is no package's: `libc.so.6()(64bit)`, `perl(strict)`, `bash(x86-64)`.
    own = package.name
    names = {entry[0] for entry in package.provides if entry[0] != own and "(" not in entry[0]}
    return _encode(Relations(provides=sorted(names))) if names else None


def _relation(entry: tuple[str, str | None, str | None, str | None, str | None, bool]) -> str:
    name, flags, epoch, version, release, _pre = entry
    operator = _OPERATORS.get(flags or "")
    if operator is None or not version:
        return name
    return f"{name} {operator} {_evr(epoch, version, release)}"


def _evr(epoch: str | None, version: str, release: str | None) -> str:
    text = f"{version}-{release}" if release else version
    return f"{epoch}:{text}" if epoch and epoch.strip("0") else text


def _source_name(sourcerpm: str | None) -> str | None:
    """Name part of `name-version-release.src.rpm`."""
    parts = (sourcerpm or "").rsplit("-", 2)
    return parts[0] if len(parts) == 3 and parts[0] else None


def _local(tag: str) -> str:
    """A tag without its namespace: old and SUSE repositories use others, or none."""
    return tag.rpartition("}")[2]


def _text(element: ET.Element | None) -> str:
    return "" if element is None else (element.text or "").strip()


def _attribute(element: ET.Element | None, name: str) -> str:
    return "" if element is None else element.get(name, "")


def _number(text: str, what: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InvalidInput(f"repomd.xml gives {text[:40]!r} as the {what}")
    return int(text)
