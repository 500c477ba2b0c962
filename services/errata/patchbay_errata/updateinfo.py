"""The updateinfo of rpm repositories, as repo-sync has read it: advisories for the hosts that use the repository.

What a distribution publishes beside its packages (Fedora, EPEL, CentOS Stream, Oracle, Amazon, SLES, …) stands in
`repository_index.content`. Each repository is a source of its own and a release of its own (`REPOSITORY`, its id):
so an advisory of AL2 never is one for AL2023, nor RHEL's one for Rocky. The engine reads the content itself, so that
nothing is announced to it.
"""

import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import zstandard
from patchbay_shared.catalogue import IndexContent, RepositoryAdvisory
from patchbay_shared.db import Database
from patchbay_shared.errors import InvalidInput
from patchbay_shared.exposure import REPOSITORY
from patchbay_shared.log import get_logger
from sqlalchemy import Connection, text

from patchbay_errata.advisory import Advisory, Fix, Rejected, checked, each_record, from_epoch, level, moment
from patchbay_errata.sources_table import PARSER_VERSION
from patchbay_errata.store import store_advisories

log = get_logger("errata")

_LOCK = 0x70617463_75706469
_MAX_CONTENT_BYTES = 1_000_000_000
_VENDORS = (
    ("FEDORA-EPEL", "epel"),
    ("FEDORA", "fedora"),
    ("ELSA", "oracle"),
    ("ELBA", "oracle"),
    ("ELEA", "oracle"),
    ("ALAS", "amazon"),
    ("RL", "rocky"),
    ("RX", "rocky"),
    ("AL", "almalinux"),
    ("RH", "redhat"),
    ("CE", "centos"),
    ("SUSE", "suse"),
    ("OPENSUSE", "suse"),
)
_TYPES = {"security": "security", "bugfix": "bugfix", "recommended": "bugfix", "enhancement": "enhancement",
          "feature": "enhancement", "newpackage": "newpackage"}  # fmt: skip
_STATUSES = {"testing": "testing", "pending": "pending", "retracted": "retracted", "obsolete": "retracted"}

_CHANGED = """
    SELECT r.id, r.name, r.url, r.generation FROM repository r
    LEFT JOIN errata_source s ON s.repository_id = r.id
    WHERE r.type IN ('rpm-md', 'rpm') AND r.generation > 0
      AND s.cursor IS DISTINCT FROM concat_ws('.', r.generation, CAST(:parser AS text))
      AND EXISTS (SELECT 1 FROM repository_index i WHERE i.repository_id = r.id AND i.content IS NOT NULL)
    ORDER BY r.id LIMIT 1
"""


def read_updateinfo(database: Database) -> Callable[[threading.Event], None]:
    """Store what changed in repositories since the last look; one replica at a time."""

    def run(stop: threading.Event) -> None:
        while not stop.is_set():
            with database.transaction() as connection:
                if not connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK}):
                    return
                if not _store_next(connection):
                    _forget(connection)
                    return

    return run


def _store_next(connection: Connection) -> bool:
    """Store the advisories of one repository that changed; whether there was one."""
    row = connection.execute(text(_CHANGED), {"parser": str(PARSER_VERSION)}).one_or_none()
    if row is None:
        return False
    source = f"updateinfo-{row.id}"
    connection.execute(
        text("""
            INSERT INTO errata_source (name, url, enabled, repository_id) VALUES (:name, :url, true, :id)
            ON CONFLICT (name) DO NOTHING
        """),
        {"name": source, "url": row.url, "id": row.id},
    )
    rejected = Rejected()
    message = ""
    try:
        found = list(_advisories(connection, row.id, rejected))
        outcome = store_advisories(connection, source, found, announce=False)
        count = outcome.record_count
    except InvalidInput as exc:
        count, message = 0, str(exc)
    connection.execute(
        text("""
            UPDATE errata_source SET cursor = :cursor, state = :state, message = :message, record_count = :count,
                rejected_count = :rejected_count, rejected = CAST(:rejected AS jsonb), checked_at = now(),
                changed_at = now(), parser_version = :parser, next_check_at = now()
            WHERE name = :name
        """),
        {
            "name": source,
            "cursor": f"{row.generation}.{PARSER_VERSION}",
            "state": "failing" if message else "ok",
            "message": message or f"Read from {row.name}.",
            "count": count,
            "rejected_count": rejected.count,
            "rejected": msgspec.json.encode(rejected.samples).decode().replace("\\u0000", ""),
            "parser": PARSER_VERSION,
        },
    )
    log.info("updateinfo_stored", repository=str(row.id), records=count, rejected=rejected.count)
    return True


def _forget(connection: Connection) -> None:
    """Remove what repositories said that no host names any more."""
    connection.execute(
        text("""
            DELETE FROM errata_source s WHERE s.repository_id IS NOT NULL
              AND NOT EXISTS (SELECT 1 FROM repository r WHERE r.id = s.repository_id)
        """)
    )


def _advisories(connection: Connection, repository_id: Any, rejected: Rejected) -> Iterator[Advisory]:
    rows = connection.execute(
        text("SELECT content FROM repository_index WHERE repository_id = :id AND content IS NOT NULL ORDER BY id"),
        {"id": repository_id},
    )
    for row in rows:
        with zstandard.ZstdDecompressor().stream_reader(bytes(row.content)) as reader:
            content = msgspec.msgpack.decode(reader.read(_MAX_CONTENT_BYTES), type=IndexContent)
        items = ((each.id, each) for each in content.advisories)
        yield from each_record(items, lambda each: [repository_advisory(each, str(repository_id))], rejected)


def repository_advisory(published: RepositoryAdvisory, repository_id: str) -> Advisory:
    """An update of updateinfo.xml in the one model. Raises InvalidInput.

    An unreadable date is no reason to lose the fix; one in testing or retracted fixes nothing.
    """
    return checked(
        Advisory(
            id=published.id,
            vendor=next((vendor for prefix, vendor in _VENDORS if published.id.upper().startswith(prefix)), ""),
            type=_TYPES.get(published.type, "other"),  # type: ignore[arg-type]  # the table's values are such types
            severity=level(published.severity),
            vendor_severity="" if published.severity == "None" else published.severity,
            status=_STATUSES.get(published.status.lower(), "final"),  # type: ignore[arg-type]  # likewise
            title=published.title,
            issued_at=issued(published.issued_at),
            fixes=tuple(
                Fix(
                    REPOSITORY,
                    repository_id,
                    each.name,
                    "binary",
                    each.evr,
                    arch="" if each.arch == "noarch" else each.arch,
                    module=each.module,
                )
                for each in published.packages
            ),
            cves=tuple(published.cves),
        )
    )


def issued(text: str) -> datetime | None:
    """A date as updateinfo writes it: with or without seconds or their fraction, or in Unix seconds; else None.

    >>> issued("2007-01-29 13:30:25.85"), issued("1213630432").year, issued("2018-01-11 21:05").minute, issued("soon")
    (datetime.datetime(2007, 1, 29, 13, 30, 25, tzinfo=datetime.timezone.utc), 2008, 5, None)
    """
    tidy = re.sub(r"\.[0-9]+$", "", text.strip()).removesuffix(" UTC")
    try:
        return from_epoch(float(tidy)) if tidy.isdigit() and len(tidy) > 8 else moment(tidy)
    except InvalidInput:
        pass
    for form in ("%a %b %d %H:%M:%S %Y", "%d %b %Y", "%Y/%m/%d"):
        try:
            return datetime.strptime(tidy, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None
