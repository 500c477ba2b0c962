"""AlmaLinux: `errata.full.json` of one major release, or the older `errata.json`. Packages are binaries."""

from collections.abc import Iterator
from datetime import datetime

import msgspec
from patchbay_shared.errors import InvalidInput

from patchbay_errata.advisory import (
    Advisory,
    Decoder,
    Fix,
    Rejected,
    checked,
    cves_in,
    decoded,
    each_record,
    from_epoch,
    level,
    without_mark,
)

_TYPES = {"security": "security", "bugfix": "bugfix", "enhancement": "enhancement", "newpackage": "newpackage"}


class _Module(msgspec.Struct):
    name: str = ""
    stream: str = ""


class _Package(msgspec.Struct):
    name: str
    version: str
    release: str
    arch: str
    epoch: str | int | None = "0"
    module: _Module | str | None = None


class _Reference(msgspec.Struct):
    id: str = ""
    type: str = ""
    href: str = ""


class _OldDate(msgspec.Struct, rename={"milliseconds": "$date"}):
    milliseconds: float


class _Advisory(msgspec.Struct):
    issued_date: float | _OldDate | None = None
    type: str = ""
    title: str = ""
    id: str = ""
    updateinfo_id: str = ""
    updated_date: float | _OldDate | None = None
    severity: str | None = None
    description: str | None = None
    packages: list[_Package] = []
    references: list[_Reference] = []


class _Full(msgspec.Struct):
    data: list[msgspec.Raw]


def errata(data: bytes, rejected: Rejected, *, major: str) -> Iterator[Advisory]:
    """The advisories of one major release. Raises InvalidInput."""
    if without_mark(data).lstrip()[:1] == b"[":
        found = decoded(data, list[msgspec.Raw], "AlmaLinux's errata")
    else:
        found = decoded(data, _Full, "AlmaLinux's errata").data
    decoder = Decoder(_Advisory)

    def advisory(raw: msgspec.Raw) -> Iterator[Advisory]:
        yield _read(decoder.decode(raw), major)

    yield from each_record(((f"$.data[{n}]", raw) for n, raw in enumerate(found)), advisory, rejected)


def _read(raw: _Advisory, major: str) -> Advisory:
    number = raw.id or raw.updateinfo_id
    if not number:
        raise InvalidInput("it has no id")
    return checked(
        Advisory(
            id=number,
            vendor="almalinux",
            type=_TYPES.get(raw.type.lower(), "other"),  # type: ignore[arg-type]  # the table's values are such types
            severity=level(raw.severity or ""),
            vendor_severity=raw.severity or "",
            title=raw.title,
            description=raw.description or "",
            url=next((each.href for each in raw.references if each.type == "self"), ""),
            issued_at=None if raw.issued_date is None else _moment(raw.issued_date),
            updated_at=None if raw.updated_date is None else _moment(raw.updated_date),
            fixes=tuple(_fix(package, major) for package in raw.packages if package.arch not in {"src", "nosrc"}),
            cves=cves_in(*(each.id for each in raw.references)),
            references=tuple(each.href for each in raw.references if each.href),
        )
    )


def _moment(value: "float | _OldDate") -> datetime:
    return from_epoch(value.milliseconds / 1000 if isinstance(value, _OldDate) else value)


def _fix(package: _Package, major: str) -> Fix:
    evr = f"{package.epoch or 0}:{package.version}-{package.release}"
    module = package.module
    stream = f"{module.name}:{module.stream}" if isinstance(module, _Module) and module.name else module or ""
    arch = "" if package.arch == "noarch" else package.arch
    return Fix("almalinux", major, package.name, "binary", evr, arch=arch, module=str(stream) if stream else "")
