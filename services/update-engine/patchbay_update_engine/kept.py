"""Reports as they arrived, the last few of each host, so that they can be read and processed again."""

from uuid import UUID

import msgspec
from patchbay_shared.messages import ReportReceived
from sqlalchemy import Connection, text


def keep_report(connection: Connection, header: ReportReceived, body: bytes, *, count: int) -> None:
    """Keep a report (`body` as it travels), and only the newest `count` of its host; 0 keeps none."""
    if count:
        connection.execute(
            text("""
                INSERT INTO report_body (receipt_id, host_id, received_at, header, body)
                VALUES (:receipt_id, :host_id, to_timestamp(:at), CAST(:header AS jsonb), :body)
                ON CONFLICT (receipt_id) DO NOTHING
            """),
            {
                "receipt_id": header.receipt_id,
                "host_id": header.host_id,
                "at": header.received_at,
                "header": msgspec.json.encode(header).decode(),
                "body": body,
            },
        )
    connection.execute(
        text("""
            DELETE FROM report_body WHERE receipt_id IN (
                SELECT receipt_id FROM report_body WHERE host_id = :host_id
                ORDER BY received_at DESC, receipt_id DESC OFFSET :count)
        """),
        {"host_id": header.host_id, "count": count},
    )


def kept_report(connection: Connection, receipt_id: UUID) -> tuple[ReportReceived, bytes] | None:
    """A kept report, as it was delivered."""
    row = connection.execute(
        text("SELECT header::text AS header, body FROM report_body WHERE receipt_id = :id"), {"id": receipt_id}
    ).one_or_none()
    return (msgspec.json.decode(row.header, type=ReportReceived), bytes(row.body)) if row else None


def remove_old_reports(connection: Connection, *, days: int) -> int:
    """Reports past their retention; the number removed."""
    return connection.execute(
        text("DELETE FROM report_body WHERE received_at < now() - make_interval(days => :days)"), {"days": days}
    ).rowcount
