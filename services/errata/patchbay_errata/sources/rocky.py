"""Rocky Linux: pages of the Apollo API (`/api/v3/advisories/`). Packages are binaries, repeated per repository."""

import re
from collections.abc import Iterator

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
    level,
    moment_if_readable,
)

NEVRA = re.compile(r"(?P<name>.+)-(?P<evr>(?:\d+:)?[^-:]+-[^-]+)\.(?P<arch>[^.-]+)\Z")
_MAJOR = re.compile(r"\bRocky Linux (\d+)\b")
_KINDS = {"security": "security", "bug fix": "bugfix", "enhancement": "enhancement"}


class _Cve(msgspec.Struct):
    cve: str


class _Package(msgspec.Struct):
    nevra: str
    product_name: str = ""
    module_name: str | None = None
    module_stream: str | None = None


class _Advisory(msgspec.Struct):
    name: str
    kind: str = ""
    severity: str = ""
    synopsis: str = ""
    published_at: str = ""
    updated_at: str | None = None
    description: str = ""
    cves: list[_Cve] = []
    packages: list[_Package] = []


class Page(msgspec.Struct):
    """What a page says of itself."""

    advisories: list[msgspec.Raw]
    total: int
    size: int


def page(data: bytes) -> Page:
    """Raises InvalidInput."""
    return decoded(data, Page, "Rocky's list of advisories")


def advisories(data: bytes, rejected: Rejected) -> Iterator[Advisory]:
    """The advisories of one page. Raises InvalidInput."""
    decoder = Decoder(_Advisory)

    def advisory(raw: msgspec.Raw) -> Iterator[Advisory]:
        yield _read(decoder.decode(raw))

    yield from each_record(
        ((f"$.advisories[{n}]", raw) for n, raw in enumerate(page(data).advisories)), advisory, rejected
    )


def _read(raw: _Advisory) -> Advisory:
    fixes: dict[Fix, None] = {}
    for package in raw.packages:
        match = NEVRA.match(package.nevra.removesuffix(".rpm"))
        major = _MAJOR.search(package.product_name)
        if match is None or major is None:
            raise InvalidInput(
                f"{package.nevra[:80]!r} of {package.product_name[:40]!r} names no package of a release"
            )
        if match["arch"] in {"src", "nosrc"}:
            continue
        module = f"{package.module_name}:{package.module_stream}" if package.module_name else ""
        arch = "" if match["arch"] == "noarch" else match["arch"]
        fixes[Fix("rocky", major[1], match["name"], "binary", match["evr"], arch=arch, module=module)] = None
    return checked(
        Advisory(
            id=raw.name,
            vendor="rocky",
            type=_KINDS.get(raw.kind.lower(), "other"),  # type: ignore[arg-type]  # the table's values are such types
            severity=level(raw.severity),
            vendor_severity=raw.severity,
            title=raw.synopsis,
            description=raw.description,
            url=f"https://errata.rockylinux.org/{raw.name}",
            issued_at=moment_if_readable(raw.published_at),
            updated_at=moment_if_readable(raw.updated_at),
            fixes=tuple(fixes),
            cves=cves_in(*(each.cve for each in raw.cves)),
        )
    )
