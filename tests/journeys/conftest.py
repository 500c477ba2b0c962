"""Fixtures of whole processes: `patchbay up`, and a private RabbitMQ node."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest
from processes import Standalone, free_port, wait_for

RABBITMQ_BIN = Path("/usr/lib/rabbitmq/bin")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that servers can reach which act as another user (pytest's own are for this user only)."""
    folder = Path(tempfile.mkdtemp(prefix="patchbay-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def standalone(open_folder: Path) -> Iterator[Callable[..., Standalone]]:
    """Make a `patchbay up` that is stopped with the test."""
    made: list[Standalone] = []

    def make(**environment: str) -> Standalone:
        made.append(Standalone(open_folder, **environment))
        return made[-1]

    yield make
    for each in made:
        if each.process and each.process.popen.poll() is None:
            each.stop()


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[str]:
    """The URL of a private RabbitMQ node of Debian's package, started for this run."""
    if not (RABBITMQ_BIN / "rabbitmq-server").exists():
        pytest.skip("rabbitmq-server is not installed; setup/install-test-tools installs it, as root")
    folder = Path(tempfile.mkdtemp(prefix="patchbay-rabbitmq-"))
    folder.chmod(0o755)
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
    shutil.rmtree(folder, ignore_errors=True)
