"""What could stand where somebody is writing a query: fields, keywords and values that there are."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from patchbay_api.query.compile import MOMENT, Field, Vocabulary
from patchbay_api.query.grammar import plain, split, words

MOST_VALUES = 20
_AGES = ("1h", "24h", "7d", "30d")
_KEYWORDS = {"or": "one of both", "not": "the opposite of the next condition", "and": "both, as a space is"}


@dataclass(frozen=True)
class Suggestion:
    """A text that could replace what is being written."""

    text: str
    kind: str
    """field, keyword or value"""
    description: str


@dataclass(frozen=True)
class Completion:
    """Suggestions for the characters from `position` on."""

    position: int
    length: int
    items: list[Suggestion]


def complete(connection: Connection, text: str, position: int, vocabulary: Vocabulary) -> Completion:
    """Suggestions for a query whose writer's cursor is at `position`."""
    before = text[:position]
    written = words(before, lenient=True)
    last = written[-1] if written and written[-1][-1].end == len(before) else ()
    if last and plain(last) in "()" and not last[0].literal:
        last = ()
    negated = len(last) > 0 and last[0].text == "-" and not last[0].literal
    if negated:
        last = last[1:]
    name, operator, value = split(last)
    if operator:
        start = value[0].position if value else len(before)
        field = vocabulary.by_name().get(plain(name).lower())
        return Completion(start, len(before) - start, _values(connection, field, plain(value)) if field else [])
    start = last[0].position if last else len(before)
    return Completion(start, len(before) - start, _beginnings(plain(last).lower(), vocabulary))


def _beginnings(prefix: str, vocabulary: Vocabulary) -> list[Suggestion]:
    fields = [
        Suggestion(f"{each.name}{each.kind.operators[0]}", "field", each.doc)
        for each in vocabulary.fields
        if any(name.startswith(prefix) for name in (each.name, *each.aliases))
    ]
    return fields + [Suggestion(word, "keyword", doc) for word, doc in _KEYWORDS.items() if word.startswith(prefix)]


def _values(connection: Connection, field: Field, prefix: str) -> list[Suggestion]:
    if field.kind is MOMENT:
        return [Suggestion(age, "value", field.doc) for age in _AGES if age.startswith(prefix)]
    if field.known is None:
        return [Suggestion(word, "value", field.doc) for word in field.choices if word.startswith(prefix.lower())]
    known = field.known().subquery("known")
    found = connection.scalars(
        select(known.c.value)
        .where(known.c.value.istartswith(prefix, autoescape=True))
        .order_by(known.c.value)
        .limit(MOST_VALUES)
    )
    return [Suggestion(quoted(each), "value", field.doc) for each in found]


def quoted(value: str) -> str:
    """A value as it is written in a query."""
    if value and not any(character.isspace() or character in "\"'()\\*?,:=<>!" for character in value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
