"""Relations between deb packages: what one needs, breaks and provides. Rules: Debian Policy 7."""

import re
from collections.abc import Set
from functools import lru_cache

import msgspec
from patchbay_shared.catalogue import AvailablePackage, Relations
from patchbay_shared.errors import InvalidVersion
from patchbay_shared.versions import evr_key

_ATOM = re.compile(r"\s*([^\s(:|,\[<]+)(?::([^\s(|,\[<]+))?\s*(?:\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s)]+)\s*\))?[^|]*")
_NAMES = re.compile(r"(?:^|\|)\s*([^\s(:|,\[<]+)")
"""The names of alternatives, without the rest of `_ATOM`."""
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


class Needs(msgspec.Struct, gc=False):
    """The relations of one version that decide whether it can be installed; each is read when somebody asks for it.

    Nobody does for most packages of a host: no upgrade beside them concerns what they mention.
    """

    requires: tuple[str, ...] = ()
    """Texts, each a group of alternatives; Pre-Depends come first."""
    conflicts: tuple[str, ...] = ()
    """Texts of Conflicts and Breaks."""
    provides: dict[str, tuple[Relation, ...]] = {}
    """By provided name."""
    multi_arch: str = ""
    mentions: frozenset[str] = frozenset()
    """Every name in `requires` and `conflicts`."""
    _groups: tuple[tuple[frozenset[str], str], ...] | None = None
    _depends: tuple[tuple[Relation, ...], ...] | None = None
    _refuses: tuple[Relation, ...] | None = None

    @property
    def depends(self) -> tuple[tuple[Relation, ...], ...]:
        """Each a group of alternatives; Pre-Depends included."""
        if self._depends is None:
            self._depends = tuple(_alternatives(text) for text in self.requires)
        return self._depends

    @property
    def refuses(self) -> tuple[Relation, ...]:
        """Conflicts and Breaks."""
        if self._refuses is None:
            self._refuses = tuple(relation for text in self.conflicts for relation in _alternatives(text))
        return self._refuses

    def groups_with(self, names: Set[str]) -> list[tuple[Relation, ...]]:
        """The groups of `depends`, in order, that mention any of these names."""
        if self._groups is None:
            self._groups = tuple((frozenset(_NAMES.findall(text)), text) for text in self.requires)
        return [_alternatives(text) for mentioned, text in self._groups if not mentioned.isdisjoint(names)]


NOTHING = Needs()


@lru_cache(maxsize=65_536)
def _read(relations: bytes) -> Needs:
    fields = _decode(relations)
    requires = (*fields.pre_requires, *fields.requires)
    conflicts = (*fields.conflicts, *fields.breaks)
    provides: dict[str, tuple[Relation, ...]] = {}
    for relation in (r for text in fields.provides for r in _alternatives(text)):
        provides[relation.name] = (*provides.get(relation.name, ()), relation)
    return Needs(
        requires=requires,
        conflicts=conflicts,
        provides=provides,
        multi_arch=fields.multi_arch,
        mentions=frozenset(_NAMES.findall("|".join((*requires, *conflicts)))),
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
