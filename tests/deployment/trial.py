"""`make test-deploy`: build the image, `docker-compose up`, report through the proxy while containers are killed,
then restore a backup into an empty installation.

Prints one JSON line of figures; exit code 1 if any verdict is missing. Needs root, and Debian's packages docker.io,
docker-compose and debootstrap (installed where they are missing). Pulls nothing: base images are made of Debian's
packages (stand_ins.py). Removes what it made, but for dockerd's rules of iptables and its idle bridge, which go with
the next boot; PATCHBAY_KEEP_DOCKER names a folder to keep images in.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from stand_ins import docker, make_stand_ins

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT / "tests" / "support"))

from apt_mirror import host_report, write_suite  # noqa: E402  (found through the path above)
from processes import Api, enrol, free_port, wait_for  # noqa: E402

HOSTS = 40
REPORTS = 200
TOOLS = {"dockerd": "docker.io", "docker-compose": "docker-compose", "debootstrap": "debootstrap"}
KILLED = ("update-engine", "rabbitmq", "ingest", "postgres", "api", "repo-sync", "proxy", "web", "update-engine")


def main() -> int:
    install_tools()
    with docker_daemon() as folder:
        make_stand_ins()
        docker("build", "--network", "host", "-q", "-t", "patchbay:local", str(CHECKOUT))
        require_caddyfile_for_tls()
        figures: dict[str, Any] = {"image_mb": image_mb()}
        with Composition(folder) as composition:
            figures["compose_ready_s"] = composition.start()
            figures["idle_mb"] = composition.memory_mb()
            trial = Trial(composition)
            figures |= trial.run()
            figures["backup_and_restore_s"] = trial.restore_elsewhere()
    print(json.dumps(figures))
    return 0


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


def image_mb() -> int:
    """What the image adds to its base, in millions of bytes: the base differs from machine to machine."""
    size, base = (
        int(docker("image", "inspect", "--format", "{{.Size}}", tag))
        for tag in ("patchbay:local", "python:3.12-slim-bookworm")
    )
    return round((size - base) / 1e6)


def require_caddyfile_for_tls() -> None:
    """The profile `tls` is not started, since it wants ports 80 and 443: Caddy itself says whether it could be."""
    caddyfile = CHECKOUT / "deploy/compose/Caddyfile"
    docker("run", "--rm", "--network", "none", "-e", "SITE=patchbay.example.org", "-v", f"{caddyfile}:/Caddyfile:ro",
           "caddy:2", "caddy", "validate", "--config", "/Caddyfile", "--adapter", "caddyfile")  # fmt: skip


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
        self._environment = {
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
            env=self._environment, cwd=CHECKOUT, input=given, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3_000:].decode(errors="replace")
        return done.stdout

    def start(self) -> float:
        """Seconds until the first page is served, from nothing but images."""
        begin = time.monotonic()
        self.compose("up", "-d", "--scale", "update-engine=3")
        wait_for(self.answers, within_seconds=120, what="the first page")
        return round(time.monotonic() - begin, 1)

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-q", service).split()

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


class Trial:
    """Reports through the proxy while one container after another is killed; then every verdict is asked for."""

    def __init__(self, composition: Composition) -> None:
        self._compose = composition
        self._url = composition.url
        self._password = ""
        self._hosts: list[tuple[str, str]] = []

    def run(self) -> dict[str, Any]:
        [api_container] = self._compose.containers("api")
        self._password = docker("exec", api_container, "cat", "/run/patchbay/admin_password")
        token = docker("exec", api_container, "patchbay", "create-enrolment-token", "trial")
        hosts = self._hosts = [enrol(self._url, token, f"host{number}.example.org") for number in range(HOSTS)]
        begin = time.monotonic()
        with ThreadPoolExecutor(max_workers=4) as pool:
            killing = pool.submit(self._kill_one_after_another)
            receipts = list(pool.map(lambda number: self._deliver(number, hosts), range(REPORTS)))
            restarted = killing.result()
        api = Api.signed_in(self._url, "admin", self._password)
        wait_for(lambda: all(self._known(api, each) for each in receipts), within_seconds=240, what="every receipt")
        wait_for(
            lambda: all(self._verdict(api, host_id) == ["5.2-3"] for host_id, _ in hosts),
            within_seconds=240,
            what="every verdict",
        )
        return {
            "reports": len(receipts),
            "hosts": HOSTS,
            "killed": len(restarted),
            "restart_s_max": max(restarted),
            "trial_s": round(time.monotonic() - begin),
            "dead_letters": api.get("/dashboard")["dead_letter_count"],
        }

    def restore_elsewhere(self) -> float:
        """Seconds of the way of docs/deploy.md: back up, lose every volume, restore, find every verdict."""
        begin = time.monotonic()
        compose = self._compose.compose_bytes
        dump = compose("exec", "-T", "postgres", "pg_dump", "-U", "patchbay", "-Fc", "patchbay")
        key = compose("exec", "-T", "api", "cat", "/run/patchbay/secret_key")
        compose("down", "-v", "-t", "20")
        compose(
            "run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "secrets", "-c", "cat > /secrets/app/secret_key",
            given=key,
        )  # fmt: skip
        compose("up", "-d", "postgres")
        wait_for(self._database_answers, what="the new database")
        compose(
            "exec", "-T", "postgres", "pg_restore", "-U", "patchbay", "-d", "patchbay", "--no-owner",
            "--no-privileges", given=dump,
        )  # fmt: skip
        self._compose.start()
        assert compose("exec", "-T", "api", "cat", "/run/patchbay/secret_key") == key
        api = Api.signed_in(self._url, "admin", self._password)
        assert all(self._verdict(api, host_id) == ["5.2-3"] for host_id, _ in self._hosts)
        self._deliver(REPORTS - 1, self._hosts)
        return round(time.monotonic() - begin, 1)

    def _database_answers(self) -> bool:
        [container] = self._compose.containers("postgres")
        return docker("inspect", "--format", "{{.State.Health.Status}}", container) == "healthy"

    def _deliver(self, number: int, hosts: list[tuple[str, str]]) -> str:
        """As the agent does: again and again until it is accepted. The receipt's id."""
        _, token = hosts[number % HOSTS]
        version = "5.2-1" if number >= REPORTS - HOSTS else f"5.1-{number}"
        report = host_report(f"host{number % HOSTS}.example.org", {"bash": version}, "stable", "stable-security")

        def accepted() -> str:
            try:
                answer = requests.post(
                    f"{self._url}/api/v1/reports", data=json.dumps(report), timeout=60,
                    headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
                )  # fmt: skip
            except requests.RequestException:
                return ""
            assert answer.status_code in {202, 429, 502, 503, 504}, answer.text
            return str(answer.json()["receipt"]) if answer.status_code == 202 else ""

        return str(wait_for(accepted, within_seconds=180, what="an accepted report"))

    def _kill_one_after_another(self) -> list[float]:
        """Seconds until each was healthy again."""
        seconds = []
        for service in KILLED:
            container = self._compose.containers(service)[0]
            begin = time.monotonic()
            # `docker kill` would count as the operator's wish, and nothing would restart it.
            pid = docker("inspect", "--format", "{{.State.Pid}}", container)
            os.kill(int(pid), 9)
            wait_for(
                lambda container=container, pid=pid: self._well(container, pid), within_seconds=180, what=service
            )
            seconds.append(round(time.monotonic() - begin, 1))
        return seconds

    def _well(self, container: str, killed_pid: str) -> bool:
        shown = docker("inspect", "--format", "{{.State.Pid}} {{if .State.Health}}{{.State.Health.Status}}{{else}}"
                       "{{.State.Status}}{{end}}", container)  # fmt: skip
        pid, state = shown.split()
        return pid not in {"0", killed_pid} and state in {"healthy", "running"}

    def _known(self, api: Api, receipt: str) -> bool:
        return api.status(f"/receipts/{receipt}") == 200

    def _verdict(self, api: Api, host_id: str) -> list[str]:
        return [each["candidate"] for each in api.items(f"/hosts/{host_id}/updates") if each["listed"]]


if __name__ == "__main__":
    sys.exit(main())
