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
    """One installed package as the simulation starts."""

    package: InstalledPackage
    arch: str
    """The architecture that apt files it under; never "all"."""
    current: OfferedVersion | None
    """The installed version, if a repository has it."""
    upgrade: OfferedVersion | None
    """The version that would replace it; None for packages that stay."""


class _Place(msgspec.Struct):
    """One installed package in the course of the simulation."""

    name: str
    arch: str
    old_key: bytes
    old: Needs
    new_key: bytes | None
    new: Needs
    upgraded: bool

    @property
    def key(self) -> bytes:
        return self.new_key if self.upgraded and self.new_key is not None else self.old_key

    @property
    def needs(self) -> Needs:
        return self.new if self.upgraded else self.old


def kept_back(members: Sequence[Member]) -> dict[int, str]:
    """The upgrades that `apt-get upgrade` takes back: number of the member to the reason, half a sentence."""
    if not any(member.upgrade is not None for member in members):
        return {}
    return _Simulation(members).run()


class _Simulation:
    def __init__(self, members: Sequence[Member]) -> None:
        self._places = [_place(member) for member in members]
        self._by_name: dict[str, list[int]] = {}
        self._providers: dict[str, list[int]] = {}
        touched: set[str] = set()
        for number, place in enumerate(self._places):
            self._by_name.setdefault(place.name, []).append(number)
            if place.upgraded:
                touched.add(place.name)
                touched.update(place.new.provides)
            for name in _provided(place):
                self._providers.setdefault(name, []).append(number)
        self._concerned = [
            number
            for number, place in enumerate(self._places)
            if place.upgraded or not place.old.mentions.isdisjoint(touched)
        ]
        self._mentioning: dict[str, list[int]] = {}
        for number in self._concerned:
            place = self._places[number]
            for name in place.old.mentions | place.new.mentions:
                self._mentioning.setdefault(name, []).append(number)
        self._kept: dict[int, str] = {}

    def run(self) -> dict[int, str]:
        """Take back until nothing is broken; upgrades are looked at before the packages that stay."""
        waiting = deque(sorted(self._concerned, key=lambda number: not self._places[number].upgraded))
        queued = set(waiting)
        while waiting:
            number = waiting.popleft()
            queued.discard(number)
            for taken_back, reason in self._broken(number):
                if not self._places[taken_back].upgraded:
                    continue
                self._places[taken_back].upgraded = False
                self._kept[taken_back] = reason
                again = sorted(self._around(taken_back) - queued)
                waiting.extend(again)
                queued.update(again)
        return self._kept

    def _around(self, number: int) -> set[int]:
        """The packages to look at again once an upgrade is taken back, itself included."""
        place = self._places[number]
        around = {number, *self._by_name[place.name]}
        for name in (place.name, *_provided(place)):
            around.update(self._mentioning.get(name, ()))
        return around

    def _broken(self, number: int) -> list[tuple[int, str]]:
        """What has to be taken back because of a package, with the reasons; the package itself first."""
        place = self._places[number]
        for group in place.needs.depends:
            if group and not self._satisfied(group, place.arch):
                text = " or ".join(relation.text for relation in group)
                if place.upgraded:
                    return [(number, f"it needs {text}, which is not there")]
                culprits = self._upgraded_targets(group)
                if culprits and self._satisfied(group, place.arch, before=True):
                    return [(culprit, f"{place.name} needs {text}") for culprit in culprits]
        for relation in place.needs.refuses:
            for other in self._targets(relation):
                if other == number or self._places[other].name == place.name:
                    continue
                if self._meets(relation, other, place.arch, any_arch=True):
                    if place.upgraded:
                        return [(number, f"it does not go with {relation.text}, which is installed")]
                    if self._places[other].upgraded:
                        return [(other, f"{place.name} does not go with {relation.text}")]
        if place.upgraded and place.new.multi_arch == "same":
            for other in self._by_name[place.name]:
                twin = self._places[other]
                if other != number and twin.key != place.key:
                    return [(number, f"{place.name}:{twin.arch} is not upgraded to the same version")]
        return []

    def _satisfied(self, group: Iterable[Relation], arch: str, *, before: bool = False) -> bool:
        for relation in group:
            for number in self._targets(relation):
                if self._meets(relation, number, arch, before=before):
                    return True
        return False

    def _targets(self, relation: Relation) -> list[int]:
        named = self._by_name.get(relation.name)
        providers = self._providers.get(relation.name)
        if named is None or providers is None:
            return named or providers or []
        return named + providers

    def _upgraded_targets(self, group: Iterable[Relation]) -> list[int]:
        return [number for relation in group for number in self._targets(relation) if self._places[number].upgraded]

    def _meets(
        self, relation: Relation, number: int, arch: str, *, any_arch: bool = False, before: bool = False
    ) -> bool:
        """Whether an installed package is what a relation names, itself or by Provides."""
        place = self._places[number]
        needs, key = (place.old, place.old_key) if before else (place.needs, place.key)
        if not any_arch and not _arch_fits(relation.arch, arch, place.arch, needs.multi_arch):
            return False
        if place.name == relation.name and relation.takes(key):
            return True
        provided = needs.provides.get(relation.name)
        return provided is not None and any(
            not relation.operator or (each.operator == "=" and relation.takes(each.key)) for each in provided
        )


def _provided(place: _Place) -> Collection[str]:
    """The names that the old or the new version provides."""
    old, new = place.old.provides, place.new.provides
    if not new or not old or old is new:
        return old or new
    return old.keys() | new.keys()


def _place(member: Member) -> _Place:
    upgrade = member.upgrade
    new = NOTHING if upgrade is None else needs_of(upgrade.package)
    if member.current is not None:
        old = needs_of(member.current.package)
    else:
        # An older version: what it provides and its Multi-Arch are most likely what its successor says.
        old = Needs(provides=new.provides, multi_arch=new.multi_arch)
    return _Place(
        name=member.package.name,
        arch=member.arch,
        old_key=member.package.evr_key,
        old=old,
        new_key=None if upgrade is None else upgrade.package.evr_key,
        new=new,
        upgraded=upgrade is not None,
    )


def _arch_fits(qualifier: str, needed_by: str, arch: str, multi_arch: str) -> bool:
    if qualifier == "any":
        return arch == needed_by or multi_arch in {"allowed", "foreign"}
    if qualifier and qualifier != "native":
        return arch == qualifier
    return arch == needed_by or multi_arch == "foreign"
