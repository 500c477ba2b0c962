"""Another version, one service after the other, while reports arrive: the way of docs/deploy.md."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import next_version
from composition import ENGINES, Composition
from fleet import HOSTS, Figures, Fleet, seconds_since, unheard
from processes import wait_for
from stand_ins import docker

ORDER = ("ingest", "update-engine", "repo-sync", "errata", "api", "web")
PAUSE_SECONDS = 0.2
_VERSION = """
import re, urllib.request
shown = urllib.request.urlopen("http://127.0.0.1:9464/metrics").read().decode()
print(re.search(r'patchbay_build_info{version="([^"]+)"}', shown)[1])
"""


def roll(composition: Composition, fleet: Fleet) -> Figures:
    """Upgrade to the next version: every report that was accepted meanwhile gets its receipt and its verdict."""
    begin = time.monotonic()
    before = running_version(composition, "api")
    with reports_arriving(fleet) as receipts:
        composition.environment["PATCHBAY_IMAGE"] = next_version.TAG
        composition.compose("run", "--rm", "--no-deps", "-T", "migrate")
        restart_on_the_new_schema(composition, "update-engine")
        require_old_migration_to_leave_it(composition)
        # Both versions read what either has written: this engine beside the old ones.
        early = composition.compose("run", "-d", "--no-deps", "update-engine").splitlines()[-1]
        stops = {service: replace(composition, service) for service in ORDER}
        assert stop(docker("inspect", "--format", "{{.Id}}", early)) == 0
        docker("rm", early)
    receipts += [fleet.deliver(number, "5.0-1") for number in range(HOSTS)]
    fleet.require_verdicts(receipts, "5.0-1")
    versions = {running_version(composition, service) for service in ORDER}
    assert versions == {next_version.NUMBER} != {before}, versions
    return {
        "rolled_s": seconds_since(begin),
        "rolled_reports": len(receipts),
        "rolled_unheard": unheard(fleet.answers),
        "stop_s": stops,
    }


@contextmanager
def reports_arriving(fleet: Fleet) -> Iterator[list[str]]:
    """Two hosts at a time report, ten times a second, while something is done; the receipts."""
    fleet.answers.clear()
    done, receipts = threading.Event(), []

    def report(first: int) -> None:
        number = first
        while not done.wait(PAUSE_SECONDS):
            receipts.append(fleet.deliver(number, f"5.1-{number}"))
            number += 2

    with ThreadPoolExecutor(max_workers=2) as pool:
        running = [pool.submit(report, first) for first in range(2)]
        try:
            wait_for(lambda: len(receipts) >= 2, what="the first reports")
            yield receipts
        finally:
            done.set()
        for each in running:
            each.result()


def replace(composition: Composition, service: str) -> float:
    """Stop a service gracefully and start its next version. Seconds that the stop took."""
    before = composition.containers(service)
    begin = time.monotonic()
    composition.compose("stop", service)
    took = seconds_since(begin)
    codes = {each: int(docker("inspect", "--format", "{{.State.ExitCode}}", each)) for each in before}
    assert set(codes.values()) == {0}, f"{service} did not end by itself: {codes}"
    scaled = ["--scale", f"update-engine={ENGINES}"] if service == "update-engine" else []
    composition.compose("up", "-d", "--no-deps", *scaled, service)
    wait_for(lambda: composition.healthy(service), within_seconds=180, what=service)
    assert not set(before) & set(composition.containers(service))
    return took


def restart_on_the_new_schema(composition: Composition, service: str) -> None:
    """A container of the old version ends in the midst of it, and comes again."""
    container = composition.containers(service)[0]
    old = docker("inspect", "--format", "{{.State.Pid}}", container)
    os.kill(int(old), 9)
    wait_for(
        lambda: (
            docker("inspect", "--format", "{{.State.Pid}}", container) not in {"0", old}
            and composition.healthy(service)
        ),
        within_seconds=180,
        what=f"{service} on the new schema",
    )


def require_old_migration_to_leave_it(composition: Composition) -> None:
    """Whoever starts the old version again runs its migration."""
    new = composition.environment.pop("PATCHBAY_IMAGE")
    composition.compose("run", "--rm", "--no-deps", "-T", "migrate")
    composition.environment["PATCHBAY_IMAGE"] = new
    asked = "SELECT version_num FROM alembic_version"
    found = composition.exec("postgres", "psql", "-U", "patchbay", "-Atc", asked)
    assert found == "9000", found


def stop(container: str) -> int:
    """The exit code of a container that is asked to stop."""
    docker("stop", "-t", "40", container)
    return int(docker("inspect", "--format", "{{.State.ExitCode}}", container))


def running_version(composition: Composition, service: str) -> str:
    """As its metrics say."""
    return composition.exec(service, "python3", "-c", _VERSION)
