"""The dependency solver that zypper itself uses (libsolv), for one repository set.

What `zypper update` would do depends on dependencies, vendors, priorities and locks at once; no list of
rules answers it. The jobs and flags are those of libzypp's `doUpdate`: update everything, keep what is
locked, let multiversion packages be installed beside each other, change names but neither vendor (unless
allowed) nor architecture, never remove a package for lack of something.

The repositories are loaded once; the installed packages of a host are added, solved and removed again.
"""

import threading
from collections.abc import Iterable, Sequence

import msgspec
import solv
from patchbay_shared.catalogue import AvailablePackage
from patchbay_shared.report import ZyppOptions

from patchbay_update_engine.evaluate.rpm_relation import parse_relation
from patchbay_update_engine.evaluate.zypper_installed import Picture, relations_of
from patchbay_update_engine.evaluate.zypper_locks import Locks
from patchbay_update_engine.evaluate.zypper_vendor import Vendors

_PROVIDES_PREFIX = "provides:"
_FLAGS = {
    "<": solv.REL_LT,
    "<=": solv.REL_LT | solv.REL_EQ,
    "=": solv.REL_EQ,
    ">=": solv.REL_GT | solv.REL_EQ,
    ">": solv.REL_GT,
}


class Offer(msgspec.Struct, frozen=True, gc=False):
    """One package of one repository."""

    package: AvailablePackage
    repository: str
    priority: int
    retracted: bool = False


class UpdateSolver:
    """The pool of one repository set. One host is solved at a time."""

    def __init__(
        self, offers: Iterable[Offer], arch: str, options: ZyppOptions, vendors: Vendors, locks: Locks
    ) -> None:
        """`offers` in the order of the repositories; retracted ones are left out by the caller."""
        self._options = options
        self._vendors = vendors
        self._locks = locks
        self._turn = threading.Lock()
        self._ids: dict[str, int] = {}
        self._offers: dict[int, Offer] = {}
        self._locked: list[int] = []
        self._pool = solv.Pool()
        self._pool.setdisttype(solv.Pool.DISTTYPE_RPM)
        if arch:
            self._pool.setarch(arch)
        self._load(offers)

    def _load(self, offers: Iterable[Offer]) -> None:
        repositories: dict[str, solv.Repo] = {}
        for offer in offers:
            repository = repositories.get(offer.repository)
            if repository is None:
                repository = repositories[offer.repository] = self._pool.add_repo(offer.repository)
                # libsolv prefers the higher number, zypper the lower.
                repository.priority = -offer.priority
            package = offer.package
            relations = relations_of(package)
            solvable = repository.add_solvable()
            self._describe(solvable, package.name, package.evr, package.arch, package.vendor)
            self._relate(solvable, solv.SOLVABLE_PROVIDES, relations.provides)
            self._relate(solvable, solv.SOLVABLE_REQUIRES, relations.requires)
            self._relate(solvable, solv.SOLVABLE_CONFLICTS, relations.conflicts)
            self._relate(solvable, solv.SOLVABLE_OBSOLETES, package.obsoletes)
            self._offers[solvable.id] = offer
            if self._locks.of(package.name, package.evr, package.arch, offer.repository) is not None:
                self._locked.append(solvable.id)
        for repository in repositories.values():
            repository.internalize()

    def updates(self, picture: Picture) -> list[Offer]:
        """Every package that an update would install, also those of names that are not installed yet."""
        with self._turn:
            system = self._pool.add_repo("@System")
            self._pool.installed = system
            try:
                locked = self._install(system, picture)
                return self._solve(locked)
            finally:
                self._pool.installed = None
                system.free(True)

    def _install(self, system: "solv.Repo", picture: Picture) -> list[int]:
        """Adds the installed packages; returns the ids of those under a lock."""
        locked = []
        for known in picture.packages:
            package = known.package
            solvable = system.add_solvable()
            self._describe(solvable, package.name, package.evr, package.arch, package.vendor)
            self._relate(solvable, solv.SOLVABLE_PROVIDES, known.provides)
            self._relate(solvable, solv.SOLVABLE_REQUIRES, known.requires)
            self._relate(solvable, solv.SOLVABLE_CONFLICTS, known.conflicts)
            self._relate(solvable, solv.SOLVABLE_OBSOLETES, known.obsoletes)
            if self._locks.of(package.name, package.evr, package.arch) is not None:
                locked.append(solvable.id)
        if picture.presumed:
            unseen = system.add_solvable()
            unseen.name, unseen.evr, unseen.arch = "@unseen", "0-0", "noarch"
            self._relate(unseen, solv.SOLVABLE_PROVIDES, picture.presumed)
        system.internalize()
        return locked

    def _solve(self, locked: Sequence[int]) -> list[Offer]:
        self._pool.createwhatprovides()
        job = self._pool.Job
        jobs = []
        for spec in self._options.multiversion:
            if spec.startswith(_PROVIDES_PREFIX):
                select, what = solv.Job.SOLVER_SOLVABLE_PROVIDES, spec.removeprefix(_PROVIDES_PREFIX)
            else:
                select, what = solv.Job.SOLVER_SOLVABLE_NAME, spec
            jobs.append(job(solv.Job.SOLVER_MULTIVERSION | select, self._id(what)))
        jobs += [job(solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE, i) for i in locked]
        jobs += [job(solv.Job.SOLVER_ERASE | solv.Job.SOLVER_SOLVABLE, i) for i in self._locked]
        jobs.append(job(solv.Job.SOLVER_UPDATE | solv.Job.SOLVER_SOLVABLE_ALL, 0))
        solver = self._pool.Solver()
        solver.set_flag(solver.SOLVER_FLAG_ALLOW_NAMECHANGE, 1)
        solver.set_flag(solver.SOLVER_FLAG_ALLOW_VENDORCHANGE, int(self._options.allow_vendor_change))
        solver.set_flag(solver.SOLVER_FLAG_SPLITPROVIDES, 1)
        solver.set_flag(solver.SOLVER_FLAG_ONLY_NAMESPACE_RECOMMENDED, 1)
        # libzypp takes the decisions also where problems remain; so does this.
        solver.solve(jobs)
        return [self._offers[i] for i in solver.raw_decisions(1) if i in self._offers]

    def _describe(self, solvable: "solv.XSolvable", name: str, evr: str, arch: str, vendor: str | None) -> None:
        solvable.name, solvable.evr, solvable.arch = name, evr, arch
        # Equal strings are one vendor to libsolv; the classes are libzypp's.
        solvable.vendor = self._vendors.class_of(vendor)
        solvable.add_deparray(solv.SOLVABLE_PROVIDES, self._id(f"{name} = {evr}"), 0)

    def _relate(self, solvable: "solv.XSolvable", kind: int, texts: Iterable[str]) -> None:
        for text in texts:
            solvable.add_deparray(kind, self._id(text), 0)

    def _id(self, text: str) -> int:
        """libsolv's id of a relation."""
        known = self._ids.get(text)
        if known is None:
            known = self._ids[text] = self._new_id(text)
        return known

    def _new_id(self, text: str) -> int:
        if text.startswith("("):
            rich = self._pool.parserpmrichdep(text)
            if rich is not None:
                return int(rich.id)
        relation = parse_relation(text)
        name = self._pool.str2id(relation.name)
        if not relation.operator:
            return int(name)
        return int(self._pool.rel2id(name, self._pool.str2id(relation.evr), _FLAGS[relation.operator]))
