"""Operating systems, groups and tags of some hosts, counted: one query a kind, whatever the number of hosts."""

from collections.abc import Mapping
from typing import Any

from patchbay_shared.tables import host, host_group, host_label
from sqlalchemy import ColumnElement, Connection, FromClause, RowMapping, Select, func, select, union


def facets(connection: Connection, hosts: Select[Any], *, limit: int) -> dict[str, list[RowMapping]]:
    """By kind the most frequent values among `hosts`, a select of ids."""
    chosen = hosts.subquery("chosen")
    mine = host.join(chosen, chosen.c.id == host.c.id)
    labelled = host_label.join(chosen, chosen.c.id == host_label.c.host_id)
    tags = union(
        select(host.c.id.label("host_id"), func.unnest(host.c.tags).label("name")).select_from(mine),
        select(host_label.c.host_id, func.unnest(host_label.c.tags)).select_from(labelled),
    ).subquery("each_tag")
    grouped = labelled.join(host_group, host_group.c.id == host_label.c.group_id)
    kinds: dict[str, tuple[Any, FromClause]] = {
        "os": (host.c.os_name, mine),
        "groups": (host_group.c.name, grouped),
        "tags": (tags.c.name, tags),
    }
    return {name: _counted(connection, column, source, limit) for name, (column, source) in kinds.items()}


def counts(
    connection: Connection, hosts: Select[Any], conditions: Mapping[str, ColumnElement[bool]]
) -> dict[str, int]:
    """How many of `hosts`, a select from `hosts.with_conclusions`, fit each of the conditions: one query for all."""
    columns = [func.count().filter(condition).label(f"c{n}") for n, condition in enumerate(conditions.values())]
    return dict(zip(conditions, connection.execute(hosts.with_only_columns(*columns)).one(), strict=True))


def _counted(connection: Connection, column: Any, source: FromClause, limit: int) -> list[RowMapping]:
    count = func.count().label("host_count")
    statement = select(column.label("name"), count).select_from(source).group_by(column)
    return list(connection.execute(statement.order_by(count.desc(), column).limit(limit)).mappings())
