"""One id from the agent's report to its verdict: in the logs of every process, and in the spans that they send."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from processes import PATCHBAY, Process, free_port, wait_for

pytestmark = [pytest.mark.rabbitmq, pytest.mark.xdist_group("rabbitmq")]

AGENT = Path(__file__).parents[2] / "agent" / "patchbay_agent.py"
TRACE = re.compile(r"trace_id ([0-9a-f]{32})")


class Collector:
    """As much of an OpenTelemetry collector as takes spans."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        """(service, span)."""
        received = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                    names = {attribute.key: attribute.value.string_value for attribute in each.resource.attributes}
                    received.extend((names["service.name"], span) for part in each.scope_spans for span in part.spans)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of_trace(self, trace_id: str) -> dict[str, tuple[str, Any]]:
        """Name to (service, span)."""
        return {span.name: (service, span) for service, span in list(self.spans) if span.trace_id.hex() == trace_id}


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Services:
    """ingest and update-engine as processes of their own, and one host with the agent."""

    def __init__(self, folder: Path, database_url: str, bus_url: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "PATCHBAY_DATABASE_URL": database_url,
            "PATCHBAY_BUS_URL": bus_url,
            "PATCHBAY_LOG_FORMAT": "json",
            "PATCHBAY_HTTP_WORKERS": "1",
            "PATCHBAY_PORT": str(self.port),
        }
        self.processes: dict[str, Process] = {}
        root = folder / "root"
        (root / "var/lib/dpkg").mkdir(parents=True)
        (root / "etc").mkdir()
        (root / "etc/os-release").write_text("ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\n")
        (root / "var/lib/dpkg/arch").write_text("amd64\n")
        self.install("5.2-1")

    def install(self, version: str) -> None:
        """A version of bash on the host."""
        (self.folder / "root/var/lib/dpkg/status").write_text(
            f"Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n"
            "Maintainer: nobody\n\n"
        )

    def start(self, *names: str) -> None:
        for name in names:
            self.processes[name] = Process([*PATCHBAY, "run", name], self.folder, self.environment, name)
        if "ingest" in names:
            wait_for(self._answers, what="ingest")

    def stop(self, *names: str) -> None:
        for name in names or list(self.processes):
            assert self.processes.pop(name).stop() == 0

    def enrol(self) -> None:
        done = subprocess.run(
            [*PATCHBAY, "create-enrolment-token", "test"], env={**os.environ, **self.environment},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        enrolled = self.agent("enrol", "--server", self.url, "--token", done.stdout.strip())
        assert enrolled.returncode == 0, enrolled.stderr

    def report(self) -> subprocess.CompletedProcess[str]:
        return self.agent("report")

    def agent(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, AGENT, *arguments, "--config", self.folder / "agent.conf", "--state-dir",
             self.folder / "state", "--root", self.folder / "root", "--hostname", "web1.example.org"],
            capture_output=True, text=True,
        )  # fmt: skip

    def events(self, name: str, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.processes[name].text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False


@pytest.fixture
def services(tmp_path: Path, database_url: str, rabbitmq: str) -> Iterator[Callable[..., Services]]:
    made: list[Services] = []

    def make(**environment: str) -> Services:
        made.append(Services(tmp_path, database_url, rabbitmq))
        made[0].environment |= environment
        return made[0]

    yield make
    for each in made:
        each.stop()


def test_one_id_leads_from_the_agent_to_the_verdict(services: Callable[..., Services]) -> None:
    """What the agent calls its report is `trace_id` at ingest and at the engine, however often it had to try."""
    fleet = services()
    fleet.start("ingest")
    fleet.enrol()
    fleet.stop("ingest")
    refused = fleet.report()
    assert refused.returncode == 1, refused.stderr
    fleet.start("ingest", "update-engine")
    fleet.install("5.2-2")
    delivered = fleet.report()
    assert delivered.returncode == 0, delivered.stderr

    [trace_id] = TRACE.findall(refused.stderr)
    accepted, _ = fleet.events("ingest", "report_accepted")
    wait_for(lambda: len(fleet.events("update-engine", "report_stored")) == 2, what="the lines of the engine")
    [stored] = [each for each in fleet.events("update-engine", "report_stored") if each["trace_id"] == trace_id]

    assert accepted["trace_id"] == trace_id
    assert stored["receipt_id"] == accepted["receipt_id"]
    assert stored["evaluation_id"] > 0


def test_spans_of_all_services_are_of_one_trace(services: Callable[..., Services], collector: Collector) -> None:
    """With a collector configured: ingest's request, and below it the engine's handling of the message."""
    fleet = services(PATCHBAY_OTLP_ENDPOINT=collector.url)
    fleet.start("ingest", "update-engine")
    fleet.enrol()
    assert fleet.report().returncode == 0
    [accepted] = wait_for(lambda: fleet.events("ingest", "report_accepted"), what="the line of ingest")
    wait_for(lambda: fleet.events("update-engine", "report_stored"), what="the line of the engine")
    fleet.stop()

    found = collector.of_trace(accepted["trace_id"])
    service, request = found["POST /api/v1/reports"]
    consumer, handling = found["process update-engine.reports"]
    assert (service, consumer) == ("patchbay-ingest", "patchbay-update-engine")
    assert handling.parent_span_id == request.span_id


def test_a_collector_that_is_away_stops_nothing(services: Callable[..., Services]) -> None:
    """Reports go on, and a process stops in its time."""
    fleet = services(PATCHBAY_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    fleet.start("ingest", "update-engine")
    fleet.enrol()

    assert fleet.report().returncode == 0
    wait_for(lambda: fleet.events("update-engine", "report_stored"), what="the line of the engine")
    fleet.stop()
