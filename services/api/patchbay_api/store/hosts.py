"""Hosts with their counts, and what one host's evaluation, packages and repositories are."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from patchbay_shared.report import ReportRepository
from patchbay_shared.tables import (
    evaluation,
    host,
    host_exposure,
    host_group,
    host_label,
    host_removal,
    opinion,
    outstanding_security,
    package,
    package_set,
    reboot_verdict,
    repository,
    repository_set,
    verdict,
)
from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    RowMapping,
    Select,
    Subquery,
    and_,
    case,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from patchbay_api.store.labels import all_tags, operator_tags

SILENT_AFTER = timedelta(hours=24)
"""A host that has not reported for so long is called silent."""

updates: ColumnElement[int] = func.coalesce(evaluation.c.listed_count, 0)
security: ColumnElement[int] = func.coalesce(evaluation.c.security_count, 0)
reboot_required: ColumnElement[bool] = func.coalesce(reboot_verdict.c.required, host.c.reboot_required)
"""The engine's verdict; the host's own word before there is one; null: nothing says so."""
silent: ColumnElement[bool] = host.c.last_report_at < func.now() - SILENT_AFTER
cves: ColumnElement[int] = func.coalesce(host_exposure.c.exposed_count, 0)
overdue: ColumnElement[int] = func.coalesce(host_exposure.c.overdue_count, 0)
exploited: ColumnElement[int] = func.coalesce(host_exposure.c.exploited_count, 0)
waived: ColumnElement[int] = func.coalesce(host_exposure.c.waived_count, 0)
severity: ColumnElement[str] = case(
    (security > 0, func.coalesce(outstanding_security.c.severity, "unknown")), else_=None
)
"""The worst of its outstanding security updates; unknown: none of them is rated; null: there are none."""
unfixed_since: ColumnElement[datetime] = case((security > 0, outstanding_security.c.issued_at), else_=None)
"""When the oldest of its outstanding security updates was published; null: unknown, or there are none."""
domain: ColumnElement[str] = func.coalesce(
    func.substr(host.c.hostname, func.nullif(func.strpos(host.c.hostname, "."), 0) + 1), ""
)
"""What follows the first dot of the name."""
differences: ColumnElement[int] = func.coalesce(opinion.c.difference_count, 0)


def enabled_repositories() -> Subquery:
    """(set_id, repository_id): the enabled repositories of every repository set."""
    entry = func.unnest(repository_set.c.repository_ids).label("repository_id")
    return select(repository_set.c.id.label("set_id"), entry).subquery("enabled")


def incomplete_sets() -> Subquery:
    """(set_id): repository sets with an enabled repository whose content is not known to be current."""
    entry = enabled_repositories()
    return (
        select(entry.c.set_id)
        .select_from(entry.outerjoin(repository, repository.c.id == entry.c.repository_id))
        .where(func.coalesce(repository.c.state, "pending") != "ok")
        .distinct()
        .subquery("incomplete")
    )


judging_set_id: ColumnElement[int] = func.coalesce(host.c.group_repository_set_id, host.c.repository_set_id)
"""The repositories that a host is judged by: its own, or those of its operating system's group."""
incomplete: ColumnElement[bool] = judging_set_id.in_(select(incomplete_sets().c.set_id))


with_conclusions: FromClause = (
    host.outerjoin(evaluation, host.c.evaluation_id == evaluation.c.id)
    .outerjoin(reboot_verdict, reboot_verdict.c.host_id == host.c.id)
    .outerjoin(opinion, opinion.c.host_id == host.c.id)
    .outerjoin(host_exposure, host_exposure.c.host_id == host.c.id)
    .outerjoin(outstanding_security, outstanding_security.c.evaluation_id == host.c.evaluation_id)
)


def hosts() -> Select[Any]:
    """Every host with the counts of its evaluation; null counts mean that it awaits its first one."""
    return select(
        host.c.id,
        host.c.hostname,
        host.c.os_name.label("os"),
        host.c.arch,
        host.c.kernel,
        all_tags.label("tags"),
        operator_tags.label("operator_tags"),
        host_group.c.name.label("group"),
        reboot_required.label("reboot_required"),
        reboot_verdict.c.why.label("reboot_why"),
        reboot_verdict.c.rule.label("reboot_rule"),
        opinion.c.difference_count,
        host.c.machine_id_shared,
        host.c.package_count,
        host.c.last_report_at,
        judging_set_id.label("repository_set_id"),
        silent.label("silent"),
        evaluation.c.listed_count.label("updates"),
        evaluation.c.security_count.label("security"),
        evaluation.c.state_counts.label("states"),
        evaluation.c.evaluated_at,
        host_exposure.c.exposed_count.label("cves"),
        host_exposure.c.fixable_count.label("cves_fixable"),
        host_exposure.c.restart_count.label("cves_restart_pending"),
        host_exposure.c.exploited_count.label("cves_exploited"),
        host_exposure.c.overdue_count.label("cves_overdue"),
        host_exposure.c.waived_count.label("cves_waived"),
        host_exposure.c.next_due_on,
        host_exposure.c.worst_cve,
    ).select_from(
        with_conclusions.outerjoin(host_label, host_label.c.host_id == host.c.id).outerjoin(
            host_group, host_group.c.id == host_label.c.group_id
        )
    )


def host_ids() -> Select[Any]:
    """The id of every host. A list is filtered and sorted so, and only its page loaded: half the cost of `hosts`."""
    return select(host.c.id).select_from(with_conclusions)


def hosts_by_ids(connection: Connection, ids: Sequence[UUID]) -> list[RowMapping]:
    """Those of `hosts`, in the order of the ids."""
    found = {row["id"]: row for row in connection.execute(hosts().where(host.c.id.in_(ids))).mappings()}
    return [found[each] for each in ids if each in found]


def note_removal(connection: Connection, host_id: UUID, *, by: str) -> None:
    """Note that an operator has removed a host; who was first stays."""
    connection.execute(insert(host_removal).values(host_id=host_id, removed_by=by).on_conflict_do_nothing())


def host_by_id(connection: Connection, host_id: UUID) -> RowMapping | None:
    """One host with its facts and with the health of its repositories."""
    return (
        connection.execute(
            hosts()
            .add_columns(
                host.c.machine_id,
                func.coalesce(host.c.reported_hostname, host.c.hostname).label("reported_hostname"),
                host.c.boot_id,
                host.c.facts,
                host.c.first_report_at,
                host.c.changed_at,
                host.c.evaluation_id,
                host.c.package_set_id,
                func.coalesce(host_label.c.notes, "").label("notes"),
                host.c.repository_set_id.label("own_repository_set_id"),
            )
            .where(host.c.id == host_id)
        )
        .mappings()
        .one_or_none()
    )


def opinion_of(connection: Connection, host_id: UUID) -> RowMapping | None:
    """The package manager's own list against Patchbay's; None if the host sent none."""
    return (
        connection.execute(
            select(
                opinion.c.difference_count,
                opinion.c.only_client,
                opinion.c.only_server,
                opinion.c.reported_at,
                opinion.c.compared_at,
            ).where(opinion.c.host_id == host_id)
        )
        .mappings()
        .one_or_none()
    )


def repository_health(connection: Connection, set_ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """Repository set to (enabled repositories, those of them whose content is not known to be current)."""
    entry = enabled_repositories()
    rows = connection.execute(
        select(
            entry.c.set_id,
            func.count(),
            func.count().filter(func.coalesce(repository.c.state, "pending") != "ok"),
        )
        .select_from(entry.outerjoin(repository, repository.c.id == entry.c.repository_id))
        .where(entry.c.set_id.in_(list(set_ids)))
        .group_by(entry.c.set_id)
    )
    return {set_id: (count, problem_count) for set_id, count, problem_count in rows}


def repository_ids_of(connection: Connection, repository_set_id: int) -> list[UUID]:
    """The enabled repositories of a set."""
    found = connection.scalar(select(repository_set.c.repository_ids).where(repository_set.c.id == repository_set_id))
    return list(found or [])


def configured_repositories(connection: Connection, repository_set_id: int) -> list[ReportRepository]:
    """The host's own entries, in its order, enabled or not."""
    stored = connection.scalar(
        select(repository_set.c.document["repositories"]).where(repository_set.c.id == repository_set_id)
    )
    return msgspec.convert(stored or [], type=list[ReportRepository])


def known_repositories(connection: Connection, repository_ids: Collection[UUID]) -> dict[UUID, RowMapping]:
    """What is known of those repositories that repo-sync has taken up."""
    rows = connection.execute(
        select(
            repository.c.id,
            repository.c.name,
            repository.c.url,
            repository.c.security,
            repository.c.state,
            repository.c.message,
            repository.c.generation,
            repository.c.checked_at,
            repository.c.changed_at,
        ).where(repository.c.id.in_(list(repository_ids)))
    ).mappings()
    return {row["id"]: row for row in rows}


def verdicts(evaluation_id: int | None) -> Select[Any]:
    """The verdicts of an evaluation; none for a host that has not been evaluated."""
    return select(
        verdict.c.package_id,
        verdict.c.name,
        verdict.c.arch,
        verdict.c.installed,
        verdict.c.candidate,
        verdict.c.candidate_arch,
        verdict.c.repository,
        verdict.c.repositories,
        verdict.c.state,
        verdict.c.listed,
        verdict.c.security,
        verdict.c.advisories,
        verdict.c.security_repository,
        verdict.c.why,
        verdict.c.rule,
    ).where(verdict.c.evaluation_id == evaluation_id)


def packages(package_set_id: int, evaluation_id: int | None) -> Select[Any]:
    """The packages of a set, each with the state of its verdict; null: it is up to date."""
    chosen = (
        select(func.unnest(package_set.c.package_ids).label("package_id"), package_set.c.held_ids)
        .where(package_set.c.id == package_set_id)
        .subquery("chosen")
    )
    return select(
        package.c.id,
        package.c.type,
        package.c.name,
        package.c.arch,
        package.c.evr.label("version"),
        func.coalesce(package.c.details["source"].astext, package.c.name).label("source"),
        (package.c.id == func.any(chosen.c.held_ids)).label("held"),
        verdict.c.state,
        verdict.c.candidate,
    ).select_from(
        chosen.join(package, package.c.id == chosen.c.package_id).outerjoin(
            verdict, and_(verdict.c.evaluation_id == evaluation_id, verdict.c.package_id == package.c.id)
        )
    )
