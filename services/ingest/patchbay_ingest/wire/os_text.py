"""The one line of text in which a patchman-client names its distribution, read back into os-release(5).

The client builds that line from /etc/os-release and the distribution's own release file, and appends
` [CPE_NAME]` where there is one (docs/migrate-from-patchman.md).
"""

import re
from typing import NamedTuple

from patchbay_shared.report import OsRelease


class _Name(NamedTuple):
    pattern: re.Pattern[str]
    id: str
    id_like: str


def _name(pattern: str, id_: str, id_like: str = "") -> _Name:
    return _Name(re.compile(pattern + r"\b", re.IGNORECASE), id_, id_like)


_NAMES = (
    _name("Raspbian", "raspbian", "debian"),
    _name("Debian", "debian"),
    _name("Ubuntu", "ubuntu", "debian"),
    _name("Linux Mint", "linuxmint", "ubuntu debian"),
    _name("Kali GNU/Linux", "kali", "debian"),
    _name("Astra Linux", "astra", "debian"),
    _name("Red Hat Enterprise Linux", "rhel", "fedora"),
    _name("CentOS", "centos", "rhel fedora"),
    _name("Rocky Linux", "rocky", "rhel centos fedora"),
    _name("AlmaLinux", "almalinux", "rhel centos fedora"),
    _name("Oracle Linux", "ol", "fedora"),
    _name("Scientific Linux", "scientific", "rhel centos fedora"),
    _name("Amazon Linux", "amzn", "fedora"),
    _name("Fedora", "fedora"),
    _name("openSUSE Tumbleweed", "opensuse-tumbleweed", "opensuse suse"),
    _name("openSUSE Leap", "opensuse-leap", "suse opensuse"),
    _name("openSUSE", "opensuse", "suse"),
    _name("SUSE Linux Enterprise Desktop", "sled", "suse"),
    _name("SUSE Linux Enterprise", "sles", "suse"),
    _name("SLES_SAP", "sles_sap", "suse"),
    _name("SUSE", "sles", "suse"),
    _name("Arch Linux", "arch"),
    _name("Manjaro", "manjaro", "arch"),
    _name("EndeavourOS", "endeavouros", "arch"),
    _name("Gentoo", "gentoo"),
)
_CODENAMES = {
    "debian": {"10": "buster", "11": "bullseye", "12": "bookworm", "13": "trixie", "14": "forky"},
    "raspbian": {"10": "buster", "11": "bullseye", "12": "bookworm", "13": "trixie"},
    "ubuntu": {"18.04": "bionic", "20.04": "focal", "22.04": "jammy", "24.04": "noble", "24.10": "oracular",
               "25.04": "plucky", "25.10": "questing", "26.04": "resolute"},
}  # fmt: skip
"""Of the releases whose text has a number only: tests/ingest holds them against os-release files."""
_MAJOR_ONLY = frozenset({"debian", "raspbian", "centos"})
"""Their os-release says `12` where their release file says `12.11`."""
_CPE = re.compile(r"\s*\[(?P<cpe>[^\[\]]*)\]\s*$")
_VERSION = re.compile(r"(?<![\w.])(?P<version>\d+(?:\.\d+)*)(?![\w])")
_SERVICE_PACK = re.compile(r"(?P<major>\d+) SP(?P<minor>\d+)\b")


def os_release_of(text: str) -> OsRelease:
    """What the text says; a field that it does not tell is empty. Never raises."""
    found = _CPE.search(text)
    cpe = found["cpe"].strip() if found else ""
    pretty = (text[: found.start()] if found else text).strip()
    if not pretty or pretty.lower() == "unknown":
        return OsRelease(PRETTY_NAME="", CPE_NAME=cpe)
    name = next((each for each in _NAMES if each.pattern.match(pretty)), None)
    rest = name.pattern.sub("", pretty, count=1) if name else pretty
    version = _version(rest)
    id_ = name.id if name else _slug(pretty, version)
    if id_ in _MAJOR_ONLY:
        version = version.partition(".")[0]
    elif id_ == "ubuntu":
        version = ".".join(version.split(".")[:2])
    return OsRelease(
        ID=id_,
        ID_LIKE=name.id_like if name else "",
        VERSION_ID=version,
        VERSION_CODENAME=_CODENAMES.get(id_, {}).get(version, "") or _codename(id_, rest, version),
        PRETTY_NAME=pretty,
        CPE_NAME=cpe,
        PLATFORM_ID=_platform(id_, version),
    )


def _version(rest: str) -> str:
    if pack := _SERVICE_PACK.search(rest):
        return f"{pack['major']}.{pack['minor']}"
    found = _VERSION.search(rest)
    return found["version"] if found else ""


def _codename(id_: str, rest: str, version: str) -> str:
    """`Debian trixie-sid` and `Ubuntu Plucky Puffin (development branch)` have a name in place of a number."""
    if version or id_ not in {"debian", "raspbian", "ubuntu"}:
        return ""
    words = rest.split()
    return words[0].lower().partition("-")[0].partition("/")[0] if words else ""


def _slug(pretty: str, version: str) -> str:
    name = pretty.partition("(")[0]
    if version:
        name = name.partition(version)[0]
    words = [word for word in re.findall(r"[a-z0-9]+", name.lower()) if word not in {"linux", "gnu", "release"}]
    return "-".join(words)


def _platform(id_: str, version: str) -> str:
    major = version.partition(".")[0]
    if id_ == "fedora" and major:
        return f"platform:f{major}"
    if id_ in {"rhel", "centos", "rocky", "almalinux", "ol"} and major.isdigit() and int(major) >= 8:
        return f"platform:el{major}"
    return ""
