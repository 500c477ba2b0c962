"""Relations between deb packages: what one needs, breaks and provides. Rules: Debian Policy 7."""

import re
from collections.abc import Container
from functools import lru_cache

import msgspec
from patchbay_shared.catalogue import AvailablePackage, Relations
from patchbay_shared.errors import InvalidVersion
from patchbay_shared.versions import evr_key

_ATOM = re.compile(r"\s*([^\s(:|,\[<]+)(?::([^\s(|,\[<]+))?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s)]+)\s*\))?[^|]*")
_decode = msgspec.msgpack.Decoder(Relations).decode


class Relation(msgspec.Struct, frozen=True, gc=False):
    """One alternative of a field."""

    name: str
    arch: str
    """Qualifier: empty, "any" or an architecture."""
    operator: str
    key: bytes
    """Sort key of the version; empty without an operator."""
    text: str

    def takes(self, key: bytes) -> bool:
        """Whether a version meets it, by its sort key."""
        match self.operator:
            case "":
                return True
            case "<<":
                return key < self.key
            case "<=" | "<":
                return key <= self.key
            case "=":
                return key == self.key
            case ">=" | ">":
                return key >= self.key
            case _:
                return key > self.key


class Needs(msgspec.Struct, frozen=True, gc=False):
    """The relations of one version that decide whether it can be installed."""

    depends: tuple[tuple[Relation, ...], ...] = ()
    """Each a group of alternatives; Pre-Depends included."""
    refuses: tuple[Relation, ...] = ()
    """Breaks and Conflicts."""
    provides: dict[str, tuple[Relation, ...]] = {}
    """By provided name."""
    multi_arch: str = ""
    mentions: frozenset[str] = frozenset()
    """Every name in `depends` and `refuses`."""

    def groups_with(self, names: Container[str]) -> list[tuple[Relation, ...]]:
        """The groups of `depends`, in order, that mention any of these names."""
        return [group for group in self.depends if any(relation.name in names for relation in group)]


NOTHING = Needs()


@lru_cache(maxsize=65_536)
def _read(relations: bytes) -> Needs:
    fields = _decode(relations)
    depends = tuple(_alternatives(text) for text in (*fields.pre_requires, *fields.requires))
    refuses = tuple(r for text in (*fields.conflicts, *fields.breaks) for r in _alternatives(text))
    provides: dict[str, tuple[Relation, ...]] = {}
    for relation in (r for text in fields.provides for r in _alternatives(text)):
        provides[relation.name] = (*provides.get(relation.name, ()), relation)
    return Needs(
        depends=depends,
        refuses=refuses,
        provides=provides,
        multi_arch=fields.multi_arch,
        mentions=frozenset(relation.name for group in (*depends, refuses) for relation in group),
    )


def needs_of(package: AvailablePackage) -> Needs:
    """The relations of a package, read once; none where the index gave none."""
    return NOTHING if package.relations is None else _read(package.relations)


@lru_cache(maxsize=65_536)
def _alternatives(text: str) -> tuple[Relation, ...]:
    found = []
    for part in text.split("|"):
        match = _ATOM.fullmatch(part)
        if match is None:
            continue
        name, arch, operator, version = match.groups(default="")
        try:
            key = evr_key("deb", version) if operator else b""
        except InvalidVersion:
            continue
        found.append(Relation(name, arch, operator, key, part.strip()))
    return tuple(found)
