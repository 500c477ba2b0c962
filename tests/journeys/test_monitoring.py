"""Health and metrics of separate processes, over a real RabbitMQ node and a real PostgreSQL."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from apt_mirror import host_report
from processes import PATCHBAY, Process, enrol, free_port, post_report, wait_for

pytestmark = [pytest.mark.rabbitmq, pytest.mark.xdist_group("rabbitmq")]


class Watched:
    """`patchbay run SERVICE` with a port of health and metrics."""

    def __init__(self, service: str, folder: Path, database_url: str, bus_url: str) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        environment = {
            "PATCHBAY_DATABASE_URL": database_url,
            "PATCHBAY_BUS_URL": bus_url,
            "PATCHBAY_SECRET_KEY": "a-key-of-this-test-that-is-long-enough",
            "PATCHBAY_PORT": str(self.port),
            "PATCHBAY_METRICS_PORT": str(self.metrics_port),
        }
        self.process = Process([*PATCHBAY, "run", service], folder, environment, service)

    def ask(self, path: str, *, port: int | None = None) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{port or self.metrics_port}{path}", timeout=10)

    def status(self, path: str) -> int:
        assert self.process.popen.poll() is None, self.process.text()
        try:
            return self.ask(path).status_code
        except requests.ConnectionError:
            return 0


@pytest.fixture
def watched(tmp_path: Path, database_url: str, rabbitmq: str) -> Iterator[list[Watched]]:
    made = [Watched(service, tmp_path, database_url, rabbitmq) for service in ("api", "update-engine")]
    for each in made:
        wait_for(lambda each=each: each.status("/readyz") == 200, what="readiness")
    yield made
    for each in made:
        each.process.stop()


def test_metrics_are_on_their_own_port_only(watched: list[Watched]) -> None:
    """What the world reaches shows no metrics; the other port shows nothing but health and metrics."""
    api, _ = watched

    assert api.ask("/metrics").status_code == 200
    assert api.ask("/metrics", port=api.port).status_code == 404
    assert api.ask("/api/v1/openapi.json", port=api.port).status_code == 200
    assert api.ask("/api/v1/openapi.json").status_code == 404


def test_all_worker_processes_count_together(watched: list[Watched]) -> None:
    """Two gunicorn processes: each request is counted once, whichever of them is asked for the metrics."""
    api, _ = watched
    for _number in range(20):
        api.ask("/api/v1/openapi.json", port=api.port)

    line = 'route="/api/v1/openapi.json",service="api",status="200"} 20.0'
    shown = [api.ask("/metrics").text for _ in range(6)]

    assert all(f'patchbay_http_request_seconds_count{{method="GET",{line}' in each for each in shown)


def test_the_api_shows_the_fleet_and_the_queues(watched: list[Watched]) -> None:
    """Gauges from the database and from the broker itself."""
    api, _ = watched
    shown = api.ask("/metrics").text

    assert "\npatchbay_hosts 0.0\n" in shown
    assert 'patchbay_queue_consumers{queue="update-engine.reports"} 1.0' in shown
    assert 'patchbay_source_up{source="broker"} 1.0' in shown
    assert 'patchbay_mirrors{state="lagging"} 0.0' in shown
    assert 'patchbay_feeds{state="failing"} 0.0' in shown


def test_a_report_is_counted_from_arrival_to_verdict(tmp_path: Path, database_url: str, rabbitmq: str) -> None:
    """Accepted and refused at ingest; decoded, stored, evaluated and late by so much at the engine."""
    ingest, engine = (Watched(name, tmp_path, database_url, rabbitmq) for name in ("ingest", "update-engine"))
    for each in (ingest, engine):
        wait_for(lambda each=each: each.status("/readyz") == 200, what="readiness")
    command = subprocess.run(
        [*PATCHBAY, "create-enrolment-token", "test"],
        env={**os.environ, "PATCHBAY_DATABASE_URL": database_url}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{ingest.port}"
    _, token = enrol(url, command.stdout.strip(), "web1.example.org")

    assert post_report(url, token, host_report("web1.example.org", {"bash": "5.2-1"})).status_code == 202
    assert post_report(url, "nobody", {}).status_code == 401

    wait_for(
        lambda: 'patchbay_reports_handled_total{result="evaluated"} 1.0' in engine.ask("/metrics").text,
        what="the engine's count",
    )
    engines, ingests = engine.ask("/metrics").text, ingest.ask("/metrics").text
    for each in (ingest, engine):
        each.process.stop()
    for stage in ("queue", "decode", "store", "evaluate"):
        assert f'patchbay_report_stage_seconds_count{{stage="{stage}"}} 1.0' in engines
    assert "patchbay_evaluation_lag_seconds_count 1.0" in engines
    assert "\npatchbay_reports_accepted_total 1.0\n" in ingests
    assert 'patchbay_reports_refused_total{reason="unauthenticated"} 1.0' in ingests
    assert 'patchbay_publish_seconds_count{routing_key="report.received"} 1.0' in ingests


def test_a_stopping_engine_ends_well(watched: list[Watched]) -> None:
    """SIGTERM: threads finish, the exit code is 0."""
    _, engine = watched

    assert "process_resident_memory_bytes" in engine.ask("/metrics").text
    assert engine.process.stop() == 0


def test_a_service_waits_for_its_broker_as_long_as_it_is_told(tmp_path: Path, database_url: str) -> None:
    """Readiness and liveness differ: without a broker it ends after its patience, with the reason."""
    environment = {
        "PATCHBAY_DATABASE_URL": database_url,
        "PATCHBAY_BUS_URL": f"amqp://guest:guest@127.0.0.1:{free_port()}/",
        "PATCHBAY_STARTUP_WAIT_SECONDS": "8",
    }
    process = Process([*PATCHBAY, "run", "update-engine"], tmp_path, environment, "engine")

    assert process.popen.wait(60) == 1
    assert "start_waits" in process.text()
    assert "The message broker did not answer" in process.text().splitlines()[-1]


def test_a_service_that_still_waits_can_be_stopped(tmp_path: Path, database_url: str) -> None:
    """The first process of a container gets no signal that it does not ask for: the exit code says that it did."""
    environment = {
        "PATCHBAY_DATABASE_URL": database_url,
        "PATCHBAY_BUS_URL": f"amqp://guest:guest@127.0.0.1:{free_port()}/",
        "PATCHBAY_STARTUP_WAIT_SECONDS": "600",
    }
    process = Process([*PATCHBAY, "run", "update-engine"], tmp_path, environment, "engine")
    wait_for(lambda: "start_waits" in process.text(), what="the wait")

    assert process.stop() == 128 + signal.SIGTERM


def test_the_pages_need_neither_database_nor_broker(tmp_path: Path) -> None:
    """web is given the API's address and its own key, and no other secret."""
    ports = [free_port(), free_port()]
    environment = {
        "PATCHBAY_SECRET_KEY": "a-key-of-this-test-that-is-long-enough",
        "PATCHBAY_API_URL": f"http://127.0.0.1:{free_port()}",
        "PATCHBAY_PORT": str(ports[0]),
        "PATCHBAY_METRICS_PORT": str(ports[1]),
    }
    process = Process([*PATCHBAY, "run", "web"], tmp_path, environment, "web")

    def alive() -> bool:
        assert process.popen.poll() is None, process.text()
        try:
            return requests.get(f"http://127.0.0.1:{ports[1]}/healthz", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    wait_for(alive, what="web")
    readiness = requests.get(f"http://127.0.0.1:{ports[1]}/readyz", timeout=30)
    process.stop()

    assert (readiness.status_code, list(readiness.json()["failing"])) == (503, ["api"])
