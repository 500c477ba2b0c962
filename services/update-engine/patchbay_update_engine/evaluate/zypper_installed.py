"""What the installed packages of a host provide and need, as far as it can be known.

A report names packages, not their relations. They are read from the same package (name, version,
architecture) in a repository. Where no repository has it any more, it is taken to provide what the
nearest version does.

A real rpm database is consistent, so the picture can be checked: if every requirement of the known
packages is met and none of them replaces another, it is complete, and it decides like the host would. If
not, something on the host provides what cannot be seen. Then what the installed packages need does not
hold back an update, and what an update of a package of unknown version needs is taken to be there,
unless the report shows otherwise: a monitor should err towards naming an outstanding update.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from patchbay_shared.catalogue import AvailablePackage

from patchbay_update_engine.evaluate.catalog import InstalledPackage
from patchbay_update_engine.evaluate.rpm_relation import parse_relation
from patchbay_update_engine.evaluate.solver_image import relations_of


class InstalledRelations(msgspec.Struct, frozen=True):
    """The relations of one installed package."""

    package: InstalledPackage
    provides: Sequence[str]
    requires: Sequence[str] = ()
    conflicts: Sequence[str] = ()
    obsoletes: Sequence[str] = ()


class Picture(msgspec.Struct, frozen=True):
    """What is known of a host's installed set."""

    packages: Sequence[InstalledRelations]
    presumed: Sequence[str] = ()
    """Relations that something unseen on the host provides."""
    complete: bool = True


def picture_of(
    installed: Sequence[InstalledPackage], by_name: Callable[[str], Sequence[AvailablePackage]]
) -> Picture:
    """The picture of a host; `by_name` gives the packages of its enabled repositories."""
    packages: list[InstalledRelations] = []
    guessed: list[Sequence[str]] = []
    for package in installed:
        offers = by_name(package.name)
        same = next((o for o in offers if o.evr == package.evr and o.arch == package.arch), None)
        if same is not None:
            relations = relations_of(same)
            packages.append(
                InstalledRelations(
                    package, relations.provides, relations.requires, relations.conflicts, same.obsoletes
                )
            )
            continue
        nearest = _nearest(package, offers)
        if nearest is None:
            packages.append(InstalledRelations(package, ()))
            continue
        relations = relations_of(nearest)
        packages.append(InstalledRelations(package, _as_of(package, nearest, relations.provides)))
        guessed.append(relations.requires)
    provided = _provided(packages)
    unmet = _unmet((known.requires for known in packages), provided)
    if not unmet and not _contradicted(packages):
        return Picture(packages)
    names = {package.name for package in installed}
    missing = [text for text in _unmet(guessed, provided) if parse_relation(text).name not in names]
    return Picture(
        packages=[InstalledRelations(known.package, known.provides) for known in packages],
        presumed=list(dict.fromkeys(_as_provided(text) for text in (*unmet, *missing))),
        complete=False,
    )


def _nearest(package: InstalledPackage, offers: Sequence[AvailablePackage]) -> AvailablePackage | None:
    """The next newer version of the same architecture, else the next older, else of any architecture."""
    for candidates in ([o for o in offers if o.arch == package.arch], offers):
        newer = [o for o in candidates if o.evr_key > package.evr_key]
        if newer:
            return min(newer, key=lambda o: o.evr_key)
        if candidates:
            return max(candidates, key=lambda o: o.evr_key)
    return None


def _as_of(package: InstalledPackage, nearest: AvailablePackage, provides: Iterable[str]) -> list[str]:
    """The provides of another version, with that version replaced by the package's own."""
    own = {nearest.evr: package.evr, _version(nearest.evr): _version(package.evr)}
    texts = []
    for text in provides:
        relation = parse_relation(text)
        if relation.evr in own:
            texts.append(f"{relation.name} {relation.operator} {own[relation.evr]}")
        else:
            texts.append(text)
    return texts


def _version(evr: str) -> str:
    return evr.rpartition("-")[0]


def _provided(packages: Iterable[InstalledRelations]) -> dict[str, list[str]]:
    """Provided name to the versions it is provided at; "" for a provide without version."""
    provided: dict[str, list[str]] = {}
    for known in packages:
        provided.setdefault(known.package.name, []).append(known.package.evr)
        for text in known.provides:
            relation = parse_relation(text)
            provided.setdefault(relation.name, []).append(relation.evr)
    return provided


def _unmet(required: Iterable[Sequence[str]], provided: Mapping[str, Sequence[str]]) -> list[str]:
    """The relations that nothing provides. Rich (boolean) ones are taken as met: a solver reads them."""
    texts = dict.fromkeys(text for texts in required for text in texts)
    return [text for text in texts if not text.startswith("(") and not _is_met(text, provided)]


def _is_met(text: str, provided: Mapping[str, Sequence[str]]) -> bool:
    relation = parse_relation(text)
    versions = provided.get(relation.name, ())
    if not relation.operator:
        return bool(versions)
    return any(version and relation.matches(version) for version in versions)


def _contradicted(packages: Sequence[InstalledRelations]) -> bool:
    """Whether some package obsoletes another that is installed beside it."""
    installed: dict[str, list[str]] = {}
    for known in packages:
        installed.setdefault(known.package.name, []).append(known.package.evr)
    for known in packages:
        for text in known.obsoletes:
            relation = parse_relation(text)
            if relation.name == known.package.name:
                continue
            if any(relation.matches(evr) for evr in installed.get(relation.name, ())):
                return True
    return False


def _as_provided(text: str) -> str:
    """A provide that meets the relation and claims no other version."""
    relation = parse_relation(text)
    if relation.operator in {">=", "<="}:
        return f"{relation.name} = {relation.evr}"
    return text
