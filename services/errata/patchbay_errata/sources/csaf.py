"""SUSE's CSAF 2.0 advisories, one document each, and the list of changes by which they are crawled.

Product ids are `product:name-version-release.arch`, blanks in the product's name and no epoch in the rest
(Red Hat's write the epoch, and module packages have name, stream, version and context in between).
"""

import csv
import io
import re
from collections.abc import Iterator
from datetime import datetime

import msgspec
from patchbay_shared.errors import InvalidInput

from patchbay_errata.advisory import Advisory, Fix, Rejected, checked, cves_in, decoded, each_record, level, moment
from patchbay_errata.sources.rocky import NEVRA

_ENTERPRISE = re.compile(
    r"SUSE Linux Enterprise (Server for SAP Applications|Server|Desktop) (\d+)(?: SP(\d+))?(-[A-Z].*)?\Z"
)
_IDS = {"Server": "sles", "Desktop": "sled", "Server for SAP Applications": "sles_sap"}
_LEAP = re.compile(r"openSUSE Leap (\d+\.\d+)\Z")


class _Text(msgspec.Struct):
    text: str = ""
    category: str = ""
    url: str = ""


class _Tracking(msgspec.Struct):
    id: str
    initial_release_date: str
    current_release_date: str
    status: str = "final"


class _Document(msgspec.Struct):
    title: str
    tracking: _Tracking
    aggregate_severity: _Text = msgspec.field(default_factory=_Text)
    notes: list[_Text] = []
    references: list[_Text] = []


class _Status(msgspec.Struct):
    fixed: list[str] = []
    recommended: list[str] = []


class _Vulnerability(msgspec.Struct):
    cve: str = ""
    product_status: _Status = msgspec.field(default_factory=_Status)


class _Csaf(msgspec.Struct):
    document: _Document
    vulnerabilities: list[_Vulnerability] = []


def document(data: bytes, rejected: Rejected) -> Iterator[Advisory]:
    """The advisory of one document. Raises InvalidInput if it is no CSAF."""
    csaf = decoded(data, _Csaf, "The CSAF document")
    yield from each_record([(csaf.document.tracking.id, csaf)], _read, rejected)


def _read(csaf: _Csaf) -> Iterator[Advisory]:
    about = csaf.document
    products = dict.fromkeys(
        product
        for each in csaf.vulnerabilities
        for product in (*each.product_status.recommended, *each.product_status.fixed)
    )
    yield checked(
        Advisory(
            id=about.tracking.id,
            vendor="suse",
            severity=level(about.aggregate_severity.text),
            vendor_severity=about.aggregate_severity.text,
            title=about.title,
            description="\n\n".join(each.text for each in about.notes if each.category == "description"),
            url=next((each.url for each in about.references if each.category == "self"), ""),
            issued_at=moment(about.tracking.initial_release_date),
            updated_at=moment(about.tracking.current_release_date),
            fixes=tuple(fix for product in products if (fix := _fix(product)) is not None),
            cves=cves_in(*(each.cve for each in csaf.vulnerabilities)),
        )
    )


def _fix(product: str) -> Fix | None:
    platform, colon, rest = product.partition(":")
    match = NEVRA.match(rest)
    if not colon or match is None or match["arch"] in {"src", "nosrc"}:
        return None
    arch = "" if match["arch"] == "noarch" else match["arch"]
    ecosystem, distro_release = suse_release(platform)
    return Fix(ecosystem, distro_release, match["name"], "binary", match["evr"], arch=arch)


def suse_release(platform: str) -> tuple[str, str]:
    """The os-release ID and VERSION_ID of a product; products that are none keep their name and stay unmatched.

    LTSS and the like are products of their own: their fixes are not there for everybody.

    >>> suse_release("SUSE Linux Enterprise Server 12 SP1"), suse_release("SUSE Linux Enterprise Server 12 SP1-LTSS")
    (('sles', '12.1'), ('SUSE Linux Enterprise Server 12 SP1-LTSS', ''))
    """
    if platform == "openSUSE Tumbleweed":
        return "opensuse-tumbleweed", ""
    if leap := _LEAP.match(platform):
        return "opensuse-leap", leap[1]
    enterprise = _ENTERPRISE.match(platform)
    if enterprise is None or enterprise[4]:
        return platform, ""
    return _IDS[enterprise[1]], f"{enterprise[2]}.{enterprise[3]}" if enterprise[3] else enterprise[2]


def changes(data: bytes) -> list[tuple[str, datetime]]:
    """`changes.csv`: file names and when they changed, newest first as published. Raises InvalidInput."""
    found = []
    for row in csv.reader(io.StringIO(data.decode("utf-8", "replace"))):
        if len(row) != 2 or not row[0].endswith(".json"):
            raise InvalidInput(f"The list of changed CSAF documents has the line {','.join(row)[:80]!r}.")
        found.append((row[0], moment(row[1])))
    if not found:
        raise InvalidInput("The list of changed CSAF documents is empty.")
    return found
