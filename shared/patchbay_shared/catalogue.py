"""What repositories offer: the shapes that repo-sync's parsers yield and the engine's rules read.

They live here because two services share them; neither the database nor the network is known here.
"""

from typing import Literal

import msgspec

Scheme = Literal["deb", "rpm", "alpm", "portage"]
"""Version order of a package: dpkg's, rpm's, libalpm's or portage's."""


class AvailablePackage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One binary package that an index lists."""

    name: str
    arch: str
    evr: str
    """`[epoch:]version[-release]`; rpm: without an epoch of zero; deb, alpm and portage: as published."""
    evr_key: bytes
    """`evr_key(scheme, evr)`."""
    digest: int
    """Signed 64-bit digest of the source record: equal digests mean an unchanged record."""
    source: str | None = None
    """Source package: deb from `Source:` if it differs from the name, rpm from the sourcerpm, alpm `%BASE%`."""
    source_version: str | None = None
    """deb: version in the parentheses of `Source:`, if any."""
    vendor: str | None = None
    phased_percentage: int | None = None
    """apt: Phased-Update-Percentage."""
    content: str | None = None
    """deb: digest over what apt compares beside the version (see `formats/apt.py`)."""
    obsoletes: tuple[str, ...] = ()
    """rpm Obsoletes or alpm %REPLACES%, each as `name` or `name <op> evr`."""
    relations: bytes | None = None
    """msgpack of `Relations`, decoded only by rules that need a solver."""


class Relations(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Dependencies of a package, each in its own format's text (`name`, `name >= evr`, deb's own syntax)."""

    provides: list[str] = []
    requires: list[str] = []
    pre_requires: list[str] = []
    conflicts: list[str] = []
    breaks: list[str] = []
    replaces: list[str] = []
    groups: list[str] = []
    multi_arch: str = ""
    slot: str = ""
    """Gentoo: what may be installed beside each other, without the sub-slot."""
    subslot: str = ""
    keywords: list[str] = []
    """Gentoo: architectures, `~` before those where it is in testing."""


class ModuleStream(msgspec.Struct, frozen=True, omit_defaults=True):
    """One `document: modulemd` of modules.yaml."""

    name: str
    stream: str
    version: int
    context: str
    arch: str
    artifacts: list[str] = []
    """NEVRAs with epoch, `name-epoch:version-release.arch`."""
    requires: dict[str, list[str]] = {}


class ModuleMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """All modules of one repository."""

    streams: list[ModuleStream] = []
    defaults: dict[str, str] = {}
    """Module name to its default stream."""


class AdvisoryPackage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A package at the version that an advisory ships."""

    name: str
    arch: str
    evr: str
    module: str = ""
    """`name:stream` if the collection is of a module."""


class RepositoryAdvisory(msgspec.Struct, frozen=True, omit_defaults=True):
    """One <update> of updateinfo.xml."""

    id: str
    type: str
    """security, bugfix, enhancement, newpackage, recommended, optional, … as published."""
    severity: str = ""
    title: str = ""
    status: str = ""
    version: str = ""
    issued_at: str = ""
    """As published; the errata service normalises."""
    cves: list[str] = []
    packages: list[AdvisoryPackage] = []


class ReleaseInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """The fields of an apt Release file that pins, signatures and freshness read."""

    origin: str = ""
    label: str = ""
    suite: str = ""
    codename: str = ""
    version: str = ""
    date: str = ""
    valid_until: str = ""
    not_automatic: bool = False
    but_automatic_upgrades: bool = False
    acquire_by_hash: bool = False
    components: list[str] = []
    architectures: list[str] = []


class IndexContent(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that one index of a repository says beside its packages."""

    modules: ModuleMetadata | None = None
    advisories: list[RepositoryAdvisory] = []
    reported_security: list[AdvisoryPackage] = []
    """Where hosts' reports stand in for a mirror: what a host's package manager calls a security fix."""
