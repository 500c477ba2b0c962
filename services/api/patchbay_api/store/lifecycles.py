"""SQL of support: until when what hosts run gets security updates."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from patchbay_shared.exposure import REPOSITORY
from patchbay_shared.tables import lifecycle, repository, repository_set
from sqlalchemy import (
    ColumnElement,
    Connection,
    Date,
    Integer,
    RowMapping,
    Select,
    Subquery,
    Text,
    case,
    column,
    func,
    select,
    text,
)

phase: ColumnElement[str] = case(
    (lifecycle.c.ends_on.is_(None), "unknown"),
    (lifecycle.c.ends_on >= func.current_date(), "supported"),
    (lifecycle.c.extended_ends_on >= func.current_date(), "extended"),
    else_="ended",
)
"""supported: for everybody; extended: by LTS, ESM, ELS or whatever the vendor calls it; ended; unknown: no date."""


def lifecycle_of(connection: Connection, ecosystem: str, version: str) -> RowMapping | None:
    """The lifecycle of a distribution release by its os-release fields; None if no calendar has it.

    Calendars of some vendors know major versions only: 9 is that of 9.5 then.
    """
    candidates = [version, version.partition(".")[0]]
    return (
        connection.execute(
            select(
                lifecycle.c.name,
                lifecycle.c.ends_on,
                lifecycle.c.extended_ends_on,
                func.coalesce(lifecycle.c.ends_on < func.current_date(), False).label("ended"),
                phase.label("phase"),
            )
            .where(lifecycle.c.ecosystem == ecosystem, lifecycle.c.version.in_(candidates))
            .order_by(func.length(lifecycle.c.version).desc())
            .limit(1)
        )
        .mappings()
        .one_or_none()
    )


def lifecycles_of_repositories(connection: Connection, repository_ids: Collection[UUID]) -> list[RowMapping]:
    """Those of the repositories whose end is known, the first to end first."""
    return list(
        connection.execute(
            select(
                repository.c.id.label("repository_id"),
                lifecycle.c.name,
                lifecycle.c.ends_on,
                lifecycle.c.extended_ends_on,
                func.coalesce(lifecycle.c.ends_on < func.current_date(), False).label("ended"),
                phase.label("phase"),
            )
            .join(lifecycle, repository.c.url.regexp_match(lifecycle.c.version))
            .where(lifecycle.c.ecosystem == REPOSITORY, repository.c.id.in_(list(repository_ids)))
            .order_by(lifecycle.c.ends_on, lifecycle.c.name)
        ).mappings()
    )


_PHASE = """
    CASE WHEN {0}.ends_on IS NULL THEN 'unknown' WHEN {0}.ends_on >= current_date THEN 'supported'
         WHEN {0}.extended_ends_on >= current_date THEN 'extended' ELSE 'ended' END
"""
SUPPORT_OF_SETS = f"""
    SELECT rs.id AS set_id, l.ends_on, l.extended_ends_on, {_PHASE.format("l")} AS phase,
           coalesce(l.name, nullif(trim(concat(rs.ecosystem, ' ', v.version)), ''), 'unknown') AS name
    FROM repository_set rs
    CROSS JOIN LATERAL (
        SELECT coalesce(nullif(rs.document #>> '{{policy,os_release,VERSION_ID}}', ''),
                        rs.document #>> '{{policy,os_release,VERSION_CODENAME}}', '') AS version) v
    LEFT JOIN LATERAL (
        SELECT * FROM lifecycle l
        WHERE l.ecosystem = rs.ecosystem AND l.version IN (v.version, split_part(v.version, '.', 1))
        ORDER BY length(l.version) DESC LIMIT 1) l ON true
"""
"""SQL of what `support_of_sets` is."""
PHASES = ("supported", "extended", "ended", "unknown")


def support_of_sets() -> Subquery:
    """(set_id, phase, name, ends_on, extended_ends_on): the support of the release that each repository set is of."""
    columns = (column("set_id", Integer), column("phase", Text), column("name", Text), column("ends_on", Date),
               column("extended_ends_on", Date))  # fmt: skip
    return text(SUPPORT_OF_SETS).columns(*columns).subquery("support")


def sets_of_calendar(wanted: ColumnElement[bool]) -> Select[Any]:
    """(id): repository sets with a third-party repository whose entry in the calendar is `wanted`."""
    return (
        select(repository_set.c.id)
        .join(repository, repository.c.id == func.any(repository_set.c.repository_ids))
        .join(lifecycle, repository.c.url.regexp_match(lifecycle.c.version))
        .where(lifecycle.c.ecosystem == REPOSITORY, wanted)
    )


def forecast(connection: Connection) -> list[RowMapping]:
    """What hosts run, distribution releases and third-party repositories, with its support and the number of hosts.

    The first to end first; what no calendar has comes last. `last_on` is the last day of any support.
    """
    return list(
        connection.execute(
            text(f"""
                WITH used AS (
                    SELECT repository_set_id AS set_id, count(*) AS hosts FROM host GROUP BY 1
                ), ends AS (
                    SELECT u.set_id, 'distribution' AS kind, s.name, s.ends_on, s.extended_ends_on, u.hosts
                    FROM used u JOIN ({SUPPORT_OF_SETS}) s USING (set_id)
                    UNION
                    SELECT u.set_id, 'repository', l.name, l.ends_on, l.extended_ends_on, u.hosts
                    FROM used u
                    JOIN repository_set rs ON rs.id = u.set_id
                    JOIN repository r ON r.id = ANY(rs.repository_ids)
                    JOIN lifecycle l ON l.ecosystem = '{REPOSITORY}' AND r.url ~ l.version
                )
                SELECT kind, name, ends_on, extended_ends_on, sum(hosts) AS hosts,
                       greatest(ends_on, extended_ends_on) AS last_on, ends_on - current_date AS days_left,
                       {_PHASE.format("ends")} AS phase
                FROM ends GROUP BY kind, name, ends_on, extended_ends_on
                ORDER BY ends_on NULLS LAST, kind, name
            """)
        ).mappings()
    )
