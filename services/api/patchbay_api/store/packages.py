"""Packages over the whole fleet: where installed, where available, and what each version fixes.

Which sets hold a package is asked of the GIN index, once a package id, so the cost follows the page and not the
fleet. Names are in byte order: that is what a prefix search can use.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from patchbay_shared.catalogue import Scheme
from patchbay_shared.errors import InvalidVersion
from patchbay_shared.tables import host, package, package_set
from patchbay_shared.versions import evr_key
from sqlalchemy import (
    Connection,
    Integer,
    LargeBinary,
    RowMapping,
    Select,
    Subquery,
    Text,
    bindparam,
    column,
    func,
    literal_column,
    select,
    text,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY

SCHEMES: dict[str, Scheme] = {"deb": "deb", "rpm": "rpm", "pacman": "alpm", "gentoo": "portage"}
"""Type of a package to the order of its versions."""
_REBUILD = re.compile(r"\+b\d+$")

_TYPE = "CASE r.type WHEN 'rpm-md' THEN 'rpm' WHEN 'susetags' THEN 'rpm' ELSE r.type END"

_INSTALLED_NAMES = "SELECT DISTINCT name FROM package WHERE name LIKE :pattern"
# One index probe a name: counting distinct names over millions of offers would read them all.
_OFFERED_NAMES = """
    SELECT name FROM (
        WITH RECURSIVE offered (name) AS (
            (SELECT name FROM available_package WHERE name LIKE :pattern ORDER BY name USING ~<~ LIMIT 1)
            UNION ALL
            SELECT (SELECT a.name FROM available_package a WHERE a.name LIKE :pattern AND a.name ~>~ o.name
                    ORDER BY a.name USING ~<~ LIMIT 1)
            FROM offered o WHERE o.name IS NOT NULL
        ) SELECT name FROM offered) o
    WHERE name IS NOT NULL
"""
_VERSIONS = f"""
    SELECT type, arch, evr_key, min(evr) AS evr
    FROM (
        SELECT type, arch, evr_key, evr FROM package WHERE name = :name
        UNION ALL
        SELECT {_TYPE}, a.arch, a.evr_key, a.evr
        FROM available_package a
        JOIN repository_index i ON i.id = a.index_id JOIN repository r ON r.id = i.repository_id
        WHERE a.name = :name
    ) v
    GROUP BY type, arch, evr_key
"""
_INSTALLED_VERSIONS = """
    SELECT type, arch, evr_key, min(evr) AS evr FROM package p
    WHERE name = :name AND EXISTS (
        SELECT FROM package_set s JOIN host h ON h.package_set_id = s.id WHERE s.package_ids @> ARRAY[p.id])
    GROUP BY type, arch, evr_key
"""


def names(prefix: str, *, offered: bool) -> Subquery:
    """(name): packages that hosts have or had, and with `offered` also those that only repositories have."""
    escaped = prefix.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    statement = _INSTALLED_NAMES + (f" UNION {_OFFERED_NAMES}" if offered else "")
    bound = text(statement).bindparams(bindparam("pattern", escaped + "%"))
    return bound.columns(column("name", Text)).subquery("names")


def summaries(connection: Connection, wanted: Collection[str]) -> dict[str, dict[str, Any]]:
    """What the list shows of each name: three queries, however many names."""
    found: dict[str, dict[str, Any]] = {
        name: {"installed_version_count": 0, "host_count": 0, "repository_count": 0, "newest": []} for name in wanted
    }
    bound = {"names": sorted(wanted)}
    for row in connection.execute(
        text("""
            SELECT p.name, count(DISTINCT (p.type, p.arch, p.evr_key)) FILTER (WHERE EXISTS (
                SELECT FROM package_set s JOIN host h ON h.package_set_id = s.id WHERE s.package_ids @> ARRAY[p.id]
            )) AS versions
            FROM package p WHERE p.name = ANY(:names) GROUP BY p.name
        """),
        bound,
    ):
        found[row.name]["installed_version_count"] = row.versions
    for row in connection.execute(
        text("""
            SELECT n.name, (
                SELECT count(*) FROM package_set s JOIN host h ON h.package_set_id = s.id WHERE s.package_ids && n.ids
            ) AS hosts
            FROM (SELECT name, array_agg(id) AS ids FROM package WHERE name = ANY(:names) GROUP BY name) n
        """),
        bound,
    ):
        found[row.name]["host_count"] = row.hosts
    for row in connection.execute(
        text(f"""
            SELECT a.name, {_TYPE} AS type, array_agg(DISTINCT r.id) AS repositories,
                   (array_agg(a.evr ORDER BY a.evr_key DESC))[1] AS evr
            FROM available_package a JOIN repository_index i ON i.id = a.index_id
            JOIN repository r ON r.id = i.repository_id
            WHERE a.name = ANY(:names) GROUP BY 1, 2 ORDER BY 1, 2
        """),
        bound,
    ):
        found[row.name]["repository_count"] += len(row.repositories)
        found[row.name]["newest"].append({"type": row.type, "version": row.evr})
    return found


def versions(name: str, *, installed: bool) -> Subquery:
    """(type, arch, evr_key, evr): each version that some host has or had, or some repository offers.

    If `installed`, only those that some host has.
    """
    return (
        text(_INSTALLED_VERSIONS if installed else _VERSIONS)
        .bindparams(bindparam("name", name))
        .columns(
            column("type", Text),
            column("arch", Text),
            column("evr_key", LargeBinary),
            column("evr", Text),
        )
        .subquery("versions")
    )


def describe_versions(connection: Connection, name: str, page: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows of `versions` with their hosts, repositories and fixes: three queries, however many versions."""
    keys = [bytes(row["evr_key"]) for row in page]
    bound = {"name": name, "keys": keys}
    hosts: dict[tuple[str, str, bytes], int] = {}
    sources: dict[tuple[str, str, bytes], tuple[str, bytes | None]] = {}
    for row in connection.execute(
        text("""
            SELECT p.type, p.arch, p.evr_key, min(p.source_name) AS source, min(p.source_key) AS source_key,
                   sum(u.hosts)::integer AS hosts
            FROM package p
            CROSS JOIN LATERAL (
                SELECT count(*) AS hosts FROM package_set s JOIN host h ON h.package_set_id = s.id
                WHERE s.package_ids @> ARRAY[p.id]) u
            WHERE p.name = :name AND p.evr_key = ANY(:keys)
            GROUP BY 1, 2, 3
        """),
        bound,
    ):
        key = (row.type, row.arch, bytes(row.evr_key))
        hosts[key] = row.hosts
        sources[key] = (row.source or name, bytes(row.source_key) if row.source_key else None)
    offers: dict[tuple[str, str, bytes], list[dict[str, Any]]] = {}
    for row in connection.execute(
        text(f"""
            SELECT DISTINCT {_TYPE} AS type, a.arch, a.evr_key, a.evr, a.source, a.source_version,
                   r.id, r.name AS repository, r.suite, r.security, i.component
            FROM available_package a JOIN repository_index i ON i.id = a.index_id
            JOIN repository r ON r.id = i.repository_id
            WHERE a.name = :name AND a.evr_key = ANY(:keys)
            ORDER BY r.name, r.id, i.component
        """),
        bound,
    ):
        key = (row.type, row.arch, bytes(row.evr_key))
        found = {"id": row.id, "name": row.repository, "suite": row.suite, "component": row.component}
        offered = offers.setdefault(key, [])
        if found not in offered:
            offered.append(found)
        sources.setdefault(key, (row.source or name, _source_key(row.type, row.evr, row.source_version)))
    fixes = _fixes(connection, name, sources)
    described = []
    for row in page:
        key = (row["type"], row["arch"], bytes(row["evr_key"]))
        source, source_key = sources.get(key, (name, None))
        here = fixes.get((name, "binary", key[2]), []) + fixes.get((source, "source", source_key or key[2]), [])
        described.append(
            {
                "type": row["type"],
                "arch": row["arch"],
                "version": row["evr"],
                "source": source,
                "host_count": hosts.get(key, 0),
                "repositories": offers.get(key, []),
                "fixes": sorted(here, key=lambda each: (each["source"], each["name"])),
            }
        )
    return described


def _fixes(
    connection: Connection, name: str, sources: dict[tuple[str, str, bytes], tuple[str, bytes | None]]
) -> dict[tuple[str, str, bytes], list[dict[str, Any]]]:
    """Advisories whose first fixed version is one of these, by package, kind and version."""
    keys = {key[2] for key in sources} | {source_key for _, source_key in sources.values() if source_key}
    if not keys:
        return {}
    rows = connection.execute(
        text("""
            SELECT f.package, f.kind, f.evr_key, a.source, a.name, a.severity,
                   ARRAY(SELECT ac.cve FROM advisory_cve ac WHERE ac.advisory_id = a.id ORDER BY 1) AS cves
            FROM (
                SELECT DISTINCT package, kind, evr_key, advisory_id FROM advisory_fix
                WHERE package = ANY(:packages) AND evr_key = ANY(:keys) AND state = 'fixed'
            ) f JOIN advisory a ON a.id = f.advisory_id
            WHERE a.status <> 'retracted'
        """),
        {"packages": sorted({name, *(source for source, _ in sources.values())}), "keys": sorted(keys)},
    )
    found: dict[tuple[str, str, bytes], list[dict[str, Any]]] = {}
    for row in rows.mappings():
        place = (row["package"], row["kind"], bytes(row["evr_key"]))
        shown = {each: row[each] for each in ("source", "name", "severity", "cves")}
        if shown not in found.setdefault(place, []):
            found[place].append(shown)
    return found


def ids_of(connection: Connection, name: str, *, type_: str | None, version: str | None) -> list[int]:
    """The package ids of a name, of one type or version where it is given."""
    statement = select(package.c.id).where(package.c.name == name)
    if type_:
        statement = statement.where(package.c.type == type_)
    if version:
        statement = statement.where(package.c.evr == version)
    return list(connection.scalars(statement.order_by(package.c.id)))


def exists(connection: Connection, name: str) -> bool:
    """Whether any host has or had, or any repository offers, a package of this name."""
    found = text(
        "SELECT EXISTS (SELECT FROM package WHERE name = :name)"
        " OR EXISTS (SELECT FROM available_package WHERE name = :name)"
    )
    return bool(connection.scalar(found, {"name": name}))


def hosts_with(ids: Sequence[int]) -> Select[Any]:
    """The hosts that have one of these packages, each with the versions that it has."""
    held = type_coerce(package_set.c.package_ids, ARRAY(Integer))
    chosen = package.alias("chosen")
    versions_here = (
        select(func.array_agg(chosen.c.evr + literal_column("' '") + chosen.c.arch))
        .where(chosen.c.id.in_(ids), chosen.c.id == func.any(package_set.c.package_ids))
        .scalar_subquery()
    )
    return (
        select(host.c.id, host.c.hostname, host.c.os_name.label("os"), versions_here.label("versions"))
        .join(package_set, package_set.c.id == host.c.package_set_id)
        .where(held.overlap(list(ids)))
    )


def packages_by_ids(connection: Connection, ids: Iterable[int]) -> dict[int, RowMapping]:
    """(id, type, name, arch, evr, evr_key) of each id."""
    columns = (package.c.id, package.c.type, package.c.name, package.c.arch, package.c.evr, package.c.evr_key)
    rows = connection.execute(select(*columns).where(package.c.id == func.any(sorted(ids))))
    return {row["id"]: row for row in rows.mappings()}


def _source_key(kind: str, evr: str, source_version: str | None) -> bytes | None:
    """Sort key of an offered package's source version; a rebuild's mark (+b1) is not part of it."""
    scheme = SCHEMES.get(kind)
    try:
        return evr_key(scheme, source_version or _REBUILD.sub("", evr)) if scheme else None
    except InvalidVersion:
        return None
