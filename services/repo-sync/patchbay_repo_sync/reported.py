"""Repositories that the server cannot read, behind a subscription for example: what their hosts report stands in.

Each host may report its package manager's own list of updates (`opinion`). Of a repository that no mirror served yet,
those updates are stored as its packages, and the repository is marked (`reported_at`, state `reported`). It is
tried as before; the first crawl that succeeds replaces all of it, and a repository that was crawled once is never
filled from reports.

An update belongs to the repository that the host names with it. Older clients and some package managers name
none: then it belongs to the first unreadable repository of that host, unless one that can be read has it.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec
import structlog
from patchbay_shared.catalogue import AdvisoryPackage, AvailablePackage, IndexContent, Scheme
from patchbay_shared.errors import InvalidVersion
from patchbay_shared.report import ReportRepository
from patchbay_shared.repositories import indexes, repository_id
from patchbay_shared.versions import evr_key
from sqlalchemy import Connection, text

from patchbay_repo_sync import store
from patchbay_repo_sync.formats.text import digest64
from patchbay_repo_sync.store import Repository
from patchbay_repo_sync.swap import Change, NewGeneration, NewIndex, swap

_log = structlog.get_logger(__name__)

STANDS_IN = " What its hosts report as available stands in for it."
FILL_AGAIN_SECONDS = 300
"""How soon new reports may fill a repository again that was filled before."""
_SCHEMES: dict[str, Scheme] = {"deb": "deb", "rpm-md": "rpm", "susetags": "rpm", "pacman": "alpm"}
_MODULE_BUILDS = (".module+", ".module_")
_OVERLAP_SECONDS = 60
"""A report may be committed this long after the time that it carries."""
_UNREADABLE = "state IN ('failing', 'reported') AND (generation = 0 OR reported_at IS NOT NULL)"
_OPINION_SINCE = """EXISTS (
    SELECT FROM repository_set s JOIN host h ON h.repository_set_id = s.id JOIN opinion o ON o.host_id = h.id
    WHERE s.repository_ids @> ARRAY[repository.id] AND o.reported_at > coalesce(
        reported_at - make_interval(secs => :overlap), '-infinity'))"""
_WAITING = f"""type = ANY(CAST(:types AS text[])) AND {_UNREADABLE} AND (
    reported_at IS NULL AND {_OPINION_SINCE}
    OR reported_at < now() - make_interval(secs => :again) AND {_OPINION_SINCE}
    OR reported_at < now() - interval '1 hour')"""


class _Architectures(msgspec.Struct, frozen=True):
    """The part of a repository set's policy that says which of apt's indexes are read."""

    native_arch: str = ""
    foreign_archs: list[str] = []


class _Set(msgspec.Struct, frozen=True):
    """One repository set of hosts that report updates."""

    id: int
    definitions: list[ReportRepository]
    """Of the enabled repositories, in the host's order."""
    policy: _Architectures


class _Update(msgspec.Struct, frozen=True):
    """One line of the lists of the hosts of one set."""

    name: str
    arch: str
    evr: str
    repository: str
    security: bool
    source: str | None
    vendor: str | None


def lease_waiting(connection: Connection, owner: str, seconds: float) -> Repository | None:
    """Lease a repository that hosts' reports can fill, if they say something that is not stored yet."""
    values = {"types": list(_SCHEMES), "overlap": _OVERLAP_SECONDS, "again": FILL_AGAIN_SECONDS}
    return store.lease(connection, owner, seconds, which=f"({_WAITING})", values=values)


def fill(connection: Connection, repository: Repository, owner: str) -> Change:
    """Make a leased repository what its hosts report as available, and give the lease back. Raises LeaseLost."""
    stored = store.indexes_of(connection, repository.id)
    sets = _sets(connection, repository.id)
    found: dict[tuple[str, str], dict[AvailablePackage, bool]] = {each.key: {} for each in stored}
    for each, updates in _updates(connection, sets):
        _place(repository, each, _belonging(connection, repository.id, each, updates), found)
    change = swap(
        connection,
        repository,
        None,
        {each.key: each for each in stored},
        NewGeneration([_index(*pair) for pair in sorted(found.items())], security=repository.security, reported=True),
        owner=owner,
    )
    connection.execute(
        text("""
            UPDATE repository SET state = 'reported', lease_owner = NULL, leased_until = NULL,
                message = CASE WHEN message LIKE '%' || :stands_in THEN message ELSE message || :stands_in END
            WHERE id = :id
        """),
        {"id": repository.id, "stands_in": STANDS_IN},
    )
    return change


def _index(key: tuple[str, str], packages: Mapping[AvailablePackage, bool]) -> NewIndex:
    called_security = [AdvisoryPackage(each.name, each.arch, each.evr) for each, called in packages.items() if called]
    records = [(each.digest, each) for each in packages]
    return NewIndex(
        *key,
        path="the hosts' reports",
        records=lambda _known: records,
        content=IndexContent(reported_security=sorted(called_security, key=lambda each: (each.name, each.evr))),
        content_changed=True,
    )


def _sets(connection: Connection, wanted: UUID) -> list[_Set]:
    rows = connection.execute(
        text("""
            SELECT id, (document -> 'repositories')::text AS repositories,
                coalesce(document -> 'policy', '{}')::text AS policy
            FROM repository_set s WHERE repository_ids @> ARRAY[CAST(:id AS uuid)] AND EXISTS (
                SELECT FROM host h JOIN opinion o ON o.host_id = h.id WHERE h.repository_set_id = s.id)
            ORDER BY id
        """),
        {"id": wanted},
    )
    return [
        _Set(
            row.id,
            [e for e in msgspec.json.decode(row.repositories, type=list[ReportRepository]) if e.enabled],
            msgspec.json.decode(row.policy, type=_Architectures),
        )
        for row in rows
    ]


def _updates(connection: Connection, sets: Sequence[_Set]) -> Iterable[tuple[_Set, list[_Update]]]:
    """What the hosts of each set report, with what they say of the installed package of that name."""
    rows = connection.execute(
        text("""
            WITH reported AS (
                SELECT h.repository_set_id AS set_id, u.name, coalesce(u.arch, '') AS arch, u.to AS evr,
                    coalesce(u.repo, '') AS repo, bool_or(coalesce(u.security, false)) AS security,
                    min(h.package_set_id) AS package_set_id
                FROM host h JOIN opinion o ON o.host_id = h.id
                CROSS JOIN LATERAL jsonb_to_recordset(o.client)
                    AS u (name text, arch text, "to" text, repo text, security boolean)
                WHERE h.repository_set_id = ANY(CAST(:sets AS integer[])) AND u.to <> ''
                GROUP BY 1, 2, 3, 4, 5
            )
            SELECT r.set_id, r.name, coalesce(nullif(r.arch, ''), p.arch, '') AS arch, r.evr, r.repo, r.security,
                p.details ->> 'source' AS source, p.details ->> 'vendor' AS vendor
            FROM reported r LEFT JOIN LATERAL (
                SELECT p.arch, p.details FROM package p JOIN package_set s ON p.id = ANY(s.package_ids)
                WHERE s.id = r.package_set_id AND p.name = r.name
                ORDER BY p.arch <> r.arch, p.id LIMIT 1
            ) p ON true
            ORDER BY r.set_id, r.name, r.evr
        """),
        {"sets": [each.id for each in sets]},
    )
    by_set: dict[int, list[_Update]] = {each.id: [] for each in sets}
    for row in rows:
        by_set[row.set_id].append(
            _Update(row.name, row.arch, row.evr, row.repo, row.security, row.source, row.vendor)
        )
    return [(each, by_set[each.id]) for each in sets]


def _belonging(
    connection: Connection, wanted: UUID, hosts: _Set, updates: Sequence[_Update]
) -> Iterable[tuple[_Update, ReportRepository]]:
    """The updates that are the wanted repository's, with that repository as these hosts define it."""
    ids = {repository_id(each): each for each in hosts.definitions}
    names: dict[str, UUID] = {}
    for number, each in ids.items():
        for name in (each.id, each.name, each.suite or ""):
            names.setdefault(name, number)
    names.pop("", None)
    unnamed = [each for each in updates if each.repository not in names]
    unreadable = _unreadable(connection, list(ids))
    offered = _offered(connection, [e for e in ids if e not in unreadable], unnamed) if unnamed else set()
    by_label = {security: _first(ids, unreadable, security=security) for security in (True, False)}
    for update in updates:
        home = names.get(update.repository)
        if home is None and (update.name, update.evr) not in offered:
            home = by_label[update.security]
        if home == wanted:
            yield update, ids[wanted]


def _unreadable(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    return set(
        connection.scalars(
            text(f"SELECT id FROM repository WHERE id = ANY(CAST(:ids AS uuid[])) AND enabled AND {_UNREADABLE}"),
            {"ids": ids},
        )
    )


def _first(ids: Mapping[UUID, ReportRepository], among: set[UUID], *, security: bool) -> UUID | None:
    """The host's first unreadable repository with that label, else its first one."""
    known = [number for number in ids if number in among]
    return next((each for each in known if bool(ids[each].security) is security), next(iter(known), None))


def _offered(connection: Connection, ids: Sequence[UUID], updates: Sequence[_Update]) -> set[tuple[str, str]]:
    """Which of the updates repositories have that were crawled, as (name, version)."""
    rows = connection.execute(
        text("""
            SELECT DISTINCT p.name, p.evr FROM available_package p
            JOIN repository_index i ON i.id = p.index_id
            WHERE i.repository_id = ANY(CAST(:ids AS uuid[])) AND i.present AND p.name = ANY(CAST(:names AS text[]))
        """),
        {"ids": ids, "names": sorted({each.name for each in updates})},
    )
    known = {(row.name, row.evr.removeprefix("0:")) for row in rows}
    return {(e.name, e.evr) for e in updates if (e.name, e.evr.removeprefix("0:")) in known}


def _place(
    repository: Repository,
    hosts: _Set,
    updates: Iterable[tuple[_Update, ReportRepository]],
    found: dict[tuple[str, str], dict[AvailablePackage, bool]],
) -> None:
    """Add the updates to the indexes that their hosts read. Builds of module streams are left out: a report does
    not say of which stream, and a host must not be offered another one's."""
    scheme = _SCHEMES[repository.type]
    refused = 0
    for update, definition in updates:
        if any(mark in update.evr for mark in _MODULE_BUILDS):
            refused += 1
            continue
        try:
            package = _package(update, scheme)
        except InvalidVersion:
            refused += 1
            continue
        keys = indexes(definition, hosts.policy)
        architectures = {architecture for _, architecture in keys}
        for architecture in architectures if package.arch == "all" else {package.arch} & architectures or {""}:
            key = next((each for each in keys if each[1] == architecture), None)
            if key in found:
                found[key][package] = found[key].get(package, False) or update.security
    if refused:
        _log.info("reported_updates_left_out", repository_id=str(repository.id), count=refused)


def _package(update: _Update, scheme: Scheme) -> AvailablePackage:
    """Raises InvalidVersion."""
    evr = update.evr.removeprefix("0:") if scheme == "rpm" else update.evr
    identity = "\0".join(("reported", update.name, update.arch, evr, update.source or "", update.vendor or ""))
    return AvailablePackage(
        name=update.name,
        arch=update.arch,
        evr=evr,
        evr_key=evr_key(scheme, evr),
        digest=digest64(identity.encode("utf-8", "surrogatepass")),
        source=update.source,
        vendor=update.vendor,
    )
