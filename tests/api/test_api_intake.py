"""Receipts, the reports behind them, and the messages that could not be handled."""

import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import zstandard
from flask.testing import FlaskClient
from patchbay_shared.bus import Bus, Delivery, Subscription
from patchbay_shared.db import Database
from patchbay_shared.messages import OPERATOR, DeadLettersRequested, ReprocessRequested
from patchbay_shared.tables import dead_letter, receipt, report_body
from sqlalchemy import insert

Client = Callable[[str], FlaskClient]
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOST = uuid.UUID("11111111-1111-4111-8111-111111111111")


@pytest.fixture
def next_request(bus: Bus) -> Callable[[], Delivery]:
    """Wait for one message of the operator's queue."""

    def receive() -> Delivery:
        stop = threading.Event()
        received: list[Delivery] = []

        def handle(delivery: Delivery) -> None:
            received.append(delivery)
            stop.set()

        watchdog = threading.Timer(20, stop.set)
        watchdog.start()
        bus.consume(Subscription(OPERATOR, handle, prefetch=1), stop)
        watchdog.cancel()
        return received[0]

    return receive


def add_receipt(database: Database, *, minute: int = 0, body: bytes | None = None, **values: Any) -> uuid.UUID:
    number = uuid.uuid4()
    at = NOON.replace(minute=minute)
    with database.transaction() as connection:
        connection.execute(
            insert(receipt).values(
                **{"id": number, "host_id": HOST, "state": "evaluated", "received_at": at, **values}
            )
        )
        if body is not None:
            connection.execute(
                insert(report_body).values(receipt_id=number, host_id=HOST, received_at=at, header={}, body=body)
            )
    return number


def add_letter(database: Database, routing_key: str = "report.received", body: bytes = b"\xff\x00") -> int:
    with database.transaction() as connection:
        return int(
            connection.execute(
                insert(dead_letter)
                .values(
                    queue="update-engine.reports", routing_key=routing_key, headers={"report": "{}"}, body=body,
                    error="ValueError: boom", attempts=3, first_at=NOON, last_at=NOON,
                )
                .returning(dead_letter.c.id)
            ).scalar_one()
        )  # fmt: skip


def test_receipts_of_a_host_are_listed_newest_first(viewer: FlaskClient, database: Database) -> None:
    """Also of a host none of whose reports was ever stored."""
    older = add_receipt(database, minute=1, state="refused", reason="Line 1 of packages is rubbish.")
    newer = add_receipt(database, minute=2)
    add_receipt(database, host_id=uuid.uuid4())

    items = viewer.get(f"/api/v1/hosts/{HOST}/receipts").json["items"]

    assert [each["id"] for each in items] == [str(newer), str(older)]
    assert items[1]["reason"] == "Line 1 of packages is rubbish."


def test_refused_reports_of_all_hosts_can_be_listed(viewer: FlaskClient, database: Database) -> None:
    """What the fleet lost."""
    refused = add_receipt(database, state="refused")
    add_receipt(database)

    assert [each["id"] for each in viewer.get("/api/v1/receipts?state=refused").json["items"]] == [str(refused)]


def test_a_kept_report_can_be_read(ask: Client, database: Database) -> None:
    """In Patchbay's own form, by an operator."""
    body = zstandard.compress(msgspec.msgpack.encode({"hostname": "web1"}))
    number = add_receipt(database, body=body)

    answer = ask("operator").get(f"/api/v1/receipts/{number}/report")

    assert answer.json["report"] == {"hostname": "web1"}
    assert ask("viewer").get(f"/api/v1/receipts/{number}/report").status_code == 403
    assert ask("viewer").get(f"/api/v1/receipts/{number}").json["kept"] is True
    other = add_receipt(database)
    for kept, expected in (("true", number), ("false", other)):
        found = ask("viewer").get(f"/api/v1/receipts?kept={kept}").json["items"]
        assert [each["id"] for each in found] == [str(expected)]


def test_processing_again_asks_the_engine(
    ask: Client, database: Database, next_request: Callable[[], Delivery]
) -> None:
    """202, and the receipt's id is on the queue."""
    number = add_receipt(database, body=b"x")

    assert ask("operator").post(f"/api/v1/receipts/{number}/reprocess").status_code == 202
    delivery = next_request()
    assert delivery.routing_key == "report.reprocess-requested"
    assert msgspec.json.decode(delivery.body, type=ReprocessRequested) == ReprocessRequested(number)


def test_a_report_that_is_not_kept_cannot_be_processed_again(ask: Client, database: Database) -> None:
    """404, and it says why."""
    answer = ask("operator").post(f"/api/v1/receipts/{add_receipt(database)}/reprocess")

    assert answer.status_code == 404
    assert "newest" in answer.json["detail"]


def test_dead_letters_are_listed_and_shown(ask: Client, database: Database) -> None:
    """The list is for everybody; headers and text are for operators."""
    binary, text = add_letter(database), add_letter(database, "repository.changed", b'{"a": 1}')

    items = ask("viewer").get("/api/v1/dead-letters").json["items"]
    assert [each["id"] for each in items] == [text, binary]
    operator = ask("operator")
    assert operator.get(f"/api/v1/dead-letters/{text}").json["text"] == '{"a": 1}'
    assert operator.get(f"/api/v1/dead-letters/{binary}").json["text"] is None
    assert ask("viewer").get(f"/api/v1/dead-letters/{text}").status_code == 403
    only = operator.get("/api/v1/dead-letters?routing_key=report.received").json["items"]
    assert [each["id"] for each in only] == [binary]


@pytest.mark.parametrize("action", ["replay", "discard"])
def test_one_dead_letter_is_dealt_with(
    ask: Client, database: Database, next_request: Callable[[], Delivery], action: str
) -> None:
    """The engine owns the table, so it is asked."""
    number = add_letter(database)

    answer = ask("operator").post(f"/api/v1/dead-letters/{number}/{action}")

    assert (answer.status_code, answer.json) == (202, {"requested": action, "count": 1})
    assert msgspec.json.decode(next_request().body, type=DeadLettersRequested) == DeadLettersRequested(
        action, [number]
    )


@pytest.mark.parametrize("action", ["replay", "discard"])
def test_all_dead_letters_of_a_kind_are_dealt_with(
    ask: Client, database: Database, next_request: Callable[[], Delivery], action: str
) -> None:
    """Those that are there now: what dies again on its replay is not asked for again."""
    numbers = [add_letter(database), add_letter(database)]
    add_letter(database, "repository.changed")

    answer = ask("operator").post(f"/api/v1/dead-letters/{action}", json={"routing_key": "report.received"})

    assert answer.json["count"] == 2
    assert msgspec.json.decode(next_request().body, type=DeadLettersRequested).ids == numbers


def test_a_viewer_may_not_deal_with_dead_letters(ask: Client, database: Database) -> None:
    """403."""
    number = add_letter(database)

    assert ask("viewer").post(f"/api/v1/dead-letters/{number}/discard").status_code == 403


def test_a_dead_letter_that_is_gone_is_not_found(ask: Client) -> None:
    """404."""
    assert ask("operator").post("/api/v1/dead-letters/17/replay").status_code == 404
