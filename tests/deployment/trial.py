"""`make test-deploy`: build the image, `docker-compose up`, report through the proxy while containers are killed,
roll an upgrade, serve HTTPS, then restore a backup into an empty installation.

Prints one JSON line of figures; exit code 1 if any verdict is missing. Needs root, and Debian's packages docker.io,
docker-compose and debootstrap (installed where they are missing). Pulls nothing: base images are made of Debian's
packages (stand_ins.py). Removes what it made, but for dockerd's rules of iptables and its idle bridge, which go with
the next boot; PATCHBAY_KEEP_DOCKER names a folder to keep images in.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
sys.path.insert(0, str(CHECKOUT / "tests" / "support"))

from composition import Composition  # noqa: E402  (these find their neighbours through the path above)
from engine import docker_daemon, install_tools  # noqa: E402
from fleet import HOSTS, Figures, Fleet, seconds_since, unheard  # noqa: E402
from front_door import settings_of_the_doors, try_the_doors  # noqa: E402
from monitoring import require_measurements  # noqa: E402
from next_version import build_next_version  # noqa: E402
from processes import wait_for  # noqa: E402
from restoring import restore  # noqa: E402
from rolling import roll  # noqa: E402
from stand_ins import docker, make_stand_ins  # noqa: E402

REPORTS = 200
KILLED = ("update-engine", "rabbitmq", "ingest", "postgres", "api", "repo-sync", "proxy", "web", "update-engine")


def main() -> int:
    install_tools()
    with docker_daemon() as folder:
        make_stand_ins()
        begin = time.monotonic()
        docker("build", "--network", "host", "-q", "-t", "patchbay:local", str(CHECKOUT))
        figures: Figures = {"build_s": seconds_since(begin), "image_mb": image_mb()}
        require_bill_of_materials()
        build_next_version()
        with Composition(folder) as composition:
            composition.environment |= settings_of_the_doors()
            figures["compose_ready_s"] = composition.start()
            figures["idle_mb"] = composition.memory_mb()
            fleet = Fleet(composition)
            figures |= kill_one_after_another(composition, fleet)
            tell(figures)
            figures |= roll(composition, fleet)
            tell(figures)
            try_the_doors(composition, fleet)
            require_measurements(composition)
            figures["dead_letters"] = fleet.dead_letters()
            figures["backup_and_restore_s"] = restore(composition, fleet, "5.2-1")
    print(json.dumps(figures))
    return 0


def tell(figures: Figures) -> None:
    """What has been measured so far, for whoever waits, or looks after a failure."""
    print(json.dumps(figures), file=sys.stderr, flush=True)


def image_mb() -> int:
    """What the image adds to its base, in millions of bytes: the base differs from machine to machine."""
    size, base = (
        int(docker("image", "inspect", "--format", "{{.Size}}", tag))
        for tag in ("patchbay:local", "python:3.12-slim-bookworm")
    )
    return round((size - base) / 1e6)


def require_bill_of_materials() -> None:
    """The label names a file that says what is in the image."""
    label = '{{index .Config.Labels "io.patchbay.sbom"}}'
    path = docker("image", "inspect", "--format", label, "patchbay:local")
    found = json.loads(docker("run", "--rm", "--network", "none", "--entrypoint", "cat", "patchbay:local", path))
    listed = {each["name"] for each in found["components"]}
    assert found["metadata"]["component"]["name"] == "patchbay"
    assert {"flask", "opentelemetry-sdk", "@tabler/core"} <= listed, listed
    assert {"pip", "setuptools"}.isdisjoint(listed), listed


def kill_one_after_another(composition: Composition, fleet: Fleet) -> Figures:
    """REPORTS reports while containers lose their process, one after the other; then every verdict is asked for."""
    begin = time.monotonic()
    with ThreadPoolExecutor(max_workers=4) as pool:
        killing = pool.submit(lambda: [killed(composition, service) for service in KILLED])
        receipts = list(pool.map(lambda number: fleet.deliver(number, f"5.1-{number}"), range(REPORTS)))
        restarted = killing.result()
    unheard_count = sum(unheard(fleet.answers).values())
    receipts += [fleet.deliver(number, "5.2-0") for number in range(HOSTS)]
    fleet.require_verdicts(receipts, "5.2-0")
    return {
        "reports": len(receipts),
        "hosts": HOSTS,
        "killed": len(restarted),
        "restart_s_max": max(restarted),
        "unheard": unheard_count,
        "trial_s": seconds_since(begin),
    }


def killed(composition: Composition, service: str) -> float:
    """Kill the process of a container. Seconds until it was healthy again."""
    container = composition.containers(service)[0]
    begin = time.monotonic()
    # `docker kill` would count as the operator's wish, and nothing would restart it.
    pid = docker("inspect", "--format", "{{.State.Pid}}", container)
    os.kill(int(pid), 9)
    wait_for(lambda: well(container, pid), within_seconds=180, what=service)
    return seconds_since(begin)


def well(container: str, killed_pid: str) -> bool:
    shown = docker("inspect", "--format", "{{.State.Pid}} {{if .State.Health}}{{.State.Health.Status}}{{else}}"
                   "{{.State.Status}}{{end}}", container)  # fmt: skip
    pid, state = shown.split()
    return pid not in {"0", killed_pid} and state in {"healthy", "running"}


if __name__ == "__main__":
    sys.exit(main())
