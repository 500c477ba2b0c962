"""pacman's rules: repository order, Usage, IgnorePkg and IgnoreGroup, replacements.

What counts as listed is what `pacman -Qu` prints without `[ignored]`. Rules: libalpm 13 of pacman 6.0
(`alpm_sync_get_new_version`, `alpm_pkg_should_ignore`, `alpm_sync_sysupgrade`) and pacman's `query.c`.
"""

import operator
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from patchbay_shared.catalogue import AvailablePackage
from patchbay_shared.versions import compare

from patchbay_update_engine.evaluate.advisories import NO_ADVISORIES, ReleaseAdvisories
from patchbay_update_engine.evaluate.catalog import CatalogRepository, InstalledPackage, PackageIndex, Policy
from patchbay_update_engine.evaluate.verdict import State, Verdict

_HOLDS = {"<": operator.lt, "<=": operator.le, "=": operator.eq, ">=": operator.ge, ">": operator.gt}


def compile_catalog(
    repositories: Sequence[CatalogRepository], policy: Policy, advisories: ReleaseAdvisories = NO_ADVISORIES
) -> "PacmanCatalog":
    """The rules of a host's enabled repositories in the order of its pacman.conf."""
    enabled = [repository for repository in repositories if repository.definition.enabled]
    positions = range(len(enabled))
    order = sorted(positions, key=lambda at: (_order(enabled[at], at), at))
    return PacmanCatalog([enabled[at] for at in order], policy, advisories)


def _order(repository: CatalogRepository, position: int) -> int:
    order = repository.definition.order
    return position if order is None else order


class PacmanCatalog:
    """Compiled rules; see `Catalog`."""

    def __init__(
        self,
        repositories: Sequence[CatalogRepository],
        policy: Policy,
        advisories: ReleaseAdvisories = NO_ADVISORIES,
    ) -> None:
        self._advisories = advisories
        self._databases = [_Database(repository) for repository in repositories]
        self._ignored_names = [_glob(pin.name) for pin in policy.pins if pin.type == "IgnorePkg"]
        self._ignored_groups = [_glob(pin.name) for pin in policy.pins if pin.type == "IgnoreGroup"]

    def evaluate(self, installed: Sequence[InstalledPackage], *, machine_id: str = "") -> list[Verdict]:
        """See `Catalog.evaluate`; pacman knows no phased updates, so `machine_id` decides nothing."""
        ordered = sorted(installed, key=lambda package: (package.name, package.arch, package.evr_key))
        return [verdict for package in ordered if (verdict := self._verdict(package)) is not None]

    def _verdict(self, package: InstalledPackage) -> Verdict | None:
        # The first repository that has the name decides, even where a later one is newer.
        found = next(self._named(package.name), None)
        if found is not None:
            database, candidate = found
            order = compare("alpm", candidate.evr, package.evr)
            if order > 0:
                return self._update(package, database, candidate)
        replaced = self._replacement(package)
        if replaced is not None:
            return self._obsoleted(package, *replaced)
        if found is None:
            return Verdict(
                name=package.name,
                arch=package.arch,
                installed=package.evr,
                state=State.NOT_IN_ANY_REPOSITORY,
                listed=False,
                rule="pacman.foreign",
                why="No enabled repository has a package of this name.",
            )
        if order < 0:
            return Verdict(
                name=package.name,
                arch=package.arch,
                installed=package.evr,
                state=State.NEWER_THAN_REPOSITORY,
                listed=False,
                rule="pacman.newer-than-repository",
                why=(
                    f"The installed version is newer than {candidate.evr} in {database.id}, "
                    "the first repository that has the package."
                ),
                candidate=candidate.evr,
                candidate_arch=candidate.arch,
                repository=database.id,
                repositories=self._holders(candidate),
            )
        return None

    def _update(self, package: InstalledPackage, database: "_Database", candidate: AvailablePackage) -> Verdict:
        state, rule, why = self._judge(package, database, candidate)
        fixed = self._advisories.for_binary(package.name, candidate.arch, package.evr_key, candidate.evr_key)
        if fixed:
            why += f" It brings the fixes of {', '.join(fixed)}."
        return Verdict(
            name=package.name,
            arch=package.arch,
            installed=package.evr,
            state=state,
            listed=state is State.OUTSTANDING,
            rule=rule,
            why=why,
            candidate=candidate.evr,
            candidate_arch=candidate.arch,
            repository=database.id,
            repositories=self._holders(candidate),
            security=bool(fixed),
            advisories=fixed,
        )

    def _judge(
        self, package: InstalledPackage, database: "_Database", candidate: AvailablePackage
    ) -> tuple[State, str, str]:
        ignored = self._ignored(package)
        if ignored is not None:
            return State.EXCLUDED, *ignored
        if not database.upgrades:
            why = f"Usage in pacman.conf keeps {database.id}, the first repository that has it, from upgrades."
            instead = next(self._upgrades_in(package), None)
            if instead is not None:
                why += f" A system upgrade would take {instead[1].evr} from {instead[0].id} instead."
            return State.EXCLUDED, "pacman.usage", why
        newest = max(
            (found for _, found in self._named(package.name)), key=lambda found: found.evr_key, default=candidate
        )
        if newest.evr_key > candidate.evr_key:
            return (
                State.OUTSTANDING,
                "pacman.repository-order",
                f"{database.id} is the first repository in pacman.conf that has the package, so its "
                f"{candidate.evr} counts although a later one has {newest.evr}.",
            )
        return (
            State.OUTSTANDING,
            "pacman.newest",
            f"{database.id}, the first repository that has the package, offers {candidate.evr}.",
        )

    def _obsoleted(self, package: InstalledPackage, database: "_Database", by: AvailablePackage) -> Verdict:
        return Verdict(
            name=package.name,
            arch=package.arch,
            installed=package.evr,
            state=State.OBSOLETED,
            listed=False,
            rule="pacman.replaces",
            why=f"{by.name} {by.evr} in {database.id} replaces it at the next system upgrade.",
            candidate=by.evr,
            candidate_arch=by.arch,
            repository=database.id,
        )

    def _named(self, name: str) -> Iterator[tuple["_Database", AvailablePackage]]:
        for database in self._databases:
            package = database.package(name)
            if package is not None:
                yield database, package

    def _upgrades_in(self, package: InstalledPackage) -> Iterator[tuple["_Database", AvailablePackage]]:
        for database, found in self._named(package.name):
            if database.upgrades:
                if compare("alpm", found.evr, package.evr) > 0:
                    yield database, found
                return

    def _holders(self, candidate: AvailablePackage) -> tuple[str, ...]:
        return tuple(database.id for database, found in self._named(candidate.name) if found.evr == candidate.evr)

    def _ignored(self, package: InstalledPackage) -> tuple[str, str] | None:
        """Rule and reason if pacman.conf ignores the package, by the groups of the installed one."""
        for pattern in self._ignored_names:
            if fnmatchcase(package.name, pattern):
                return "pacman.ignorepkg", f"IgnorePkg = {pattern} in pacman.conf holds it at {package.evr}."
        for pattern in self._ignored_groups:
            for group in package.groups:
                if fnmatchcase(group, pattern):
                    return (
                        "pacman.ignoregroup",
                        f"IgnoreGroup = {pattern} in pacman.conf holds it at {package.evr}: it is in group {group}.",
                    )
        return None

    def _replacement(self, package: InstalledPackage) -> tuple["_Database", AvailablePackage] | None:
        """What a system upgrade would put in its place: the search ends at the first repository with the name."""
        if self._ignored(package) is not None:
            return None
        for database in self._databases:
            if not database.upgrades:
                continue
            for candidate, relation in database.replacers(package.name):
                if candidate.name != package.name and _matches(relation, package.evr):
                    return database, candidate
            if database.package(package.name) is not None:
                return None
        return None


class _Database:
    """One repository as libalpm sees it: a name leads to one package."""

    def __init__(self, repository: CatalogRepository) -> None:
        definition = repository.definition
        self.id = definition.id
        usage = (definition.usage or "All").split()
        self.upgrades = "All" in usage or "Upgrade" in usage
        self._indexes: Sequence[PackageIndex] = repository.indexes

    def package(self, name: str) -> AvailablePackage | None:
        return next((index.by_name[name][0] for index in self._indexes if name in index.by_name), None)

    def replacers(self, name: str) -> Iterator[tuple[AvailablePackage, str]]:
        for index in self._indexes:
            yield from index.obsoleters.get(name, ())


def _matches(relation: str, evr: str) -> bool:
    _, _, condition = relation.partition(" ")
    if not condition:
        return True
    sign, _, wanted = condition.partition(" ")
    return bool(_HOLDS[sign](compare("alpm", evr, wanted), 0))


def _glob(pattern: str) -> str:
    """fnmatch(3) takes `^` for `!` at the beginning of a bracket."""
    return pattern.replace("[^", "[!")
