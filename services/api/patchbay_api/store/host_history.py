"""What changed on one host, and how it differs from another host or from another day."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from patchbay_shared.tables import package_event, package_set
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    LargeBinary,
    Select,
    Text,
    bindparam,
    column,
    func,
    or_,
    select,
    text,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY

_DIFFERENCE = """
    SELECT type, name, arch,
           array_agg(evr ORDER BY evr_key) FILTER (WHERE id = ANY(:here)) AS here,
           array_agg(evr ORDER BY evr_key) FILTER (WHERE id = ANY(:there)) AS there,
           max(evr_key) FILTER (WHERE id = ANY(:here)) AS here_key,
           max(evr_key) FILTER (WHERE id = ANY(:there)) AS there_key
    FROM package WHERE id = ANY(:here) OR id = ANY(:there)
    GROUP BY type, name, arch
"""


def events(host_id: UUID, ids: Collection[int] | None) -> Select[Any]:
    """The changes of a host's packages; with `ids` only those that touch one of these."""
    statement = select(
        package_event.c.id, package_event.c.at, package_event.c.added_ids, package_event.c.removed_ids
    ).where(package_event.c.host_id == host_id)
    if ids is not None:
        added, removed = (type_coerce(package_event.c[name], ARRAY(Integer)) for name in ("added_ids", "removed_ids"))
        wanted = list(ids)
        statement = statement.where(or_(added.overlap(wanted), removed.overlap(wanted)))
    return statement


def installed_ids(connection: Connection, package_set_id: int) -> set[int]:
    """The package ids of a set."""
    found = connection.scalar(select(package_set.c.package_ids).where(package_set.c.id == package_set_id))
    return set(found or ())


def installed_ids_at(connection: Connection, host_id: UUID, now: set[int], at: datetime) -> set[int]:
    """What a host had at a time: what it has now, with the changes since then undone, the newest first."""
    held = set(now)
    for row in connection.execute(
        select(package_event.c.added_ids, package_event.c.removed_ids)
        .where(package_event.c.host_id == host_id, package_event.c.at > at)
        .order_by(package_event.c.at.desc(), package_event.c.id.desc())
    ):
        held = (held - set(row.added_ids)) | set(row.removed_ids)
    return held


def difference(here: Collection[int], there: Collection[int]) -> FromClause:
    """(type, name, arch, here, there, here_key, there_key): packages that are not the same on both sides."""
    both = set(here) & set(there)
    bound = text(_DIFFERENCE).bindparams(
        bindparam("here", sorted(set(here) - both), type_=ARRAY(Integer)),
        bindparam("there", sorted(set(there) - both), type_=ARRAY(Integer)),
    )
    return bound.columns(
        column("type", Text),
        column("name", Text),
        column("arch", Text),
        column("here", ARRAY(Text)),
        column("there", ARRAY(Text)),
        column("here_key", LargeBinary),
        column("there_key", LargeBinary),
    ).subquery("difference")


DIFFERENCES = ("only-here", "only-there", "newer", "older", "other")


def differing(found: FromClause, kind: str) -> ColumnElement[bool]:
    """The condition on a `difference` that it is of one of the kinds in `DIFFERENCES`, as seen from here."""
    here, there = found.c.here_key, found.c.there_key
    return {
        "only-here": there.is_(None),
        "only-there": here.is_(None),
        "newer": here > there,
        "older": here < there,
        "other": here == there,
    }[kind]


def difference_counts(connection: Connection, found: FromClause) -> dict[str, int]:
    """How many packages of a `difference` are only here, only there, newer here, and so on."""
    counts = {
        name.replace("-", "_"): func.count().filter(differing(found, name)) for name in DIFFERENCES if name != "other"
    }
    row = connection.execute(select(*(count.label(name) for name, count in counts.items())).select_from(found))
    return dict(row.mappings().one())
