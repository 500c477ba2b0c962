"""Fixtures of whole processes: `patchbay up`, and a private RabbitMQ node."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import Standalone
from rabbitmq_node import SERVER, RabbitMQNode


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
def rabbitmq_node() -> Iterator[RabbitMQNode]:
    """A private RabbitMQ node, started for this run. Who kills it starts it again."""
    if not SERVER.exists():
        pytest.skip("rabbitmq-server is not installed; setup/install-test-tools installs it, as root")
    node = RabbitMQNode()
    yield node.start()
    node.stop()


@pytest.fixture(scope="session")
def rabbitmq(rabbitmq_node: RabbitMQNode) -> str:
    """The URL of that node."""
    return rabbitmq_node.url
