"""Repositories in libsolv's own format: building one costs a second for a large repository, reading it little.

An image holds the packages of one index in the order of `packages_of`, without anything of a host.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator

import msgspec
import solv
from patchbay_shared.catalogue import AvailablePackage, Relations

from patchbay_update_engine.evaluate.catalog import PackageIndex
from patchbay_update_engine.evaluate.rpm_relation import parse_relation

_decode = msgspec.msgpack.Decoder(Relations).decode
_NONE = Relations()
_FLAGS = {
    "<": solv.REL_LT,
    "<=": solv.REL_LT | solv.REL_EQ,
    "=": solv.REL_EQ,
    ">=": solv.REL_GT | solv.REL_EQ,
    ">": solv.REL_GT,
}


class RelationIds:
    """The ids of relations in one pool."""

    def __init__(self, pool: "solv.Pool") -> None:
        self._pool = pool
        self._ids: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        known = self._ids.get(text)
        if known is None:
            known = self._ids[text] = self._new(text)
        return known

    def _new(self, text: str) -> int:
        if text.startswith("("):
            rich = self._pool.parserpmrichdep(text)
            if rich is not None:
                return int(rich.id)
        relation = parse_relation(text)
        name = self._pool.str2id(relation.name)
        if not relation.operator:
            return int(name)
        return int(self._pool.rel2id(name, self._pool.str2id(relation.evr), _FLAGS[relation.operator]))


def relations_of(package: AvailablePackage) -> Relations:
    return _NONE if package.relations is None else _decode(package.relations)


def packages_of(index: PackageIndex) -> Iterator[AvailablePackage]:
    """The packages of an index in the order of its image."""
    for versions in index.by_name.values():
        yield from versions


def describe(
    solvable: "solv.XSolvable",
    ids: RelationIds,
    identity: tuple[str, str, str, str],
    provides: Iterable[str],
    requires: Iterable[str],
    conflicts: Iterable[str],
    obsoletes: Iterable[str],
) -> None:
    """Fills a solvable; `identity` is name, evr, arch and vendor class. It provides its own name at its version."""
    name, evr, arch, vendor = identity
    solvable.name, solvable.evr, solvable.arch, solvable.vendor = name, evr, arch, vendor
    solvable.add_deparray(solv.SOLVABLE_PROVIDES, ids(f"{name} = {evr}"), 0)
    for kind, texts in (
        (solv.SOLVABLE_PROVIDES, provides),
        (solv.SOLVABLE_REQUIRES, requires),
        (solv.SOLVABLE_CONFLICTS, conflicts),
        (solv.SOLVABLE_OBSOLETES, obsoletes),
    ):
        for text in texts:
            solvable.add_deparray(kind, ids(text), 0)


def load_index(
    repository: "solv.Repo", index: PackageIndex, default_vendor_class: Callable[[str | None], str]
) -> None:
    """Adds the packages of an index to a repository, in the order of `packages_of`.

    `default_vendor_class` must be the same for every host, because the image is shared.
    """
    if index.solver_image is None:
        index.solver_image = _build(index, default_vendor_class)
    with tempfile.TemporaryFile() as file:
        file.write(index.solver_image)
        file.flush()
        file.seek(0)
        stream = solv.xfopen_fd("", os.dup(file.fileno()))
        if not repository.add_solv(stream):
            raise RuntimeError(f"libsolv cannot read its own image: {repository.pool.errstr}")
        stream.close()


def _build(index: PackageIndex, vendor_class: Callable[[str | None], str]) -> bytes:
    pool = solv.Pool()
    pool.setdisttype(solv.Pool.DISTTYPE_RPM)
    ids = RelationIds(pool)
    repository = pool.add_repo("image")
    for package in packages_of(index):
        relations = relations_of(package)
        describe(
            repository.add_solvable(),
            ids,
            (package.name, package.evr, package.arch, vendor_class(package.vendor)),
            relations.provides,
            relations.requires,
            relations.conflicts,
            package.obsoletes,
        )
    repository.internalize()
    with tempfile.TemporaryFile() as file:
        stream = solv.xfopen_fd("", os.dup(file.fileno()))
        if not repository.write(stream):
            raise RuntimeError(f"libsolv cannot write its image: {pool.errstr}")
        stream.close()
        file.seek(0)
        return file.read()
