"""What takes a package out of dnf's sight: excludes, includes, version locks and module streams."""

from collections.abc import Callable, Iterator, Sequence

import msgspec
from patchbay_shared.catalogue import AvailablePackage

from patchbay_update_engine.evaluate.catalog import CatalogRepository, Policy
from patchbay_update_engine.evaluate.dnf_modules import ModuleFilter
from patchbay_update_engine.evaluate.dnf_patterns import LOCK_FORMS, PackagePattern, readings, whole_nevra_glob
from patchbay_update_engine.evaluate.rpm_relation import parse_relation
from patchbay_update_engine.evaluate.verdict import State


class Rejection(msgspec.Struct, frozen=True):
    """Why dnf does not consider a package. `because` completes "…, but <because>"."""

    state: State
    rule: str
    because: str


class _Chosen(msgspec.Struct, frozen=True):
    """A pattern in the reading that dnf settles on."""

    text: str
    matches: Callable[[AvailablePackage], bool]


class _Lock(msgspec.Struct, frozen=True):
    """An entry of the versionlock list."""

    text: str
    tried: tuple[PackagePattern, ...]
    """The readings up to the one that fits; the names of all are locked."""
    chosen: PackagePattern | None
    """The reading whose packages stay; None if none fits, so that nothing of these names does."""

    def names(self, name: str) -> bool:
        return any(reading.matches_name(name) for reading in self.tried)

    def keeps(self, name: str, evr: str, arch: str) -> bool:
        return self.chosen is not None and self.chosen.matches(name, evr, arch)


class Exclusions:
    """The host's excludes, includes, locks and modules, asked for one package at a time."""

    def __init__(self, repositories: Sequence[CatalogRepository], policy: Policy, modules: ModuleFilter) -> None:
        self._repositories = repositories
        self._modules = modules
        self._names: tuple[str, ...] | None = None
        self._global = self._choose(policy.excludes)
        self._excludes = [self._choose(r.definition.excludes) for r in repositories]
        self._includes = [self._choose(r.definition.includes) for r in repositories]
        entries = [pin.entry.strip() for pin in policy.pins if pin.type == "versionlock" and pin.entry.strip()]
        self._forbidden = [
            chosen
            for e in entries
            if e.startswith("!")
            for chosen in [self._read_lock(e[1:].strip()).chosen]
            if chosen
        ]
        self._locks = [self._read_lock(e) for e in entries if not e.startswith("!")]

    def rejection(self, package: AvailablePackage, repository: int) -> Rejection | None:
        """Why the package of the repository (its position) is not considered; None if it is."""
        return self._filtered(package, repository) or self._lock(package)

    def _filtered(self, package: AvailablePackage, repository: int) -> Rejection | None:
        """Why dnf does not know the package when the versionlock plugin comes to look."""
        definition = self._repositories[repository].definition
        for exclude in self._global:
            if exclude.matches(package):
                return Rejection(State.EXCLUDED, "dnf.exclude", f"excludepkgs={exclude.text} excludes it")
        for exclude in self._excludes[repository]:
            if exclude.matches(package):
                return Rejection(
                    State.EXCLUDED,
                    "dnf.exclude.repository",
                    f"excludepkgs={exclude.text} of repository {definition.id} excludes it",
                )
        if definition.includes and not any(i.matches(package) for i in self._includes[repository]):
            return Rejection(
                State.EXCLUDED,
                "dnf.include",
                f"includepkgs of repository {definition.id} does not name it",
            )
        return self._module(package, hotfixes=definition.module_hotfixes)

    def is_locked(self, name: str, evr: str, arch: str) -> bool:
        """Whether a version lock names exactly this package."""
        return any(lock.keeps(name, evr, arch) for lock in self._locks)

    def _lock(self, package: AvailablePackage) -> Rejection | None:
        identity = (package.name, package.evr, package.arch)
        for pattern in self._forbidden:
            if pattern.matches(*identity):
                return Rejection(
                    State.LOCKED, "dnf.versionlock.exclude", f"the version lock !{pattern.text} forbids it"
                )
        locks = [lock for lock in self._locks if lock.names(package.name)]
        if any(lock.keeps(*identity) for lock in self._locks):
            return None
        if locks:
            return Rejection(
                State.LOCKED, "dnf.versionlock", f"the version lock {locks[0].text} keeps another version"
            )
        if self._locks and self._obsoletes_a_locked(package):
            return Rejection(
                State.LOCKED, "dnf.versionlock.obsoletes", "it would replace a package whose version is locked"
            )
        return None

    def _obsoletes_a_locked(self, package: AvailablePackage) -> bool:
        for text in package.obsoletes:
            relation = parse_relation(text)
            for other in self._named(relation.name):
                if self.is_locked(other.name, other.evr, other.arch) and relation.matches(other.evr):
                    return True
        return False

    def _module(self, package: AvailablePackage, *, hotfixes: bool) -> Rejection | None:
        hidden = None if hotfixes else self._modules.hides(package)
        if hidden is None:
            return None
        rule, stream = hidden
        if rule == "dnf.module.stream":
            because = f"it belongs to module stream {stream}, which is not active on this host"
        else:
            because = f"module stream {stream} is active and hides packages from outside of it"
        return Rejection(State.MODULE, rule, because)

    def _choose(self, texts: Sequence[str]) -> list[_Chosen]:
        """Each text in the first reading that any package fits, as dnf settles it."""
        chosen = []
        for text in dict.fromkeys(t.strip() for t in texts):
            for reading in readings(text):
                if any(reading.matches(p.name, p.evr, p.arch) for p in self._fitting_names(reading)):
                    chosen.append(_Chosen(text, _matcher(reading)))
                    break
            else:
                chosen.append(_Chosen(text, whole_nevra_glob(text)))
        return chosen

    def _read_lock(self, text: str) -> _Lock:
        """An entry in the first reading that any known package fits.

        The installed packages count as well, which a catalog does not know. So the form that the plugin itself
        writes (`name-epoch:version-release.*`) is taken for fitting: it is written of what is installed.
        """
        tried: list[PackagePattern] = []
        for reading in readings(text, LOCK_FORMS):
            tried.append(reading)
            if (reading.is_whole and text.endswith(".*")) or self._fits(reading):
                return _Lock(text, tuple(tried), reading)
        return _Lock(text, tuple(tried), None)

    def _fits(self, reading: PackagePattern) -> bool:
        names = [reading.name] if reading.name is not None else filter(reading.matches_name, self._all_names())
        return any(
            reading.matches(package.name, package.evr, package.arch) and self._filtered(package, position) is None
            for name in names
            for position, repository in enumerate(self._repositories)
            for index in repository.indexes
            for package in index.by_name.get(name, ())
        )

    def _fitting_names(self, pattern: PackagePattern) -> Iterator[AvailablePackage]:
        if pattern.name is not None:
            yield from self._named(pattern.name)
            return
        for name in self._all_names():
            if pattern.matches_name(name):
                yield from self._named(name)

    def _all_names(self) -> tuple[str, ...]:
        if self._names is None:
            self._names = tuple({n for r in self._repositories for i in r.indexes for n in i.by_name})
        return self._names

    def _named(self, name: str) -> Iterator[AvailablePackage]:
        for repository in self._repositories:
            for index in repository.indexes:
                yield from index.by_name.get(name, ())


def _matcher(reading: PackagePattern) -> Callable[[AvailablePackage], bool]:
    return lambda package: reading.matches(package.name, package.evr, package.arch)
