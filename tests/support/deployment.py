"""The services as separate processes, as compose or Kubernetes would start them."""

import os
import subprocess
from pathlib import Path

import pika
import requests
from apt_mirror import write_suite
from processes import PATCHBAY, Process, free_port

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
