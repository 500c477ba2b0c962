"""docker-compose.yml as an operator would run it, and what can be seen of its containers."""

import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import requests
from apt_mirror import write_suite
from processes import free_port, wait_for
from stand_ins import docker

CHECKOUT = Path(__file__).parents[2]
ENGINES = 3
_STATE = "{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}"


class Composition:
    """docker-compose.yml as it is, under a name of its own, with a mirror that the test serves."""

    def __init__(self, folder: Path) -> None:
        self.name = f"patchbay{secrets.token_hex(3)}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.mirror = folder / "mirror"
        write_suite(self.mirror, "stable", {"bash": "5.2-2"})
        write_suite(self.mirror, "stable-security", {"bash": "5.2-3"}, label="Debian-Security")
        self._override = folder / "mirror.yml"
        self._override.write_text(json.dumps({"services": {"repo-sync": {"volumes": [f"{self.mirror}:/mirror:ro"]}}}))
        self.environment = {
            **os.environ,
            "PROXY_PORT": str(self.port),
            "PATCHBAY_PUBLIC_URL": self.url,
            "PATCHBAY_MIRROR_MAP": "http://mirror.example.org/debian=/mirror",
            "PATCHBAY_ERRATA_SOURCES": "none",
        }

    def __enter__(self) -> "Composition":
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        if failed:
            print(self.compose("ps"), self.compose("logs", "--tail=15", "--no-color"), file=sys.stderr)
        self.compose("down", "-v", "-t", "5")

    def compose(self, *arguments: str) -> str:
        return self.compose_bytes(*arguments).decode().strip()

    def compose_bytes(self, *arguments: str, given: bytes | None = None) -> bytes:
        """What the command says, given this on its standard input. Raises AssertionError with its errors."""
        done = subprocess.run(
            ["docker-compose", "-p", self.name, "-f", "docker-compose.yml", "-f", self._override, *arguments],
            env=self.environment, cwd=CHECKOUT, input=given, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3_000:].decode(errors="replace")
        return done.stdout

    def start(self) -> float:
        """Seconds until the first page is served, from nothing but images."""
        begin = time.monotonic()
        self.compose("up", "-d", "--scale", f"update-engine={ENGINES}")
        wait_for(self.answers, within_seconds=300, what="the first page")
        return round(time.monotonic() - begin, 1)

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def exec(self, service: str, *command: str) -> str:
        """What a command says in the first container of a service."""
        return docker("exec", self.containers(service)[0], *command)

    def healthy(self, service: str) -> bool:
        """Whether all containers of a service are, by their own check."""
        states = [docker("inspect", "--format", _STATE, each) for each in self.containers(service)]
        return bool(states) and all(state in {"healthy", "running"} for state in states)

    def containers(self, service: str) -> list[str]:
        """Those that `up` made, running or not; what `run` made beside them is not counted."""
        labels = {"project": self.name, "service": service, "oneoff": "False"}
        chosen = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return docker("ps", "-aq", "--no-trunc", *chosen).split()

    def memory_mb(self) -> dict[str, int]:
        """Of each service's containers together, without the kernel's file cache."""
        found: dict[str, int] = {}
        for service in self.compose("config", "--services").split():
            for container in self.containers(service):
                shown = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", container).split(" /")[0]
                unit = 1.0 if shown.endswith("MiB") else 1_024.0 if shown.endswith("GiB") else 0.0
                found[service] = found.get(service, 0) + round(float(shown.rstrip("MiBGK")) * unit * 1.048_576)
        used = {service: size for service, size in found.items() if size}
        return {**used, "total": sum(used.values())}
