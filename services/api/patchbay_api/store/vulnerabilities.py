"""Which hosts have which CVE, and what is known of it. What matches what: `patchbay_shared.exposure`."""

import re
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from patchbay_shared.exposure import (
    ACTIVE,
    BY_BINARY,
    BY_SOURCE,
    EXPOSED_TAGS,
    FIXED,
    FIXES,
    KERNEL,
    LEVELS,
    PLANNED,
    REPOSITORY,
    RESTART,
    SOURCE_KEY,
    STATES,
    TAGS,
    WAIVED,
    host_cves,
    rank,
    scope_of,
)
from patchbay_shared.tables import host, package_set, reboot_verdict, repository_set
from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Float,
    Integer,
    RowMapping,
    Select,
    Text,
    and_,
    bindparam,
    column,
    false,
    func,
    not_,
    or_,
    select,
    text,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

TOUCHING = (*range(FIXED), WAIVED)
"""The places in `STATES` of what touches a host."""

host_cve_columns: tuple[ColumnClause[Any], ...] = (
    column("host_id", Uuid),
    column("cve", Text),
    column("rank", Integer),
    column("packages", ARRAY(Text)),
    column("advisories", ARRAY(Text)),
    column("score", Float),
    column("sort_score", Float),
    column("severity", Text),
    column("vector", Text),
    column("cvss_version", Text),
    column("cwes", ARRAY(Text)),
    column("known_exploited"),
    column("due_on", Date),
    column("epss", Float),
    column("epss_percentile", Float),
    column("since", DateTime(timezone=True)),
    column("waived"),
    column("exception_id", Integer),
    column("due_by", Date),
    column("sort_due", Date),
    column("overdue"),
    column("priority", Integer),
    column("vendor_level", Integer),
)


def cves_of_host(host_id: UUID) -> Any:
    """A subquery of the CVEs that a host's packages are named for, one row each, fixed ones as well."""
    statement = text(host_cves()).bindparams(
        bindparam("host_ids", [host_id]),
        bindparam("levels", list(LEVELS)),
        bindparam("exposed_tags", list(EXPOSED_TAGS)),
    )
    return statement.columns(*host_cve_columns).subquery("host_cves")


def fixed_by_updates(
    connection: Connection, host_id: UUID, packages: Iterable[str] | None = None
) -> dict[str, list[RowMapping]]:
    """Package as `name version` to the CVEs of the host that an update of it fixes, unless waived; the worst first.

    One query, whatever the number of packages; None: all of the host's.
    """
    rows = cves_of_host(host_id)
    statement = (
        select(rows)
        .where(rows.c.rank == STATES.index("fix-available"))
        .order_by(rows.c.priority.desc(), rows.c.cve.desc())
    )
    wanted = None if packages is None else set(packages)
    if wanted is not None:
        statement = statement.where(rows.c.packages.overlap(sorted(wanted)))
    connection.execute(text(PLANNED))
    found: dict[str, list[RowMapping]] = {}
    for row in connection.execute(statement).mappings():
        for each in set(row["packages"]) if wanted is None else wanted.intersection(row["packages"]):
            found.setdefault(each, []).append(row)
    return found


class JudgedPackages:
    """The fleet's packages that a CVE is about, by distribution release, each with its place in `STATES`.

    The hosts are found by the GIN index over the packages of their sets, whole rows are made for a page only.
    """

    def __init__(self, connection: Connection, cve: str, rows: Iterable[RowMapping]) -> None:
        self._connection = connection
        self._cve = cve
        self._places: dict[tuple[str, str], list[RowMapping]] = {}
        for row in rows:
            self._places.setdefault((row["ecosystem"], row["distro_release"]), []).append(row)
        self._ids = sorted({row["id"] for rows in self._places.values() for row in rows})

    def hosts(self, ranks: Iterable[int]) -> Select[Any]:
        """The hosts of which the CVE is in one of these states."""
        wanted = set(ranks)
        chosen: list[ColumnElement[bool]] = []
        if wanted >= set(TOUCHING):
            chosen.append(or_(*(self._touched(each) for each in range(FIXED))))
        else:
            waived = self._waived()
            unless_waived = host.c.id.not_in(waived) if waived else None
            if WAIVED in wanted and waived:
                chosen.append(host.c.id.in_(waived))
            for each in sorted(wanted - {WAIVED}):
                better = [not_(self._touched(other)) for other in range(each) if other <= FIXED]
                chosen.append(and_(self._touched(each), *better, *([] if unless_waived is None else [unless_waived])))
        return (
            select(host.c.id, host.c.hostname, host.c.os_name.label("os"))
            .join(package_set, package_set.c.id == host.c.package_set_id)
            .join(repository_set, repository_set.c.id == host.c.repository_set_id)
            .outerjoin(reboot_verdict, reboot_verdict.c.host_id == host.c.id)
            .where(or_(false(), *chosen))
        )

    def on(self, found: Sequence[Any]) -> list[dict[str, Any]]:
        """Rows of `hosts`, each with all that is known of the CVE on it."""
        known = {row["host_id"]: row for row in self._rows([row["id"] for row in found])}
        return [
            {**known[row["id"]], **row, "state": STATES[known[row["id"]]["rank"]]}
            for row in found
            if row["id"] in known
        ]

    def counts(self) -> dict[str, int]:
        """How many hosts are in which state."""
        counted = {}
        for number, name in enumerate(STATES):
            statement = self.hosts([number]).with_only_columns(func.count())
            counted[name] = self._connection.scalar(statement) or 0
        return counted

    def _rows(self, host_ids: list[UUID]) -> list[RowMapping]:
        if not host_ids:
            return []
        parameters = {
            "host_ids": host_ids,
            "levels": list(LEVELS),
            "exposed_tags": list(EXPOSED_TAGS),
            "cve": self._cve,
            "package_ids": self._ids,
        }
        return list(self._connection.execute(text(host_cves(of_one_cve=True)), parameters).mappings())

    def _waived(self) -> list[UUID]:
        """Hosts of which the CVE is waived: those in the scope of an exception that may be meant are looked at."""
        rows = [row for rows in self._places.values() for row in rows]
        subjects = {self._cve, *(row["name"] for row in rows), *(row["source_name"] for row in rows)}
        subjects.update(advisory for row in rows for advisory in row["advisories"])
        candidates = self._connection.scalars(
            text(f"""
                SELECT DISTINCT t.host_id
                FROM (SELECT h.id AS host_id, {TAGS} AS tags, hl.group_id
                      FROM host h LEFT JOIN host_label hl ON hl.host_id = h.id) t
                JOIN risk_exception x ON {scope_of("x")}
                WHERE x.subject = ANY(:subjects) AND {ACTIVE}
            """),
            {"subjects": sorted(each for each in subjects if each)},
        ).all()
        return [row["host_id"] for row in self._rows(list(candidates)) if row["rank"] == WAIVED]

    def _touched(self, state: int) -> ColumnElement[bool]:
        """That a package of a host is of this state; not whether another is of one before it."""
        conditions = []
        for (ecosystem, distro_release), rows in sorted(self._places.items()):
            if ecosystem == REPOSITORY:
                ids = type_coerce(repository_set.c.repository_ids, ARRAY(Uuid))
                here: ColumnElement[bool] = ids.contains([UUID(distro_release)])
            else:
                here = and_(
                    repository_set.c.ecosystem == ecosystem, repository_set.c.distro_release == distro_release
                )
            held = self._pending(rows) if state == RESTART else _held(rows, state)
            if held is not None:
                conditions.append(and_(here, held))
        return or_(false(), *conditions)

    def _pending(self, rows: list[RowMapping]) -> ColumnElement[bool] | None:
        conditions = []
        for kernel in sorted({row["kernel"] for row in rows if row["kernel"]}):
            mine = [row for row in rows if row["kernel"] == kernel]
            old, new = [row for row in mine if row["rank"] < FIXED], [row for row in mine if row["rank"] == FIXED]
            if old and new:
                conditions.append(and_(_overlap(old), _overlap(new), _runs(old)))
        if running := self._running(rows):
            conditions.append(host.c.id.in_(running))
        return or_(*conditions) if conditions else None

    def _running(self, rows: list[RowMapping]) -> list[UUID]:
        """Hosts where a service, or Arch's kernel, was started before a vulnerable package was replaced."""
        old = [row["id"] for row in rows if row["rank"] < FIXED]
        new = [row["id"] for row in rows if row["rank"] == FIXED]
        if not old or not new:
            return []
        candidates = self._connection.scalars(
            text("""
                SELECT DISTINCT h.id
                FROM package_event e
                JOIN host h ON h.id = e.host_id
                JOIN package_set ps ON ps.id = h.package_set_id
                JOIN repository_set rs ON rs.id = h.repository_set_id
                WHERE e.removed_ids && CAST(:old AS integer[]) AND ps.package_ids && CAST(:new AS integer[])
                  AND (rs.ecosystem = 'arch' OR jsonb_path_exists(h.facts, '$.stale_services[0]'))
            """),
            {"old": old, "new": new},
        ).all()
        return [row["host_id"] for row in self._rows(list(candidates)) if row["rank"] == RESTART]


def _held(rows: list[RowMapping], state: int) -> ColumnElement[bool] | None:
    """That one of the packages of this state is installed; an older kernel beside a fixed one does not count."""
    conditions = []
    if plain := [row for row in rows if row["rank"] == state and (not row["kernel"] or state >= FIXED)]:
        conditions.append(_overlap(plain))
    if state < FIXED:
        for kernel in sorted({row["kernel"] for row in rows if row["kernel"] and row["rank"] == state}):
            old = [row for row in rows if row["kernel"] == kernel and row["rank"] == state]
            new = [row for row in rows if row["kernel"] == kernel and row["rank"] == FIXED]
            conditions.append(and_(_overlap(old), not_(_overlap(new))) if new else _overlap(old))
    return or_(*conditions) if conditions else None


def _overlap(rows: list[RowMapping]) -> ColumnElement[bool]:
    held = type_coerce(package_set.c.package_ids, ARRAY(Integer))
    overlap: ColumnElement[bool] = held.overlap(sorted({row["id"] for row in rows}))
    return overlap


def _runs(rows: list[RowMapping]) -> ColumnElement[bool]:
    """That the running kernel is one of these packages; see `patchbay_shared.exposure.RUNS`."""
    releases: set[str] = set()
    for row in rows:
        evr = row["evr"].rpartition(":")[2]
        if row["type"] == "deb":
            releases.update(re.findall(r"^linux-[a-z-]+?-([0-9].*)$", row["name"]))
        else:
            releases.update((f"{evr}.{row['arch']}", evr, evr.rpartition(".")[0]))
    kernel = host.c.kernel
    names = [kernel, func.split_part(kernel, "+", 1), func.regexp_replace(kernel, "-[a-z][a-z0-9_]*$", "")]
    unknown = and_(kernel == "", func.coalesce(reboot_verdict.c.required, host.c.reboot_required, false()))
    return or_(*(each.in_(sorted(releases)) for each in names), unknown)


def packages_judged_for(connection: Connection, cve: str) -> JudgedPackages:
    """Every installed package of the fleet that a fix of this CVE is about."""
    rows = connection.execute(
        text(f"""
            WITH fixes AS MATERIALIZED (
                SELECT f.* FROM ({FIXES}) f JOIN advisory_cve ac ON ac.advisory_id = f.advisory_id
                WHERE ac.cve = :cve
            ), matched AS (
                SELECT f.ecosystem, f.distro_release, f.type AS said, f.advisory, p.id, {rank(SOURCE_KEY)} AS rank
                FROM fixes f JOIN package p ON {BY_SOURCE}
                UNION ALL
                SELECT f.ecosystem, f.distro_release, f.type, f.advisory, p.id, {rank("p.evr_key")}
                FROM fixes f JOIN package p ON {BY_BINARY}
            ), named AS (
                SELECT m.*, bool_or(said = 'cve') OVER (PARTITION BY ecosystem, distro_release, id) AS tracked
                FROM matched m
            ), decided AS (
                SELECT ecosystem, distro_release, id,
                       min(rank) FILTER (WHERE said = 'cve' OR NOT tracked) AS rank,
                       array_agg(DISTINCT advisory) AS advisories
                FROM named GROUP BY ecosystem, distro_release, id
            )
            SELECT d.*, p.type, p.name, p.evr, p.arch, p.source_name, {KERNEL} AS kernel
            FROM decided d JOIN package p ON p.id = d.id
        """),
        {"cve": cve},
    )
    return JudgedPackages(connection, cve, rows.mappings())
