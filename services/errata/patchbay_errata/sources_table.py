"""SQL of the feeds themselves: which are due, who crawls one, and how it went."""

from collections.abc import Mapping
from datetime import timedelta

import msgspec
from sqlalchemy import Connection, text

from patchbay_errata.advisory import Rejected
from patchbay_errata.feeds import Feed
from patchbay_errata.store import Outcome

LEASE_SECONDS = 1_800.0
"""Longer than any feed takes: the fetch is bounded by PATCHBAY_FETCH_TOTAL_SECONDS for each file."""
PARSER_VERSION = 3
"""Raised when parsers learn to read more of a feed: it is then read again although it did not change."""
_FIRST_RETRY_SECONDS = 60


class SourceRow(msgspec.Struct, frozen=True):
    """A feed that was claimed, and what is known of the version that is stored."""

    name: str
    etag: str | None
    last_modified: str | None
    sha256: bytes | None
    parser_version: int
    failure_count: int
    cursor: str = ""
    """Of a list of documents: the time of the last one that is stored."""

    @property
    def current(self) -> bool:
        """Whether something is stored that today's parsers have read."""
        return self.sha256 is not None and self.parser_version == PARSER_VERSION


def register(connection: Connection, feeds: Mapping[str, tuple[Feed, bool]]) -> None:
    """Make a row of each feed; one whose address changed, or that was turned on, is due at once."""
    connection.execute(
        text("""
            INSERT INTO errata_source AS s (name, url, enabled)
            SELECT * FROM unnest(CAST(:names AS text[]), CAST(:urls AS text[]), CAST(:enabled AS boolean[]))
            ON CONFLICT (name) DO UPDATE SET url = EXCLUDED.url, enabled = EXCLUDED.enabled,
                etag = NULL, last_modified = NULL, sha256 = NULL, cursor = '', next_check_at = now()
            WHERE (s.url, s.enabled) <> (EXCLUDED.url, EXCLUDED.enabled)
        """),
        {
            "names": sorted(feeds),
            "urls": [feeds[name][0].url for name in sorted(feeds)],
            "enabled": [feeds[name][1] for name in sorted(feeds)],
        },
    )


def claim_due(connection: Connection, owner: str) -> SourceRow | None:
    """The feed that has been due the longest, leased to `owner`; None if none is."""
    row = connection.execute(
        text("""
            UPDATE errata_source SET lease_owner = :owner,
                leased_until = now() + make_interval(secs => CAST(:seconds AS double precision))
            WHERE name = (
                SELECT name FROM errata_source
                WHERE enabled AND repository_id IS NULL AND next_check_at <= now()
                  AND (leased_until IS NULL OR leased_until < now())
                ORDER BY next_check_at, name LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING name, etag, last_modified, sha256, parser_version, failure_count, cursor
        """),
        {"owner": owner, "seconds": LEASE_SECONDS},
    ).one_or_none()
    if row is None:
        return None
    sha256 = None if row.sha256 is None else bytes(row.sha256)
    return SourceRow(row.name, row.etag, row.last_modified, sha256, row.parser_version, row.failure_count, row.cursor)


def still_leased(connection: Connection, name: str, owner: str) -> bool:
    """Whether the lease holds; the row is locked until the transaction ends."""
    holder = connection.scalar(
        text("SELECT lease_owner FROM errata_source WHERE name = :name AND enabled FOR UPDATE"), {"name": name}
    )
    return str(holder) == owner


def finish_unchanged(
    connection: Connection, name: str, owner: str, *, etag: str | None, last_modified: str | None, after: timedelta
) -> None:
    """The feed is the one that is stored."""
    connection.execute(
        text("""
            UPDATE errata_source SET failure_count = 0, checked_at = now(), next_check_at = now() + :after,
                etag = coalesce(:etag, etag), last_modified = coalesce(:last_modified, last_modified),
                state = CASE state WHEN 'shrunk' THEN state ELSE 'ok' END,
                message = CASE state WHEN 'failing' THEN '' ELSE message END, lease_owner = NULL, leased_until = NULL
            WHERE name = :name AND lease_owner = :owner
        """),
        {"name": name, "owner": owner, "etag": etag, "last_modified": last_modified, "after": after},
    )


def finish_stored(
    connection: Connection,
    name: str,
    *,
    etag: str | None,
    last_modified: str | None,
    sha256: bytes,
    outcome: Outcome,
    rejected: Rejected,
    message: str,
    after: timedelta,
    cursor: str = "",
) -> None:
    """The feed was read and stored, in this same transaction."""
    connection.execute(
        text("""
            UPDATE errata_source SET state = :state, message = :message, etag = :etag, last_modified = :last_modified,
                sha256 = :sha256, record_count = :record_count, rejected_count = :rejected_count,
                rejected = CAST(:rejected AS jsonb), failure_count = 0, parser_version = :parser_version,
                cursor = :cursor,
                checked_at = now(), changed_at = CASE WHEN :changed THEN now() ELSE changed_at END,
                next_check_at = now() + :after, lease_owner = NULL, leased_until = NULL
            WHERE name = :name
        """),
        {
            "name": name,
            "state": "shrunk" if outcome.kept_count else "ok",
            "message": message,
            "etag": etag,
            "last_modified": last_modified,
            "sha256": sha256,
            "record_count": outcome.record_count,
            "rejected_count": rejected.count,
            "rejected": msgspec.json.encode(rejected.samples).decode().replace("\\u0000", ""),
            "parser_version": PARSER_VERSION,
            "cursor": cursor,
            "changed": outcome.changed,
            "after": after,
        },
    )


def finish_failed(connection: Connection, row: SourceRow, owner: str, message: str, *, longest: int) -> None:
    """It could not be fetched or read: what is stored stays, and the wait doubles with each failure."""
    connection.execute(
        text("""
            UPDATE errata_source SET state = 'failing', message = :message, failure_count = failure_count + 1,
                checked_at = now(), next_check_at = now() + :after, lease_owner = NULL, leased_until = NULL
            WHERE name = :name AND lease_owner = :owner
        """),
        {
            "name": row.name,
            "owner": owner,
            "message": message[:1_000],
            "after": timedelta(seconds=min(longest, _FIRST_RETRY_SECONDS * 2 ** min(row.failure_count, 16))),
        },
    )
