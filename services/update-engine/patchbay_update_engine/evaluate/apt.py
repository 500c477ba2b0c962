"""apt's rules: which updates `apt list --upgradable` shows, and what becomes of each in `apt-get upgrade`.

The rules are those of apt 2.6, in the order in which it applies them:

1. Each version of a package gets a priority (see `apt_versions`, `apt_preferences`). The installed version is
   one of them; dpkg's own list gives it 100.
2. The candidate is the version of the highest priority, of several the highest. Versions older than the
   installed one count only from priority 1000 on; priorities of 0 and below never.
3. An update is listed if the candidate stands above the installed version: newer, or of an equal version
   with other content in a repository.
4. `apt-get upgrade` then leaves held packages alone, phased updates that are not this machine's turn
   (see `apt_phasing`), and what it cannot upgrade without a new or removed package (see `apt_upgrade`).

An update is a security fix if any version above the installed one and up to the candidate is in a repository
labelled security, or a security advisory of the distribution release fixes it.
"""

from collections.abc import Sequence

import msgspec

from patchbay_update_engine.evaluate.advisories import NO_ADVISORIES, ReleaseAdvisories
from patchbay_update_engine.evaluate.apt_phasing import waits
from patchbay_update_engine.evaluate.apt_upgrade import Member, kept_back, staying, upgrading
from patchbay_update_engine.evaluate.apt_versions import OfferedVersion, VersionTable
from patchbay_update_engine.evaluate.apt_why import why_listed, why_pinned, why_unlisted
from patchbay_update_engine.evaluate.catalog import CatalogRepository, InstalledPackage, Policy
from patchbay_update_engine.evaluate.verdict import State, Verdict

_MAX_REMEMBERED = 200_000
"""Judged packages a catalog keeps; a fleet on one repository set has far fewer."""
_NOT_INSTALLED = frozenset({"config-files", "not-installed"})
_FORCED = 1000
"""From this priority on a version may be older than the installed one."""


class _Judgement(msgspec.Struct, frozen=True, gc=False):
    """What is known of one installed package without looking at the others."""

    verdict: Verdict | None
    stays: Member | None = None
    """The package in the upgrade if it stays as it is; None for what is not installed."""
    upgrades: Member | None = None
    """The package in the upgrade if its listed update is taken."""
    candidate: OfferedVersion | None = None
    """The listed update."""
    phased: bool = False
    """The machine-id decides."""


def compile_catalog(
    repositories: Sequence[CatalogRepository], policy: Policy, advisories: ReleaseAdvisories = NO_ADVISORIES
) -> "AptCatalog":
    """The rules of one repository set under the policy of its hosts. Disabled repositories are left out."""
    return AptCatalog(VersionTable(repositories, policy), advisories)


class AptCatalog:
    """The compiled rules of one repository set; versions and verdicts are worked out on first use and kept."""

    def __init__(self, versions: VersionTable, advisories: ReleaseAdvisories = NO_ADVISORIES) -> None:
        self._versions = versions
        self._advisories = advisories
        self._judged: dict[tuple[str, str, str, str, bool, str | None, str | None], _Judgement] = {}

    def evaluate(self, installed: Sequence[InstalledPackage], *, machine_id: str = "") -> list[Verdict]:
        """The verdicts in order of (name, arch, installed version), without packages that are up to date.

        `machine_id` decides phased updates.
        """
        if len(self._judged) > _MAX_REMEMBERED:
            self._judged.clear()
        verdicts: list[Verdict] = []
        members: list[Member] = []
        upgrades: dict[int, int] = {}
        for package in installed:
            key = (
                package.name,
                package.arch,
                package.evr,
                package.status,
                package.held,
                package.source,
                package.content,
            )
            judgement = self._judged.get(key)
            if judgement is None:
                judgement = self._judged[key] = self._judge(package)
            member, verdict = judgement.stays, judgement.verdict
            if member is None:
                continue
            if verdict is not None:
                candidate = judgement.candidate
                if judgement.phased and candidate is not None and self._waits(candidate, machine_id):
                    verdict = _phased(verdict, candidate)
                if verdict.state is State.OUTSTANDING and judgement.upgrades is not None:
                    upgrades[len(members)] = len(verdicts)
                    member = judgement.upgrades
                if package.id is not None:
                    verdict = msgspec.structs.replace(verdict, package_id=package.id)
                verdicts.append(verdict)
            members.append(member)
        for number, reason in kept_back(members).items():
            place = upgrades[number]
            verdicts[place] = _kept_back(verdicts[place], reason)
        verdicts.sort(key=_order)
        return verdicts

    def _judge(self, package: InstalledPackage) -> _Judgement:
        if package.status in _NOT_INSTALLED:
            return _Judgement(None)
        arch = self._versions.arch_of(package.arch)
        versions = self._versions.offered(package.name, arch)
        current = _current(package, versions, self._versions)
        stays = staying(package, arch, current)
        candidate = self._candidate(package, versions, current)
        if candidate is None or candidate is current:
            return _Judgement(_unlisted(package, versions, current, self._advisories), stays)
        if not _stands_above(candidate, package, versions, current):
            return _Judgement(_downgrade(package, candidate), stays)
        return _Judgement(
            _listed(package, candidate, versions, current, self._advisories),
            stays,
            upgrading(package, arch, current, candidate),
            candidate,
            phased=_is_phased(candidate, package, versions),
        )

    def _candidate(
        self, package: InstalledPackage, versions: Sequence[OfferedVersion], current: OfferedVersion | None
    ) -> OfferedVersion | None:
        """The version that apt would install; None stands for the installed one if no repository has it."""
        best: OfferedVersion | None = None
        best_priority = -1
        own = self._versions.installed_priority(package, current)
        own_seen = False
        for version in versions:
            key = version.package.evr_key
            if not own_seen and current is None and key < package.evr_key:
                own_seen = True
                if own > best_priority and own != 0:
                    best, best_priority = None, own
            priority = own if version is current else version.priority
            if priority in {0} or priority <= best_priority:
                continue
            if priority < _FORCED and key < package.evr_key:
                continue
            best, best_priority = version, priority
        if current is None and not own_seen and own > best_priority and own != 0:
            return None
        return best

    @staticmethod
    def _waits(candidate: OfferedVersion, machine_id: str) -> bool:
        record = candidate.package
        percentage = record.phased_percentage
        source_version = record.source_version or record.evr
        return percentage is not None and waits(record.source or record.name, source_version, machine_id, percentage)


def _current(
    package: InstalledPackage, versions: Sequence[OfferedVersion], table: VersionTable
) -> OfferedVersion | None:
    """The offered version that is the installed one.

    apt compares content, and whether the package is for all architectures. A report that does not know its
    packages' content is taken at its word: the same version text is the same package, the first
    repository's if several differ, and nobody's if only a repository of rebuilds has it.
    """
    for version in versions:
        record = version.package
        if record.evr_key == package.evr_key and (record.arch == "all") == (package.arch == "all"):
            if package.content and record.content:
                if package.content == record.content:
                    return version
            elif record.evr == package.evr and not table.only_rebuilds(version):
                return version
    return None


def _stands_above(
    candidate: OfferedVersion,
    package: InstalledPackage,
    versions: Sequence[OfferedVersion],
    current: OfferedVersion | None,
) -> bool:
    """Whether the candidate comes before the installed version in apt's list."""
    if candidate.package.evr_key != package.evr_key:
        return candidate.package.evr_key > package.evr_key
    if current is None:
        return True
    return versions.index(candidate) < versions.index(current)


def _security_repository(installed: bytes, candidate: bytes, versions: Sequence[OfferedVersion]) -> str | None:
    """The security repository that has the newest version above `installed` and up to `candidate` (sort keys)."""
    for version in versions:
        if installed < version.package.evr_key <= candidate:
            repository = version.security_repository
            if repository is not None:
                return repository
    return None


def _is_phased(candidate: OfferedVersion, package: InstalledPackage, versions: Sequence[OfferedVersion]) -> bool:
    """Whether the machine-id decides: apt does not phase what brings in a skipped version of a `-security` suite."""
    percentage = candidate.package.phased_percentage
    if percentage is None or percentage >= 100:
        return False
    between = (
        version for version in versions if package.evr_key < version.package.evr_key < candidate.package.evr_key
    )
    return not any(
        (file.identity.archive or "").endswith("-security") for version in between for file in version.files
    )


def _listed(
    package: InstalledPackage,
    candidate: OfferedVersion,
    versions: Sequence[OfferedVersion],
    current: OfferedVersion | None,
    advisories: ReleaseAdvisories,
) -> Verdict:
    security = _security_repository(package.evr_key, candidate.package.evr_key, versions)
    fixed = advisories.for_deb(package, candidate.package, current.package if current else None)
    if package.held:
        state, rule = State.HELD, "apt.held"
    else:
        state, rule = State.OUTSTANDING, "apt.pin" if candidate.stanza is not None else "apt.priority"
    return Verdict(
        name=package.name,
        arch=package.arch,
        # Of two texts of one version and content (1.0-1, 0:1.0-1) apt keeps the index's.
        installed=package.evr if current is None else current.package.evr,
        state=state,
        listed=True,
        why=why_listed(package, candidate, versions, security, fixed),
        rule=rule,
        candidate=candidate.package.evr,
        candidate_arch=candidate.package.arch,
        repository=candidate.files[0].repository,
        repositories=_repositories(candidate, versions),
        security=security is not None or bool(fixed),
        advisories=fixed,
        security_repository=security,
    )


def _repositories(candidate: OfferedVersion, versions: Sequence[OfferedVersion]) -> tuple[str, ...]:
    """Every repository with the candidate's version text, also where the content differs, as apt-cache shows it."""
    same = [version for version in versions if version.package.evr == candidate.package.evr]
    if len(same) == 1:
        return candidate.repositories
    return tuple(dict.fromkeys(repository for version in same for repository in version.repositories))


def _downgrade(package: InstalledPackage, candidate: OfferedVersion) -> Verdict:
    return Verdict(
        name=package.name,
        arch=package.arch,
        installed=package.evr,
        state=State.PINNED,
        listed=False,
        why=(
            f"{candidate.reason} gives {candidate.package.evr} of {candidate.files[0].repository} priority"
            f" {candidate.priority}, so apt would go back to it from {package.evr}."
        ),
        rule="apt.pin-downgrade",
        candidate=candidate.package.evr,
        candidate_arch=candidate.package.arch,
        repository=candidate.files[0].repository,
        repositories=candidate.repositories,
    )


def _unlisted(
    package: InstalledPackage,
    versions: Sequence[OfferedVersion],
    current: OfferedVersion | None,
    advisories: ReleaseAdvisories,
) -> Verdict | None:
    """Why there is no update, where that is worth saying; None for a package that is simply up to date."""
    newest = _without_preferences(package, versions)
    if newest is not None:
        security = _security_repository(package.evr_key, newest.package.evr_key, versions)
        fixed = advisories.for_deb(package, newest.package, current.package if current else None)
        return Verdict(
            name=package.name,
            arch=package.arch,
            installed=package.evr,
            state=State.PINNED,
            listed=False,
            why=why_pinned(package, newest, security, fixed),
            rule="apt.pin",
            candidate=newest.package.evr,
            candidate_arch=newest.package.arch,
            repository=newest.files[0].repository,
            repositories=newest.repositories,
            security=security is not None or bool(fixed),
            advisories=fixed,
            security_repository=security,
        )
    if current is not None:
        return None
    if not versions:
        state, rule = State.NOT_IN_ANY_REPOSITORY, "apt.no-repository"
    elif versions[0].package.evr_key < package.evr_key:
        state, rule = State.NEWER_THAN_REPOSITORY, "apt.newer"
    else:
        return None
    return Verdict(
        name=package.name,
        arch=package.arch,
        installed=package.evr,
        state=state,
        listed=False,
        why=why_unlisted(package, versions),
        rule=rule,
    )


def _without_preferences(package: InstalledPackage, versions: Sequence[OfferedVersion]) -> OfferedVersion | None:
    """The newer version that would be the candidate if the host had no preferences of its own."""
    newer = [version for version in versions if version.package.evr_key > package.evr_key]
    if not newer:
        return None
    best = max(newer, key=lambda version: version.default_priority)
    own = max(
        [100, *(version.default_priority for version in versions if version.package.evr_key == package.evr_key)]
    )
    return best if best.default_priority >= own and best.default_priority > best.priority else None


def _phased(verdict: Verdict, candidate: OfferedVersion) -> Verdict:
    if verdict.state is State.HELD:
        return verdict
    why = (
        f"{verdict.why} It is being rolled out to {candidate.package.phased_percentage} % of machines,"
        " and it is not yet this one's turn."
    )
    return msgspec.structs.replace(verdict, state=State.PHASED, rule="apt.phased", why=why)


def _kept_back(verdict: Verdict, reason: str) -> Verdict:
    why = f"{verdict.why} apt-get upgrade keeps it back: {reason}; apt full-upgrade may install it."
    return msgspec.structs.replace(verdict, state=State.KEPT_BACK, rule="apt.kept-back", why=why)


def _order(verdict: Verdict) -> tuple[str, str]:
    return verdict.name, verdict.arch
