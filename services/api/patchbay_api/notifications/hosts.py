"""Which hosts a rule concerns: words that all have to fit, each `tag:…`, `group:…`, or one of these after `not`."""

from typing import Any

from patchbay_shared.errors import InvalidInput
from patchbay_shared.tables import host
from sqlalchemy import ColumnElement, Select, func, select

from patchbay_api.store import labels

_FIELDS = {"tag": labels.tagged, "group": labels.in_group}


def hosts_of(query: str) -> Select[Any]:
    """The ids of the hosts that fit. Raises InvalidInput naming the word that cannot be read."""
    statement = select(host.c.id)
    negated = False
    for word in query.split():
        if word == "not":
            negated = True
            continue
        statement = statement.where(_condition(word, negated=negated))
        negated = False
    if negated:
        raise InvalidInput("Nothing follows the last `not`.")
    return statement


def _condition(word: str, *, negated: bool) -> ColumnElement[bool]:
    name, colon, value = word.partition(":")
    if name not in _FIELDS or not colon or not value:
        raise InvalidInput(f"{word[:60]!r} is neither tag:… nor group:…, perhaps after `not`.")
    fits = func.coalesce(_FIELDS[name](value), False)
    return ~fits if negated else fits
