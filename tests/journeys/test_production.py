"""The services as separate processes, over a real RabbitMQ node and a real PostgreSQL."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest
from apt_mirror import host_report
from deployment import PASSWORD, Deployment, depth, purge
from processes import Api, enrol, post_report, wait_for
from rabbitmq_node import RabbitMQNode

pytestmark = [pytest.mark.rabbitmq, pytest.mark.xdist_group("rabbitmq")]


@pytest.fixture
def deployment(tmp_path: Path, database_url: str, rabbitmq: str) -> Iterator[Deployment]:
    made = Deployment(tmp_path, database_url, rabbitmq)
    made.command("migrate")
    made.command("create-admin")
    yield made
    made.stop()
    purge(rabbitmq)


def updates_of(api: Api, host_id: str) -> list[tuple[str, str, str, bool]]:
    return [
        (each["name"], each["installed"], each["candidate"], each["security"])
        for each in api.items(f"/hosts/{host_id}/updates")
        if each["listed"]
    ]


def test_the_whole_journey_by_separate_processes(deployment: Deployment) -> None:
    """Report in at ingest, verdict out at the API; four processes that share only RabbitMQ and PostgreSQL."""
    for service in ("ingest", "api", "update-engine", "repo-sync"):
        deployment.start(service)
    for service in ("ingest", "api"):
        wait_for(lambda service=service: deployment.answers(service), what=service)
    token = deployment.command("create-enrolment-token", "test")
    host_id, host_token = enrol(deployment.url("ingest"), token, "web1.example.org")

    answer = post_report(
        deployment.url("ingest"),
        host_token,
        host_report("web1.example.org", {"bash": "5.2-1"}, "stable", "stable-security"),
    )

    assert answer.status_code == 202
    api = Api.signed_in(deployment.url("api"), "admin", PASSWORD)
    wait_for(lambda: api.status(f"/hosts/{host_id}") == 200, what="the host")
    wait_for(lambda: updates_of(api, host_id) == [("bash", "5.2-1", "5.2-3", True)], what="the update of bash")
    assert api.get(f"/receipts/{answer.json()['receipt']}")["state"] == "evaluated"
    assert set(deployment.stop().values()) == {0}


def test_a_202_outlives_every_process(deployment: Deployment) -> None:
    """Accepted while no engine runs: the report is in the durable queue, and is handled by the engine of later."""
    deployment.start("ingest")
    wait_for(lambda: deployment.answers("ingest"), what="ingest")
    token = deployment.command("create-enrolment-token", "test")
    hosts = [enrol(deployment.url("ingest"), token, f"web{number}") for number in range(10)]
    receipts = [
        post_report(
            deployment.url("ingest"), host_token, host_report(f"web{number}", {"bash": "5.2-1"}, "stable")
        ).json()["receipt"]
        for number, (_, host_token) in enumerate(hosts)
    ]
    assert deployment.processes["ingest"].stop(signal.SIGKILL) == -signal.SIGKILL
    assert depth(deployment.bus_url, "update-engine.reports") == 10

    engine = deployment.start("update-engine")
    wait_for(lambda: depth(deployment.bus_url, "update-engine.reports") == 0, what="an empty queue")
    engine.stop(signal.SIGKILL)
    deployment.start("update-engine")
    deployment.start("api")
    wait_for(lambda: deployment.answers("api"), what="api")
    api = Api.signed_in(deployment.url("api"), "admin", PASSWORD)

    wait_for(
        lambda: all(api.status(f"/receipts/{receipt}") == 200 for receipt in receipts),
        what="a receipt of each report",
    )
    assert len(api.items("/hosts")) == 10


def test_a_poisonous_message_becomes_a_dead_letter(
    deployment: Deployment, database_of: Callable[..., object]
) -> None:
    """What no handler understands is kept with its error, and the queue goes on."""
    deployment.start("update-engine")
    connection = pika.BlockingConnection(pika.URLParameters(deployment.bus_url))
    wait_for(lambda: declared(deployment.bus_url), what="the exchange")
    connection.channel().basic_publish(
        "patchbay", "repository.changed", b"not json", pika.BasicProperties(content_type="application/octet-stream")
    )
    connection.close()

    def buried() -> list[tuple[str, str, bytes]]:
        with database_of(None).transaction() as rows:  # type: ignore[attr-defined]  # a Database
            found = rows.exec_driver_sql("SELECT queue, error, body FROM dead_letter").all()
            return [(queue, error, bytes(body)) for queue, error, body in found]

    wait_for(buried, what="a dead letter")
    [(queue, error, body)] = buried()
    assert queue == "update-engine.recalculation"
    assert "DecodeError" in error
    assert body == b"not json"


def declared(bus_url: str) -> bool:
    connection = pika.BlockingConnection(pika.URLParameters(bus_url))
    try:
        connection.channel().queue_declare("update-engine.dead-letters", passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        return False
    finally:
        if connection.is_open:
            connection.close()
    return True


def test_a_full_disk_of_the_broker_loses_nothing(deployment: Deployment, rabbitmq_node: RabbitMQNode) -> None:
    """RabbitMQ's disk alarm: 503 that says so, not a request that hangs; and 202 again once there is room."""
    deployment.start("ingest")
    wait_for(lambda: deployment.answers("ingest"), what="ingest")
    token = deployment.command("create-enrolment-token", "test")
    _, host_token = enrol(deployment.url("ingest"), token, "web1")
    accepted: list[str] = []
    refused: list[str] = []

    def post() -> int:
        report = host_report("web1", {"bash": f"5.2-{len(accepted) + 1}"}, "stable")
        answer = post_report(deployment.url("ingest"), host_token, report)
        if answer.status_code == 202:
            accepted.append(answer.json()["receipt"])
        else:
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
            refused.append(answer.json()["detail"])
        return answer.status_code

    assert post() == 202
    rabbitmq_node.control("set_disk_free_limit", str(10**15))
    try:
        wait_for(lambda: post() == 503, what="a refusal")
        assert post() == 503
    finally:
        rabbitmq_node.control("set_disk_free_limit", str(50 * 10**6))
    wait_for(lambda: post() == 202, what="room on the disk")

    assert "disk" in refused[-1]
    queued = receipts_in(deployment.bus_url, "update-engine.reports")
    assert set(accepted) <= set(queued)


def receipts_in(bus_url: str, queue: str) -> list[str]:
    """The receipts of the reports in a queue, which is empty afterwards."""
    connection = pika.BlockingConnection(pika.URLParameters(bus_url))
    channel = connection.channel()
    found = []
    while True:
        method, properties, _ = channel.basic_get(queue, auto_ack=True)
        if method is None:
            connection.close()
            return found
        found.append(str(json.loads(properties.headers["report"])["receipt_id"]))
