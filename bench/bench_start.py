"""How long `patchbay up` takes to be ready, on an empty data folder and again."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests
from figures import figure

ROUNDS = 3


def ready_seconds(data: Path) -> float:
    """From the command to the first page that answers; the process is stopped again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ, "PATCHBAY_PORT": str(port), "PATCHBAY_DATA_DIR": str(data), "PATCHBAY_LOG_LEVEL": "error",
    }  # fmt: skip
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "patchbay", "up"], env=environment, stdout=subprocess.DEVNULL)
    try:
        while time.monotonic() - started < 120:
            try:
                if requests.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200:
                    return time.monotonic() - started
            except requests.RequestException:
                pass
            time.sleep(0.02)
        raise SystemExit("patchbay up was not ready within 120 s")
    finally:
        process.terminate()
        process.wait(60)


def main() -> None:
    first, again = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="patchbay-bench-") as name:
            Path(name).chmod(0o755)
            first.append(ready_seconds(Path(name) / "data"))
            again.append(ready_seconds(Path(name) / "data"))
    floor = []
    for _ in range(ROUNDS):
        started = time.monotonic()
        subprocess.run([sys.executable, "-c", "import flask, sqlalchemy, psycopg, kombu"], check=True)
        floor.append(time.monotonic() - started)
    figure("start_first_seconds", first, "s", target="< 8", floor=min(floor))
    figure("start_again_seconds", again, "s", target="< 4", floor=min(floor))


if __name__ == "__main__":
    main()
