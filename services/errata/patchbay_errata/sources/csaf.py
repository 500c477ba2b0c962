"""CSAF 2.0 of SUSE (Red Hat's is read as well): advisories and VEX, and the list of changes for crawling them.

Product ids are `product:name-version-release.arch`, blanks in the product's name and no epoch in the rest
(Red Hat's write the epoch, and module packages have name, stream, version and context in between).
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec
from patchbay_shared.errors import InvalidInput

from patchbay_errata.advisory import (
    Advisory,
    Fix,
    Rejected,
    checked,
    cves_in,
    decoded,
    each_record,
    level,
    moment,
    moment_if_readable,
)
from patchbay_errata.sources.rocky import NEVRA

_ENTERPRISE = re.compile(
    r"SUSE Linux Enterprise (Server for SAP Applications|Server|Desktop) (\d+)(?: SP(\d+))?(-[A-Z].*)?\Z"
)
_IDS = {"Server": "sles", "Desktop": "sled", "Server for SAP Applications": "sles_sap"}
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+ /-]*\Z")
_LEAP = re.compile(r"openSUSE Leap (\d+\.\d+)\Z")
_OTHERS = (
    (re.compile(r"SUSE Linux Enterprise Micro (\d+\.\d+)\Z"), "sle-micro"),
    (re.compile(r"SUSE Linux Micro (\d+\.\d+)\Z"), "sl-micro"),
    (re.compile(r"SUSE Linux Enterprise High Performance Computing (\d+)(?: SP(\d+))?\Z"), "sle_hpc"),
    (re.compile(r"openSUSE (\d+\.\d+)\Z"), "opensuse"),
)
_MODULE = re.compile(r"SUSE Linux Enterprise Module for .+ (\d+)(?: SP(\d+))?\Z")
"""From 15 on, nearly everything is in modules, which SLES, SLED and SLES for SAP share."""


class _Text(msgspec.Struct):
    text: str = ""
    category: str = ""
    url: str = ""


class _Tracking(msgspec.Struct):
    id: str
    initial_release_date: str = ""
    current_release_date: str = ""
    status: str = "final"


class _Publisher(msgspec.Struct):
    name: str = ""


class _Document(msgspec.Struct):
    tracking: _Tracking
    title: str = ""
    category: str = ""
    publisher: _Publisher = msgspec.field(default_factory=_Publisher)
    aggregate_severity: _Text = msgspec.field(default_factory=_Text)
    notes: list[_Text] = []
    references: list[_Text] = []


class _Status(msgspec.Struct):
    fixed: list[str] = []
    recommended: list[str] = []
    first_fixed: list[str] = []
    known_affected: list[str] = []
    known_not_affected: list[str] = []
    under_investigation: list[str] = []


class _Remediation(msgspec.Struct):
    category: str = ""
    product_ids: list[str] = []


class _Vulnerability(msgspec.Struct):
    cve: str = ""
    product_status: _Status = msgspec.field(default_factory=_Status)
    remediations: list[_Remediation] = []


class _Csaf(msgspec.Struct):
    document: _Document
    vulnerabilities: list[_Vulnerability] = []


def document(data: bytes, rejected: Rejected) -> Iterator[Advisory]:
    """The advisory of one document, of VEX what is said of its CVE. Raises InvalidInput if it is no CSAF."""
    csaf = decoded(data, _Csaf, "The CSAF document")
    yield from each_record([(csaf.document.tracking.id, csaf)], _read, rejected)


def _read(csaf: _Csaf) -> Iterator[Advisory]:
    about = csaf.document
    vex = "vex" in about.category.lower()
    named = f"{about.publisher.name} {about.tracking.id}".lower()
    yield checked(
        Advisory(
            id=about.tracking.id,
            vendor="redhat" if "red hat" in named else "suse",
            type="cve" if vex else _type(about.tracking.id),  # type: ignore[arg-type]  # one of the three
            severity=level(about.aggregate_severity.text),
            vendor_severity=about.aggregate_severity.text,
            status="final" if about.tracking.status in {"final", "interim"} else "pending",
            title=about.title,
            description="\n\n".join(each.text for each in about.notes if each.category == "description"),
            url=next((each.url for each in about.references if each.category == "self"), ""),
            issued_at=moment_if_readable(about.tracking.initial_release_date),
            updated_at=moment_if_readable(about.tracking.current_release_date),
            fixes=tuple(_any_arch(_fixes(csaf.vulnerabilities))),
            cves=cves_in(*(each.cve for each in csaf.vulnerabilities), about.tracking.id if vex else ""),
        )
    )


def _type(number: str) -> str:
    return "bugfix" if "-RU-" in number or number.startswith(("RHBA", "RHEA")) else "security"


def _fixes(vulnerabilities: list[_Vulnerability]) -> Iterator[Fix]:
    for each in vulnerabilities:
        status = each.product_status
        unplanned = {
            product for way in each.remediations if way.category == "no_fix_planned" for product in way.product_ids
        }
        for products, state in (
            ((*status.recommended, *status.fixed, *status.first_fixed), "fixed"),
            (status.known_affected, "open"),
            (status.known_not_affected, "not-affected"),
            (status.under_investigation, "undetermined"),
        ):
            for product in products:
                yield from _fix(product, "no-fix-planned" if state == "open" and product in unplanned else state)


def _any_arch(fixes: Iterable[Fix]) -> list[Fix]:
    """Fixes without repetition; the same version for several architectures is one for any."""
    found: dict[Fix, set[str]] = {}
    for fix in fixes:
        found.setdefault(msgspec.structs.replace(fix, arch=""), set()).add(fix.arch)
    return [
        msgspec.structs.replace(fix, arch=next(iter(arches))) if len(arches) == 1 else fix
        for fix, arches in found.items()
    ]


def _fix(product: str, state: str) -> Iterator[Fix]:
    """What a status says of one product; products without a version name a package of any."""
    platform, colon, rest = product.partition(":")
    if not colon:
        return
    match = NEVRA.match(rest)
    if match is None:
        if state == "fixed" or "/" in rest or not rest.strip():
            return
        name, arch, evr = rest, "", ""
    else:
        name, arch, evr = match["name"], match["arch"], match["evr"]
    if arch in {"src", "nosrc"}:
        return
    for ecosystem, distro_release in suse_releases(platform):
        yield Fix(
            ecosystem,
            distro_release,
            name,
            "binary",
            evr if state == "fixed" else "",
            state,  # type: ignore[arg-type]  # one of the words of _fixes
            arch="" if arch == "noarch" else arch,
        )


def suse_releases(platform: str) -> list[tuple[str, str]]:
    """`suse_release`, and for a module those of every product that has it.

    >>> suse_releases("SUSE Linux Enterprise Module for Basesystem 15 SP4")
    [('sles', '15.4'), ('sled', '15.4'), ('sles_sap', '15.4')]
    """
    if module := _MODULE.match(platform):
        version = f"{module[1]}.{module[2]}" if module[2] else module[1]
        return [(name, version) for name in ("sles", "sled", "sles_sap")]
    return [suse_release(platform)]


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
    for pattern, name in _OTHERS:
        if other := pattern.match(platform):
            return name, ".".join(each for each in other.groups() if each)
    enterprise = _ENTERPRISE.match(platform)
    if enterprise is None or enterprise[4]:
        return platform, ""
    return _IDS[enterprise[1]], f"{enterprise[2]}.{enterprise[3]}" if enterprise[3] else enterprise[2]


def changes(data: bytes) -> list[tuple[str, datetime]]:
    """`changes.csv`: paths and when they changed, newest first as published. Raises InvalidInput.

    A path that leads out of the list's own folder is refused with the whole list: it is no honest one.
    """
    found = []
    for row in csv.reader(io.StringIO(data.decode("utf-8-sig", "replace"))):
        if len(row) != 2 or not row[0].endswith(".json") or not _PATH.match(row[0]) or ".." in row[0]:
            raise InvalidInput(f"The list of changed CSAF documents has the line {','.join(row)[:80]!r}.")
        found.append((row[0], moment(row[1])))
    if not found:
        raise InvalidInput("The list of changed CSAF documents is empty.")
    return found


def path_of(name: str) -> str:
    """The path of an advisory's document: CSAF 2.0, section 5.1.

    >>> path_of("SUSE-SU-2024:1-1")
    'suse-su-2024_1-1.json'
    """
    return f"{re.sub('[^+a-z0-9-]+', '_', name.lower())}.json"
