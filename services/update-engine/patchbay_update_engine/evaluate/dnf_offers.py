"""What a host's repositories offer for a package name, after dnf's priorities, excludes and modules."""

from collections.abc import Sequence

import msgspec
from patchbay_shared.catalogue import AvailablePackage

from patchbay_update_engine.evaluate.catalog import CatalogRepository
from patchbay_update_engine.evaluate.dnf_exclusions import Exclusions, Rejection
from patchbay_update_engine.evaluate.rpm_relation import NOARCH, Relation, parse_relation
from patchbay_update_engine.evaluate.verdict import State

DEFAULT_PRIORITY = 99
DEFAULT_COST = 1000


class Offer(msgspec.Struct, frozen=True, gc=False):
    """One package of one repository."""

    package: AvailablePackage
    repository: str
    priority: int
    rejection: Rejection | None = None
    """Why dnf passes it over; None where it may be chosen."""


class NameOffers(msgspec.Struct, frozen=True):
    """Everything that enabled repositories have under one name."""

    usable: tuple[Offer, ...] = ()
    """Of the best priority, newest first, then in the order of the repositories."""
    passed_over: tuple[Offer, ...] = ()
    """Rejected, or of a worse priority; newest first."""
    newest: dict[str, bytes] = {}
    """Architecture to its newest version, passed over or not."""
    obsoleters: tuple[tuple[Offer, Relation], ...] = ()
    """Offers that obsolete this name, newest first."""
    exists: bool = False
    """Whether any repository has the name, be it for an architecture that this host cannot run."""

    def newest_for(self, arch: str) -> bytes:
        """The newest version that an installed package of the architecture compares with; b"" if none."""
        if arch == NOARCH:
            return max(self.newest.values(), default=b"")
        return max(self.newest.get(arch, b""), self.newest.get(NOARCH, b""))


def sorted_repositories(repositories: Sequence[CatalogRepository]) -> list[CatalogRepository]:
    """The enabled repositories in the order in which dnf takes equal packages: by cost, then by id."""
    enabled = [r for r in repositories if r.definition.enabled]
    return sorted(
        enabled,
        key=lambda r: (
            DEFAULT_COST if r.definition.cost is None else r.definition.cost,
            r.definition.id,
        ),
    )


class Offers:
    """The offers by name, worked out on first use."""

    def __init__(
        self,
        repositories: Sequence[CatalogRepository],
        exclusions: Exclusions,
        architectures: Sequence[str],
        *,
        obsoletes: bool,
    ) -> None:
        self._repositories = repositories
        self._exclusions = exclusions
        self._architectures = frozenset(architectures)
        self._obsoletes = obsoletes
        self._by_name: dict[str, NameOffers] = {}

    def of(self, name: str) -> NameOffers:
        offers = self._by_name.get(name)
        if offers is None:
            offers = self._by_name[name] = self._compile(name)
        return offers

    def _compile(self, name: str) -> NameOffers:
        usable, passed_over, exists = self._sort_out(name)
        newest: dict[str, bytes] = {}
        for offer in (*usable, *passed_over):
            arch, key = offer.package.arch, offer.package.evr_key
            if newest.get(arch, b"") < key:
                newest[arch] = key
        return NameOffers(
            usable=tuple(usable),
            passed_over=tuple(passed_over),
            newest=newest,
            obsoleters=self._obsoleters(name) if self._obsoletes else (),
            exists=exists,
        )

    def _sort_out(self, name: str) -> tuple[list[Offer], list[Offer], bool]:
        considered: list[Offer] = []
        passed_over: list[Offer] = []
        exists = False
        for position, repository in enumerate(self._repositories):
            definition = repository.definition
            priority = DEFAULT_PRIORITY if definition.priority is None else definition.priority
            for index in repository.indexes:
                for package in index.by_name.get(name, ()):
                    exists = True
                    if self._architectures and package.arch not in self._architectures:
                        continue
                    rejection = self._exclusions.rejection(package, position)
                    offer = Offer(package, definition.id, priority, rejection)
                    (considered if rejection is None else passed_over).append(offer)
        if considered:
            best = min(considered, key=lambda offer: offer.priority)
            passed_over += [_outranked(o, best) for o in considered if o.priority != best.priority]
            considered = [o for o in considered if o.priority == best.priority]
        # The sort is stable: equal versions stay in the order of the repositories.
        considered.sort(key=_version, reverse=True)
        passed_over.sort(key=_version, reverse=True)
        return considered, passed_over, exists

    def _obsoleters(self, name: str) -> tuple[tuple[Offer, Relation], ...]:
        names = {
            package.name
            for repository in self._repositories
            for index in repository.indexes
            for package, _text in index.obsoleters.get(name, ())
        }
        names.discard(name)
        found = [
            (offer, parse_relation(text))
            for other in sorted(names)
            for offer in self._sort_out(other)[0]
            for text in offer.package.obsoletes
            if text.split(" ", 1)[0] == name
        ]
        return tuple(found)


def _version(offer: Offer) -> bytes:
    return offer.package.evr_key


def _outranked(offer: Offer, best: Offer) -> Offer:
    return Offer(
        offer.package,
        offer.repository,
        offer.priority,
        Rejection(
            State.PINNED,
            "dnf.priority",
            f"repository {best.repository} (priority {best.priority}) has the package too and goes before "
            f"{offer.repository} (priority {offer.priority})",
        ),
    )
