"""dnf's and yum's rules: which updates `dnf check-update` lists, and why the others are not.

The rules are libdnf's, in the order in which it applies them:

1. Packages that excludes, includes, version locks or module streams take away do not exist.
2. Of every name only the repositories with the best (lowest) priority count.
3. A package updates an installed one of the same name if it is newer than *every* installed package of
   that name whose architecture is the same, or where one of the two is noarch. So an install-only package
   (a kernel) is compared with the newest that is installed.
4. Per architecture the newest is listed. Dependencies are not solved.
5. Packages that obsolete an installed one are shown apart, unless `obsoletes=False`.

Security is that of `check-update --security` (see `security`). libdnf up to 0.69 matches an advisory only
where the installed package has the update's architecture; so does this, and the sentence says it.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter

import msgspec

from patchbay_update_engine.evaluate.advisories import NO_ADVISORIES, ReleaseAdvisories
from patchbay_update_engine.evaluate.catalog import CatalogRepository, InstalledPackage, Policy
from patchbay_update_engine.evaluate.dnf_exclusions import Exclusions
from patchbay_update_engine.evaluate.dnf_modules import module_filter
from patchbay_update_engine.evaluate.dnf_offers import NameOffers, Offer, Offers, sorted_repositories
from patchbay_update_engine.evaluate.rpm_relation import NOARCH, SIGNING_KEY, runnable_architectures
from patchbay_update_engine.evaluate.security import SecurityFixes
from patchbay_update_engine.evaluate.verdict import State, Verdict

_MAX_REMEMBERED = 100_000
"""Judged (package, version) pairs a catalog keeps; a fleet on one repository set has far fewer."""

_by_name = attrgetter("name")


def compile_catalog(
    repositories: Sequence[CatalogRepository], policy: Policy, advisories: ReleaseAdvisories = NO_ADVISORIES
) -> "DnfCatalog":
    """The rules of one repository set under the policy of its hosts. Disabled repositories are left out."""
    enabled = sorted_repositories(repositories)
    architectures = runnable_architectures(policy.arch)
    indexes = [index for repository in enabled for index in repository.indexes]
    modules = module_filter(
        [index.content.modules for index in indexes if index.content.modules is not None],
        policy.modules,
        platform=policy.os_release.PLATFORM_ID,
        architectures=architectures,
    )
    exclusions = Exclusions(enabled, policy, modules)
    obsoletes = policy.dnf is None or policy.dnf.obsoletes
    return DnfCatalog(
        Offers(enabled, exclusions, architectures, obsoletes=obsoletes),
        exclusions,
        SecurityFixes(indexes, active_streams=modules.active, release=advisories),
    )


class DnfCatalog:
    """The compiled rules of one repository set; offers and verdicts are worked out on first use and kept."""

    def __init__(self, offers: Offers, exclusions: Exclusions, security: SecurityFixes) -> None:
        self._offers = offers
        self._exclusions = exclusions
        self._security = security
        self._judged: dict[tuple[str, str, str, int | None], tuple[Verdict, ...]] = {}

    def evaluate(self, installed: Sequence[InstalledPackage], *, machine_id: str = "") -> list[Verdict]:
        """The verdicts in order of (name, arch, installed version), without packages that are up to date.

        `machine_id` decides nothing here.
        """
        verdicts: list[Verdict] = []
        judged = self._judged
        for name, group in groupby(sorted(installed, key=_by_name), key=_by_name):
            if name == SIGNING_KEY:
                continue
            packages = list(group)
            if len(packages) > 1:
                verdicts += self._judge(name, packages)
                continue
            package = packages[0]
            key = (name, package.arch, package.evr, package.id)
            known = judged.get(key)
            if known is None:
                if len(judged) >= _MAX_REMEMBERED:
                    judged.clear()
                known = judged[key] = tuple(self._judge(name, packages))
            verdicts += known
        return verdicts

    def _judge(self, name: str, installed: list[InstalledPackage]) -> list[Verdict]:
        """The verdicts of all installed packages of one name."""
        newest: dict[str, InstalledPackage] = {}
        for package in installed:
            other = newest.get(package.arch)
            if other is None or other.evr_key < package.evr_key:
                newest[package.arch] = package
        offers = self._offers.of(name)
        rows = _updates(offers, newest)
        verdicts = [self._outstanding(offers, offer, rivals, newest) for offer, rivals in rows]
        covered = {
            arch
            for arch in newest
            for offer, _ in rows
            if offer.package.arch == arch or NOARCH in (arch, offer.package.arch)
        }
        for arch, package in newest.items():
            if arch not in covered:
                verdict = self._not_listed(offers, package)
                if verdict is not None:
                    verdicts.append(verdict)
        verdicts.sort(key=lambda verdict: (verdict.arch, verdict.installed))
        return verdicts

    def _outstanding(
        self,
        offers: NameOffers,
        offer: Offer,
        rivals: Sequence[Offer],
        newest: dict[str, InstalledPackage],
    ) -> Verdict:
        package = offer.package
        base = newest.get(package.arch) or max(newest.values(), key=lambda p: p.evr_key)
        advisories = self._security.between(package.name, package.arch, base.evr_key, package.evr_key)
        obsoleter = self._obsoleter(offers, base)
        if obsoleter is None:
            state, rule = State.OUTSTANDING, "dnf.update"
            why = f"Repository {offer.repository} has {package.evr}; {base.evr} is installed."
            if package.arch != base.arch:
                rule = "dnf.update.architecture"
                why = (
                    f"Repository {offer.repository} has {package.evr} for {package.arch}; "
                    f"{base.evr} for {base.arch} is installed."
                )
                if advisories:
                    why += f" dnf does not count {', '.join(advisories)} across a change of architecture."
        else:
            state, rule = State.OBSOLETED, "dnf.obsoletes.update"
            why = (
                f"Repository {offer.repository} has {package.evr}, but dnf upgrade will replace the package by "
                f"{_nevra(obsoleter)} of repository {obsoleter.repository}, which obsoletes it."
            )
        if package.arch != base.arch:
            advisories = ()
        elif advisories:
            why += f" It brings the fixes of {', '.join(advisories)}."
        return Verdict(
            name=package.name,
            arch=base.arch,
            installed=base.evr,
            state=state,
            listed=True,
            why=why,
            rule=rule,
            candidate=package.evr,
            candidate_arch=package.arch,
            repository=offer.repository,
            repositories=tuple(dict.fromkeys(rival.repository for rival in rivals)),
            security=bool(advisories),
            advisories=advisories,
            package_id=base.id,
        )

    def _not_listed(self, offers: NameOffers, package: InstalledPackage) -> Verdict | None:
        """Why an installed package has no update, unless it is simply up to date."""
        obsoleter = self._obsoleter(offers, package)
        if obsoleter is not None:
            return _silent(
                package,
                State.OBSOLETED,
                "dnf.obsoletes",
                f"{_nevra(obsoleter)} of repository {obsoleter.repository} obsoletes it and will replace it.",
                obsoleter,
            )
        offered = offers.newest_for(package.arch)
        if offered == package.evr_key:
            return None
        if package.evr_key < offered:
            return self._passed_over(offers, package)
        if not offered:
            if offers.exists and not offers.newest:
                why = "Enabled repositories have it only for architectures that this host cannot run."
            elif offers.exists:
                why = f"Enabled repositories have it, but not for {package.arch}."
            else:
                why = "No enabled repository has a package of this name."
            return _silent(package, State.NOT_IN_ANY_REPOSITORY, "dnf.unknown", why)
        best = next(o for o in _all(offers) if _comparable(o.package.arch, package.arch))
        return _silent(
            package,
            State.NEWER_THAN_REPOSITORY,
            "dnf.newer",
            f"The newest that enabled repositories have is {best.package.evr}, in {best.repository}; "
            f"{package.evr} is installed.",
        )

    def _passed_over(self, offers: NameOffers, package: InstalledPackage) -> Verdict | None:
        for offer in offers.passed_over:
            candidate = offer.package
            if candidate.evr_key <= package.evr_key:
                break
            if offer.rejection is None or not _comparable(candidate.arch, package.arch):
                continue
            verdict = _silent(
                package,
                offer.rejection.state,
                offer.rejection.rule,
                f"Repository {offer.repository} has {candidate.evr}, but {offer.rejection.because}.",
                offer,
            )
            advisories = self._security.between(candidate.name, candidate.arch, package.evr_key, candidate.evr_key)
            if not advisories:
                return verdict
            return msgspec.structs.replace(verdict, security=True, advisories=advisories)
        return None

    def _obsoleter(self, offers: NameOffers, package: InstalledPackage) -> Offer | None:
        for offer, relation in offers.obsoleters:
            if relation.matches(package.evr) and not self._exclusions.is_locked(
                package.name, package.evr, package.arch
            ):
                return offer
        return None


def _updates(offers: NameOffers, newest: dict[str, InstalledPackage]) -> list[tuple[Offer, list[Offer]]]:
    """Per architecture the newest update and every offer of exactly that version."""
    found: dict[str, list[Offer]] = {}
    for offer in offers.usable:
        package = offer.package
        chosen = found.get(package.arch)
        if chosen is not None:
            if chosen[0].package.evr == package.evr:
                chosen.append(offer)
            continue
        rivals = [p.evr_key for arch, p in newest.items() if _comparable(arch, package.arch)]
        if rivals and max(rivals) < package.evr_key:
            found[package.arch] = [offer]
    return [(chosen[0], chosen) for _, chosen in sorted(found.items())]


def _comparable(one: str, other: str) -> bool:
    return one == other or NOARCH in (one, other)


def _all(offers: NameOffers) -> Iterable[Offer]:
    return sorted((*offers.usable, *offers.passed_over), key=lambda o: o.package.evr_key, reverse=True)


def _nevra(offer: Offer) -> str:
    return f"{offer.package.name}-{offer.package.evr}.{offer.package.arch}"


def _silent(package: InstalledPackage, state: State, rule: str, why: str, offer: Offer | None = None) -> Verdict:
    """A verdict on a package that dnf does not list."""
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
        package_id=package.id,
    )
