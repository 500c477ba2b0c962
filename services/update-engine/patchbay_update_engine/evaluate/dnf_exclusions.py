"""What takes a package out of dnf's sight: excludes, includes, version locks and module streams."""

from collections.abc import Callable, Iterator, Sequence

import msgspec
from patchbay_shared.catalogue import AvailablePackage

from patchbay_update_engine.evaluate.catalog import CatalogRepository, Policy
from patchbay_update_engine.evaluate.dnf_modules import ModuleFilter
from patchbay_update_engine.evaluate.dnf_patterns import PackagePattern, readings, whole_nevra_glob
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
        self._forbidden = [p for e in entries if e.startswith("!") for p in readings(e[1:].strip())]
        self._locks = [p for e in entries if not e.startswith("!") for p in readings(e)]

    def rejection(self, package: AvailablePackage, repository: int) -> Rejection | None:
        """Why the package of the repository (its position) is not considered; None if it is."""
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
        return self._lock(package) or self._module(package, hotfixes=definition.module_hotfixes)

    def is_locked(self, name: str, evr: str, arch: str) -> bool:
        """Whether a version lock names exactly this package."""
        return any(lock.matches(name, evr, arch) for lock in self._locks)

    def _lock(self, package: AvailablePackage) -> Rejection | None:
        identity = (package.name, package.evr, package.arch)
        for pattern in self._forbidden:
            if pattern.matches(*identity):
                return Rejection(
                    State.LOCKED, "dnf.versionlock.exclude", f"the version lock !{pattern.text} forbids it"
                )
        locks = [lock for lock in self._locks if lock.matches_name(package.name)]
        if locks:
            if any(lock.matches(*identity) for lock in locks):
                return None
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

    def _fitting_names(self, pattern: PackagePattern) -> Iterator[AvailablePackage]:
        if pattern.name is not None:
            yield from self._named(pattern.name)
            return
        if self._names is None:
            self._names = tuple({n for r in self._repositories for i in r.indexes for n in i.by_name})
        for name in self._names:
            if pattern.matches_name(name):
                yield from self._named(name)

    def _named(self, name: str) -> Iterator[AvailablePackage]:
        for repository in self._repositories:
            for index in repository.indexes:
                yield from index.by_name.get(name, ())


def _matcher(reading: PackagePattern) -> Callable[[AvailablePackage], bool]:
    return lambda package: reading.matches(package.name, package.evr, package.arch)
