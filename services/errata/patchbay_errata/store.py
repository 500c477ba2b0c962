"""SQL of advisories, CVEs, scores and lifecycles: what changed is written by COPY, what did not is left alone."""

import hashlib
from collections import Counter
from collections.abc import Callable, Container, Iterable
from typing import Any

import msgspec
from patchbay_shared.db import driver
from patchbay_shared.errors import InvalidInput
from sqlalchemy import Connection, text

from patchbay_errata.advisory import (
    SCHEMES,
    Advisory,
    CveRecord,
    ExploitScore,
    Fix,
    KnownExploited,
    Lifecycle,
    sort_key,
)
from patchbay_errata.sources.cvss_metric import best

_BATCH = 2_000
_MAX_PARTS = 10_000
_SHRINK_SHARE = 0.1
_SHRINK_LEAST = 20

_ADVISORY = (
    "id, source, name, part, digest, vendor, type, severity, vendor_severity, status, title, description, url, "
    "issued_at, updated_at, links"
)
_FIX = (
    "advisory_id, ecosystem, distro_release, package, kind, arch, module, pocket, state, evr, evr_key, "
    "introduced_key, note"
)
_CVE = (
    "id, source, digest, state, description, score, severity, vector, cvss_version, provider, metrics, cwes, "
    "published_at, updated_at"
)

Touched = dict[tuple[str, str], set[str]]
"""(ecosystem, distribution release) to the names of packages whose security fixes changed."""
_Batch = list[tuple[int, int, int, Advisory]]
"""Key, part, digest, record."""
_FixKey = tuple[Any, ...]
"""Advisory, ecosystem, distribution release, package, kind, arch, module, version, severity, when it was issued."""


class Outcome(msgspec.Struct):
    """What storing one feed did."""

    record_count: int = 0
    added_count: int = 0
    changed_count: int = 0
    removed_count: int = 0
    kept_count: int = 0
    """Records that the feed no longer has, kept because suddenly so many are gone."""
    touched: Touched = msgspec.field(default_factory=dict)
    generations: dict[tuple[str, str], int] = msgspec.field(default_factory=dict)
    """Of each touched release, as it is now."""

    @property
    def changed(self) -> bool:
        return bool(self.added_count or self.changed_count or self.removed_count)


def store_advisories(
    connection: Connection,
    source: str,
    records: Iterable[Advisory],
    *,
    whole: bool = True,
    announce: bool = True,
) -> Outcome:
    """Make the source's advisories those of `records`; with `whole` off, none is removed.

    With `announce` off nobody is to be told: neither are generations raised nor packages named.

    A record that repeats an id is stored beside the first as its next part.
    """
    rows = connection.execute(text("SELECT id, digest FROM advisory WHERE source = :source"), {"source": source})
    known: dict[int, int] = {row.id: row.digest for row in rows}
    outcome = Outcome()
    seen: set[int] = set()
    parts: Counter[str] = Counter()
    batch: _Batch = []
    for record in records:
        parts[record.id] = part = parts[record.id] + 1
        if part > _MAX_PARTS:
            raise InvalidInput(f"The feed repeats the id {record.id[:80]!r} more than {_MAX_PARTS} times.")
        number = _digest(f"{source}\0{record.id}\0{part}".encode())
        seen.add(number)
        digest = _digest(msgspec.msgpack.encode(record))
        if known.get(number) == digest:
            continue
        batch.append((number, part, digest, record))
        if len(batch) >= _BATCH:
            _write(connection, source, batch, known, outcome)
            batch.clear()
    _write(connection, source, batch, known, outcome)
    outcome.record_count = len(seen if whole else seen | known.keys())
    if whole:
        gone = [number for number in known if number not in seen]
        if _suspicious(len(gone), len(known), left=len(seen)):
            outcome.kept_count = len(gone)
        else:
            _touch(outcome.touched, _remove(connection, gone))
            outcome.removed_count = len(gone)
    if not announce:
        outcome.touched.clear()
    outcome.generations = _raise_generations(connection, outcome.touched)
    return outcome


def _write(
    connection: Connection,
    source: str,
    batch: _Batch,
    known: dict[int, int],
    outcome: Outcome,
) -> None:
    old = [number for number, _, _, _ in batch if number in known]
    before = _remove(connection, old)
    outcome.changed_count += len(old)
    outcome.added_count += len(batch) - len(old)
    after: set[_FixKey] = {
        (
            each.id, fix.ecosystem, fix.distro_release, fix.package, fix.kind, fix.arch, fix.module,
            fix.evr if each.status == "final" else "", each.severity, each.issued_at,
        )
        for _, _, _, each in batch if each.type == "security" for fix in each.fixes
    }  # fmt: skip
    _touch(outcome.touched, before ^ after)
    _copy(
        connection,
        f"advisory ({_ADVISORY})",
        (
            (
                number, source, each.id, part, digest, each.vendor, each.type, each.severity, each.vendor_severity,
                each.status, each.title, each.description, each.url, each.issued_at, each.updated_at,
                list(each.references),
            )
            for number, part, digest, each in batch
        ),
    )  # fmt: skip
    _copy(
        connection,
        f"advisory_fix ({_FIX})",
        ((number, *_fix_row(fix, each.status)) for number, _, _, each in batch for fix in each.fixes),
    )
    _copy(
        connection,
        "advisory_cve (advisory_id, cve)",
        ((number, cve) for number, _, _, each in batch for cve in each.cves),
    )


def _fix_row(fix: Fix, status: str) -> tuple[Any, ...]:
    scheme = SCHEMES.get(fix.ecosystem, "rpm")
    introduced = sort_key(scheme, fix.introduced) if fix.introduced and scheme else None
    available = status == "final"
    return (
        fix.ecosystem, fix.distro_release, fix.package, fix.kind, fix.arch, fix.module, fix.pocket,
        fix.state if available or not fix.evr else "open", fix.evr if available else "",
        fix.key() if available else None, introduced, fix.note,
    )  # fmt: skip


def _remove(connection: Connection, numbers: list[int]) -> set[_FixKey]:
    """Delete advisories; the security fixes that went with them."""
    if not numbers:
        return set()
    rows = connection.execute(
        text("""
            SELECT a.name, f.ecosystem, f.distro_release, f.package, f.kind, f.arch, f.module, f.evr,
                   a.severity, a.issued_at
            FROM advisory_fix f JOIN advisory a ON a.id = f.advisory_id
            WHERE a.id = ANY(CAST(:numbers AS bigint[])) AND a.type = 'security'
        """),
        {"numbers": numbers},
    )
    fixes: set[_FixKey] = {tuple(row) for row in rows}
    connection.execute(text("DELETE FROM advisory WHERE id = ANY(CAST(:numbers AS bigint[]))"), {"numbers": numbers})
    return fixes


def _touch(touched: Touched, fixes: set[_FixKey]) -> None:
    for _, ecosystem, distro_release, package, *_ in fixes:
        touched.setdefault((ecosystem, distro_release), set()).add(package)


def _raise_generations(connection: Connection, touched: Touched) -> dict[tuple[str, str], int]:
    keys = sorted(touched)
    rows = connection.execute(
        text("""
            INSERT INTO advisory_release (ecosystem, distro_release, generation, changed_at)
            SELECT *, 1, now() FROM unnest(CAST(:ecosystems AS text[]), CAST(:releases AS text[]))
            ON CONFLICT (ecosystem, distro_release)
            DO UPDATE SET generation = advisory_release.generation + 1, changed_at = EXCLUDED.changed_at
            RETURNING ecosystem, distro_release, generation
        """),
        {"ecosystems": [key[0] for key in keys], "releases": [key[1] for key in keys]},
    )
    return {(row.ecosystem, row.distro_release): row.generation for row in rows}


def store_cves(connection: Connection, source: str, records: Iterable[CveRecord], *, whole: bool = True) -> Outcome:
    """Make the source's CVEs those of `records`; with `whole` off, none is removed."""
    rows = connection.execute(text("SELECT id, digest FROM cve WHERE source = :source"), {"source": source})
    known: dict[str, int] = {row.id: row.digest for row in rows}
    outcome = Outcome()
    seen: set[str] = set()
    batch: list[tuple[Any, ...]] = []

    def flush() -> None:
        old = [row[0] for row in batch if row[0] in known]
        _remove_cves(connection, source, old)
        outcome.changed_count += len(old)
        outcome.added_count += len(batch) - len(old)
        _copy(connection, f"cve ({_CVE})", batch)
        batch.clear()

    for record in records:
        digest = _digest(msgspec.msgpack.encode(record))
        if record.id in seen or known.get(record.id) == digest:
            seen.add(record.id)
            continue
        seen.add(record.id)
        batch.append(_cve_row(source, record, digest))
        if len(batch) >= _BATCH:
            flush()
    flush()
    outcome.record_count = len(seen if whole else seen | known.keys())
    gone = [number for number in known if number not in seen] if whole else []
    if _suspicious(len(gone), len(known), left=len(seen)):
        outcome.kept_count = len(gone)
    else:
        _remove_cves(connection, source, gone)
        outcome.removed_count = len(gone)
    return outcome


def _cve_row(source: str, record: CveRecord, digest: int) -> tuple[Any, ...]:
    shown = best(record.metrics)
    return (
        record.id, source, digest, record.state, record.description,
        shown.score if shown else None, shown.severity if shown else "", shown.vector if shown else "",
        shown.version if shown else "", shown.provider if shown else "",
        msgspec.json.encode(record.metrics).decode(), list(record.cwes), record.published_at, record.updated_at,
    )  # fmt: skip


def _remove_cves(connection: Connection, source: str, ids: list[str]) -> None:
    if ids:
        connection.execute(
            text("DELETE FROM cve WHERE source = :source AND id = ANY(CAST(:ids AS text[]))"),
            {"source": source, "ids": ids},
        )


def store_known_exploited(connection: Connection, records: Iterable[KnownExploited]) -> Outcome:
    """Make the catalogue of known exploited vulnerabilities that of `records`."""
    return _replace(
        connection,
        "known_exploited",
        ("cve",),
        ("added_on", "due_on", "ransomware", "title", "action"),
        ((each.cve, each.added_on, each.due_on, each.ransomware, each.title, each.action) for each in records),
    )


def store_exploit_scores(connection: Connection, records: Iterable[ExploitScore]) -> Outcome:
    """Make the EPSS scores those of `records`."""
    return _replace(
        connection,
        "exploit_score",
        ("cve",),
        ("score", "percentile", "model", "scored_on"),
        ((each.cve, each.score, each.percentile, each.model, each.scored_on) for each in records),
    )


def store_lifecycles(connection: Connection, records: Iterable[Lifecycle]) -> Outcome:
    """Add or update lifecycles; none is removed, for several sources write them."""
    return _replace(
        connection,
        "lifecycle",
        ("ecosystem", "version"),
        ("codename", "name", "released_on", "ends_on", "extended_ends_on", "source"),
        (
            (
                each.ecosystem, each.version, each.codename, each.name, each.released_on, each.ends_on,
                each.extended_ends_on, each.source,
            )
            for each in records
        ),
        remove=False,
    )  # fmt: skip


def _replace(
    connection: Connection,
    table: str,
    key: tuple[str, ...],
    values: tuple[str, ...],
    rows: Iterable[tuple[Any, ...]],
    *,
    remove: bool = True,
) -> Outcome:
    """Bring a table to `rows` through a staging table: three statements, whatever their number."""
    columns = ", ".join((*key, *values))
    staged = f"staged_{table}"
    connection.execute(text(f"CREATE TEMP TABLE {staged} (LIKE {table}) ON COMMIT DROP"))
    count = _copy(connection, f"{staged} ({columns})", rows)
    same = " AND ".join(f"s.{each} = t.{each}" for each in key)
    outcome = Outcome(record_count=count)
    written = connection.execute(
        text(f"""
            INSERT INTO {table} AS t ({columns})
            SELECT DISTINCT ON ({", ".join(key)}) {columns} FROM {staged} ORDER BY {", ".join(key)}
            ON CONFLICT ({", ".join(key)}) DO UPDATE SET {", ".join(f"{each} = EXCLUDED.{each}" for each in values)}
            WHERE ({", ".join(f"t.{each}" for each in values)})
                IS DISTINCT FROM ({", ".join(f"EXCLUDED.{each}" for each in values)})
        """)
    )
    outcome.changed_count = written.rowcount
    if remove:
        missing = f"FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM {staged} s WHERE {same})"
        gone = connection.scalar(text(f"SELECT count(*) {missing}")) or 0
        total = connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0
        if _suspicious(gone, total, left=count):
            outcome.kept_count = gone
        else:
            connection.execute(text(f"DELETE {missing}"))
            outcome.removed_count = gone
    return outcome


def withdraw_unlisted(
    connection: Connection, source: str, path_of: Callable[[str], str], listed: Container[str], outcome: Outcome
) -> None:
    """Delete advisories whose documents a source no longer lists; suddenly many are kept. Adds to `outcome`."""
    rows = connection.execute(text("SELECT id, name FROM advisory WHERE source = :source"), {"source": source}).all()
    gone = [row.id for row in rows if path_of(row.name) not in listed]
    outcome.record_count = len(rows)
    if _suspicious(len(gone), len(rows), left=len(rows) - len(gone)):
        outcome.kept_count = len(gone)
        return
    withdrawn: Touched = {}
    _touch(withdrawn, _remove(connection, gone))
    outcome.generations |= _raise_generations(connection, withdrawn)
    for key, names in withdrawn.items():
        outcome.touched.setdefault(key, set()).update(names)
    outcome.removed_count += len(gone)
    outcome.record_count -= len(gone)


def _suspicious(gone: int, known: int, *, left: int) -> bool:
    """Whether a feed shrank more than feeds do: half of it, or all, is rather lost on the way than withdrawn."""
    return gone > 0 and (left == 0 or (gone >= _SHRINK_LEAST and gone > known * _SHRINK_SHARE))


def _copy(connection: Connection, target: str, rows: Iterable[tuple[Any, ...]]) -> int:
    count = 0
    with driver(connection).cursor() as cursor, cursor.copy(f"COPY {target} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big", signed=True)
