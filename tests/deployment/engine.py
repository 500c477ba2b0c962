"""A Docker engine of the trial's own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes import wait_for

TOOLS = {"dockerd": "docker.io", "docker-compose": "docker-compose", "debootstrap": "debootstrap", "curl": "curl"}


def install_tools() -> None:
    """From Debian's packages, without starting their services."""
    missing = [package for command, package in TOOLS.items() if shutil.which(command) is None]
    if not missing:
        return
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "iptables", *missing], check=True,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}, stdout=subprocess.DEVNULL,
    )  # fmt: skip


@contextmanager
def docker_daemon() -> Iterator[Path]:
    """A daemon of our own, with its data in a folder that is removed afterwards; the folder."""
    kept = os.environ.get("PATCHBAY_KEEP_DOCKER")
    folder = Path(kept) if kept else Path(tempfile.mkdtemp(prefix="patchbay-docker-"))
    folder.mkdir(exist_ok=True)
    socket = f"unix://{folder}/docker.sock"
    with (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(
            ["dockerd", "--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid",
             "--host", socket], stdout=log, stderr=log,
        )  # fmt: skip
    os.environ["DOCKER_HOST"] = socket
    try:

        def answers() -> bool:
            assert daemon.poll() is None, (folder / "dockerd.log").read_text()[-2_000:]
            return subprocess.run(["docker", "info"], capture_output=True).returncode == 0

        wait_for(answers, within_seconds=60, what="dockerd")
        yield folder
    finally:
        daemon.terminate()
        daemon.wait(60)
        unmount_below(folder)
        if not kept:
            shutil.rmtree(folder)


def unmount_below(folder: Path) -> None:
    """The daemon leaves its network namespace mounted."""
    mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for place in reversed([each for each in mounted if each.startswith(f"{folder}/")]):
        subprocess.run(["umount", place], check=True)
