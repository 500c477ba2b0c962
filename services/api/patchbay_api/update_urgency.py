"""How urgent the updates of one host are by the CVEs that they fix, and the orders that follow from it."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from patchbay_shared.exposure import LEVELS
from patchbay_shared.tables import verdict
from sqlalchemy import BigInteger, ColumnElement, Integer, RowMapping, Select, Text, and_, cast, column, func, literal
from sqlalchemy.dialects.postgresql import ARRAY

from patchbay_api.paging import Key, Number
from patchbay_api.verdict_states import STATES

Fixes = Mapping[str, Sequence[RowMapping]]
"""Package as `name version` to the CVEs that an update of it fixes."""

SORTS = ("urgency", "severity", "since", "due_by", "cves", "name", "repository", "advisories", "state")
BY_FIXES = frozenset({"urgency", "severity", "since", "due_by", "cves"})
"""The orders that have to know every fix of the host, not only those of a page."""
_BY_VERDICT: dict[str, tuple[ColumnElement[Any], Any]] = {
    "repository": (func.coalesce(verdict.c.repository, ""), str),
    "advisories": (func.cardinality(verdict.c.advisories), Number),
    "state": (func.coalesce(func.array_position(literal(STATES, ARRAY(Text)), verdict.c.state), 0), Number),
}


def urgency(cves: Sequence[RowMapping]) -> dict[str, Any]:
    """What the CVEs say that an update fixes."""
    severities = [each["severity"] for each in cves if each["severity"]]
    return {
        "cves": [each["cve"] for each in cves],
        "severity": max(severities, key=_rank, default=""),
        "known_exploited": any(each["known_exploited"] for each in cves),
        "since": min((each["since"] for each in cves if each["since"]), default=None),
        "due_by": min((each["due_by"] for each in cves if each["due_by"]), default=None),
        "overdue": any(each["overdue"] for each in cves),
    }


def subject_of(update: Any) -> str:
    """An update as `Fixes` has it."""
    return f"{update['name']} {update['installed']}"


def in_order(statement: Select[Any], fixes: Fixes, sort: str) -> tuple[Select[Any], list[Key]]:
    """The verdicts of `statement` with the keys of `sort`, one of SORTS; `-` in front: descending.

    What has no date comes last in either direction; equal ones are in order of name and architecture.
    """
    name, descending = sort.removeprefix("-"), sort.startswith("-")
    by_name = [
        Key(verdict.c.name, str, descending=descending and name == "name"),
        Key(verdict.c.arch, str),
        Key(verdict.c.package_id, Number),
    ]
    if name in _BY_VERDICT:
        return statement, [Key(*_BY_VERDICT[name], descending=descending), *by_name]
    if name not in BY_FIXES:
        return statement, by_name
    joined, place = _placed(statement, {subject: _place(name, urgency(cves)) for subject, cves in fixes.items()})
    if name in ("since", "due_by"):
        nothing = cast(place.is_(None), Integer)
        return joined, [Key(nothing, Number), Key(func.coalesce(place, 0), Number, descending=descending), *by_name]
    worst: ColumnElement[int] = func.coalesce(place, 0)
    if name == "urgency":
        worst = worst * 2 + cast(verdict.c.security, Integer)
    return joined, [Key(worst, Number, descending=descending), *by_name]


def _placed(statement: Select[Any], places: Mapping[str, int | None]) -> tuple[Select[Any], ColumnElement[int]]:
    known = {subject: place for subject, place in places.items() if place is not None}
    fixed = (
        func.unnest(literal([*known], ARRAY(Text)), literal([*known.values()], ARRAY(BigInteger)))
        .table_valued(column("subject", Text), column("place", BigInteger), name="fixed")
        .render_derived()
    )
    same = and_(verdict.c.security, fixed.c.subject == func.concat(verdict.c.name, " ", verdict.c.installed))
    return statement.select_from(verdict.outerjoin(fixed, same)), fixed.c.place


def _place(sort: str, said: Mapping[str, Any]) -> int | None:
    severity = _rank(said["severity"]) + 1
    if sort == "urgency":
        return (2 * bool(said["known_exploited"]) + bool(said["overdue"])) * (len(LEVELS) + 1) + severity
    if sort == "severity":
        return severity
    if sort == "cves":
        return len(said["cves"])
    when: date | None = said[sort]
    if when is None:
        return None
    return int(when.timestamp() * 1000) if isinstance(when, datetime) else when.toordinal()


def _rank(severity: str) -> int:
    return LEVELS.index(severity) if severity in LEVELS else -1
