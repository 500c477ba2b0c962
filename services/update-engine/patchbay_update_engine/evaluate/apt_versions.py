"""The versions of a package as apt's cache holds them, and each one's priority.

apt lists a package's versions from the highest down. Records with equal versions and equal content are one
version, found in several index files; equal versions with other content, or of which one is for all architectures,
are separate, in order of the sources. Rules: `pkgCacheGenerator::MergeListVersion` and `pkgPolicy::GetPriority`
of apt 2.6.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec
from patchbay_shared.catalogue import AvailablePackage

from patchbay_update_engine.evaluate.apt_preferences import (
    NEVER,
    STATUS,
    IndexIdentity,
    Stanza,
    default_release,
    identity,
    stanzas_of,
)
from patchbay_update_engine.evaluate.catalog import CatalogRepository, InstalledPackage, PackageIndex, Policy

_REBUILD_LEAST = 3
_REBUILD_SAMPLE = 50
"""How many shared versions it takes to call a repository a rebuild of others, and how many are looked at."""


class SourceFile(msgspec.Struct, frozen=True):
    """One index file of an enabled repository, with the priority that general rules give it."""

    repository: str
    index: PackageIndex
    identity: IndexIdentity
    security: bool
    default_priority: int
    """From the Release file alone: 500, 100 or 1."""
    priority: int
    reason: str
    """What gave it the priority, for a sentence."""


class OfferedVersion(msgspec.Struct, frozen=True):
    """One version in apt's sense."""

    package: AvailablePackage
    """The record of the first file."""
    files: tuple[SourceFile, ...]
    priority: int
    default_priority: int
    """What the priority would be without the host's own preferences."""
    reason: str
    stanza: Stanza | None
    """The specific stanza that gave the priority."""

    @property
    def repositories(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(file.repository for file in self.files))

    @property
    def security_repository(self) -> str | None:
        return next((file.repository for file in self.files if file.security), None)


class VersionTable:
    """All versions that the enabled repositories offer, worked out per package on first use."""

    def __init__(self, repositories: Sequence[CatalogRepository], policy: Policy) -> None:
        self.native_arch = policy.native_arch or _DPKG_ARCHITECTURES.get(policy.arch, policy.arch)
        enabled = [repository for repository in repositories if repository.definition.enabled]
        identities = {
            (number, place): identity(
                repository.release,
                component=index.component,
                architecture="" if _is_flat(repository) else index.architecture or self.native_arch,
                site=_site(repository),
            )
            for number, repository in enumerate(enabled)
            for place, index in enumerate(repository.indexes)
        }
        stanzas = stanzas_of(policy)
        general = [stanza for stanza in stanzas if stanza.general]
        release = default_release(policy, list(identities.values()))
        if release is not None:
            general.insert(0, release)
        self._specific = [stanza for stanza in stanzas if not stanza.general]
        self._files: list[SourceFile] = []
        for (number, place), described in identities.items():
            repository = enabled[number]
            default, reason = _default_priority(repository)
            stanza = _first_general(general, described)
            label = repository.security if repository.security is not None else repository.definition.security
            self._files.append(
                SourceFile(
                    repository=repository.definition.id,
                    index=repository.indexes[place],
                    identity=described,
                    security=bool(label),
                    default_priority=default,
                    priority=default if stanza is None else stanza.priority,
                    reason=reason if stanza is None else f"“{stanza.text}”",
                )
            )
        status = _first_general(general, STATUS)
        self.status_priority = 100 if status is None else status.priority
        self._offered: dict[tuple[str, str], tuple[OfferedVersion, ...]] = {}
        self._rebuilds: dict[str, bool] = {}

    def arch_of(self, arch: str) -> str:
        """The architecture under which apt keeps a package: packages for all belong to the native one."""
        return self.native_arch if arch == "all" else arch

    def offered(self, name: str, arch: str) -> tuple[OfferedVersion, ...]:
        """The versions of a package from the highest down; `arch` is never "all"."""
        key = (name, arch)
        known = self._offered.get(key)
        if known is None:
            known = self._offered[key] = self._collect(name, arch)
        return known

    def installed_priority(self, installed: InstalledPackage, offered: OfferedVersion | None) -> int:
        """The priority of the installed version, which dpkg's list of packages offers as well."""
        arch = self.arch_of(installed.arch)
        if offered is None:
            source = installed.source or installed.name
            stanza = self._first_specific(installed.name, source, arch, installed.evr, ())
            return self.status_priority if stanza is None else stanza.priority
        source = offered.package.source or installed.name
        stanza = self._first_specific(
            installed.name, source, arch, offered.package.evr, offered.files, installed=True
        )
        if stanza is not None and self.status_priority != NEVER:
            return stanza.priority
        return max(offered.priority, self.status_priority)

    def only_rebuilds(self, version: OfferedVersion) -> bool:
        """Whether a version is only in repositories that rebuild what others publish, under the same versions.

        That is inferred: its Release file calls it a rebuild, or of the versions that it shares with the repositories
        before it in the sources, most differ in content. It matters only where a report does not know its packages'
        content.
        """
        return all(self._is_rebuild(file.repository) for file in version.files)

    def _is_rebuild(self, repository: str) -> bool:
        known = self._rebuilds.get(repository)
        if known is None:
            known = self._calls_itself_rebuild(repository) or self._looks_like_rebuild(repository)
            self._rebuilds[repository] = known
        return known

    def _calls_itself_rebuild(self, repository: str) -> bool:
        return any(
            "rebuild" in (text or "").lower()
            for file in self._files
            if file.repository == repository
            for text in (file.identity.origin, file.identity.label, file.identity.archive, file.identity.codename)
        )

    def _looks_like_rebuild(self, repository: str) -> bool:
        first = next(place for place, file in enumerate(self._files) if file.repository == repository)
        earlier = self._files[:first]
        shared = differing = 0
        for file in self._files:
            if file.repository != repository or not earlier:
                continue
            for name, packages in file.index.by_name.items():
                published = {
                    (other.arch, other.evr): other.content
                    for before in earlier
                    for other in before.index.by_name.get(name, ())
                }
                for package in packages if published else ():
                    content = published.get((package.arch, package.evr))
                    if content is not None and package.content is not None:
                        shared += 1
                        differing += content != package.content
                if shared >= _REBUILD_SAMPLE:
                    break
        return shared >= _REBUILD_LEAST and differing * 2 > shared

    def _collect(self, name: str, arch: str) -> tuple[OfferedVersion, ...]:
        arches = (arch, "all") if arch == self.native_arch else (arch,)
        found = [
            (package, file)
            for file in self._files
            for package in file.index.by_name.get(name, ())
            if package.arch in arches
        ]
        if len(found) == 1:
            [(package, file)] = found
            return (self._version(name, arch, package, (file,)),)
        merged: dict[tuple[bytes, str, bool], tuple[AvailablePackage, list[SourceFile]]] = {}
        for package, file in found:
            same = (package.evr_key, package.content or f"={package.evr}", package.arch == "all")
            _, files = merged.setdefault(same, (package, []))
            if not files or files[-1] is not file:
                files.append(file)
        versions = [self._version(name, arch, package, tuple(files)) for package, files in merged.values()]
        versions.sort(key=_key, reverse=True)
        return tuple(versions)

    def _version(
        self, name: str, arch: str, package: AvailablePackage, files: tuple[SourceFile, ...]
    ) -> OfferedVersion:
        best = files[0] if len(files) == 1 else max(files, key=lambda file: file.priority)
        stanza = self._first_specific(name, package.source or name, arch, package.evr, files)
        if best.priority == NEVER:
            stanza = None
        return OfferedVersion(
            package=package,
            files=files,
            priority=best.priority if stanza is None else stanza.priority,
            default_priority=max([file.default_priority for file in files]),
            reason=best.reason if stanza is None else f"“{stanza.text}”",
            stanza=stanza,
        )

    def _first_specific(
        self,
        name: str,
        source: str,
        arch: str,
        evr: str,
        files: tuple[SourceFile, ...],
        *,
        installed: bool | None = None,
    ) -> Stanza | None:
        in_status = not files or bool(installed)
        for stanza in self._specific:
            if stanza.names(name, source, arch, self.native_arch) and (
                stanza.matches_version(evr)
                or any(stanza.matches_index(file.identity) for file in files)
                or (in_status and stanza.matches_index(STATUS))
            ):
                return stanza
        return None


_DPKG_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "i386", "armv7l": "armhf", "ppc64le": "ppc64el"}
"""`uname -m` to dpkg's name, for reports that do not say dpkg's."""


def _key(version: OfferedVersion) -> bytes:
    return version.package.evr_key


def _site(repository: CatalogRepository) -> str:
    url = next(iter(repository.definition.urls), "")
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_flat(repository: CatalogRepository) -> bool:
    """Whether the suite is a path; apt knows no architecture of such an index."""
    return (repository.definition.suite or "").endswith("/")


def _default_priority(repository: CatalogRepository) -> tuple[int, str]:
    release = repository.release
    if release.but_automatic_upgrades:
        return 100, "its Release file says ButAutomaticUpgrades"
    if release.not_automatic:
        return 1, "its Release file says NotAutomatic"
    return 500, ""


def _first_general(stanzas: Sequence[Stanza], index: IndexIdentity) -> Stanza | None:
    """The general stanza that counts for an index: `never` wherever it stands, else the first that matches."""
    matching = [stanza for stanza in stanzas if stanza.matches_index(index)]
    return next((stanza for stanza in matching if stanza.priority == NEVER), matching[0] if matching else None)
