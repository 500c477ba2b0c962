"""OSV records of distributions: single JSON files, or the zip archive of an ecosystem.

Debian's and Ubuntu's packages are sources, AlmaLinux's binaries; of the other rpm distributions a record does not
say, and their names are taken for sources. Off by default: the distributions' own feeds say more.
"""

import re
import zipfile
from collections.abc import Iterator
from io import BytesIO

import msgspec
from patchbay_shared.errors import InvalidInput

from patchbay_errata.advisory import (
    Advisory,
    Decoder,
    Fix,
    Rejected,
    checked,
    cves_in,
    each_record,
    moment_if_readable,
    without_mark,
)
from patchbay_errata.lifecycle import codename_of
from patchbay_errata.sources.csaf import suse_release

_MAX_FILE_BYTES = 20_000_000
_MAX_ARCHIVE_BYTES = 8_000_000_000
_REBUILDS = {"AlmaLinux": "almalinux", "Rocky Linux": "rocky"}
_UBUNTU = re.compile(r"Ubuntu(?::Pro)?:(\d+\.\d+)(?::LTS)?\Z")


class _Event(msgspec.Struct):
    fixed: str | None = None


class _Range(msgspec.Struct):
    type: str = ""
    events: list[_Event] = []


class _Package(msgspec.Struct):
    ecosystem: str
    name: str


class _Affected(msgspec.Struct):
    package: _Package
    ranges: list[_Range] = []


class _Reference(msgspec.Struct):
    url: str = ""
    type: str = ""


class _Osv(msgspec.Struct):
    id: str
    modified: str = ""
    summary: str = ""
    details: str = ""
    published: str = ""
    withdrawn: str = ""
    aliases: list[str] = []
    related: list[str] = []
    upstream: list[str] = []
    affected: list[_Affected] | None = None
    references: list[_Reference] | None = None


_decoder = Decoder(_Osv)


def archive(data: bytes, rejected: Rejected) -> Iterator[Advisory]:
    """The records in a zip archive. Raises InvalidInput."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as file:
            yield from each_record(_members(file), document, rejected)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as exc:
        raise InvalidInput(f"The OSV archive is damaged or no zip archive: {exc}") from exc


def _members(file: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    left = _MAX_ARCHIVE_BYTES
    for info in file.infolist():
        if info.filename.endswith(".json"):
            with file.open(info) as member:
                data = member.read(_MAX_FILE_BYTES + 1)[:_MAX_FILE_BYTES]
            left -= len(data)
            if left < 0:
                raise InvalidInput(f"The OSV archive expands to more than {_MAX_ARCHIVE_BYTES} bytes.")
            yield info.filename, data


def document(data: bytes) -> Iterator[Advisory]:
    """The advisory of one file. Raises InvalidInput or msgspec's DecodeError."""
    raw = _decoder.decode(without_mark(data))
    references = raw.references or []
    affected = raw.affected or []
    yield checked(
        Advisory(
            id=raw.id,
            vendor=_ecosystem(affected[0].package.ecosystem)[0] if affected else "osv",
            type="bugfix" if "BA-" in raw.id[:6] else "enhancement" if "EA-" in raw.id[:6] else "security",
            status="retracted" if raw.withdrawn else "final",
            title=raw.summary,
            description=raw.details,
            url=next((each.url for each in references if each.type == "ADVISORY"), ""),
            issued_at=moment_if_readable(raw.published),
            updated_at=moment_if_readable(raw.modified),
            fixes=() if raw.withdrawn else tuple(_fixes(affected)),
            cves=cves_in(raw.id, *raw.aliases, *raw.related, *raw.upstream),
            references=tuple(each.url for each in references if each.url),
        )
    )


def _fixes(affected: list[_Affected]) -> Iterator[Fix]:
    for each in affected:
        ecosystem, distro_release = _ecosystem(each.package.ecosystem)
        kind = "binary" if ecosystem == "almalinux" else "source"
        pocket = "esm" if ":Pro:" in each.package.ecosystem else ""
        for span in each.ranges:
            for event in span.events:
                if event.fixed and event.fixed not in {"0", "0:0"}:
                    yield Fix(ecosystem, distro_release, each.package.name, kind, event.fixed, pocket=pocket)  # type: ignore[arg-type]  # one of the two


def _ecosystem(text: str) -> tuple[str, str]:
    """`Debian:11`, `Ubuntu:22.04:LTS`, `AlmaLinux:9`, `SUSE:Linux Enterprise Desktop 12`, …"""
    name, _, rest = text.partition(":")
    if name == "Debian":
        return "debian", codename_of("debian", rest) or rest
    if ubuntu := _UBUNTU.match(text):
        return "ubuntu", codename_of("ubuntu", ubuntu[1]) or ubuntu[1]
    if name in _REBUILDS:
        return _REBUILDS[name], rest
    if name == "SUSE":
        return suse_release(f"SUSE {rest}")
    return text, ""
