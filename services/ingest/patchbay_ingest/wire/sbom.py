"""Software bills of materials as reports: CycloneDX and SPDX 2 documents in JSON, with package URLs.

They list packages and nothing else: the host's repositories stay what its other reports said, and a host
that never sent any has an inventory without updates.
"""

from collections import Counter

import msgspec
from patchbay_shared.errors import InvalidInput
from patchbay_shared.purl import package_of
from patchbay_shared.report import MAX_PACKAGES, OsRelease, Report, ReportPackage

from patchbay_ingest.wire.checks import check, has_nul

CYCLONEDX = "application/vnd.cyclonedx+json"
SPDX = "application/spdx+json"
MEDIA_TYPES = (CYCLONEDX, SPDX)
_MANAGERS = {"deb": "apt", "rpm": "dnf", "pacman": "pacman", "apk": "apk"}
_SUSE = ("sles", "sled", "opensuse", "suse")
_NO_ARCH = frozenset({"", "all", "noarch", "any", "src"})


class _Component(msgspec.Struct):
    name: str = ""
    version: str = ""
    type: str = ""
    purl: str = ""
    components: list["_Component"] = []


class _Metadata(msgspec.Struct):
    component: _Component | None = None


class _CycloneDx(msgspec.Struct):
    bomFormat: str  # noqa: N815  (the format's own name)
    components: list[_Component] = []
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Reference(msgspec.Struct):
    referenceType: str = ""  # noqa: N815  (the format's own name)
    referenceLocator: str = ""  # noqa: N815


class _SpdxPackage(msgspec.Struct):
    name: str = ""
    versionInfo: str = ""  # noqa: N815  (the format's own name)
    primaryPackagePurpose: str = ""  # noqa: N815
    externalRefs: list[_Reference] = []  # noqa: N815


class _Spdx(msgspec.Struct):
    spdxVersion: str  # noqa: N815  (the format's own name)
    name: str = ""
    packages: list[_SpdxPackage] = []


class _Bill(msgspec.Struct):
    """What both formats say."""

    hostname: str
    purls: list[str]
    others: int
    system: tuple[str, str] = ("", "")
    """Name and version of the operating system."""


_cyclonedx = msgspec.json.Decoder(_CycloneDx)
_spdx = msgspec.json.Decoder(_Spdx)


def report_of(document: bytes, media_type: str, *, hostname: str = "") -> tuple[Report, str]:
    """The report in a bill of materials, and a note for its receipt. Raises InvalidInput.

    `hostname` is used instead of the name that the document has for what it describes.
    """
    try:
        bill = _from_cyclonedx(document) if media_type == CYCLONEDX else _from_spdx(document)
    except msgspec.ValidationError as exc:
        raise InvalidInput(f"The document is not of the type {media_type}: {exc}.", pointer="$") from exc
    except RecursionError as exc:
        raise InvalidInput("The document is nested too deeply.", pointer="$") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"The body is not JSON: {exc}.", pointer="$") from exc
    packages, distros, others = _packages(bill)
    kinds = Counter(each.type for each in packages)
    kind = kinds.most_common(1)[0][0]
    if len(kinds) > 1:
        raise InvalidInput(f"The document mixes packages of {', '.join(sorted(kinds))}; a host has one kind.")
    release = _os_release(bill.system, distros)
    arches = Counter(each.arch for each in packages if each.arch not in _NO_ARCH)
    arch = arches.most_common(1)[0][0] if arches else ""
    manager = "zypper" if kind == "rpm" and release.ID.startswith(_SUSE) else _MANAGERS[kind]
    values = {
        "hostname": (hostname or bill.hostname).strip().lower(),
        "packages": [msgspec.to_builtins(each) for each in packages],
        "arch": arch,
        "native_arch": arch,
        "os": release.PRETTY_NAME,
        "os_release": release,
        "package_manager": manager,
    }
    try:
        report = msgspec.convert(values, Report)
    except msgspec.ValidationError as exc:
        what, _, where = str(exc).partition(" - at ")
        hint = " Name the host with ?hostname=." if "$.hostname" in where else ""
        raise InvalidInput(f"{what} at {where.strip('`') or '$'}.{hint}", pointer=where.strip("`") or "$") from exc
    if has_nul(report):
        raise InvalidInput("Some text contains a NUL character.", pointer="$")
    check(report)
    notes = ["A bill of materials names no repositories; those of the host's other reports are used."]
    if others:
        notes.append(f"{others:,} components are not packages of deb, rpm, alpm or apk.")
    if kind == "apk":
        notes.append("Packages of apk are kept, but their updates are not evaluated.")
    return report, " ".join(notes)


def _from_cyclonedx(document: bytes) -> _Bill:
    bom = _cyclonedx.decode(document)
    if bom.bomFormat != "CycloneDX":
        raise InvalidInput(f"bomFormat is {bom.bomFormat!r}; expected CycloneDX.", pointer="$.bomFormat")
    bill = _Bill(hostname=bom.metadata.component.name if bom.metadata.component else "", purls=[], others=0)
    waiting = list(bom.components)
    while waiting:
        component = waiting.pop()
        waiting += component.components
        if component.purl:
            bill.purls.append(component.purl)
        elif component.type == "operating-system":
            bill.system = (component.name, component.version)
        else:
            bill.others += 1
    return bill


def _from_spdx(document: bytes) -> _Bill:
    spdx = _spdx.decode(document)
    if not spdx.spdxVersion.startswith("SPDX-2."):
        raise InvalidInput(f"spdxVersion is {spdx.spdxVersion!r}; SPDX 2 is read.", pointer="$.spdxVersion")
    bill = _Bill(hostname=spdx.name, purls=[], others=0)
    for package in spdx.packages:
        purls = [each.referenceLocator for each in package.externalRefs if each.referenceType == "purl"]
        bill.purls += purls
        if package.primaryPackagePurpose == "OPERATING-SYSTEM":
            bill.system = (package.name, package.versionInfo)
        elif not purls:
            bill.others += 1
    return bill


def _packages(bill: _Bill) -> tuple[list[ReportPackage], Counter[str], int]:
    if len(bill.purls) > MAX_PACKAGES:
        raise InvalidInput(f"There are {len(bill.purls):,} components; at most {MAX_PACKAGES:,} are accepted.")
    packages: list[ReportPackage] = []
    distros: Counter[str] = Counter()
    others = bill.others
    for purl in dict.fromkeys(bill.purls):
        try:
            found = package_of(purl)
        except ValueError as exc:
            raise InvalidInput(f"{purl[:200]!r} is no package URL: {exc}.") from exc
        if found is None:
            others += 1
            continue
        package, distro = found
        packages.append(package)
        distros[distro] += bool(distro)
    if not packages:
        raise InvalidInput("The document has no package URL of the types deb, rpm, alpm or apk.")
    return packages, distros, others


def _os_release(system: tuple[str, str], distros: Counter[str]) -> OsRelease:
    name, version = system
    if not name and distros:
        name, _, version = distros.most_common(1)[0][0].rpartition("-")
        if not name:
            name, version = version, ""
    id_ = name.strip().lower().replace(" ", "-")
    return OsRelease(ID=id_[:255], VERSION_ID=version[:255], PRETTY_NAME=f"{name} {version}".strip()[:255])
