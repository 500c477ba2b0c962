"""Queries as SQL: what the fields of a list are, how each kind of field reads its value, and the condition of a tree.

Values only ever become bound parameters. A negated part fits where it is not known to be true, so that
`not group:lab` finds hosts of no group as well.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from patchbay_shared.errors import InvalidVersion
from patchbay_shared.versions import evr_key
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    column,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
)

from patchbay_api.query.grammar import All, InvalidQuery, Node, Not, Term, Value, alternatives, parse, split, value_of
from patchbay_api.query.grammar import Any as AnyOf
from patchbay_api.store.packages import SCHEMES

Condition = ColumnElement[bool]
_COMPARE: dict[str, Callable[[ColumnElement[Any], Any], Condition]] = {
    ":": lambda left, right: left == right,
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True)
class Kind:
    """How a field is asked."""

    operators: tuple[str, ...]
    doc: str


TEXT = Kind((":", "=", "!="), "`:` finds a part of it, upper or lower case; with a wildcard, and with `=`, all of it")
WORD = Kind((":", "=", "!="), "all of it, upper or lower case; wildcards")
NUMBER = Kind((":", "=", "!=", "<", "<=", ">", ">="), "a whole number")
MOMENT = Kind(
    (":", "<", "<=", ">", ">="),
    "an age (`30m`, `12h`, `7d`, `2w`: `<7d` is within the last seven days) or a date (`>=2026-01-31`)",
)
FLAG = Kind((":", "="), "`yes` or `no`")
CHOICE = Kind((":", "=", "!="), "one of the listed words")
PACKAGE = Kind((":", "="), "a name, with wildcards; behind it an operator and a version, as `openssl<3.0.15`")


@dataclass(frozen=True)
class Field:
    """One field of a list."""

    name: str
    kind: Kind
    doc: str
    example: str
    condition: Callable[[Term], Condition]
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    """Every value that makes sense, where they are few and fixed."""
    asked: Callable[[Connection, Term], Condition] | None = None
    """The condition where something has to be looked up first; `condition` only checks the value then."""
    known: Callable[[], Select[Any]] | None = None
    """A statement of the values that there are, in one column, for completion."""


@dataclass(frozen=True)
class Vocabulary:
    """The fields of one list; a bare word is a value of the first."""

    name: str
    fields: tuple[Field, ...]

    def by_name(self) -> Mapping[str, Field]:
        """Fields by their names and other names."""
        return {name: field for field in self.fields for name in (field.name, *field.aliases)}


def condition_of(text: str, vocabulary: Vocabulary, connection: Connection | None = None) -> Condition:
    """A query as a condition on the rows of the list; without a connection it is only checked where one is needed.

    Raises InvalidQuery.
    """
    return _Compiler(vocabulary, connection).compiled(parse(text))


class _Compiler:
    def __init__(self, vocabulary: Vocabulary, connection: Connection | None) -> None:
        self._vocabulary = vocabulary
        self._fields = vocabulary.by_name()
        self._connection = connection

    def compiled(self, node: Node) -> Condition:
        match node:
            case All(parts):
                return and_(true(), *(self.compiled(part) for part in parts))
            case AnyOf(parts):
                return or_(false(), *(self.compiled(part) for part in parts))
            case Not(part):
                return unlike(self.compiled(part))
            case Term():
                return self._term(node)

    def _term(self, term: Term) -> Condition:
        if not term.field:
            return self._vocabulary.fields[0].condition(term)
        field = self._fields.get(term.field)
        if field is None:
            known = ", ".join(each.name for each in self._vocabulary.fields)
            raise InvalidQuery(
                f"{self._vocabulary.name.capitalize()} have no field {term.field!r}; known are {known}."
                " Put a name with an operator in it in quotes.",
                position=term.position,
                length=term.length,
            )
        if term.operator not in field.kind.operators:
            raise term.invalid(
                f"{field.name} cannot be asked with {term.operator!r}, only with {' '.join(field.kind.operators)}"
            )
        if not term.value.word:
            raise term.invalid(f"A value is missing behind {term.field}{term.operator} — {field.kind.doc}.")
        if field.asked and self._connection is not None:
            return field.asked(self._connection, term)
        return field.condition(term)


def unlike(condition: Condition) -> Condition:
    """What is not known to fit."""
    return condition.is_not(true())


def fitting(column: ColumnElement[str], value: Value, *, part: bool = False) -> Condition:
    """Whether a text is a value, or has it as a part; upper or lower case."""
    if value.wild:
        return column.ilike(value.like, escape="\\")
    if part:
        return column.ilike(f"%{value.like}%", escape="\\")
    return func.lower(column) == value.text.lower()


def holds_one(texts: ColumnElement[Any], fits: Callable[[ColumnElement[str]], Condition]) -> Condition:
    """Whether some element of an array of texts fits."""
    each = func.unnest(texts).table_valued(column("value", Text), name="element").render_derived()
    return select(literal_column("1")).select_from(each).where(fits(each.c.value)).exists()


def any_of(term: Term, one: Callable[[Value], Condition]) -> Condition:
    """The condition of a term that takes several values with commas between them, or their opposite."""
    values = alternatives(term.value)
    for each in values:
        if not each.word:
            raise term.invalid("A value is missing beside a comma.")
    fits = or_(false(), *(one(each) for each in values))
    return unlike(fits) if term.operator == "!=" else fits


def text_in(*columns: ColumnElement[str]) -> Callable[[Term], Condition]:
    """A TEXT field: some of the columns fits."""

    def condition(term: Term) -> Condition:
        part = term.operator == ":"
        return any_of(term, lambda value: or_(*(fitting(column, value, part=part) for column in columns)))

    return condition


def word_in(column: ColumnElement[str]) -> Callable[[Term], Condition]:
    """A WORD field."""
    return lambda term: any_of(term, lambda value: fitting(column, value))


def number_in(column: ColumnElement[int]) -> Callable[[Term], Condition]:
    """A NUMBER field."""

    def condition(term: Term) -> Condition:
        if not re.fullmatch(r"[0-9]{1,9}", term.value.text):
            raise term.value.invalid(f"{term.value.text!r} is not a whole number up to 999999999.")
        return _COMPARE[term.operator](column, int(term.value.text))

    return condition


def moment_in(column: ColumnElement[datetime]) -> Callable[[Term], Condition]:
    """A MOMENT field: an age counts back from now, so `<` is later than the moment."""

    def condition(term: Term) -> Condition:
        if match := re.fullmatch(r"([0-9]{1,5})([mhdw])", term.value.text.lower()):
            since = func.now() - int(match[1]) * _UNITS[match[2]]
            turned = {":": ">=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
            return _COMPARE[turned[term.operator]](column, since)
        try:
            day = datetime.strptime(term.value.text, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise term.value.invalid(
                f"{term.value.text!r} is neither an age such as 30m, 12h, 7d, 2w nor a date such as 2026-01-31."
            ) from None
        if term.operator == ":":
            return and_(column >= day, column < day + timedelta(days=1))
        return _COMPARE[term.operator](column, day)

    return condition


def flag_in(column: Condition) -> Callable[[Term], Condition]:
    """A FLAG field: `no` is whatever is not known to be yes."""

    def condition(term: Term) -> Condition:
        word = term.value.text.lower()
        if word in ("yes", "true"):
            return column
        if word in ("no", "false"):
            return unlike(column)
        raise term.value.invalid(f"{term.field} is yes or no, not {term.value.text!r}.")

    return condition


def choice_in(choices: Sequence[str], one: Callable[[str], Condition]) -> Callable[[Term], Condition]:
    """A CHOICE field."""

    def chosen(term: Term) -> Condition:
        def condition(value: Value) -> Condition:
            if value.text.lower() not in choices:
                raise value.invalid(f"{value.text!r} is not one of {', '.join(choices)}.")
            return one(value.text.lower())

        return any_of(term, condition)

    return chosen


@dataclass(frozen=True)
class PackageColumns:
    """Where names and versions of packages stand."""

    type: ColumnElement[str]
    name: ColumnElement[str]
    evr: ColumnElement[str]
    evr_key: ColumnElement[bytes]


def packages_of(term: Term, columns: PackageColumns) -> Condition:
    """A PACKAGE field's condition on packages: their name, and their version in the order of their own kind."""
    name, operator, version = split(term.value.word)
    if not operator:
        return any_of(term, lambda value: _named(columns.name, value))
    if operator == ":":
        raise term.value.invalid("Behind a package's name stands =, !=, <, <=, > or >= and a version.")
    if not version:
        raise term.value.invalid(f"A version is missing behind {operator!r}.")
    named = _named(columns.name, value_of(name, at=term.value.position))
    return and_(named, _compared(columns, operator, value_of(version, at=term.value.position)))


def _named(column: ColumnElement[str], value: Value) -> Condition:
    # Names of packages are lower case but for a few; an exact comparison can use the index.
    return column.like(value.like, escape="\\") if value.wild else column == value.text


def _compared(columns: PackageColumns, operator: str, version: Value) -> Condition:
    """A version without a release (`3.0.15`) stands for every release of it."""
    alternatives_by_type = []
    for kind, scheme in SCHEMES.items():
        try:
            key = evr_key(scheme, version.text)
        except InvalidVersion:
            continue
        alternatives_by_type.append(and_(columns.type == kind, _ordered(columns, operator, version, key)))
    if not alternatives_by_type:
        raise version.invalid(f"{version.text!r} is no version of any package manager.")
    return or_(*alternatives_by_type)


def _ordered(columns: PackageColumns, operator: str, version: Value, key: bytes) -> Condition:
    if "-" in version.text:
        return _COMPARE[operator](columns.evr_key, key)
    release_of_it = columns.evr.startswith(f"{version.text}-", autoescape=True)
    match operator:
        case "=":
            return or_(columns.evr_key == key, release_of_it)
        case "!=":
            return and_(columns.evr_key != key, ~release_of_it)
        case ">":
            return and_(columns.evr_key > key, ~release_of_it)
        case "<=":
            return or_(and_(columns.evr_key <= key, columns.evr_key != b""), release_of_it)
        case "<":
            return and_(columns.evr_key < key, columns.evr_key != b"")  # "" has no order
        case _:
            return _COMPARE[operator](columns.evr_key, key)
