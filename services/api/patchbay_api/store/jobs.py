"""Jobs: what was asked for over many hosts, and how far it has come, in SQL."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from patchbay_shared.tables import host, job, job_part, repository, repository_set
from sqlalchemy import Connection, RowMapping, Select, case, delete, func, select, text, true

KEPT = timedelta(days=90)
PART = 200
"""Hosts of one message: a part ends, and is counted, as one."""

_parts = (
    select(
        func.count().label("parts"),
        func.coalesce(func.sum(job_part.c.done_count), 0).label("done"),
        func.coalesce(func.sum(job_part.c.failed_count), 0).label("failed"),
        func.coalesce(func.max(job_part.c.message), "").label("message"),
        func.max(job_part.c.finished_at).label("finished_at"),
    )
    .where(job_part.c.job_id == job.c.id)
    .lateral("parts")
)
_crawled = (
    select(func.count().label("done"), func.max(repository.c.checked_at).label("finished_at"))
    .where(
        job.c.action == "refresh",
        repository.c.id == func.any(job.c.subject_ids),
        repository.c.checked_at >= job.c.requested_at,
    )
    .lateral("crawled")
)
_total = func.cardinality(job.c.subject_ids)
_done = job.c.done_count + _parts.c.done + _crawled.c.done
_finished = case((job.c.action == "refresh", _crawled.c.done >= _total), else_=_parts.c.parts >= job.c.part_count)


def jobs() -> Select[Any]:
    """Every job with its progress."""
    return select(
        job.c.id,
        job.c.action,
        job.c.query,
        job.c.parameters,
        job.c.requested_by,
        job.c.requested_at,
        _total.label("total_count"),
        _done.label("done_count"),
        _parts.c.failed.label("failed_count"),
        _parts.c.message,
        case((_finished, "done"), else_="running").label("state"),
        case(
            (_finished, func.coalesce(_parts.c.finished_at, _crawled.c.finished_at, job.c.requested_at)), else_=None
        ).label("finished_at"),
    ).select_from(job.join(_parts, true()).join(_crawled, true()))


def job_by_id(connection: Connection, job_id: UUID) -> RowMapping | None:
    """One of `jobs`."""
    return connection.execute(jobs().where(job.c.id == job_id)).mappings().one_or_none()


def add_job(
    connection: Connection,
    action: str,
    subject_ids: Sequence[UUID],
    *,
    query: str,
    parameters: dict[str, Any],
    by: str,
    in_parts: bool,
) -> UUID:
    """A new job's id; one that is not `in_parts` is done already, or followed by what it asked for."""
    connection.execute(delete(job).where(job.c.requested_at < func.now() - KEPT))
    number = uuid.uuid4()
    connection.execute(
        job.insert().values(
            id=number,
            action=action,
            query=query,
            parameters=parameters,
            requested_by=by,
            subject_ids=sorted(subject_ids),
            part_count=-(-len(subject_ids) // PART) if in_parts else 0,
            done_count=0 if in_parts or action == "refresh" else len(subject_ids),
        )
    )
    return number


def change_tags(
    connection: Connection, host_ids: Sequence[UUID], *, add: Sequence[str], remove: Sequence[str], by: str
) -> None:
    """Add and take away tags that operators set, of all these hosts at once."""
    connection.execute(
        text("""
            INSERT INTO host_label AS l (host_id, tags, changed_by)
            SELECT h.id, CAST(:add AS text[]), :by FROM host h WHERE h.id = ANY(CAST(:ids AS uuid[])) ORDER BY h.id
            ON CONFLICT (host_id) DO UPDATE SET changed_by = :by, changed_at = now(), tags = ARRAY(
                SELECT DISTINCT tag FROM unnest(l.tags || CAST(:add AS text[])) tag
                WHERE NOT tag = ANY(CAST(:remove AS text[])) ORDER BY tag)
        """),
        {"ids": sorted(host_ids), "add": sorted(set(add)), "remove": list(remove), "by": by},
    )


def set_group(connection: Connection, host_ids: Sequence[UUID], group_id: int | None, *, by: str) -> None:
    """Put all these hosts into a group, or into none."""
    connection.execute(
        text("""
            INSERT INTO host_label (host_id, group_id, changed_by)
            SELECT h.id, :group_id, :by FROM host h WHERE h.id = ANY(CAST(:ids AS uuid[])) ORDER BY h.id
            ON CONFLICT (host_id) DO UPDATE SET group_id = :group_id, changed_by = :by, changed_at = now()
        """),
        {"ids": sorted(host_ids), "group_id": group_id, "by": by},
    )


def remove_hosts(connection: Connection, host_ids: Sequence[UUID], *, by: str) -> None:
    """Note that hosts are removed; update-engine, whose tables they are in, removes them by these rows."""
    connection.execute(
        text("""
            INSERT INTO host_removal (host_id, removed_by)
            SELECT h.id, :by FROM host h WHERE h.id = ANY(CAST(:ids AS uuid[])) ORDER BY h.id
            ON CONFLICT (host_id) DO NOTHING
        """),
        {"ids": sorted(host_ids), "by": by},
    )


def repositories_of(connection: Connection, host_ids: Sequence[UUID]) -> list[UUID]:
    """The enabled repositories of these hosts that repo-sync has taken up."""
    named = func.unnest(repository_set.c.repository_ids).label("id")
    wanted = (
        select(named)
        .join(host, host.c.repository_set_id == repository_set.c.id)
        .where(host.c.id.in_(list(host_ids)))
        .distinct()
        .subquery()
    )
    return list(
        connection.scalars(
            select(repository.c.id).join(wanted, wanted.c.id == repository.c.id).order_by(repository.c.id)
        )
    )
