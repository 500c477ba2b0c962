"""Hosts with their counts, and what one host's evaluation, packages and repositories are."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from patchbay_shared.tables import (
    evaluation,
    host,
    package,
    package_set,
    repository,
    repository_set,
    verdict,
)
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Subquery,
    Uuid,
    and_,
    any_,
    cast,
    column,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

SILENT_AFTER = timedelta(hours=24)
"""A host that has not reported for so long is called silent."""

updates: ColumnElement[int] = func.coalesce(evaluation.c.listed_count, 0)
security: ColumnElement[int] = func.coalesce(evaluation.c.security_count, 0)
silent: ColumnElement[bool] = host.c.last_report_at < func.now() - SILENT_AFTER


def hosts() -> Select[Any]:
    """Every host with the counts of its evaluation; null counts mean that it awaits its first one."""
    return select(
        host.c.id,
        host.c.hostname,
        host.c.os_name.label("os"),
        host.c.arch,
        host.c.kernel,
        host.c.tags,
        host.c.reboot_required,
        host.c.package_count,
        host.c.last_report_at,
        host.c.repository_set_id,
        silent.label("silent"),
        evaluation.c.listed_count.label("updates"),
        evaluation.c.security_count.label("security"),
        evaluation.c.state_counts.label("states"),
        evaluation.c.evaluated_at,
    ).select_from(host.outerjoin(evaluation, host.c.evaluation_id == evaluation.c.id))


def host_by_id(connection: Connection, host_id: UUID) -> RowMapping | None:
    """One host with its facts and with the health of its repositories."""
    return (
        connection.execute(
            hosts()
            .add_columns(
                host.c.machine_id,
                host.c.boot_id,
                host.c.facts,
                host.c.first_report_at,
                host.c.changed_at,
                host.c.evaluation_id,
                host.c.package_set_id,
            )
            .where(host.c.id == host_id)
        )
        .mappings()
        .one_or_none()
    )


def repository_entries() -> Subquery:
    """(set_id, position, repository_id, definition, enabled): the entries of every repository set."""
    identity = (
        func.unnest(repository_set.c.repository_ids)
        .table_valued(column("repository_id", Uuid), with_ordinality="position")
        .render_derived()
    )
    described = (
        func.jsonb_array_elements(repository_set.c.document["repositories"])
        .table_valued(column("definition", JSONB), with_ordinality="position")
        .render_derived()
    )
    definition = described.c.definition
    return (
        select(
            repository_set.c.id.label("set_id"),
            identity.c.position,
            identity.c.repository_id,
            definition,
            func.coalesce(cast(definition["enabled"].astext, Boolean), true()).label("enabled"),
        )
        .select_from(repository_set)
        .join(identity, true())
        .join(described, described.c.position == identity.c.position)
        .subquery("entry")
    )


def repository_health(connection: Connection, set_ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """Repository set to (enabled repositories, those of them whose content is not known to be current)."""
    entry = repository_entries()
    rows = connection.execute(
        select(
            entry.c.set_id,
            func.count(),
            func.count().filter(func.coalesce(repository.c.state, "pending") != "ok"),
        )
        .select_from(entry.outerjoin(repository, repository.c.id == entry.c.repository_id))
        .where(entry.c.enabled, entry.c.set_id == any_(list(set_ids)))  # type: ignore[arg-type]
        .group_by(entry.c.set_id)
    )
    return {set_id: (count, problem_count) for set_id, count, problem_count in rows}


def repositories_of(connection: Connection, repository_set_id: int) -> list[RowMapping]:
    """The host's own entries in its order, each with what is known of that repository."""
    entry = repository_entries()
    return list(
        connection.execute(
            select(
                entry.c.repository_id,
                entry.c.definition,
                entry.c.enabled,
                repository.c.name,
                repository.c.url,
                repository.c.security,
                func.coalesce(repository.c.state, "pending").label("state"),
                func.coalesce(repository.c.message, "").label("message"),
                repository.c.generation,
                repository.c.checked_at,
                repository.c.changed_at,
            )
            .select_from(entry.outerjoin(repository, repository.c.id == entry.c.repository_id))
            .where(entry.c.set_id == repository_set_id)
            .order_by(entry.c.position)
        ).mappings()
    )


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
