"""The fleet in numbers."""

from collections.abc import Sequence
from datetime import timedelta

from patchbay_shared.tables import (
    dead_letter,
    errata_source,
    evaluation,
    host,
    host_exposure,
    host_group,
    host_label,
    mirror,
    opinion,
    outstanding_security,
    reboot_verdict,
    repository,
)
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    RowMapping,
    Text,
    case,
    cast,
    column,
    desc,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from patchbay_api.store.hosts import (
    incomplete_sets,
    judging_set_id,
    reboot_required,
    security,
    silent,
    updates,
    with_conclusions,
)
from patchbay_api.store.lifecycles import support_of_sets
from patchbay_api.store.repositories import overdue

OPERATING_SYSTEM_COUNT = 12
SEVERITIES = ("critical", "high", "medium", "low", "unknown")
AGES = ("week", "month", "quarter", "older", "unknown")
"""Up to 7, 30 or 90 days, more than that, or not known."""
_GROUP_FIGURES = ("hosts", "outstanding_updates", "outstanding_security_updates")


def host_totals(connection: Connection) -> dict[str, int]:
    """How many hosts are in which condition; up_to_date, needing_updates and uncertain add up to hosts."""
    return sum_of(totals_by_system(connection))


def sum_of(by_system: Sequence[RowMapping]) -> dict[str, int]:
    """The totals of `totals_by_system` over all operating systems."""
    return {name: sum(int(row[name]) for row in by_system) for name in _TOTALS}


def totals_by_system(connection: Connection) -> list[RowMapping]:
    """How many hosts of each operating system are in which condition, the system with the most hosts first.

    A host is up to date only if that is known: it reported within a day, and each of its enabled
    repositories could be read. One pass over the hosts: it is most of what the dashboard costs.
    """
    return list(
        connection.execute(
            select(host.c.os_name.label("os"), *(total.label(name) for name, total in _TOTALS.items()))
            .select_from(
                with_conclusions.outerjoin(_incomplete, _incomplete.c.set_id == judging_set_id).outerjoin(
                    _support, _support.c.set_id == host.c.repository_set_id
                )
            )
            .group_by(host.c.os_name)
            .order_by(func.count().desc(), host.c.os_name)
        ).mappings()
    )


def totals_by_group(connection: Connection) -> list[RowMapping]:
    """Hosts and outstanding updates of each group that has any hosts, the largest first; null: of those in none."""
    return list(
        connection.execute(
            select(host_group.c.name.label("group"), *(_TOTALS[name].label(name) for name in _GROUP_FIGURES))
            .select_from(
                host.outerjoin(evaluation, host.c.evaluation_id == evaluation.c.id)
                .outerjoin(host_label, host_label.c.host_id == host.c.id)
                .outerjoin(host_group, host_group.c.id == host_label.c.group_id)
            )
            .group_by(host_group.c.name)
            .order_by(func.count().desc(), host_group.c.name)
        ).mappings()
    )


_issued_at = outstanding_security.c.issued_at
_age = case(
    (_issued_at.is_(None), "unknown"),
    *((_issued_at > func.now() - timedelta(days=days), age) for days, age in zip((7, 30, 90), AGES, strict=False)),
    else_="older",
)
_incomplete = incomplete_sets()
_support = support_of_sets()
_evaluated = host.c.evaluation_id.is_not(None)
_is_complete = _incomplete.c.set_id.is_(None)
_up_to_date = _evaluated & (updates == 0) & _is_complete & ~silent
_TOTALS: dict[str, ColumnElement[int]] = {
    "hosts": func.count(),
    "up_to_date": func.count().filter(_up_to_date),
    "needing_updates": func.count().filter(updates > 0),
    "uncertain": func.count().filter((updates == 0) & ~_up_to_date),
    "security": func.count().filter(security > 0),
    "reboot_required": func.count().filter(reboot_required),
    "silent": func.count().filter(silent),
    "awaiting_evaluation": func.count().filter(~_evaluated),
    "end_of_life": func.count().filter(_support.c.phase.in_(("ended", "extended"))),
    "extended_support": func.count().filter(_support.c.phase == "extended"),
    "incomplete": func.count().filter(~_is_complete),
    "machine_id_shared": func.count().filter(host.c.machine_id_shared),
    "outstanding_updates": func.coalesce(func.sum(updates), 0),
    "outstanding_security_updates": func.coalesce(func.sum(security), 0),
}


def opinion_totals(connection: Connection) -> RowMapping:
    """How many hosts' own lists of updates were compared, how many differ, and by how many updates in all."""
    differing = opinion.c.difference_count > 0
    return (
        connection.execute(
            select(
                func.count(opinion.c.difference_count).label("compared"),
                func.count().filter(differing).label("differing"),
                func.coalesce(func.sum(opinion.c.difference_count), 0).label("differences"),
            )
        )
        .mappings()
        .one()
    )


def vulnerability_totals(connection: Connection) -> RowMapping:
    """How many hosts have vulnerabilities that are exploited, overdue or waived, and how many of these there are."""
    table = host_exposure.c
    counted = func.count()
    patched = func.count().filter((table.fixable_count == 0) & (table.restart_count == 0))
    return (
        connection.execute(
            select(
                counted.label("counted"),
                patched.label("patched"),
                func.floor(1000 * patched / func.nullif(counted, 0)).op("/")(10.0).label("patched_percent"),
                func.count().filter(table.exposed_count > 0).label("exposed"),
                func.count().filter(table.exploited_count > 0).label("exploited"),
                func.count().filter(table.overdue_count > 0).label("overdue"),
                func.count().filter(table.waived_count > 0).label("waived"),
                func.coalesce(func.sum(table.overdue_count), 0).label("overdue_cves"),
                func.coalesce(func.sum(table.waived_count), 0).label("waived_cves"),
                func.coalesce(func.sum(table.fixable_count), 0).label("fixable_cves"),
                func.coalesce(func.sum(table.restart_count), 0).label("restart_cves"),
            )
        )
        .mappings()
        .one()
    )


def security_totals(connection: Connection) -> tuple[dict[str, int], dict[str, int]]:
    """Hosts with outstanding security updates, by the worst severity of these, and by the age of the oldest."""
    # Not from all conclusions: of the hosts an index is enough, and it is half of the cost.
    rated = host.join(evaluation, evaluation.c.id == host.c.evaluation_id).outerjoin(
        outstanding_security, outstanding_security.c.evaluation_id == host.c.evaluation_id
    )
    level = func.coalesce(outstanding_security.c.severity, "unknown")
    rows = connection.execute(
        select(level.label("severity"), _age.label("age"), func.count().label("hosts"))
        .select_from(rated)
        .where(evaluation.c.security_count > 0)
        .group_by(level, _age)
    ).all()
    by_severity, by_age = dict.fromkeys(SEVERITIES, 0), dict.fromkeys(AGES, 0)
    for row in rows:
        by_severity[row.severity] = by_severity.get(row.severity, 0) + row.hosts
        by_age[row.age] += row.hosts
    return by_severity, by_age


def state_totals(connection: Connection) -> list[RowMapping]:
    """Each state of a verdict: on how many hosts, and on how many of their packages."""
    # Hosts of one kind have equal counts: they are taken apart once for all of them.
    alike = (
        select(evaluation.c.state_counts, func.count().label("hosts"))
        .select_from(host.join(evaluation, evaluation.c.id == host.c.evaluation_id))
        .group_by(evaluation.c.state_counts)
        .subquery("alike")
    )
    entry = (
        func.jsonb_each(alike.c.state_counts)
        .table_valued(column("key", Text), column("value", JSONB), name="entry")
        .render_derived()
    )
    return list(
        connection.execute(
            select(
                entry.c.key.label("state"),
                func.sum(alike.c.hosts).label("hosts"),
                func.sum(alike.c.hosts * cast(entry.c.value, Integer)).label("packages"),
            )
            .select_from(alike.join(entry, true()))
            .group_by(entry.c.key)
        ).mappings()
    )


def restart_totals(connection: Connection) -> list[RowMapping]:
    """Each rule by which hosts have to be restarted, with the number of them; the most frequent first."""
    return list(
        connection.execute(
            select(
                reboot_verdict.c.rule, func.count().label("hosts"), func.min(reboot_verdict.c.why).label("example")
            )
            .where(reboot_verdict.c.required)
            .group_by(reboot_verdict.c.rule)
            .order_by(desc("hosts"), reboot_verdict.c.rule)
        ).mappings()
    )


def repository_totals(connection: Connection) -> dict[str, int]:
    """How many repositories are in which state, and how many of them should have been looked at long ago."""
    rows = connection.execute(
        select(repository.c.state, func.count().label("number"), func.count().filter(overdue).label("overdue"))
        .where(repository.c.enabled)
        .group_by(repository.c.state)
    ).all()
    counts: dict[str, int] = {row.state: row.number for row in rows}
    return {
        "total": sum(counts.values()),
        "overdue": sum(row.overdue for row in rows),
        **{state: counts.get(state, 0) for state in ("ok", "pending", "failing", "reported", "untrusted")},
    }


def mirror_totals(connection: Connection) -> dict[str, int]:
    """How many mirrors of enabled repositories are in which state."""
    rows = connection.execute(
        select(mirror.c.state, func.count().label("number"))
        .join(repository, repository.c.id == mirror.c.repository_id)
        .where(repository.c.enabled)
        .group_by(mirror.c.state)
    )
    return {row.state: row.number for row in rows}


def feed_totals(connection: Connection) -> dict[str, int]:
    """How many advisory feeds that are crawled are in which state."""
    rows = connection.execute(
        select(errata_source.c.state, func.count().label("number"))
        .where(errata_source.c.enabled)
        .group_by(errata_source.c.state)
    )
    return {row.state: row.number for row in rows}


def dead_letter_count(connection: Connection) -> int:
    """Messages that could not be handled."""
    return connection.scalar(select(func.count()).select_from(dead_letter)) or 0
