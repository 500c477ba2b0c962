"""SQL of hosts, receipts, history and dead letters."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from patchbay_shared.messages import ReportReceived
from patchbay_shared.report import Report
from sqlalchemy import Connection, Row, text

from patchbay_update_engine.sets import InstalledSet, RepositorySet


def touch_unchanged_host(connection: Connection, header: ReportReceived) -> int | None:
    """Note that a host reported what is already stored; its evaluation's id, or None if there is news to store."""
    found = connection.execute(
        text("""
            UPDATE host SET last_report_at = to_timestamp(:at), collected_at = to_timestamp(:collected_at),
                peer_address = coalesce(nullif(:peer, ''), peer_address)
            WHERE id = :host_id AND content_digest = decode(:digest, 'hex') AND evaluation_id IS NOT NULL
              AND (last_report_at <= to_timestamp(:at) OR last_report_at > now() + interval '1 hour')
            RETURNING evaluation_id
        """),
        {
            "at": header.received_at,
            "collected_at": header.collected_at,
            "host_id": header.host_id,
            "digest": header.content_digest,
            "peer": header.peer,
        },
    ).one_or_none()
    return found.evaluation_id if found else None


def lock_host(connection: Connection, host_id: UUID, *, received_at: float) -> Row[Any] | None:
    """The stored host, locked against other reports of it until the transaction ends.

    `is_newer`: it stands for a report received after `received_at` (Unix seconds). PostgreSQL compares, for it
    rounds to microseconds, and a report must not seem older than itself. A time that is still to come is that of a
    server whose clock was wrong: nothing is older than that, or nothing would be stored until then.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:host_id, 0))"), {"host_id": str(host_id)})
    return connection.execute(
        text("""
            SELECT package_set_id, repository_set_id, section_digests, last_report_at,
                last_report_at > to_timestamp(:at) AND last_report_at <= now() + interval '1 hour' AS is_newer
            FROM host WHERE id = :host_id FOR UPDATE
        """),
        {"host_id": host_id, "at": received_at},
    ).one_or_none()


def removal_of(connection: Connection, host_id: UUID) -> str:
    """Why reports of a host are not stored: an operator has removed it. Else ""."""
    found = connection.execute(
        text("SELECT removed_by, removed_at FROM host_removal WHERE host_id = :id"), {"id": host_id}
    ).one_or_none()
    if found is None:
        return ""
    when = found.removed_at.strftime("%Y-%m-%d %H:%M UTC")
    return f"This host was removed by {found.removed_by} on {when}; enrol it again if it is to report."


def remove_hosts(connection: Connection) -> int:
    """Forget hosts that operators have removed, and what is kept of them but their receipts; their number."""
    connection.execute(text("DELETE FROM report_body WHERE host_id IN (SELECT host_id FROM host_removal)"))
    return connection.execute(text("DELETE FROM host WHERE id IN (SELECT host_id FROM host_removal)")).rowcount


def store_host(
    connection: Connection,
    header: ReportReceived,
    report: Report,
    installed: InstalledSet,
    repository_set: RepositorySet,
    section_digests: Mapping[str, str],
) -> None:
    """The host as its newest report says it is; `evaluation_id` is set by `set_evaluation`."""
    connection.execute(
        text("""
            INSERT INTO host (id, hostname, machine_id, facts, os_name, arch, kernel, boot_id, tags, reboot_required,
                content_digest, section_digests, package_set_id, repository_set_id, package_count, first_report_at,
                last_report_at, collected_at, changed_at, peer_address)
            VALUES (:id, :hostname, :machine_id, CAST(:facts AS jsonb), :os_name, :arch, :kernel, :boot_id,
                CAST(:tags AS text[]), :reboot_required, decode(:digest, 'hex'),
                CAST(:section_digests AS jsonb), :package_set_id, :repository_set_id,
                :package_count, to_timestamp(:at), to_timestamp(:at), to_timestamp(:collected_at), to_timestamp(:at),
                :peer)
            ON CONFLICT (id) DO UPDATE SET
                hostname = CASE WHEN host.reported_hostname IS NULL THEN EXCLUDED.hostname ELSE host.hostname END,
                reported_hostname = CASE WHEN host.reported_hostname IS NULL THEN NULL ELSE EXCLUDED.hostname END,
                machine_id = EXCLUDED.machine_id, facts = EXCLUDED.facts,
                os_name = EXCLUDED.os_name, arch = EXCLUDED.arch, kernel = EXCLUDED.kernel,
                boot_id = EXCLUDED.boot_id, tags = EXCLUDED.tags, reboot_required = EXCLUDED.reboot_required,
                content_digest = EXCLUDED.content_digest, section_digests = EXCLUDED.section_digests,
                package_set_id = EXCLUDED.package_set_id,
                repository_set_id = EXCLUDED.repository_set_id, package_count = EXCLUDED.package_count,
                last_report_at = EXCLUDED.last_report_at, collected_at = EXCLUDED.collected_at,
                changed_at = EXCLUDED.changed_at,
                peer_address = coalesce(nullif(EXCLUDED.peer_address, ''), host.peer_address)
        """),
        {
            "id": header.host_id,
            "hostname": report.hostname.lower(),
            "machine_id": report.machine_id,
            "facts": msgspec.json.encode(_facts(report)).decode(),
            "os_name": os_name(report),
            "arch": report.arch,
            "kernel": report.kernel,
            "boot_id": report.boot_id,
            "tags": report.tags,
            "reboot_required": report.reboot_required,
            "digest": header.content_digest,
            "section_digests": msgspec.json.encode(section_digests).decode(),
            "package_set_id": installed.id,
            "repository_set_id": repository_set.id,
            "package_count": len(installed.ids),
            "at": header.received_at,
            "collected_at": header.collected_at,
            "peer": header.peer,
        },
    )


def os_name(report: Report) -> str:
    """The distribution release for people."""
    release = report.os_release
    return release.PRETTY_NAME or f"{release.ID} {release.VERSION_ID}".strip() or report.os or "unknown"


def _facts(report: Report) -> dict[str, Any]:
    return {
        "os_release": report.os_release,
        "os": report.os,
        "package_manager": report.package_manager,
        "native_arch": report.native_arch,
        "foreign_archs": report.foreign_archs,
        "modules": report.modules,
        "reboot_reasons": report.reboot_reasons,
        "stale_services": report.stale_services,
        "agent_version": report.agent_version,
    }


def store_package_event(
    connection: Connection, host_id: UUID, at: float, before_set_id: int, after: InstalledSet
) -> None:
    """What was installed and removed since the report before."""
    before = set(
        connection.execute(
            text("SELECT package_ids FROM package_set WHERE id = :id"), {"id": before_set_id}
        ).scalar_one()
    )
    now = set(after.ids)
    if before == now:
        return
    connection.execute(
        text("""
            INSERT INTO package_event (host_id, at, added_ids, removed_ids)
            VALUES (:host_id, to_timestamp(:at), CAST(:added AS integer[]), CAST(:removed AS integer[]))
        """),
        {"host_id": host_id, "at": at, "added": sorted(now - before), "removed": sorted(before - now)},
    )


def set_evaluation(connection: Connection, host_ids: list[UUID], evaluation_id: int) -> None:
    """Point hosts at the evaluation of their pair of sets."""
    connection.execute(
        text("""
            UPDATE host SET evaluation_id = :evaluation_id
            WHERE id = ANY(CAST(:host_ids AS uuid[])) AND evaluation_id IS DISTINCT FROM :evaluation_id
        """),
        {"evaluation_id": evaluation_id, "host_ids": sorted(host_ids)},
    )


def store_receipt(
    connection: Connection,
    header: ReportReceived,
    state: str,
    *,
    unchanged: bool = False,
    reason: str = "",
    evaluation_id: int | None = None,
    again: bool = False,
) -> None:
    """What became of a report. Of a host that was merged into another it is that one's.

    A second delivery of the same message changes nothing; only a refusal gives way to what a replay made of
    the report, and `again` renews any receipt.
    """
    connection.execute(
        text("""
            INSERT INTO receipt (id, host_id, state, unchanged, reason, evaluation_id, bytes, received_at, stored_at,
                evaluated_at)
            VALUES (:id, coalesce((SELECT into_id FROM host_merge WHERE host_id = :host_id), :host_id),
                :state, :unchanged, :reason, :evaluation_id, :bytes, to_timestamp(:at),
                CASE WHEN :state = 'evaluated' THEN now() END,
                CASE WHEN :state = 'evaluated' THEN clock_timestamp() END)
            ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, unchanged = EXCLUDED.unchanged,
                reason = EXCLUDED.reason, evaluation_id = EXCLUDED.evaluation_id, stored_at = EXCLUDED.stored_at,
                evaluated_at = EXCLUDED.evaluated_at, noted_at = now()
            WHERE :again OR (receipt.state = 'refused' AND EXCLUDED.state <> 'refused')
        """),
        {
            "again": again,
            "id": header.receipt_id,
            "host_id": header.host_id,
            "state": state,
            "unchanged": unchanged,
            "reason": reason,
            "evaluation_id": evaluation_id,
            "bytes": header.size_bytes,
            "at": header.received_at,
        },
    )


def store_dead_letter(
    connection: Connection, *, queue: str, routing_key: str, headers: Mapping[str, Any], body: bytes, error: str,
    attempts: int, first_at: datetime, last_at: datetime,
) -> None:  # fmt: skip
    """Keep a message that could not be handled, with everything needed to replay it."""
    connection.execute(
        text("""
            INSERT INTO dead_letter (queue, routing_key, headers, body, error, attempts, first_at, last_at)
            VALUES (:queue, :routing_key, CAST(:headers AS jsonb), :body, :error, :attempts, :first_at, :last_at)
        """),
        {
            "queue": queue,
            "routing_key": routing_key,
            "headers": msgspec.json.encode(headers, enc_hook=str).decode(),
            "body": body,
            "error": error,
            "attempts": attempts,
            "first_at": first_at,
            "last_at": last_at,
        },
    )


def clean(connection: Connection, *, receipt_days: int, event_days: int) -> dict[str, int]:
    """Remove what is past its retention and what no host refers to any more; rows removed by table."""
    statements = {
        "receipt": "DELETE FROM receipt WHERE received_at < now() - make_interval(days => :receipt_days)",
        "package_event": "DELETE FROM package_event WHERE at < now() - make_interval(days => :event_days)",
        "evaluation": """
            DELETE FROM evaluation e WHERE evaluated_at < now() - interval '1 day'
            AND NOT EXISTS (SELECT FROM host h WHERE h.evaluation_id = e.id)
        """,
        "package_set": """
            DELETE FROM package_set s WHERE NOT EXISTS (SELECT FROM host h WHERE h.package_set_id = s.id)
            AND NOT EXISTS (SELECT FROM evaluation e WHERE e.package_set_id = s.id)
        """,
    }
    limits = {"receipt_days": receipt_days, "event_days": event_days}
    removed = {}
    for table, statement in statements.items():
        bound = {name: value for name, value in limits.items() if f":{name}" in statement}
        removed[table] = connection.execute(text(statement), bound).rowcount
    return removed
