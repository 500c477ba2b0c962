"""Distribution releases, variants of operating systems, their groups, and domains, in SQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from patchbay_shared.tables import (
    evaluation,
    host,
    host_repository_choice,
    os_group,
    os_group_repository,
    os_variant_group,
    repository,
    repository_set,
)
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from patchbay_api.store.hosts import domain, security, silent, updates

_COUNTS = (
    func.count().label("host_count"),
    func.count().filter(updates > 0).label("hosts_with_updates"),
    func.count().filter(security > 0).label("hosts_with_security_updates"),
    func.count().filter(silent).label("silent_count"),
)
_JUDGED = host.outerjoin(evaluation, evaluation.c.id == host.c.evaluation_id)


def variants() -> Select[Any]:
    """(os, arch) with its hosts, and the group that it is in."""
    return (
        select(
            host.c.os_name.label("os"),
            host.c.arch,
            os_variant_group.c.group_id,
            os_group.c.name.label("group"),
            *_COUNTS,
        )
        .select_from(
            _JUDGED.outerjoin(
                os_variant_group,
                and_(os_variant_group.c.os_name == host.c.os_name, os_variant_group.c.arch == host.c.arch),
            ).outerjoin(os_group, os_group.c.id == os_variant_group.c.group_id)
        )
        .group_by(host.c.os_name, host.c.arch, os_variant_group.c.group_id, os_group.c.name)
    )


def distro_releases() -> Select[Any]:
    """(ecosystem, distro_release) with its hosts, as advisories name it."""
    ecosystem = func.coalesce(repository_set.c.ecosystem, "")
    release = func.coalesce(repository_set.c.distro_release, "")
    return (
        select(
            ecosystem.label("ecosystem"),
            release.label("distro_release"),
            func.min(host.c.facts["os_release"]["VERSION_ID"].astext).label("version_id"),
            func.array_agg(host.c.os_name.distinct()).label("variants"),
            *_COUNTS,
        )
        .select_from(_JUDGED.join(repository_set, repository_set.c.id == host.c.repository_set_id))
        .group_by(ecosystem, release)
    )


def domains() -> Select[Any]:
    """(domain) with its hosts: what follows the first dot of their names."""
    columns: list[ColumnElement[Any]] = [domain.label("domain"), *_COUNTS]
    return select(*columns).select_from(_JUDGED).group_by(domain)


def groups() -> Select[Any]:
    """Every group with the number of its variants and repositories."""
    return select(
        os_group.c.id,
        os_group.c.name,
        os_group.c.use_host_repos,
        os_group.c.changed_by,
        os_group.c.changed_at,
        select(func.count())
        .where(os_variant_group.c.group_id == os_group.c.id)
        .scalar_subquery()
        .label("variant_count"),
        select(func.count())
        .where(os_group_repository.c.group_id == os_group.c.id)
        .scalar_subquery()
        .label("repository_count"),
    )


def group_by_id(connection: Connection, group_id: int) -> dict[str, Any] | None:
    """One group with its variants, its repositories in order, and how many hosts are judged by them."""
    found = connection.execute(groups().where(os_group.c.id == group_id)).mappings().one_or_none()
    if found is None:
        return None
    members = (
        select(os_variant_group.c.os_name.label("os"), os_variant_group.c.arch, func.count(host.c.id).label("hosts"))
        .select_from(
            os_variant_group.outerjoin(
                host, and_(host.c.os_name == os_variant_group.c.os_name, host.c.arch == os_variant_group.c.arch)
            )
        )
        .where(os_variant_group.c.group_id == group_id)
        .group_by(os_variant_group.c.os_name, os_variant_group.c.arch)
        .order_by(os_variant_group.c.os_name, os_variant_group.c.arch)
    )
    attached = (
        select(
            os_group_repository.c.repository_id,
            os_group_repository.c.priority,
            func.coalesce(repository.c.name, "").label("name"),
            func.coalesce(repository.c.url, "").label("url"),
            func.coalesce(repository.c.suite, "").label("suite"),
            func.coalesce(repository.c.state, "pending").label("state"),
        )
        .outerjoin(repository, repository.c.id == os_group_repository.c.repository_id)
        .where(os_group_repository.c.group_id == group_id)
        .order_by(os_group_repository.c.position)
    )
    judged = text("""
        SELECT count(*) FROM host h WHERE h.group_repository_set_id IN (
            SELECT set_id FROM group_repository_set WHERE group_id = :group_id)
    """)
    return {
        **found,
        "variants": list(connection.execute(members).mappings()),
        "repositories": list(connection.execute(attached).mappings()),
        "judged_host_count": connection.scalar(judged, {"group_id": group_id}),
    }


def name_taken(connection: Connection, name: str, *, but: int | None = None) -> bool:
    """Whether another group is called so."""
    found = connection.scalar(select(os_group.c.id).where(os_group.c.name == name))
    return found is not None and found != but


def add_group(connection: Connection, *, name: str, use_host_repos: bool, by: str) -> int | None:
    """The new group's id; None if the name is taken."""
    statement = insert(os_group).values(name=name, use_host_repos=use_host_repos, changed_by=by)
    made: int | None = connection.scalar(
        statement.on_conflict_do_nothing(index_elements=["name"]).returning(os_group.c.id)
    )
    return made


def change_group(connection: Connection, group_id: int, values: dict[str, Any], *, by: str) -> None:
    """Set a group's own columns; whatever changes, its generation grows, so that the engine looks at it again."""
    connection.execute(
        update(os_group)
        .where(os_group.c.id == group_id)
        .values(**values, generation=os_group.c.generation + 1, changed_by=by, changed_at=func.now())
    )


def set_repositories(connection: Connection, group_id: int, wanted: Sequence[dict[str, Any]]) -> None:
    """The group's repositories, in this order."""
    connection.execute(delete(os_group_repository).where(os_group_repository.c.group_id == group_id))
    rows = [{"group_id": group_id, "position": place, **each} for place, each in enumerate(wanted)]
    if rows:
        connection.execute(insert(os_group_repository), rows)


def set_variants(connection: Connection, group_id: int, wanted: Sequence[dict[str, Any]]) -> None:
    """The group's variants; those that were in another group leave it."""
    connection.execute(delete(os_variant_group).where(os_variant_group.c.group_id == group_id))
    rows = [{"os_name": each["os"], "arch": each["arch"], "group_id": group_id} for each in wanted]
    if rows:
        statement = insert(os_variant_group)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["os_name", "arch"], set_={"group_id": statement.excluded.group_id}
            ),
            sorted(rows, key=lambda row: (row["os_name"], row["arch"])),
        )


def unknown_repositories(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Those of the ids that repo-sync has not taken up."""
    known = set(connection.scalars(select(repository.c.id).where(repository.c.id.in_(ids))))
    return [each for each in ids if each not in known]


def drop_group(connection: Connection, group_id: int) -> bool:
    """Whether there was such a group."""
    return connection.execute(delete(os_group).where(os_group.c.id == group_id)).rowcount == 1


def choose_for_host(connection: Connection, host_id: UUID, *, use_host_repos: bool | None, by: str) -> None:
    """What counts for one host, over its group's; None: its group's."""
    if use_host_repos is None:
        connection.execute(delete(host_repository_choice).where(host_repository_choice.c.host_id == host_id))
        return
    values = {"use_host_repos": use_host_repos, "changed_by": by, "changed_at": func.now()}
    statement = insert(host_repository_choice).values(host_id=host_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["host_id"], set_=values))


def choice_of_host(connection: Connection, host_id: UUID) -> RowMapping:
    """(choice, group_id, group, group_uses_host_repos, group_set_id) of a host; null where nothing is decided."""
    return (
        connection.execute(
            select(
                host_repository_choice.c.use_host_repos.label("choice"),
                os_group.c.id.label("group_id"),
                os_group.c.name.label("group"),
                os_group.c.use_host_repos.label("group_uses_host_repos"),
                host.c.group_repository_set_id.label("group_set_id"),
            )
            .select_from(
                host.outerjoin(host_repository_choice, host_repository_choice.c.host_id == host.c.id)
                .outerjoin(
                    os_variant_group,
                    and_(os_variant_group.c.os_name == host.c.os_name, os_variant_group.c.arch == host.c.arch),
                )
                .outerjoin(os_group, os_group.c.id == os_variant_group.c.group_id)
            )
            .where(host.c.id == host_id)
        )
        .mappings()
        .one()
    )


def lifecycles_of(connection: Connection, releases: Sequence[RowMapping]) -> dict[tuple[str, str], RowMapping]:
    """Lifecycle by (ecosystem, version); the calendars of some vendors know major versions only."""
    wanted = {
        (row["ecosystem"], version)
        for row in releases
        for version in ((row["version_id"] or ""), (row["version_id"] or "").partition(".")[0])
    }
    if not wanted:
        return {}
    rows = connection.execute(
        text("""
            SELECT l.ecosystem, l.version, l.name, l.ends_on, l.extended_ends_on,
                   coalesce(l.ends_on < current_date, false) AS ended
            FROM lifecycle l
            JOIN unnest(CAST(:ecosystems AS text[]), CAST(:versions AS text[])) AS w (ecosystem, version)
              USING (ecosystem, version)
        """),
        {"ecosystems": [each[0] for each in sorted(wanted)], "versions": [each[1] for each in sorted(wanted)]},
    ).mappings()
    return {(row["ecosystem"], row["version"]): row for row in rows}
