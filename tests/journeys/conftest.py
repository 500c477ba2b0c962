"""Whole processes, as an operator starts them: `patchbay up`, separate services, a private RabbitMQ node."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
import requests

PATCHBAY = [sys.executable, "-m", "patchbay"]
RABBITMQ_BIN = Path("/usr/lib/rabbitmq/bin")


def wait_for(condition: Callable[[], Any], *, within_seconds: float = 60.0, what: str = "condition") -> Any:
    """The first true value of `condition`; fails the test after the time."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true within {within_seconds} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A process whose output goes to a file."""

    def __init__(self, command: list[str], folder: Path, environment: dict[str, str], name: str) -> None:
        self.output = folder / f"{name}-{secrets.token_hex(3)}.log"
        with self.output.open("wb") as file:
            self.popen = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **environment}, cwd=folder
            )

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def stop(self, number: int = signal.SIGTERM, *, within_seconds: float = 40.0) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.popen.wait(within_seconds)


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


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[Callable[..., Standalone]]:
    """Make a `patchbay up` that is stopped with the test. The embedded server's user must reach the folder."""
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o111)
    made: list[Standalone] = []

    def make(**environment: str) -> Standalone:
        made.append(Standalone(tmp_path, **environment))
        return made[-1]

    yield make
    for each in made:
        if each.process and each.process.popen.poll() is None:
            each.stop()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a private RabbitMQ node of Debian's package, started for this run."""
    if not (RABBITMQ_BIN / "rabbitmq-server").exists():
        pytest.skip("Debian's package rabbitmq-server is not installed (setup/install-test-tools installs it as root)")
    folder = tmp_path_factory.mktemp("rabbitmq")
    for each in [folder, *folder.parents]:
        if each.stat().st_uid == os.getuid() and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o111)
    as_user = []
    if os.getuid() == 0:
        shutil.chown(folder, "rabbitmq", "rabbitmq")
        as_user = ["setpriv", "--reuid=rabbitmq", "--regid=rabbitmq", "--clear-groups"]
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "RABBITMQ_NODENAME": f"patchbay{secrets.token_hex(3)}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_FEATURE_FLAGS_FILE": str(folder / "feature_flags"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_SERVER_START_ARGS": "-setcookie patchbay",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    with (folder / "out.log").open("wb") as output:
        node = subprocess.Popen(
            [*as_user, RABBITMQ_BIN / "rabbitmq-server"], env=environment, stdout=output, stderr=output, cwd=folder
        )
    url = f"amqp://guest:guest@127.0.0.1:{port}/"

    def answers() -> bool:
        assert node.poll() is None, (folder / "out.log").read_text()
        try:
            pika.BlockingConnection(pika.URLParameters(url)).close()
        except (pika.exceptions.AMQPError, OSError):
            return False
        return True

    wait_for(answers, within_seconds=90, what="RabbitMQ")
    yield url
    node.terminate()
    node.wait(60)
