"""Groups, tags and notes of hosts, in SQL. A host's tags are those that it reports and those that operators set."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from patchbay_shared.tables import host, host_group, host_label
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Text,
    delete,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

_reported = type_coerce(host.c.tags, ARRAY(Text))
_operators = type_coerce(host_label.c.tags, ARRAY(Text))
_EMPTY = literal_column("'{}'::text[]", ARRAY(Text))
operator_tags: ColumnElement[Sequence[str]] = func.coalesce(_operators, _EMPTY)
"""Those that operators set, of a host joined to its label."""
all_tags: ColumnElement[Sequence[str]] = (
    select(func.coalesce(func.array_agg(literal_column("tag").distinct()), _EMPTY))
    .select_from(func.unnest(_reported.op("||")(operator_tags)).alias("tag"))
    .correlate(host, host_label)
    .scalar_subquery()
)
"""Every tag of a host joined to its label, sorted."""


def tagged(tag: str) -> ColumnElement[bool]:
    """Whether a host has a tag, reported or set. Needs no join."""
    return or_(
        _reported.contains([tag]), host.c.id.in_(select(host_label.c.host_id).where(_operators.contains([tag])))
    )


def in_group(name: str) -> ColumnElement[bool]:
    """Whether a host is in the group of that name. Needs no join."""
    members = select(host_label.c.host_id).join(host_group, host_group.c.id == host_label.c.group_id)
    return host.c.id.in_(members.where(host_group.c.name == name))


def groups() -> Select[Any]:
    """Every group with the number of its hosts."""
    count = (
        select(func.count())
        .where(host_label.c.group_id == host_group.c.id)
        .correlate(host_group)
        .scalar_subquery()
        .label("host_count")
    )
    return select(*host_group.c, count)


def group_by_id(connection: Connection, group_id: int) -> RowMapping | None:
    """One of `groups`."""
    return connection.execute(groups().where(host_group.c.id == group_id)).mappings().one_or_none()


def group_id_of(connection: Connection, name: str) -> int | None:
    """The id of a group by its name."""
    found: int | None = connection.scalar(select(host_group.c.id).where(host_group.c.name == name))
    return found


def add_group(connection: Connection, values: dict[str, Any]) -> int | None:
    """A new group's id; None if its name is taken."""
    statement = insert(host_group).values(**values).on_conflict_do_nothing().returning(host_group.c.id)
    number: int | None = connection.scalar(statement)
    return number


def change_group(connection: Connection, group_id: int, values: dict[str, Any]) -> bool:
    """Rename or describe a group; False if another one has the name."""
    taken = select(host_group.c.id).where(host_group.c.name == values.get("name"), host_group.c.id != group_id)
    if connection.scalar(taken) is not None:
        return False
    connection.execute(update(host_group).where(host_group.c.id == group_id).values(**values))
    return True


def remove_group(connection: Connection, group_id: int) -> bool:
    """Whether there was such a group; its hosts are in none from now on."""
    return connection.execute(delete(host_group).where(host_group.c.id == group_id)).rowcount > 0


def tags() -> Select[Any]:
    """Every tag that some host has, with the number of those hosts."""
    each = union(
        select(host.c.id.label("host_id"), func.unnest(host.c.tags).label("name")),
        select(host_label.c.host_id, func.unnest(host_label.c.tags)),
    ).subquery("each_tag")
    return select(each.c.name, func.count().label("host_count")).group_by(each.c.name)


def label_of(connection: Connection, host_id: UUID) -> RowMapping | None:
    """A host's labels as `change_labels` leaves them; None for an unknown host."""
    return (
        connection.execute(
            select(
                host.c.id,
                host_group.c.name.label("group"),
                operator_tags.label("operator_tags"),
                all_tags.label("tags"),
                func.coalesce(host_label.c.notes, "").label("notes"),
                host_label.c.changed_by,
                host_label.c.changed_at,
            )
            .select_from(
                host.outerjoin(host_label, host_label.c.host_id == host.c.id).outerjoin(
                    host_group, host_group.c.id == host_label.c.group_id
                )
            )
            .where(host.c.id == host_id)
        )
        .mappings()
        .one_or_none()
    )


def change_labels(connection: Connection, host_id: UUID, values: dict[str, Any], *, by: str) -> None:
    """Set some of `group_id`, `tags` and `notes` of a host; the others stay."""
    stored = {**values, "changed_by": by, "changed_at": func.now()}
    connection.execute(
        insert(host_label)
        .values(host_id=host_id, **stored)
        .on_conflict_do_update(index_elements=[host_label.c.host_id], set_=stored)
    )
