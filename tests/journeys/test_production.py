"""The services as separate processes, over a real RabbitMQ node and a real PostgreSQL."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest
import requests
from apt_mirror import host_report, write_suite
from processes import PATCHBAY, Api, Process, enrol, free_port, post_report, wait_for

pytestmark = [pytest.mark.rabbitmq, pytest.mark.xdist_group("rabbitmq")]

PASSWORD = "only-in-this-test"


class Deployment:
    """What compose or Kubernetes would start."""

    def __init__(self, folder: Path, database_url: str, bus_url: str) -> None:
        self.folder = folder
        write_suite(folder / "mirror", "stable", {"bash": "5.2-2"})
        write_suite(folder / "mirror", "stable-security", {"bash": "5.2-3"}, label="Debian-Security")
        self.bus_url = bus_url
        self.environment = {
            "PATCHBAY_DATABASE_URL": database_url,
            "PATCHBAY_BUS_URL": bus_url,
            "PATCHBAY_LOG_FORMAT": "json",
            "PATCHBAY_HTTP_WORKERS": "1",
            "PATCHBAY_MIRROR_MAP": f"http://mirror.example.org/debian={folder / 'mirror'}",
            "PATCHBAY_SWEEP_SECONDS": "1",
            "PATCHBAY_SECRET_KEY": "a-key-of-this-test-that-is-long-enough",
            "PATCHBAY_ADMIN_PASSWORD": PASSWORD,
        }
        self.processes: dict[str, Process] = {}
        self.ports: dict[str, int] = {}

    def command(self, *arguments: str) -> str:
        done = subprocess.run(
            [*PATCHBAY, *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self, service: str) -> Process:
        self.ports.setdefault(service, free_port())
        environment = {**self.environment, "PATCHBAY_PORT": str(self.ports[service])}
        self.processes[service] = Process([*PATCHBAY, "run", service], self.folder, environment, service)
        return self.processes[service]

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    def answers(self, service: str) -> bool:
        process = self.processes[service]
        assert process.popen.poll() is None, process.text()
        try:
            return requests.get(f"{self.url(service)}/healthz", timeout=2).status_code == 200
        except requests.ConnectionError:
            return False

    def stop(self) -> dict[str, int]:
        return {name: process.stop() for name, process in self.processes.items() if process.popen.poll() is None}


@pytest.fixture
def deployment(tmp_path: Path, database_url: str, rabbitmq: str) -> Iterator[Deployment]:
    made = Deployment(tmp_path, database_url, rabbitmq)
    made.command("migrate")
    made.command("create-admin")
    yield made
    made.stop()
    purge(rabbitmq)


def purge(bus_url: str) -> None:
    """The node is shared by this run's tests: leave its queues empty."""
    connection = pika.BlockingConnection(pika.URLParameters(bus_url))
    for queue in ("reports", "recalculation", "operator", "dead-letters"):
        connection.channel().queue_delete(f"update-engine.{queue}")
    connection.channel().queue_delete("repo-sync.nudges")
    connection.close()


def depth(bus_url: str, queue: str) -> int:
    """Messages ready in a queue, as pika, the independent witness, sees it."""
    connection = pika.BlockingConnection(pika.URLParameters(bus_url))
    try:
        return int(connection.channel().queue_declare(queue, passive=True).method.message_count)
    finally:
        connection.close()


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
