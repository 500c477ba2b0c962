"""The fleet in numbers."""

from typing import Any

from patchbay_shared.tables import dead_letter, evaluation, host, repository
from sqlalchemy import Connection, func, literal, select

from patchbay_api.store.hosts import (
    enabled_repositories,
    reboot_required,
    security,
    silent,
    updates,
    with_conclusions,
)

OPERATING_SYSTEM_COUNT = 12


def host_totals(connection: Connection) -> dict[str, Any]:
    """How many hosts are in which condition; up_to_date, needing_updates and uncertain add up to hosts.

    A host is up to date only if that is known: it reported within a day, and each of its enabled
    repositories could be read.
    """
    entry = enabled_repositories()
    incomplete = (
        select(entry.c.set_id)
        .select_from(entry.outerjoin(repository, repository.c.id == entry.c.repository_id))
        .where(func.coalesce(repository.c.state, "pending") != "ok")
        .distinct()
        .subquery("incomplete")
    )
    evaluated = host.c.evaluation_id.is_not(None)
    is_complete = incomplete.c.set_id.is_(None)
    up_to_date = evaluated & (updates == 0) & is_complete & ~silent
    row = connection.execute(
        select(
            func.count().label("hosts"),
            func.count().filter(up_to_date).label("up_to_date"),
            func.count().filter(updates > 0).label("needing_updates"),
            func.count().filter((updates == 0) & ~up_to_date).label("uncertain"),
            func.count().filter(security > 0).label("security"),
            func.count().filter(reboot_required).label("reboot_required"),
            func.count().filter(silent).label("silent"),
            func.count().filter(~evaluated).label("awaiting_evaluation"),
            func.count().filter(~is_complete).label("incomplete"),
            func.coalesce(func.sum(updates), 0).label("outstanding_updates"),
            func.coalesce(func.sum(security), 0).label("outstanding_security_updates"),
        ).select_from(with_conclusions.outerjoin(incomplete, incomplete.c.set_id == host.c.repository_set_id))
    )
    return dict(row.mappings().one())


def repository_totals(connection: Connection) -> dict[str, int]:
    """How many repositories are in which state."""
    rows = connection.execute(
        select(repository.c.state, func.count().label("number"))
        .where(repository.c.enabled)
        .group_by(repository.c.state)
    )
    counts: dict[str, int] = {row.state: row.number for row in rows}
    return {"total": sum(counts.values()), **{s: counts.get(s, 0) for s in ("ok", "pending", "failing", "untrusted")}}


def operating_systems(connection: Connection) -> list[dict[str, Any]]:
    """The operating systems with the most hosts."""
    rows = connection.execute(
        select(
            host.c.os_name.label("os"),
            func.count().label("hosts"),
            func.count().filter(updates > 0).label("needing_updates"),
            func.count().filter(security > 0).label("security"),
        )
        .select_from(host.outerjoin(evaluation, evaluation.c.id == host.c.evaluation_id))
        .group_by(host.c.os_name)
        .order_by(func.count().desc(), host.c.os_name)
        .limit(literal(OPERATING_SYSTEM_COUNT))
    )
    return [dict(row) for row in rows.mappings()]


def dead_letter_count(connection: Connection) -> int:
    """Messages that could not be handled."""
    return connection.scalar(select(func.count()).select_from(dead_letter)) or 0
