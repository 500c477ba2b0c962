"""Which packages are vulnerable to which CVE: fixes of the distributions against installed versions.

A package is compared by the release of its host: by source name and source version where the distribution names
sources, else by binary name and architecture. What a vendor's tracker says of a CVE and a package counts before
its advisories; of several advisories that name a CVE, each has to be applied.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from patchbay_shared.tables import host, package_set, repository_set
from sqlalchemy import (
    ColumnClause,
    Connection,
    Float,
    Integer,
    RowMapping,
    Select,
    Text,
    and_,
    bindparam,
    column,
    false,
    or_,
    select,
    text,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY

STATES = ("fix-available", "restricted", "open", "undetermined", "no-fix-planned", "fixed")
"""From the one that an administrator can do most about; restricted: only in a pocket such as Ubuntu's ESM."""

_FIXES = """
    SELECT f.*, a.type, a.name AS advisory
    FROM advisory_fix f JOIN advisory a ON a.id = f.advisory_id
    WHERE a.type IN ('security', 'cve') AND a.status <> 'retracted'
"""
_SOURCE = "f.kind = 'source' AND p.source_name = f.package"
_BINARY = """
    f.kind = 'binary' AND p.name = f.package AND f.arch IN ('', p.arch)
    AND (f.module = '' OR p.details->>'modularitylabel' LIKE f.module || ':%')
"""


def _rank(key: str) -> str:
    """SQL of the place in `STATES` that a fix `f` gives an installed version; null: it is not affected."""
    return f"""
        CASE WHEN f.introduced_key > {key} THEN NULL
             WHEN f.evr_key <= {key} THEN 5
             WHEN f.evr_key IS NOT NULL THEN CASE f.pocket WHEN '' THEN 0 ELSE 1 END
             ELSE CASE f.state WHEN 'open' THEN 2 WHEN 'no-fix-planned' THEN 4 ELSE 3 END END
    """


_SOURCE_KEY = "coalesce(p.source_key, p.evr_key)"

_HOST_CVES = f"""
    WITH installed AS MATERIALIZED (
        SELECT p.*, rs.ecosystem, rs.distro_release
        FROM host h
        JOIN repository_set rs ON rs.id = h.repository_set_id
        JOIN package_set ps ON ps.id = h.package_set_id
        JOIN package p ON p.id = ANY(ps.package_ids)
        WHERE h.id = :host_id
    ), matched AS (
        SELECT p.id, p.name, p.evr, f.advisory_id, f.type, f.advisory, {_rank(_SOURCE_KEY)} AS rank
        FROM installed p JOIN ({_FIXES}) f
          ON f.ecosystem = p.ecosystem AND f.distro_release = p.distro_release AND {_SOURCE}
        UNION ALL
        SELECT p.id, p.name, p.evr, f.advisory_id, f.type, f.advisory, {_rank("p.evr_key")}
        FROM installed p JOIN ({_FIXES}) f
          ON f.ecosystem = p.ecosystem AND f.distro_release = p.distro_release AND {_BINARY}
    ), named AS (
        SELECT m.*, ac.cve, bool_or(m.type = 'cve') OVER (PARTITION BY ac.cve, m.id) AS tracked
        FROM matched m JOIN advisory_cve ac ON ac.advisory_id = m.advisory_id
        WHERE m.rank IS NOT NULL
    ), decided AS (
        SELECT cve, id, name, evr, min(rank) AS rank
        FROM named WHERE type = 'cve' OR NOT tracked
        GROUP BY cve, id, name, evr
    ), judged AS (
        SELECT cve, min(rank) AS rank,
               array_agg(DISTINCT name || ' ' || evr ORDER BY name || ' ' || evr) AS packages
        FROM decided GROUP BY cve
    )
    SELECT j.cve, j.rank, j.packages, coalesce(c.score, 0) AS sort_score, c.score,
           coalesce(c.severity, '') AS severity, k.cve IS NOT NULL AS known_exploited, k.due_on, e.score AS epss,
           ARRAY(SELECT DISTINCT n.advisory FROM named n WHERE n.cve = j.cve AND n.type = 'security' AND n.rank < 2
                 ORDER BY 1) AS advisories
    FROM judged j
    LEFT JOIN LATERAL (
        SELECT score, severity FROM cve WHERE cve.id = j.cve
        ORDER BY score IS NULL, updated_at DESC NULLS LAST LIMIT 1) c ON true
    LEFT JOIN known_exploited k ON k.cve = j.cve
    LEFT JOIN exploit_score e ON e.cve = j.cve
"""

host_cve_columns: tuple[ColumnClause[Any], ...] = (
    column("cve", Text),
    column("rank", Integer),
    column("packages", ARRAY(Text)),
    column("sort_score", Float),
    column("score", Float),
    column("severity", Text),
    column("known_exploited"),
    column("due_on"),
    column("epss", Float),
    column("advisories", ARRAY(Text)),
)


def host_cves(host_id: UUID) -> Any:
    """A subquery of the CVEs that touch a host's packages, one row each, fixed ones as well."""
    statement = text(_HOST_CVES).bindparams(bindparam("host_id", host_id))
    return statement.columns(*host_cve_columns).subquery("host_cves")


class JudgedPackages:
    """The fleet's packages that a CVE touches, by distribution release, each with its place in `STATES`."""

    def __init__(self, rows: Iterable[RowMapping]) -> None:
        self._rows = list(rows)

    def hosts(self, ranks: Iterable[int]) -> Select[Any]:
        """The hosts that hold a package of one of these states, with the id of their package set."""
        wanted = set(ranks)
        by_release: dict[tuple[str, str], list[int]] = {}
        for row in self._rows:
            if row["rank"] in wanted:
                by_release.setdefault((row["ecosystem"], row["distro_release"]), []).append(row["id"])
        held = type_coerce(package_set.c.package_ids, ARRAY(Integer))
        conditions = [
            and_(
                repository_set.c.ecosystem == ecosystem,
                repository_set.c.distro_release == distro_release,
                held.overlap(ids),
            )
            for (ecosystem, distro_release), ids in sorted(by_release.items())
        ]
        return (
            select(
                host.c.id,
                host.c.hostname,
                host.c.os_name.label("os"),
                host.c.package_set_id,
                repository_set.c.ecosystem,
                repository_set.c.distro_release,
            )
            .join(package_set, package_set.c.id == host.c.package_set_id)
            .join(repository_set, repository_set.c.id == host.c.repository_set_id)
            .where(or_(false(), *conditions))
        )

    def on(self, connection: Connection, found: Sequence[Any]) -> list[dict[str, Any]]:
        """Rows of `hosts`, each with its state and its vulnerable packages."""
        sets = connection.execute(
            select(package_set.c.id, package_set.c.package_ids).where(
                package_set.c.id.in_({row["package_set_id"] for row in found})
            )
        )
        held = {row.id: set(row.package_ids) for row in sets}
        return [{**row, **self._judged(row, held[row["package_set_id"]])} for row in found]

    def _judged(self, found: RowMapping, held: set[int]) -> dict[str, Any]:
        release = (found["ecosystem"], found["distro_release"])
        here = [
            row for row in self._rows if row["id"] in held and (row["ecosystem"], row["distro_release"]) == release
        ]
        return {
            "state": STATES[min(row["rank"] for row in here)],
            "packages": sorted({f"{row['name']} {row['evr']}" for row in here if row["rank"] < len(STATES) - 1}),
        }


def packages_judged_for(connection: Connection, cve: str) -> JudgedPackages:
    """Every installed package of the fleet that a fix of this CVE is about."""
    rows = connection.execute(
        text(f"""
            WITH fixes AS MATERIALIZED (
                SELECT f.* FROM ({_FIXES}) f JOIN advisory_cve ac ON ac.advisory_id = f.advisory_id
                WHERE ac.cve = :cve
            ), matched AS (
                SELECT f.ecosystem, f.distro_release, f.type, p.id, p.name, p.evr, {_rank(_SOURCE_KEY)} AS rank
                FROM fixes f JOIN package p ON {_SOURCE}
                UNION ALL
                SELECT f.ecosystem, f.distro_release, f.type, p.id, p.name, p.evr, {_rank("p.evr_key")}
                FROM fixes f JOIN package p ON {_BINARY}
            ), named AS (
                SELECT m.*, bool_or(type = 'cve') OVER (PARTITION BY ecosystem, distro_release, id) AS tracked
                FROM matched m WHERE rank IS NOT NULL
            )
            SELECT ecosystem, distro_release, id, name, evr, min(rank) AS rank
            FROM named WHERE type = 'cve' OR NOT tracked
            GROUP BY ecosystem, distro_release, id, name, evr
        """),
        {"cve": cve},
    )
    return JudgedPackages(rows.mappings())


def cves(*, known_exploited_only: bool) -> Select[Any]:
    """The ids of all CVEs that an advisory, NVD or CISA names."""
    named = "SELECT cve FROM known_exploited"
    if not known_exploited_only:
        named += " UNION SELECT cve FROM advisory_cve UNION SELECT id FROM cve"
    every = text(named).columns(column("cve", Text)).subquery("every_cve")
    return select(every.c.cve)


def cve_details(connection: Connection, ids: list[str]) -> dict[str, RowMapping]:
    """What is known of each CVE, its best rating chosen; ids that nothing names are absent."""
    rows = connection.execute(
        text("""
            SELECT i.id, coalesce(c.state, 'published') AS state, coalesce(c.description, '') AS description,
                   c.score, coalesce(c.severity, '') AS severity, coalesce(c.vector, '') AS vector,
                   coalesce(c.cvss_version, '') AS cvss_version, coalesce(c.provider, '') AS provider,
                   coalesce(c.metrics, '[]') AS ratings, coalesce(c.cwes, '{}') AS cwes,
                   c.published_at, c.updated_at,
                   k.cve IS NOT NULL AS known_exploited, k.added_on AS exploited_since, k.due_on, k.ransomware,
                   k.action AS required_action, e.score AS epss, e.percentile AS epss_percentile,
                   e.model AS epss_model, e.scored_on AS epss_date,
                   ARRAY(SELECT DISTINCT a.name FROM advisory_cve ac JOIN advisory a ON a.id = ac.advisory_id
                         WHERE ac.cve = i.id AND a.type <> 'cve' ORDER BY 1) AS advisories,
                   (c.id IS NOT NULL OR k.cve IS NOT NULL
                    OR EXISTS (SELECT 1 FROM advisory_cve ac WHERE ac.cve = i.id)) AS known
            FROM unnest(CAST(:ids AS text[])) i (id)
            LEFT JOIN LATERAL (
                SELECT * FROM cve WHERE cve.id = i.id
                ORDER BY score IS NULL, updated_at DESC NULLS LAST LIMIT 1) c ON true
            LEFT JOIN known_exploited k ON k.cve = i.id
            LEFT JOIN exploit_score e ON e.cve = i.id
        """),
        {"ids": ids},
    )
    return {row["id"]: row for row in rows.mappings() if row["known"]}
