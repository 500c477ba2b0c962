"""What `apt-get upgrade` keeps back: upgrades that would need a new package or break an installed one.

apt marks every upgrade, then takes back, one after the other, those that leave something broken. This does the same
with the relations that the repositories publish, until nothing is broken: the largest set of upgrades that fits
together. apt's own order takes back more (docs/verdicts.md has the measured agreement), and a report does not carry
the relations of installed packages: those at a version that a repository has are known, of the others only that they
are there.
Rules: `pkgAllUpgradeNoNewPackages` and `pkgProblemResolver::ResolveByKeep` of apt 2.6.
"""

from collections import deque
from collections.abc import Collection, Iterable, Sequence

import msgspec

from patchbay_update_engine.evaluate.apt_relations import NOTHING, Needs, Relation, needs_of
from patchbay_update_engine.evaluate.apt_versions import OfferedVersion
from patchbay_update_engine.evaluate.catalog import InstalledPackage


class Member(msgspec.Struct, frozen=True, gc=False):
    """One installed package as the simulation starts; the same for every host that has it."""

    name: str
    arch: str
    """The architecture that apt files it under; never "all"."""
    key: bytes
    """Sort key of the installed version."""
    needs: Needs
    provides: Collection[str]
    """The names that the old or the new version provides."""
    mentions: frozenset[str]
    """The names in the relations of the old or the new version."""
    new_key: bytes | None = None
    """Sort key of the version that would replace it; None for packages that stay."""
    new_needs: Needs = msgspec.field(default_factory=lambda: NOTHING)


def staying(package: InstalledPackage, arch: str, current: OfferedVersion | None) -> Member:
    """A package that is not upgraded; `current` is its version as a repository has it."""
    needs = NOTHING if current is None else needs_of(current.package)
    return Member(package.name, arch, package.evr_key, needs, needs.provides, needs.mentions)


def upgrading(
    package: InstalledPackage, arch: str, current: OfferedVersion | None, candidate: OfferedVersion
) -> Member:
    """A package that `candidate` would replace."""
    new = needs_of(candidate.package)
    if current is not None:
        old = needs_of(current.package)
    else:
        # An older version: what it provides and its Multi-Arch are most likely what its successor says.
        old = Needs(provides=new.provides, multi_arch=new.multi_arch)
    return Member(
        name=package.name,
        arch=arch,
        key=package.evr_key,
        needs=old,
        provides=old.provides.keys() | new.provides.keys(),
        mentions=old.mentions | new.mentions,
        new_key=candidate.package.evr_key,
        new_needs=new,
    )


def kept_back(members: Sequence[Member]) -> dict[int, str]:
    """The upgrades that `apt-get upgrade` takes back: number of the member to the reason, half a sentence."""
    upgrades = [number for number, member in enumerate(members) if member.new_key is not None]
    return _Simulation(members, upgrades).run() if upgrades else {}


class _Simulation:
    """Members are named by their number throughout."""

    def __init__(self, members: Sequence[Member], upgrades: Sequence[int]) -> None:
        self._members = members
        self._upgraded = set(upgrades)
        self._by_name = _by_name(members)
        self._providers: dict[str, tuple[int, ...]] = {}
        for number, member in enumerate(members):
            for name in member.provides:
                self._providers[name] = (*self._providers.get(name, ()), number)
        self._touched: set[str] = set()
        """Every name that an upgrade has, gains or loses."""
        for number in upgrades:
            self._touched.add(members[number].name)
            self._touched.update(members[number].provides)
        self._concerned: dict[int, frozenset[str]] = {
            number: member.mentions & self._touched
            for number, member in enumerate(members)
            if not member.mentions.isdisjoint(self._touched)
        }
        """The touched names that a package mentions."""
        self._mentioning: dict[str, list[int]] = {}
        for number, names in self._concerned.items():
            for name in names:
                self._mentioning.setdefault(name, []).append(number)
        self._kept: dict[int, str] = {}

    def run(self) -> dict[int, str]:
        """Take back until nothing is broken; upgrades are looked at before the packages that stay."""
        upgraded = self._upgraded
        waiting = deque(sorted(upgraded))
        waiting.extend(number for number in self._concerned if number not in upgraded)
        queued = set(waiting)
        while waiting:
            number = waiting.popleft()
            queued.discard(number)
            for taken_back, reason in self._broken(number):
                if taken_back not in upgraded:
                    continue
                upgraded.discard(taken_back)
                self._kept[taken_back] = reason
                again = sorted(self._around(taken_back) - queued)
                waiting.extend(again)
                queued.update(again)
        return self._kept

    def _around(self, number: int) -> set[int]:
        """The packages to look at again once an upgrade is taken back, itself included."""
        member = self._members[number]
        around = {number, *self._by_name[member.name]}
        for name in (member.name, *member.provides):
            around.update(self._mentioning.get(name, ()))
        return around

    def _broken(self, number: int) -> list[tuple[int, str]]:
        """What has to be taken back because of a package, with the reasons; the package itself first."""
        member = self._members[number]
        if number in self._upgraded:
            return self._broken_upgrade(number, member)
        needs, touched = member.needs, self._concerned.get(number, frozenset())
        for group in needs.groups_with(touched):
            if self._satisfied(group, member.arch):
                continue
            culprits = [other for relation in group for other in self._targets(relation) if other in self._upgraded]
            if culprits and self._satisfied(group, member.arch, before=True):
                text = _text(group)
                return [(culprit, f"{member.name} needs {text}") for culprit in culprits]
        for relation in needs.refuses:
            if relation.name not in touched:
                continue
            for other in self._refused(relation, number, member):
                if other in self._upgraded:
                    return [(other, f"{member.name} does not go with {relation.text}")]
        return []

    def _broken_upgrade(self, number: int, member: Member) -> list[tuple[int, str]]:
        for group in member.new_needs.depends:
            if group and not self._satisfied(group, member.arch):
                return [(number, f"it needs {_text(group)}, which is not there")]
        for relation in member.new_needs.refuses:
            if self._refused(relation, number, member):
                return [(number, f"it does not go with {relation.text}, which is installed")]
        if member.new_needs.multi_arch == "same":
            for other in self._by_name[member.name]:
                if other != number and self._key(other) != member.new_key:
                    return [
                        (number, f"{member.name}:{self._members[other].arch} is not upgraded to the same version")
                    ]
        return []

    def _refused(self, relation: Relation, number: int, member: Member) -> list[int]:
        """The other packages that are what a package breaks or conflicts with."""
        return [
            other
            for other in self._targets(relation)
            if other != number
            and self._members[other].name != member.name
            and self._meets(relation, other, member.arch, any_arch=True)
        ]

    def _satisfied(self, group: Iterable[Relation], arch: str, *, before: bool = False) -> bool:
        for relation in group:
            for number in self._targets(relation):
                if self._meets(relation, number, arch, before=before):
                    return True
        return False

    def _targets(self, relation: Relation) -> tuple[int, ...]:
        named = self._by_name.get(relation.name, ())
        providers = self._providers.get(relation.name)
        return named if providers is None else named + providers

    def _key(self, number: int) -> bytes:
        member = self._members[number]
        return member.new_key if member.new_key is not None and number in self._upgraded else member.key

    def _meets(
        self, relation: Relation, number: int, arch: str, *, any_arch: bool = False, before: bool = False
    ) -> bool:
        """Whether an installed package is what a relation names, itself or by Provides."""
        member = self._members[number]
        needs, key = member.needs, member.key
        if member.new_key is not None and not before and number in self._upgraded:
            needs, key = member.new_needs, member.new_key
        if not any_arch and not _arch_fits(relation.arch, arch, member.arch, needs.multi_arch):
            return False
        if member.name == relation.name and relation.takes(key):
            return True
        provided = needs.provides.get(relation.name)
        return provided is not None and any(
            not relation.operator or (each.operator == "=" and relation.takes(each.key)) for each in provided
        )


def _by_name(members: Sequence[Member]) -> dict[str, tuple[int, ...]]:
    """Name to the numbers of the members that have it, one for each architecture."""
    names = [member.name for member in members]
    found: dict[str, tuple[int, ...]] = dict(zip(names, zip(range(len(names)), strict=True), strict=True))
    if len(found) < len(names):
        found = dict.fromkeys(names, ())
        for number, name in enumerate(names):
            found[name] += (number,)
    return found


def _text(group: Iterable[Relation]) -> str:
    return " or ".join(relation.text for relation in group)


def _arch_fits(qualifier: str, needed_by: str, arch: str, multi_arch: str) -> bool:
    if qualifier == "any":
        return arch == needed_by or multi_arch in {"allowed", "foreign"}
    if qualifier and qualifier != "native":
        return arch == qualifier
    return arch == needed_by or multi_arch == "foreign"
