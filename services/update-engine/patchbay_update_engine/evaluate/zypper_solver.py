"""The dependency solver that zypper itself uses (libsolv), for one repository set.

What `zypper update` would do depends on dependencies, vendors, priorities and locks at once; no list of
rules answers it. The jobs and flags are those of libzypp's `doUpdate`: update everything, keep what is
locked, let multiversion packages be installed beside each other, change names but neither vendor (unless
allowed) nor architecture, never remove a package for lack of something.

The repositories are loaded once; the installed packages of a host are added, solved and removed again.
"""

import threading
from collections.abc import Sequence

import msgspec
import solv
from patchbay_shared.catalogue import AvailablePackage
from patchbay_shared.report import ZyppOptions

from patchbay_update_engine.evaluate.catalog import CatalogRepository
from patchbay_update_engine.evaluate.solver_image import RelationIds, describe, load_index, packages_of
from patchbay_update_engine.evaluate.zypper_installed import Picture
from patchbay_update_engine.evaluate.zypper_locks import Locks
from patchbay_update_engine.evaluate.zypper_patches import is_retracted
from patchbay_update_engine.evaluate.zypper_vendor import Vendors

DEFAULT_PRIORITY = 99

_KEEP_EXPLICIT_OBSOLETES = 11
"""libsolv's flag of that name, which its Python module leaves out: what a multiversion package obsoletes goes."""
_PROVIDES_PREFIX = "provides:"
_DEFAULT_VENDORS = Vendors()


class Offer(msgspec.Struct, frozen=True, gc=False):
    """One package of one repository."""

    package: AvailablePackage
    repository: str
    priority: int
    retracted: bool = False


class UpdateSolver:
    """The pool of one repository set. One host is solved at a time."""

    def __init__(
        self,
        repositories: Sequence[CatalogRepository],
        arch: str,
        options: ZyppOptions,
        vendors: Vendors,
        locks: Locks,
    ) -> None:
        """`repositories` in libzypp's order. Retracted packages are never chosen."""
        self._options = options
        self._vendors = vendors
        self._locks = locks
        self._turn = threading.Lock()
        self._packages: list[tuple[AvailablePackage, str, int]] = []
        """Package, repository and priority of every solvable from `_first` on."""
        self._first = 0
        self._forbidden: list[int] = []
        self._pool = solv.Pool()
        self._pool.setdisttype(solv.Pool.DISTTYPE_RPM)
        if arch:
            self._pool.setarch(arch)
        self._ids = RelationIds(self._pool)
        for repository in repositories:
            self._load(repository)

    def _load(self, repository: CatalogRepository) -> None:
        definition = repository.definition
        priority = DEFAULT_PRIORITY if definition.priority is None else definition.priority
        loaded = self._pool.add_repo(definition.id)
        # libsolv prefers the higher number, zypper the lower.
        loaded.priority = -priority
        start = len(self._packages)
        for index in repository.indexes:
            load_index(loaded, index, _DEFAULT_VENDORS.class_of)
            self._packages += [(package, definition.id, priority) for package in packages_of(index)]
        if len(self._packages) == start:
            return
        if not self._first:
            self._first = next(iter(loaded.solvables_iter())).id
        number = self._first + start
        for index in repository.indexes:
            retractions = any(advisory.status == "retracted" for advisory in index.content.advisories)
            for package in packages_of(index):
                identity = package.name, package.evr, package.arch
                if (self._locks and self._locks.of(*identity, definition.id) is not None) or (
                    retractions and is_retracted(index, package.name, package.arch, package.evr)
                ):
                    self._forbidden.append(number)
                if self._options.vendor_equivalence:
                    self._pool.id2solvable(number).vendor = self._vendors.class_of(package.vendor)
                number += 1

    def updates(self, picture: Picture) -> list[Offer]:
        """Every package that an update would install, also those of names that are not installed yet."""
        with self._turn:
            system = self._pool.add_repo("@System")
            # As libzypp has it; it decides between an update and another package that obsoletes the installed one.
            system.priority = -DEFAULT_PRIORITY
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
        # libsolv reads rpm's database in the order of names, and decides in that order.
        for known in sorted(picture.packages, key=lambda known: known.package.name):
            package = known.package
            solvable = system.add_solvable()
            describe(
                solvable,
                self._ids,
                (package.name, package.evr, package.arch, self._vendors.class_of(package.vendor)),
                known.provides,
                known.requires,
                known.conflicts,
                known.obsoletes,
            )
            if self._locks.of(package.name, package.evr, package.arch) is not None:
                locked.append(solvable.id)
        if picture.presumed:
            unseen = ("@unseen", "0-0", "noarch", "@unseen")
            describe(system.add_solvable(), self._ids, unseen, picture.presumed, (), (), ())
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
            jobs.append(job(solv.Job.SOLVER_MULTIVERSION | select, self._ids(what)))
        jobs += [job(solv.Job.SOLVER_INSTALL | solv.Job.SOLVER_SOLVABLE, i) for i in locked]
        jobs += [job(solv.Job.SOLVER_ERASE | solv.Job.SOLVER_SOLVABLE, i) for i in self._forbidden]
        jobs.append(job(solv.Job.SOLVER_UPDATE | solv.Job.SOLVER_SOLVABLE_ALL, 0))
        solver = self._pool.Solver()
        solver.set_flag(solver.SOLVER_FLAG_ALLOW_NAMECHANGE, 1)
        solver.set_flag(solver.SOLVER_FLAG_ALLOW_VENDORCHANGE, int(self._options.allow_vendor_change))
        solver.set_flag(solver.SOLVER_FLAG_SPLITPROVIDES, 1)
        solver.set_flag(solver.SOLVER_FLAG_ONLY_NAMESPACE_RECOMMENDED, 1)
        solver.set_flag(_KEEP_EXPLICIT_OBSOLETES, 1)
        # libzypp takes the decisions also where problems remain; so does this.
        solver.solve(jobs)
        found = []
        for number in solver.raw_decisions(1):
            position = number - self._first
            if self._first and 0 <= position < len(self._packages):
                found.append(Offer(*self._packages[position]))
        return found
