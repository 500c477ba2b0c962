"""What both protocols of a patchman-client carry, and the `Report` that it means.

The two wire forms (`patchman1`, `patchman2`) are read into one `Upload`; `report_of` does the rest. Of the
quirks that an unmodified client has, those about the content are dealt with here:

- rpm names, versions, releases and the kernel may have `%2b` for `+`;
- an empty list of repositories means "unchanged", as sent by package managers' hooks; so does an empty
  list of packages, for there is no host without any;
- the identifier of a dnf repository is prefixed with the CPE name of the distribution;
- mirrorlist, metalink and base URL come in one column;
- an Arch server lacks the architecture where pacman.conf writes `$arch`;
- "no reboot needed" means that the client could not tell.
"""

from collections import Counter
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from patchbay_shared.errors import InvalidInput
from patchbay_shared.report import OsRelease, Report

from patchbay_ingest.wire.checks import check, has_nul
from patchbay_ingest.wire.os_text import os_release_of
from patchbay_ingest.wire.patchman_repos import repositories_of

Line = Annotated[str, Meta(max_length=255)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Url = Annotated[str, Meta(max_length=4_096)]
TYPES = {"deb": "deb", "rpm": "rpm", "arch": "pacman", "gentoo": "gentoo"}
"""A client's package type to Patchbay's."""
_MANAGERS = {"deb": "apt", "rpm": "dnf", "pacman": "pacman", "gentoo": "portage"}
_DEB_ARCHES = {
    "x86_64": "amd64", "aarch64": "arm64", "i686": "i386", "i586": "i386", "armv7l": "armhf", "ppc64le": "ppc64el",
}  # fmt: skip
"""uname's name of a machine to Debian's, where they differ."""


class UploadPackage(msgspec.Struct, gc=False):
    """One package as a client writes it."""

    name: Name
    version: Name
    arch: Line
    type: Name
    epoch: Line = ""
    """gentoo: the slot."""
    release: Line = ""
    """gentoo: the digits of `-rN`."""
    category: Line = ""
    repo: Line = ""


class UploadRepository(msgspec.Struct):
    """One repository as a client writes it."""

    type: Name
    name: Url
    id: Line = ""
    priority: int = 0
    urls: list[Url] = []


class UploadModule(msgspec.Struct):
    """One enabled module stream."""

    name: Line
    stream: Line
    version: Line = ""
    context: Line = ""
    arch: Line = ""
    repo: Line = ""
    packages: list[Line] = []


class UploadUpdate(msgspec.Struct):
    """One update that the client's package manager lists."""

    name: Line
    version: Line
    arch: Line = ""
    repo: Line = ""


class Upload(msgspec.Struct):
    """A client's report, of either protocol."""

    hostname: Line
    arch: Line
    kernel: Line
    os: Line
    tags: list[Line] = []
    reboot_required: bool = False
    packages: list[UploadPackage] = []
    repos: list[UploadRepository] = []
    modules: list[UploadModule] = []
    sec_updates: list[UploadUpdate] = []
    bug_updates: list[UploadUpdate] = []
    notes: list[str] = []
    """What could not be read, for the receipt."""


def report_of(upload: Upload) -> tuple[Report, str]:
    """The report that an upload means, and a note for its receipt. Raises InvalidInput."""
    notes = list(upload.notes)
    release = os_release_of(upload.os)
    modular = _modular_packages(upload.modules)
    packages = [_package(each, modular) for each in upload.packages if each.name != "gpg-pubkey"]
    manager = _manager(packages, upload.repos, release)
    repositories = repositories_of(upload.repos, release=release, arch=upload.arch, manager=manager, notes=notes)
    native, foreign = _architectures(packages, upload.arch)
    if any(each["type"] == "gentoo" for each in packages):
        notes.append("Gentoo's packages are kept, but their updates are not evaluated.")
    values = {
        "hostname": hostname_of(upload.hostname),
        "packages": packages or None,
        "repos": repositories or None,
        "arch": upload.arch,
        "kernel": _plus(upload.kernel),
        "os": upload.os,
        "os_release": release,
        "package_manager": manager,
        "native_arch": native,
        "foreign_archs": foreign,
        "tags": list(dict.fromkeys(upload.tags)),
        "modules": [
            {"name": name, "stream": stream, "state": "enabled"}
            for name, stream in dict.fromkeys((each.name, each.stream) for each in upload.modules)
        ],
        "reboot_required": True if upload.reboot_required else None,
        "updates": _updates(upload),
    }
    try:
        report = msgspec.convert(values, Report)
    except msgspec.ValidationError as exc:
        what, _, where = str(exc).partition(" - at ")
        pointer = where.strip("`") or "$"
        raise InvalidInput(f"{what} at {pointer}.", pointer=pointer) from exc
    if has_nul(report):
        raise InvalidInput("Some text contains a NUL character.", pointer="$")
    check(report)
    return report, " ".join(notes)


def hostname_of(text: str) -> str:
    """The name by which a client's host is known: lower case, without the root's dot."""
    return text.strip().lower().rstrip(".")


def _plus(text: str) -> str:
    return text.replace("%2b", "+").replace("%2B", "+")


def _package(each: UploadPackage, modular: dict[str, str]) -> dict[str, Any]:
    kind = TYPES.get(each.type, each.type)
    if kind == "gentoo":
        return {
            "name": f"{each.category}/{each.name}" if each.category else each.name,
            "version": f"{each.version}-r{each.release}" if each.release.strip("0") else each.version,
            "arch": each.arch,
            "type": kind,
            "vendor": each.repo or None,
        }
    values = {
        "name": each.name,
        "epoch": "" if each.epoch == "(none)" else each.epoch,
        "version": each.version,
        "release": each.release,
        "arch": each.arch,
        "type": kind,
    }
    if kind == "rpm":
        values |= {name: _plus(values[name]) for name in ("name", "version", "release")}
        nevra = f"{values['name']}-{values['epoch'] or '0'}:{values['version']}-{values['release']}.{each.arch}"
        if label := modular.get(nevra):
            return {**values, "modularitylabel": label}
    return values


def _modular_packages(modules: list[UploadModule]) -> dict[str, str]:
    """NEVRA with epoch to the modularity label that rpm has for it."""
    return {
        _plus(nevra): f"{each.name}:{each.stream}:{each.version}:{each.context}"
        for each in modules
        for nevra in each.packages
    }


def _manager(packages: list[dict[str, Any]], repos: list[UploadRepository], release: OsRelease) -> str:
    """The package manager that these packages (or, without any, these repositories) belong to."""
    kinds = Counter(str(each["type"]) for each in packages) or Counter(TYPES.get(each.type, "") for each in repos)
    kind = kinds.most_common(1)[0][0] if kinds else ""
    if kind == "rpm":
        if "suse" in release.ID_LIKE or release.ID.startswith(("suse", "sle", "opensuse")):
            return "zypper"
        major = release.VERSION_ID.partition(".")[0]
        old = release.ID in {"rhel", "centos", "ol", "scientific"} and major.isdigit() and int(major) < 8
        return "yum" if old else "dnf"
    return _MANAGERS.get(kind, "")


def _architectures(packages: list[dict[str, Any]], machine: str) -> tuple[str, list[str]]:
    """(native, foreign): dpkg's own architecture is the native one; rpm hosts have no others."""
    counts = Counter(str(each["arch"]) for each in packages if each["type"] == "deb" and each["arch"] != "all")
    if not counts:
        return _DEB_ARCHES.get(machine, machine) if any(e["type"] == "deb" for e in packages) else machine, []
    native = next((str(each["arch"]) for each in packages if each["name"] == "dpkg"), counts.most_common(1)[0][0])
    return native, sorted(each for each in counts if each not in {native, ""})


def _updates(upload: Upload) -> list[dict[str, Any]] | None:
    """The client's own opinion; None if it gave none. What is in both lists is a security update."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for security, updates in ((True, upload.sec_updates), (None, upload.bug_updates)):
        for each in updates:
            entry = {
                "name": each.name,
                "arch": each.arch,
                "to": each.version,
                "repo": each.repo,
                "security": security,
            }
            found.setdefault((each.name, each.arch, each.version), entry)
    return list(found.values()) or None
