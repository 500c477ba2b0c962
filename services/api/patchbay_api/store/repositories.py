"""Repositories, with what they hold and who uses them."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from patchbay_shared.tables import (
    available_package,
    host,
    job,
    mirror,
    repository,
    repository_index,
    repository_set,
    repository_sync,
)
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    case,
    column,
    desc,
    func,
    select,
    true,
    type_coerce,
)
from sqlalchemy import Uuid as UuidType
from sqlalchemy.dialects.postgresql import ARRAY

worst_first: ColumnElement[int] = case(
    {"untrusted": 0, "failing": 1, "pending": 2, "reported": 3}, value=repository.c.state, else_=4
)
RECENT_SYNC_COUNT = 10
OVERDUE_AFTER = timedelta(hours=1)

overdue: ColumnElement[bool] = and_(
    repository.c.enabled,
    repository.c.next_sync_at < func.now() - OVERDUE_AFTER,
    func.coalesce(repository.c.leased_until, func.to_timestamp(0)) < func.now(),
)
"""It should have been looked at an hour ago, and nobody is looking at it: what is known of it may be stale."""

syncing: ColumnElement[bool] = func.coalesce(repository.c.leased_until > func.now(), False)
"""It is being crawled at this moment."""


def repositories() -> Select[Any]:
    """Every repository with the number of packages in its present indexes."""
    held = (
        select(func.coalesce(func.sum(repository_index.c.package_count), 0))
        .where(repository_index.c.repository_id == repository.c.id, repository_index.c.present)
        .scalar_subquery()
    )
    return select(
        repository.c.id,
        repository.c.type,
        repository.c.name,
        repository.c.url,
        repository.c.suite,
        repository.c.enabled,
        repository.c.security,
        repository.c.state,
        repository.c.message,
        repository.c.generation,
        repository.c.failure_count,
        repository.c.checked_at,
        repository.c.changed_at,
        repository.c.reported_at,
        repository.c.next_sync_at,
        syncing.label("syncing"),
        overdue.label("overdue"),
        held.label("package_count"),
    )


def offers(name: str) -> ColumnElement[bool]:
    """It has a package of this name."""
    table, index = available_package.c, repository_index.c
    holding = select(index.repository_id).join(available_package, table.index_id == index.id)
    return repository.c.id.in_(holding.where(table.name == name))


def asked_by(job_id: UUID) -> ColumnElement[bool]:
    """A job over many hosts asked for it to be crawled."""
    return repository.c.id.in_(select(func.unnest(job.c.subject_ids)).where(job.c.id == job_id))


def packages_of(repository_id: UUID) -> Select[Any]:
    """Select of what its present indexes offer, a row an entry: as many as its `package_count`."""
    table, index = available_package.c, repository_index.c
    return (
        select(table.name, table.arch, table.evr.label("version"), table.source, index.component, index.architecture)
        .join(repository_index, table.index_id == index.id)
        .where(index.repository_id == repository_id, index.present)
    )


def host_counts(connection: Connection, repository_ids: Collection[UUID]) -> dict[UUID, int]:
    """Repository to the number of hosts that have it configured; absent: none."""
    wanted = list(repository_ids)
    entry = (
        func.unnest(repository_set.c.repository_ids)
        .table_valued(column("repository_id", UuidType), name="entry")
        .render_derived()
    )
    # Hosts are counted by set before their sets are taken apart: thousands share one.
    used = select(host.c.repository_set_id.label("set_id"), func.count().label("hosts"))
    per_set = used.group_by(host.c.repository_set_id).subquery("per_set")
    named = (
        select(repository_set.c.id.label("set_id"), entry.c.repository_id)
        .select_from(repository_set.join(entry, true()))
        .where(
            type_coerce(repository_set.c.repository_ids, ARRAY(UuidType)).overlap(wanted),
            entry.c.repository_id.in_(wanted),
        )
        .distinct()
        .subquery("named")
    )
    rows = connection.execute(
        select(named.c.repository_id, func.sum(per_set.c.hosts).label("host_count"))
        .select_from(named.join(per_set, per_set.c.set_id == named.c.set_id))
        .group_by(named.c.repository_id)
    )
    return {row.repository_id: int(row.host_count) for row in rows}


def repository_by_id(connection: Connection, repository_id: UUID) -> RowMapping | None:
    """One repository with the fields of its Release file, if it has one."""
    return (
        connection.execute(
            repositories()
            .add_columns(repository.c.release, repository.c.created_at)
            .where(repository.c.id == repository_id)
        )
        .mappings()
        .one_or_none()
    )


def mirrors_of(connection: Connection, repository_id: UUID) -> list[RowMapping]:
    """Its mirrors, the first tried first."""
    return list(
        connection.execute(
            select(mirror.c.url, mirror.c.rank, mirror.c.state, mirror.c.message, mirror.c.checked_at)
            .where(mirror.c.repository_id == repository_id)
            .order_by(mirror.c.rank, mirror.c.id)
        ).mappings()
    )


def indexes_of(connection: Connection, repository_id: UUID) -> list[RowMapping]:
    """Its indexes, by component and architecture."""
    table = repository_index.c
    return list(
        connection.execute(
            select(table.component, table.architecture, table.package_count, table.present, table.changed_at)
            .where(table.repository_id == repository_id)
            .order_by(table.component, table.architecture)
        ).mappings()
    )


def recent_syncs(connection: Connection, repository_id: UUID) -> list[RowMapping]:
    """Its last crawls, the newest first."""
    table = repository_sync.c
    return list(
        connection.execute(
            select(
                table.started_at,
                table.finished_at,
                table.result,
                table.message,
                table.transferred_bytes,
                table.added_count,
                table.removed_count,
            )
            .where(table.repository_id == repository_id)
            .order_by(desc(table.started_at), desc(table.id))
            .limit(RECENT_SYNC_COUNT)
        ).mappings()
    )
