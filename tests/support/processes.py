"""Whole processes, as an operator starts and uses them."""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

PATCHBAY = [sys.executable, "-m", "patchbay"]
_EVERY_PROCESS = {
    "PYTHONFAULTHANDLER": "1",
    "PATCHBAY_ERRATA_SOURCES": "none",  # tests ask nobody outside of this machine
}


def wait_for(condition: Callable[[], Any], *, within_seconds: float = 60.0, what: str = "condition") -> Any:
    """The first true value of `condition`; fails the test after the time."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true within {within_seconds} s")


def free_port() -> int:
    """A port that nothing listens on.

    Below those that the system gives to outgoing connections: a server needs seconds to start, and meanwhile some
    connection of another test would be given one of these.
    """
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Process:
    """A process whose output goes to a file."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str], name: str) -> None:
        self.output = folder / f"{name}-{secrets.token_hex(3)}.log"
        with self.output.open("wb") as file:
            self.popen = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, cwd=folder,
                env={**os.environ, **_EVERY_PROCESS, **environment},
            )  # fmt: skip

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM, *, within_seconds: float = 40.0) -> int:
        """The exit code. A process that does not stop in time shows what each of its threads is doing."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        try:
            return self.popen.wait(within_seconds)
        except subprocess.TimeoutExpired:
            self.popen.send_signal(signal.SIGABRT)  # faulthandler writes the stacks
            self.popen.wait(10)
            raise AssertionError(f"did not stop within {within_seconds} s:\n{self.text()}") from None


class Standalone:
    """`patchbay up` on a port and data folder of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "PATCHBAY_PORT": str(self.port),
            "PATCHBAY_DATA_DIR": str(folder / "data"),
            "PATCHBAY_LOG_FORMAT": "json",
            **environment,
        }
        self.process: Process | None = None
        self.password = ""

    def start(self, *, within_seconds: float = 90.0) -> "Standalone":
        self.process = Process([*PATCHBAY, "up"], self.folder, self.environment, "up")
        process = self.process

        def ready() -> bool:
            assert process.popen.poll() is None, process.text()
            return "Patchbay is ready" in process.text() and "data  " in process.text()

        wait_for(ready, within_seconds=within_seconds, what="patchbay up")
        if found := re.search(r"sign in as +admin / (\S+)", process.text()):
            self.password = found[1]
        return self

    @property
    def enrolment_token(self) -> str:
        assert self.process is not None
        found = re.search(r"--token (\S+)", self.process.text())
        assert found, self.process.text()
        return found[1]

    def sign_in(self) -> "Api":
        return Api.signed_in(self.url, "admin", self.password)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        return self.process.stop(number)


class Api:
    """The API as a script uses it."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}"}

    @classmethod
    def signed_in(cls, url: str, username: str, password: str) -> "Api":
        answer = requests.post(
            f"{url}/api/v1/sessions", json={"username": username, "password": password}, timeout=30
        )
        assert answer.status_code == 201, answer.text
        return cls(url, answer.json()["token"])

    def get(self, path: str, **parameters: Any) -> Any:
        answer = requests.get(f"{self.url}/api/v1{path}", params=parameters, headers=self.headers, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def status(self, path: str) -> int:
        return requests.get(f"{self.url}/api/v1{path}", headers=self.headers, timeout=30).status_code

    def items(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        """All pages of a list."""
        found: list[dict[str, Any]] = []
        page = self.get(path, **parameters)
        while True:
            found += page["items"]
            if not page.get("next_cursor"):
                return found
            page = self.get(path, **parameters, cursor=page["next_cursor"])


def enrol(url: str, token: str, hostname: str) -> tuple[str, str]:
    """(host id, host token) of a new host."""
    answer = requests.post(
        f"{url}/api/v1/enrol",
        json={"hostname": hostname, "machine_id": secrets.token_hex(16)},
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    assert answer.status_code == 201, answer.text
    return answer.json()["host_id"], answer.json()["token"]


def post_report(url: str, token: str, report: dict[str, Any]) -> requests.Response:
    return requests.post(
        f"{url}/api/v1/reports", data=json.dumps(report), timeout=60,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )  # fmt: skip
