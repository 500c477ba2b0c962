"""A PostgreSQL server of a test's own, which the test may kill: the embedded one, in a process that holds it."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
from rabbitmq_node import kill_tree

_HOLD = """
import sys, threading
from pathlib import Path
from patchbay_shared.embedded import start_postgres
print(start_postgres(Path(sys.argv[1])).get_uri(), flush=True)
sys.stdin.read()
"""


class PostgresServer:
    """The server whose data is in `folder`; `start` it, also after `kill`, at the same address."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "postgres"
        self._holder: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """The URL of its first database."""
        command = [sys.executable, "-c", _HOLD, str(self._data)]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ)
        assert self._holder.stdout is not None
        url = self._holder.stdout.readline().decode().strip()
        assert url, "PostgreSQL did not start"
        return url

    def kill(self) -> None:
        """SIGKILL to the postmaster and all its backends, and to who holds it."""
        pid = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        kill_tree(psutil.Process(pid))
        if self._holder is not None:
            kill_tree(self._holder)

    def stop(self) -> None:
        """Stop it in an orderly way, if it runs."""
        if self._holder is not None and self._holder.poll() is None:
            self._holder.communicate(timeout=60)
