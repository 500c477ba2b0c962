"""apt repositories: Release and Packages.

Rules: deb822(5), the Debian repository format, and apt's own reader (apt 2.6, `debListParser`). The stanza reader is
our own because python-debian's takes three times as long for the 63,000 stanzas of bookworm.
"""

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import BinaryIO

import msgspec
import structlog
from patchbay_shared.catalogue import AvailablePackage, Relations, ReleaseInfo
from patchbay_shared.errors import InvalidInput, InvalidVersion
from patchbay_shared.fetching.checksum import Expected, expected
from patchbay_shared.versions import evr_key

from patchbay_repo_sync.formats.text import digest64, relative_path

MAX_RELEASE_BYTES = 16 * 1024 * 1024
MAX_STANZA_BYTES = 4 * 1024 * 1024

_log = structlog.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_CHUNK_BYTES = 1 << 20
_HASHES = ("SHA512", "SHA256", "SHA1", "MD5Sum")
"""Fields of a Release file, best first."""
_TRUE = frozenset({"yes", "true", "with", "on", "enable", "1"})

_NAMES = (
    "Package|Version|Architecture|Source|Multi-Arch|Installed-Size|Depends|Pre-Depends|Conflicts|Breaks|Replaces"
    "|Provides|Phased-Update-Percentage"
)
# The newline stands outside of what ignores case: the engine jumps from line to line then, a third faster.
_FIELD = re.compile(rf"\n((?i:{_NAMES}))[ \t]*:[ \t]*(.*(?:\n[ \t].*)*)")
_KEYS = {name: name.lower() for name in _NAMES.split("|")}


class Release(msgspec.Struct, frozen=True):
    """A Release file."""

    info: ReleaseInfo
    checksums: dict[str, Expected]
    """The best checksum of each file, by its path relative to the Release file."""
    all_is_separate: bool
    """Whether packages for every architecture are (also) in `binary-all` indexes, as apt decides it."""


def parse_release(data: bytes) -> Release:
    """Read a Release file, or the text inside a clear-signed InRelease; the signature is not looked at.

    Raises InvalidInput, also for a path that leaves the suite and for text before the signed part.
    """
    if len(data) > MAX_RELEASE_BYTES:
        raise InvalidInput(f"the Release file has more than {MAX_RELEASE_BYTES} bytes")
    fields = _release_fields(_signed_text(data.decode("utf-8", "replace").replace("\r\n", "\n")))
    checksums: dict[str, Expected] = {}
    for field in _HASHES:
        for line in fields.get(field.lower(), "").splitlines():
            if line.strip():
                path, checksum = _checksum(line, field)
                checksums.setdefault(path, checksum)
    architectures = fields.get("architectures", "").split()
    return Release(
        info=ReleaseInfo(
            origin=fields.get("origin", ""),
            label=fields.get("label", ""),
            suite=fields.get("suite", ""),
            codename=fields.get("codename", ""),
            version=fields.get("version", ""),
            date=fields.get("date", ""),
            valid_until=fields.get("valid-until", ""),
            not_automatic=fields.get("notautomatic", "").lower() in _TRUE,
            but_automatic_upgrades=fields.get("butautomaticupgrades", "").lower() in _TRUE,
            acquire_by_hash=fields.get("acquire-by-hash", "").lower() in _TRUE,
            components=fields.get("components", "").split(),
            architectures=architectures,
        ),
        checksums=checksums,
        all_is_separate="all" in architectures
        and fields.get("no-support-for-architecture-all", "").lower() != "packages",
    )


def _signed_text(text: str) -> str:
    if "-----BEGIN PGP" not in text:
        return text
    header, _, rest = text.partition("\n\n")
    if not header.startswith("-----BEGIN PGP SIGNED MESSAGE-----\n"):
        raise InvalidInput("the Release file has text outside of its signed part")
    body, marker, _ = rest.partition("\n-----BEGIN PGP SIGNATURE-----\n")
    if not marker:
        raise InvalidInput("the clear-signed Release file is truncated: it has no signature")
    return re.sub(r"^- ", "", body, flags=re.MULTILINE)


def _release_fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    first, _, _ = text.strip("\n").partition("\n\n")  # apt reads one paragraph and no more
    for number, line in enumerate(first.split("\n"), start=1):
        if line[:1] in {" ", "\t"} and name:
            fields[name] += f"\n{line.strip()}"
            continue
        key, colon, value = line.partition(":")
        name = key.strip().lower()
        if not colon or not name:
            raise InvalidInput(f"the Release file is not a list of fields: line {number} is {line[:80]!r}")
        fields[name] = value.strip()
    return fields


def _checksum(line: str, field: str) -> tuple[str, Expected]:
    parts = line.split()
    if len(parts) != 3 or not (parts[1].isascii() and parts[1].isdigit() and len(parts[1]) <= 15):
        raise InvalidInput(f"the Release file has an unreadable {field} line: {line[:200]!r}")
    path = relative_path(parts[2], where="the Release file")
    return path, expected(field, parts[0], int(parts[1]), where=f"the Release file, {path}")


def packages(stream: BinaryIO) -> Iterator[AvailablePackage]:
    """The binary packages of a Packages file, in its order. Raises InvalidInput."""
    refused = 0
    for digest, record in records(stream):
        package = package_of(digest, record)
        if package is None:
            refused += 1
        else:
            yield package
    if refused:
        _log.warning("packages_without_usable_version", index="Packages", count=refused)


def records(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The stanzas of a Packages file, each with its digest, without reading their fields.

    An incremental sync calls `package_of` only where the digest is new. Raises InvalidInput for a stanza
    above MAX_STANZA_BYTES and for NUL bytes, which no text field of the catalogue can hold.
    """
    rest = b""
    while chunk := stream.read(_CHUNK_BYTES):
        if b"\0" in chunk:
            raise InvalidInput("the Packages file holds NUL bytes")
        rest += chunk
        if b"\r" in rest:
            rest = rest.replace(b"\r\n", b"\n")
        *whole, rest = rest.split(b"\n\n")
        if len(rest) > MAX_STANZA_BYTES:
            raise InvalidInput(f"the Packages file holds a stanza of more than {MAX_STANZA_BYTES} bytes")
        for record in whole:
            if stanza := record.strip(b"\n"):
                yield digest64(stanza), stanza
    if stanza := rest.strip(b"\n"):
        yield digest64(stanza), stanza


def package_of(digest: int, record: bytes) -> AvailablePackage | None:
    """The package that a stanza describes; None if its version cannot be ordered.

    Raises InvalidInput for a stanza without package, version or architecture, as apt refuses the whole index then.
    """
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall("\n" + record.decode("utf-8", "replace")):
        fields[_KEYS.get(name) or name.lower()] = " ".join(value.split()) if "\n" in value else value.rstrip()
    get = fields.get
    name, evr, arch = get("package"), get("version"), get("architecture")
    if not name or not evr or not arch:
        shown = record[:80].decode("utf-8", "replace")
        raise InvalidInput(f"the Packages file has a stanza without package, version or architecture: {shown!r}")
    try:
        key = evr_key("deb", evr)
    except InvalidVersion:
        return None
    source, _, source_version = get("source", "").partition(" ")
    phased = get("phased-update-percentage", "")
    multi_arch = get("multi-arch", "").lower()
    return AvailablePackage(
        name=name,
        arch=arch,
        evr=evr,
        evr_key=key,
        digest=digest,
        source=source if source != name and source else None,
        source_version=source_version.strip("() ") or None,
        phased_percentage=int(phased) if phased.isascii() and phased.isdigit() and len(phased) < 4 else None,
        content=_content(fields),
        relations=_encode(
            Relations(
                provides=_items(get("provides")),
                requires=_items(get("depends")),
                pre_requires=_items(get("pre-depends")),
                conflicts=_items(get("conflicts")),
                breaks=_items(get("breaks")),
                replaces=_items(get("replaces")),
                multi_arch="" if multi_arch == "no" else multi_arch,
            )
        ),
    )


_BARE_OPERATOR = re.compile(r"([<>])(?![<>=])")


def _content(fields: dict[str, str]) -> str:
    """What apt compares beside the version, to tell rebuilt packages of the same version apart.

    apt 2.6, `debListParser::VersionHash` and `SameVersion`: the fields without blanks, in lower case, `<` and `>`
    read as `<=` and `>=`; Multi-Arch absent is `no`. Here: 16 hexadecimal digits of the BLAKE2b-64 of those values,
    joined by newlines in the order in which they stand below.
    """
    get = fields.get
    joined = (
        f"{get('installed-size', '')}\n{get('depends', '')}\n{get('pre-depends', '')}\n{get('conflicts', '')}\n"
        f"{get('breaks', '')}\n{get('replaces', '')}\n{get('multi-arch', '')}"
    )
    joined = joined.replace(" ", "").replace("\t", "").lower()
    if joined.endswith("\nno"):
        joined = joined[:-2]
    if joined.count("<") != joined.count("<=") or joined.count(">") != joined.count(">="):
        joined = _BARE_OPERATOR.sub(r"\1=", joined)
    return blake2b(joined.encode(), digest_size=8).hexdigest()


def _items(value: str | None) -> list[str]:
    return value.strip(", ").replace(", ", ",").split(",") if value else []
