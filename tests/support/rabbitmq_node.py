"""A private RabbitMQ node of Debian's package, on loopback and in a folder of its own."""

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import pika
import psutil
from processes import free_port, wait_for

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMQNode:
    """The node; `start` it, also after `kill`. What a queue holds durably outlives both."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="patchbay-rabbitmq-"))
        self._folder.chmod(0o755)
        self._as_user: list[str] = []
        if os.getuid() == 0:
            shutil.chown(self._folder, "rabbitmq", "rabbitmq")
            self._as_user = ["setpriv", "--reuid=rabbitmq", "--regid=rabbitmq", "--clear-groups"]
        port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{port}/"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"patchbay{secrets.token_hex(3)}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_FEATURE_FLAGS_FILE": str(self._folder / "feature_flags"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "enabled_plugins"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq"),
            "RABBITMQ_SERVER_START_ARGS": "-setcookie patchbay",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RabbitMQNode":
        with (self._folder / "out.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*self._as_user, SERVER], env=self._environment, stdout=output, stderr=output, cwd=self._folder
            )
        wait_for(self._answers, within_seconds=120, what="RabbitMQ")
        return self

    def kill(self) -> None:
        """SIGKILL to everything of it."""
        assert self._process is not None
        kill_tree(self._process)

    def stop(self) -> None:
        """End the node and remove its folder."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)
        shutil.rmtree(self._folder, ignore_errors=True)

    def control(self, *arguments: str) -> None:
        """`rabbitmqctl`, as the node's own user."""
        command = [*self._as_user, SERVER.with_name("rabbitmqctl"), "--erlang-cookie", "patchbay", *arguments]
        subprocess.run(command, env=self._environment, cwd=self._folder, check=True, capture_output=True, timeout=120)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "out.log").read_text(errors="replace")
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except (pika.exceptions.AMQPError, OSError):
            return False
        return True


def kill_tree(process: "subprocess.Popen[bytes] | psutil.Process") -> None:
    """SIGKILL to a process and all that it started, as by a power cut; returns when they are gone."""
    top = psutil.Process(process.pid)
    members = [top, *top.children(recursive=True)]
    for each in members:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait(30)
    psutil.wait_procs(members[1:], timeout=30)
