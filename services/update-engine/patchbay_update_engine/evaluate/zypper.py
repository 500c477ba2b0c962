"""zypper's rules: which updates `zypper list-updates` lists, and why the newer ones beside are not.

The list is what `zypper update` would do (libzypp's `doUpdate`): every package that the solver installs
and whose name is installed. What `list-updates --all` shows beyond that is explained: a lock, another
vendor, a better repository priority, a retraction, or dependencies that cannot be met.
"""

from collections.abc import Mapping, Sequence

from patchbay_shared.catalogue import AvailablePackage
from patchbay_shared.report import ZyppOptions

from patchbay_update_engine.evaluate.catalog import CatalogRepository, InstalledPackage, Policy
from patchbay_update_engine.evaluate.rpm_relation import (
    NOARCH,
    SIGNING_KEY,
    Relation,
    parse_relation,
    runnable_architectures,
)
from patchbay_update_engine.evaluate.verdict import State, Verdict
from patchbay_update_engine.evaluate.zypper_installed import picture_of
from patchbay_update_engine.evaluate.zypper_locks import Locks
from patchbay_update_engine.evaluate.zypper_patches import Patches, is_retracted
from patchbay_update_engine.evaluate.zypper_solver import DEFAULT_PRIORITY, Offer, UpdateSolver
from patchbay_update_engine.evaluate.zypper_vendor import Vendors, with_vendors

DEFAULT_MULTIVERSION = ["provides:multiversion(kernel)"]


def compile_catalog(repositories: Sequence[CatalogRepository], policy: Policy) -> "ZypperCatalog":
    """The rules of one repository set under the policy of its hosts. Disabled repositories are left out."""
    # libzypp keeps repositories in the order of their aliases.
    enabled = sorted((r for r in repositories if r.definition.enabled), key=lambda r: r.definition.id)
    return ZypperCatalog(enabled, policy)


class ZypperCatalog:
    """The compiled rules of one repository set; the solver's pool is filled on the first evaluation."""

    def __init__(self, repositories: Sequence[CatalogRepository], policy: Policy) -> None:
        self._repositories = repositories
        self._policy = policy
        self._options = policy.zypp or ZyppOptions(multiversion=list(DEFAULT_MULTIVERSION))
        self._vendors = Vendors(self._options.vendor_equivalence)
        self._locks = Locks(policy.pins)
        self._ranks = {arch: rank for rank, arch in enumerate(runnable_architectures(policy.arch))}
        self._patches = Patches([index for repository in repositories for index in repository.indexes], self._vendors)
        self._offers: dict[str, list[Offer]] = {}
        self._solver: UpdateSolver | None = None

    def evaluate(self, installed: Sequence[InstalledPackage], *, machine_id: str = "") -> list[Verdict]:
        """The verdicts in order of (name, arch, installed version), without packages that are up to date.

        `machine_id` decides nothing here.
        """
        packages = with_vendors([p for p in installed if p.name != SIGNING_KEY], self._packages)
        by_name: dict[str, list[InstalledPackage]] = {}
        for package in packages:
            by_name.setdefault(package.name, []).append(package)
        picture = picture_of(packages, self._packages)
        chosen = self._ready_solver().updates(picture)
        obsoleters = _obsoleters(chosen)
        rows: dict[str, list[Offer]] = {}
        present = {(package.name, package.evr, package.arch) for package in packages}
        for offer in chosen:
            record = offer.package
            # A reported set that contradicts itself makes the solver install again what is there.
            if (record.name, record.evr, record.arch) not in present:
                rows.setdefault(record.name, []).append(offer)
        by_arch = {name: self._newest(packages) for name, packages in by_name.items()}
        needed = self._patches.needed_security(
            {(name, arch): p for name, newest in by_arch.items() for arch, p in newest.items()}
        )
        verdicts: list[Verdict] = []
        for name, newest in by_arch.items():
            listed = rows.get(name, [])
            verdicts += [self._listed(offer, newest, needed) for offer in listed]
            for arch, package in newest.items():
                if any(_comparable(arch, offer.package.arch) for offer in listed):
                    continue
                verdict = self._not_listed(package, obsoleters, needed)
                if verdict is not None:
                    verdicts.append(verdict)
        verdicts.sort(key=lambda v: (v.name, v.arch, v.installed, v.candidate or ""))
        return verdicts

    def _packages(self, name: str) -> list[AvailablePackage]:
        return [offer.package for offer in self._named(name) if not offer.retracted]

    def _newest(self, packages: list[InstalledPackage]) -> dict[str, InstalledPackage]:
        """Architecture to the newest installed package; first the one that libzypp calls "the installed"."""
        newest: dict[str, InstalledPackage] = {}
        for package in sorted(packages, key=self._installed_order):
            newest.setdefault(package.arch, package)
        return newest

    def _installed_order(self, package: InstalledPackage) -> tuple[int, bytes]:
        """Best architecture first, then the newest version."""
        rank = self._ranks.get(package.arch, len(self._ranks))
        return rank, bytes(255 - byte for byte in package.evr_key) + b"\xff"

    def _ready_solver(self) -> UpdateSolver:
        if self._solver is None:
            self._solver = UpdateSolver(
                self._repositories, self._policy.arch, self._options, self._vendors, self._locks
            )
        return self._solver

    def _named(self, name: str) -> list[Offer]:
        """Every offer of a name that this machine can run, in the order of the repositories."""
        offers = self._offers.get(name)
        if offers is None:
            offers = self._offers[name] = [
                Offer(
                    package,
                    repository.definition.id,
                    DEFAULT_PRIORITY if repository.definition.priority is None else repository.definition.priority,
                    is_retracted(index, name, package.arch, package.evr),
                )
                for repository in self._repositories
                for index in repository.indexes
                for package in index.by_name.get(name, ())
                if not self._ranks or package.arch in self._ranks
            ]
        return offers

    def _listed(self, offer: Offer, newest: dict[str, InstalledPackage], needed: frozenset[str]) -> Verdict:
        candidate = offer.package
        base = next(iter(newest.values()))
        same = newest.get(candidate.arch, base)
        advisories = self._patches.between(needed, candidate.name, candidate.arch, base.evr_key, candidate.evr_key)
        rule = "zypper.update"
        why = f"Repository {offer.repository} has {candidate.evr}; {base.evr} is installed."
        passed = self._better_but_not_chosen(offer, base)
        if passed is not None:
            better, state, reason = passed
            rule = f"zypper.update.{state.value}"
            why += f" {better.package.evr} in {better.repository} is passed over: {reason}."
        return Verdict(
            name=candidate.name,
            arch=same.arch,
            installed=base.evr,
            state=State.OUTSTANDING,
            listed=True,
            why=why,
            rule=rule,
            candidate=candidate.evr,
            candidate_arch=candidate.arch,
            repository=offer.repository,
            repositories=tuple(
                o.repository
                for o in self._named(candidate.name)
                if o.package.evr == candidate.evr and o.package.arch == candidate.arch
            ),
            security=bool(advisories),
            advisories=advisories,
            package_id=same.id,
        )

    def _better_but_not_chosen(self, chosen: Offer, base: InstalledPackage) -> tuple[Offer, State, str] | None:
        better = [
            offer
            for offer in self._named(chosen.package.name)
            if offer.package.evr_key > chosen.package.evr_key and _comparable(offer.package.arch, chosen.package.arch)
        ]
        if not better:
            return None
        highest = max(better, key=lambda offer: offer.package.evr_key)
        state, _, reason = self._obstacle(highest, base)
        return highest, state, reason

    def _not_listed(
        self,
        package: InstalledPackage,
        obsoleters: Mapping[str, Sequence[tuple[Offer, Relation]]],
        needed: frozenset[str],
    ) -> Verdict | None:
        """Why an installed package has no update, unless it is simply up to date."""
        replacing = next((o for o, r in obsoleters.get(package.name, ()) if r.matches(package.evr)), None)
        if replacing is not None:
            why = (
                f"{replacing.package.name} {replacing.package.evr} of repository {replacing.repository} "
                "obsoletes it and will replace it."
            )
            return _silent(package, State.OBSOLETED, "zypper.obsoletes", why, replacing)
        offers = self._named(package.name)
        comparable = [o for o in offers if _comparable(o.package.arch, package.arch)]
        if not comparable:
            why = (
                f"Enabled repositories have it, but not for {package.arch}."
                if offers
                else "No enabled repository has a package of this name that this host can run."
            )
            return _silent(package, State.NOT_IN_ANY_REPOSITORY, "zypper.unknown", why)
        highest = max(comparable, key=lambda o: (not o.retracted, o.package.evr_key))
        if highest.package.evr_key <= package.evr_key:
            retracted = [o for o in comparable if o.retracted and o.package.evr_key > package.evr_key]
            if retracted:
                highest = max(retracted, key=lambda o: o.package.evr_key)
            elif highest.package.evr_key == package.evr_key:
                return _only_elsewhere(package, offers)
            else:
                why = (
                    f"The newest that enabled repositories have is {highest.package.evr}, in "
                    f"{highest.repository}; {package.evr} is installed."
                )
                return _silent(package, State.NEWER_THAN_REPOSITORY, "zypper.newer", why)
        state, rule, reason = self._obstacle(highest, package)
        why = f"Repository {highest.repository} has {highest.package.evr}, but {reason}."
        advisories: tuple[str, ...] = ()
        if not highest.retracted:
            candidate = highest.package
            advisories = self._patches.between(
                needed, candidate.name, candidate.arch, package.evr_key, candidate.evr_key
            )
        return _silent(package, state, rule, why, highest, advisories)

    def _obstacle(self, offer: Offer, package: InstalledPackage) -> tuple[State, str, str]:
        """Why the solver does not take a newer offer for an installed package: state, rule, reason."""
        candidate = offer.package
        lock = self._locks.of(package.name, package.evr, package.arch) or self._locks.of(
            candidate.name, candidate.evr, candidate.arch, offer.repository
        )
        if lock is not None:
            return State.LOCKED, "zypper.lock", f"the lock {lock} keeps the installed version"
        if offer.retracted:
            return State.RETRACTED, "zypper.retracted", "the vendor has retracted it"
        foreign = self._vendors.class_of(candidate.vendor) != self._vendors.class_of(package.vendor)
        if foreign and not self._options.allow_vendor_change:
            return (
                State.VENDOR,
                "zypper.vendor",
                f"it is from vendor {candidate.vendor or 'unknown'} and the installed one is from "
                f"{package.vendor or 'unknown'}",
            )
        best = min(
            (o for o in self._named(candidate.name) if not o.retracted),
            key=lambda o: o.priority,
            default=offer,
        )
        if best.priority < offer.priority:
            return (
                State.PINNED,
                "zypper.priority",
                f"repository {best.repository} (priority {best.priority}) has the package too and goes before "
                f"{offer.repository} (priority {offer.priority})",
            )
        return State.KEPT_BACK, "zypper.dependencies", "its dependencies cannot be met on this host"


def _comparable(one: str, other: str) -> bool:
    return one == other or NOARCH in (one, other)


def _silent(
    package: InstalledPackage,
    state: State,
    rule: str,
    why: str,
    offer: Offer | None = None,
    advisories: tuple[str, ...] = (),
) -> Verdict:
    """A verdict on a package that zypper does not list."""
    return Verdict(
        name=package.name,
        arch=package.arch,
        installed=package.evr,
        state=state,
        listed=False,
        why=why,
        rule=rule,
        candidate=None if offer is None else offer.package.evr,
        candidate_arch=None if offer is None else offer.package.arch,
        repository=None if offer is None else offer.repository,
        repositories=() if offer is None else (offer.repository,),
        security=bool(advisories),
        advisories=advisories,
        package_id=package.id,
    )


def _only_elsewhere(package: InstalledPackage, offers: Sequence[Offer]) -> Verdict | None:
    """`list-updates --all` also shows what is newer for another architecture only."""
    newer = [o for o in offers if o.package.evr_key > package.evr_key and not o.retracted]
    if not newer:
        return None
    highest = max(newer, key=lambda o: o.package.evr_key)
    why = (
        f"Repository {highest.repository} has {highest.package.evr}, but only for {highest.package.arch}; "
        "zypper does not change the architecture."
    )
    return _silent(package, State.KEPT_BACK, "zypper.architecture", why, highest)


def _obsoleters(chosen: Sequence[Offer]) -> dict[str, list[tuple[Offer, Relation]]]:
    """Obsoleted name to the chosen packages that obsolete it."""
    found: dict[str, list[tuple[Offer, Relation]]] = {}
    for offer in chosen:
        for text in offer.package.obsoletes:
            relation = parse_relation(text)
            if relation.name != offer.package.name:
                found.setdefault(relation.name, []).append((offer, relation))
    return found
