"""SQL of support: until when what hosts run gets security updates."""

from collections.abc import Collection
from uuid import UUID

from patchbay_shared.exposure import REPOSITORY
from patchbay_shared.tables import lifecycle, repository
from sqlalchemy import ColumnElement, Connection, RowMapping, case, func, select, text

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


def forecast(connection: Connection) -> list[RowMapping]:
    """What hosts run, distribution releases and third-party repositories, with its support and the number of hosts.

    The first to end first; what no calendar has comes last. `last_on` is the last day of any support.
    """
    return list(
        connection.execute(
            text(f"""
                WITH sets AS (
                    SELECT rs.id, rs.ecosystem, rs.repository_ids, count(*) AS hosts,
                           coalesce(nullif(rs.document #>> '{{policy,os_release,VERSION_ID}}', ''),
                                    rs.document #>> '{{policy,os_release,VERSION_CODENAME}}', '') AS version
                    FROM host h JOIN repository_set rs ON rs.id = h.repository_set_id
                    GROUP BY rs.id
                ), ends AS (
                    SELECT s.id, 'distribution' AS kind,
                           coalesce(l.name, nullif(trim(concat(s.ecosystem, ' ', s.version)), ''), 'unknown') AS name,
                           l.ends_on, l.extended_ends_on, s.hosts
                    FROM sets s LEFT JOIN LATERAL (
                        SELECT * FROM lifecycle l
                        WHERE l.ecosystem = s.ecosystem AND l.version IN (s.version, split_part(s.version, '.', 1))
                        ORDER BY length(l.version) DESC LIMIT 1) l ON true
                    UNION
                    SELECT s.id, 'repository', l.name, l.ends_on, l.extended_ends_on, s.hosts
                    FROM sets s
                    JOIN repository r ON r.id = ANY(s.repository_ids)
                    JOIN lifecycle l ON l.ecosystem = '{REPOSITORY}' AND r.url ~ l.version
                )
                SELECT kind, name, ends_on, extended_ends_on, sum(hosts) AS hosts,
                       greatest(ends_on, extended_ends_on) AS last_on, ends_on - current_date AS days_left,
                       CASE WHEN ends_on IS NULL THEN 'unknown' WHEN ends_on >= current_date THEN 'supported'
                            WHEN extended_ends_on >= current_date THEN 'extended' ELSE 'ended' END AS phase
                FROM ends GROUP BY kind, name, ends_on, extended_ends_on
                ORDER BY ends_on NULLS LAST, kind, name
            """)
        ).mappings()
    )
