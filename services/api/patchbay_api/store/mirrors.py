"""Mirrors, links, crawls and access to mirrors, in SQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from patchbay_shared.tables import mirror, mirror_access, repository, repository_sync
from sqlalchemy import Connection, RowMapping, Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert

_ARCHIVE = tuple(repository.c.release[name].astext for name in ("origin", "label", "suite", "codename"))


def mirrors_of(connection: Connection, repository_id: UUID) -> list[RowMapping]:
    """A repository's mirrors, the first tried first."""
    table = mirror.c
    columns = (
        *(table.id, table.url, table.rank, table.state, table.message),
        *(table.failure_count, table.published_at, table.checked_at),
    )
    statement = select(*columns).where(table.repository_id == repository_id).order_by(table.rank, table.id)
    return list(connection.execute(statement).mappings())


def linked_of(connection: Connection, repository_id: UUID) -> tuple[UUID | None, list[UUID]]:
    """The repository that serves this one, and those that this one serves."""
    leader = connection.scalar(select(repository.c.linked_to).where(repository.c.id == repository_id))
    followers = connection.scalars(
        select(repository.c.id).where(repository.c.linked_to == repository_id).order_by(repository.c.id)
    )
    return leader, list(followers)


def archives(connection: Connection) -> list[RowMapping]:
    """Crawled apt repositories by what their Release files name, in order of it."""
    statement = (
        select(
            repository.c.id,
            repository.c.name,
            repository.c.url,
            repository.c.suite,
            repository.c.linked_to,
            *(func.coalesce(column, "").label(name) for name, column in zip(NAMES, _ARCHIVE, strict=True)),
        )
        .where(repository.c.type == "deb", repository.c.release.is_not(None))
        .order_by(*_ARCHIVE, repository.c.created_at, repository.c.id)
    )
    return list(connection.execute(statement).mappings())


NAMES = ("origin", "label", "release_suite", "codename")


def syncs_of(repository_id: UUID) -> Select[Any]:
    """A repository's crawls with their duration."""
    table = repository_sync.c
    ended = func.coalesce(table.finished_at, func.now())
    return select(
        table.id,
        table.started_at,
        table.finished_at,
        func.extract("epoch", ended - table.started_at).label("duration_seconds"),
        table.result,
        table.phase,
        table.message,
        table.transferred_bytes,
        table.read_count,
        table.added_count,
        table.removed_count,
    ).where(table.repository_id == repository_id)


def accesses(connection: Connection) -> list[RowMapping]:
    """The entries without their secrets, by URL."""
    table = mirror_access.c
    return list(
        connection.execute(
            select(table.id, table.url, table.kinds, table.changed_by, table.changed_at).order_by(table.url)
        ).mappings()
    )


def set_access(connection: Connection, *, url: str, kinds: Sequence[str], sealed: bytes, by: str) -> RowMapping:
    """The entry of a URL, made or replaced."""
    values = {"kinds": list(kinds), "sealed": sealed, "changed_by": by, "changed_at": func.now()}
    statement = insert(mirror_access).values(url=url, **values)
    table = mirror_access.c
    return (
        connection.execute(
            statement.on_conflict_do_update(index_elements=["url"], set_=values).returning(
                table.id, table.url, table.kinds, table.changed_by, table.changed_at
            )
        )
        .mappings()
        .one()
    )


def drop_access(connection: Connection, access_id: int) -> bool:
    """Whether there was such an entry."""
    return connection.execute(delete(mirror_access).where(mirror_access.c.id == access_id)).rowcount == 1
