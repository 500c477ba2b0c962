"""The one shape of a report: what a host says of itself, whichever wire form it came in.

Every field but `packages` and `repos` may be absent, so the shape also reads the older protocols and
recorded reports; what is absent is unknown, not false. Versions are kept as the package manager
splits them: `epoch` ("" or "0" when there is none), `version`, `release` ("" for a native deb).
"""

from typing import Annotated

import msgspec
from msgspec import Meta

MAX_PACKAGES = 100_000
MAX_REPOSITORIES = 2_000

Short = Annotated[str, Meta(max_length=255)]
Text = Annotated[str, Meta(max_length=4_096)]
Word = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\s\x00-\x1f\x7f]+\Z")]
Document = Annotated[str, Meta(max_length=1_000_000)]

SECTIONS = {
    "packages": ("packages",),
    "repos": ("repos",),
    "modules": ("modules",),
    "policy": (
        "default_release",
        "dnf",
        "excludes",
        "foreign_archs",
        "native_arch",
        "package_manager",
        "pins",
        "preferences",
        "releasever",
        "zypp",
    ),
}
"""The parts of a report that a client may leave out while the server has them: name to the fields of `Report`."""

FAMILY_OF_MANAGER = {
    "apt": "apt",
    "dnf": "dnf",
    "yum": "dnf",
    "zypper": "zypper",
    "pacman": "pacman",
    "portage": "portage",
    "apk": "apk",
}
"""Every package manager that a report may name, and the family whose rules judge its host."""


class OsRelease(msgspec.Struct, frozen=True, omit_defaults=True):
    """os-release(5), the fields that decide something; keys as in the file."""

    ID: Short = ""
    ID_LIKE: Short = ""
    VERSION_ID: Short = ""
    VERSION_CODENAME: Short = ""
    PRETTY_NAME: Short = ""
    CPE_NAME: Short = ""
    VARIANT_ID: Short = ""
    PLATFORM_ID: Short = ""


class ReportPackage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One installed package; install-only packages appear once per installed version."""

    name: Short
    version: Short
    arch: Short = ""
    epoch: Annotated[str, Meta(max_length=20)] = ""
    release: Short = ""
    type: Annotated[str, Meta(max_length=10)] = ""
    """deb, rpm, pacman (also spelled arch) or gentoo."""
    status: Short = "installed"
    """deb: dpkg's status word; config-files is not installed."""
    held: bool = False
    auto: bool | None = None
    vendor: Short | None = None
    source: Short | None = None
    """Source package name if it differs from `name`."""
    source_version: Short | None = None
    """Source version if it differs from the binary's; deb: full version string; rpm: unused."""
    modularitylabel: Short | None = None
    groups: list[Short] = []
    installed_at: int | None = None
    """Unix seconds."""
    content: Short | None = None
    """deb: digest over size-independent relation fields, to tell equal versions with other content."""

    @property
    def evr(self) -> str:
        """`[epoch:]version[-release]`; an epoch of zero is part of the text for dpkg and pacman, never for rpm."""
        epoch = self.epoch
        text = f"{self.version}-{self.release}" if self.release else self.version
        if epoch and (epoch != "0" or self.type in {"deb", "pacman", "arch"}):
            return f"{epoch}:{text}"
        return text


class ReportRepository(msgspec.Struct, frozen=True, omit_defaults=True):
    """One configured repository, enabled or not."""

    id: Text
    type: Annotated[str, Meta(max_length=20)]
    """deb, rpm-md (also rpm), susetags, pacman (also arch), gentoo."""
    name: Text = ""
    enabled: bool = True
    urls: list[Text] = []
    mirrorlist: Text | None = None
    metalink: Text | None = None
    arch: list[Short] | Short | None = None
    """apt: the architectures of the source; others: the basearch that the URLs were expanded with."""
    suite: Short | None = None
    """apt: suite or codename as configured; ends with "/" for a flat repository."""
    components: list[Short] = []
    priority: int | None = None
    """rpm: lower wins, 99 is the default; apt: the pin the client saw, informative only."""
    cost: int | None = None
    order: int | None = None
    """pacman: position in pacman.conf."""
    usage: Short | None = None
    excludes: list[Text] = []
    includes: list[Text] = []
    module_hotfixes: bool = False
    security: bool | None = None
    """What the client says of it; None if its tools have no such notion."""
    signed_by: Document | None = None
    trusted: bool | None = None
    check_valid_until: bool | None = None
    """apt: false where the host takes Release files past their Valid-Until."""
    gpgcheck: bool | None = None

    @property
    def architectures(self) -> list[str]:
        if self.arch is None:
            return []
        return [self.arch] if isinstance(self.arch, str) else list(self.arch)


class Pin(msgspec.Struct, frozen=True, omit_defaults=True):
    """One policy entry of the host. Which fields are set depends on the package manager:

    apt: `packages`, `pin`, `priority` (one stanza of apt_preferences(5));
    dnf: `type` versionlock and `entry`; zypper: `type` lock, `match`, `name`;
    pacman: `type` IgnorePkg or IgnoreGroup and `name`.
    """

    type: Short = ""
    packages: list[Text] = []
    pin: Text = ""
    priority: int | None = None
    entry: Text = ""
    match: Short = ""
    name: Text = ""
    repo: Text = ""
    arch: Short = ""
    version: Short = ""


class ModuleState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One module of the host, as in /etc/dnf/modules.d."""

    name: Short
    stream: Short = ""
    state: Short = ""
    """enabled or disabled."""
    profiles: list[Short] = []


class DnfOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The options of dnf.conf that change which update is offered; defaults are dnf's own."""

    obsoletes: bool = True
    best: bool = False
    installonly_limit: int = 3
    installonlypkgs: list[Short] = []
    """What the host adds to dnf's built-in list."""


class ZyppOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """The options of zypp.conf that change which update is offered."""

    allow_vendor_change: bool = False
    multiversion: list[Text] = []
    vendor_equivalence: list[list[Short]] = []


class ClientUpdate(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the client's own opinion."""

    name: Short
    arch: Short = ""
    to: Short = ""
    repo: Text = ""
    security: bool | None = None


class StaleService(msgspec.Struct, frozen=True, omit_defaults=True):
    """A process that still runs files which have been replaced on disk."""

    name: Short
    pid: int | None = None
    reason: Text = ""
    package: Short = ""
    """Whose file was replaced, by the package manager's own word."""


Packages = Annotated[list[ReportPackage], Meta(max_length=MAX_PACKAGES)]
Repositories = Annotated[list[ReportRepository], Meta(max_length=MAX_REPOSITORIES)]


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """A host's report. `packages` and `repos` of None mean "unchanged since the last one"."""

    hostname: Word
    packages: Packages | None = None
    repos: Repositories | None = None
    arch: Short = ""
    kernel: Short = ""
    os: Short = ""
    os_release: OsRelease = OsRelease()
    package_manager: Short = ""
    """One of FAMILY_OF_MANAGER; "" where the client does not say."""
    machine_id: Short = ""
    boot_id: Short = ""
    native_arch: Short = ""
    foreign_archs: list[Short] = []
    default_release: Short | None = None
    preferences: Document | None = None
    """apt: the text of apt_preferences(5), all files joined."""
    pins: list[Pin] = []
    excludes: list[Text] = []
    modules: list[ModuleState] = []
    dnf: DnfOptions | None = None
    zypp: ZyppOptions | None = None
    releasever: Short = ""
    tags: list[Short] = []
    reboot_required: bool | None = None
    reboot_reasons: list[Text] = []
    stale_services: list[StaleService] = []
    updates: list[ClientUpdate] | None = None
    """The package manager's own list, to compare opinions; None if the client did not ask it."""
    collected_at: float | None = None
    """Unix seconds by the host's clock."""
    collect_seconds: float | None = None
    agent_version: Short = ""
    digests: dict[Short, Short] = {}
    """Section to SHA-256 (hex) of its JSON as sent; of `policy`: an object of those of its fields that are there."""
    unchanged: list[Short] = []
    """Sections that are left out although the host has them: the server has what `digests` says of them."""
