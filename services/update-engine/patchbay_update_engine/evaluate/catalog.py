"""The input of an evaluation, and the choice of the family that judges it.

A *catalog* is compiled once per repository set (the host's repositories and its policy) and then
judges any number of package sets. Everything here is pure: no database, no network, no clock.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec
from patchbay_shared.catalogue import (
    AdvisoryPackage,
    AvailablePackage,
    IndexContent,
    ReleaseInfo,
    RepositoryAdvisory,
    Scheme,
)
from patchbay_shared.report import (
    DnfOptions,
    ModuleState,
    OsRelease,
    Pin,
    Report,
    ReportPackage,
    ReportRepository,
    ZyppOptions,
)
from patchbay_shared.versions import evr_key

from patchbay_update_engine.evaluate.verdict import Verdict


class InstalledPackage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One installed package, with its version's sort key worked out."""

    name: str
    arch: str
    evr: str
    evr_key: bytes
    status: str = "installed"
    held: bool = False
    source: str | None = None
    source_version: str | None = None
    vendor: str | None = None
    modularitylabel: str | None = None
    groups: tuple[str, ...] = ()
    content: str | None = None
    id: int | None = None


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the host's own configuration says beside its repositories; fields as in `Report`."""

    package_manager: str
    arch: str = ""
    native_arch: str = ""
    foreign_archs: list[str] = []
    default_release: str | None = None
    preferences: str | None = None
    pins: list[Pin] = []
    excludes: list[str] = []
    modules: list[ModuleState] = []
    dnf: DnfOptions | None = None
    zypp: ZyppOptions | None = None
    releasever: str = ""
    os_release: OsRelease = OsRelease()


class PackageIndex:
    """The packages of one index, by name. Shared between every catalog that uses the repository."""

    __slots__ = (
        "_advisories",
        "_obsoleters",
        "architecture",
        "by_name",
        "component",
        "content",
        "solver_image",
    )

    def __init__(
        self,
        packages: Iterable[AvailablePackage],
        *,
        component: str = "",
        architecture: str = "",
        content: IndexContent | None = None,
    ) -> None:
        self.component = component
        self.architecture = architecture
        self.content = content or IndexContent()
        self.by_name: dict[str, list[AvailablePackage]] = {}
        for package in packages:
            self.by_name.setdefault(package.name, []).append(package)
        self.solver_image: bytes | None = None
        """The packages in the solver's own format, once a catalog needed it (`solver_image`)."""
        self._obsoleters: dict[str, list[tuple[AvailablePackage, str]]] | None = None
        self._advisories: dict[str, list[tuple[RepositoryAdvisory, AdvisoryPackage]]] | None = None

    @property
    def obsoleters(self) -> dict[str, list[tuple[AvailablePackage, str]]]:
        """Obsoleted name to the packages that obsolete it, each with its `name <op> evr` text."""
        if self._obsoleters is None:
            found: dict[str, list[tuple[AvailablePackage, str]]] = {}
            for versions in self.by_name.values():
                for package in versions:
                    for text in package.obsoletes:
                        found.setdefault(text.split(" ", 1)[0], []).append((package, text))
            self._obsoleters = found
        return self._obsoleters

    def advisories_of(self, name: str) -> Sequence[tuple[RepositoryAdvisory, AdvisoryPackage]]:
        """The advisories that name a package, each with that package as it ships it."""
        if self._advisories is None:
            found: dict[str, list[tuple[RepositoryAdvisory, AdvisoryPackage]]] = {}
            for advisory in self.content.advisories:
                for package in advisory.packages:
                    found.setdefault(package.name, []).append((advisory, package))
            self._advisories = found
        return self._advisories.get(name, ())


class CatalogRepository(msgspec.Struct, frozen=True):
    """One repository of a host: what the host says of it, and what was crawled."""

    definition: ReportRepository
    indexes: Sequence[PackageIndex]
    """Only those that this host uses (its components and architectures, for apt)."""
    release: ReleaseInfo = ReleaseInfo()
    security: bool | None = None
    """The operator's or the distribution's label; None if nobody said."""


class Catalog(Protocol):
    """The compiled rules of one repository set."""

    def evaluate(self, installed: Sequence[InstalledPackage], *, machine_id: str = "") -> list[Verdict]:
        """The verdicts in order of (name, arch, installed version), without packages that are up to date.

        `machine_id` decides apt's phased updates only.
        """


SCHEME_OF_TYPE: dict[str, Scheme] = {
    "deb": "deb",
    "rpm": "rpm",
    "pacman": "alpm",
    "arch": "alpm",
}


def policy_of(report: Report) -> Policy:
    """The policy part of a report."""
    return Policy(
        package_manager=report.package_manager,
        arch=report.arch,
        native_arch=report.native_arch,
        foreign_archs=report.foreign_archs,
        default_release=report.default_release,
        preferences=report.preferences,
        pins=report.pins,
        excludes=report.excludes,
        modules=report.modules,
        dnf=report.dnf,
        zypp=report.zypp,
        releasever=report.releasever,
        os_release=report.os_release,
    )


def installed_of(package: ReportPackage, *, ordered: bool = True) -> InstalledPackage:
    """A reported package as the rules read it; one without an order (of its type, or not `ordered`) has an empty key.

    Raises InvalidVersion if it is `ordered` and its version is none.
    """
    evr = package.evr
    scheme = SCHEME_OF_TYPE.get(package.type) if ordered else None
    return InstalledPackage(
        name=package.name,
        arch=package.arch,
        evr=evr,
        evr_key=evr_key(scheme, evr) if scheme else b"",
        status=package.status,
        held=package.held,
        source=package.source,
        source_version=package.source_version,
        vendor=package.vendor,
        modularitylabel=package.modularitylabel,
        groups=tuple(package.groups),
        content=package.content,
    )
