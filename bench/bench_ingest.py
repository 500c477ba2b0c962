"""Accepting reports over HTTP: `patchbay run ingest` before a private RabbitMQ node, beside a bare producer.

The floor is what one kombu producer with confirms puts on the same queue in the same run: a report cannot be
durable sooner. Everything listens on loopback and is gone at the end.
"""

import gzip
import hashlib
import itertools
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pika
import psutil
import requests
from figures import figure, test_support
from fleet import fleet_reports
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.embedded import start_postgres
from patchbay_shared.messages import FRESH_REPORTS, REPORT_RECEIVED
from patchbay_shared.migrate import migrate
from patchbay_shared.report import Report
from patchbay_shared.tables import enrolment_token
from sqlalchemy import insert

test_support()
from processes import free_port, wait_for  # noqa: E402  (where the tests have them)
from rabbitmq_node import SERVER, RabbitMQNode  # noqa: E402

ROUNDS = 3
SECONDS = 8.0
CLIENT_COUNT = 8
HOST_COUNT = 20
CHANGED_COUNT = 400
TOKEN = "pbe_" + secrets.token_urlsafe(24)

BURST_COUNT = 2_000
BURST_CLIENTS = 200


@contextmanager
def ingest(database_url: str, bus_url: str, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The URL and the process of `patchbay run ingest`, as in production."""
    port = free_port()
    environment = {
        **os.environ,
        "PATCHBAY_DATABASE_URL": database_url,
        "PATCHBAY_BUS_URL": bus_url,
        "PATCHBAY_PORT": str(port),
        "PATCHBAY_LOG_LEVEL": "warning",
        "PATCHBAY_HOST_REPORTS_PER_MINUTE": "0",
        "PATCHBAY_REPORTS_PER_SECOND": "0",
    }
    command = [str(Path(sys.executable).with_name("patchbay")), "run", "ingest"]
    with (folder / "ingest.log").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=folder)

    def ready() -> bool:
        if process.poll() is not None:
            raise SystemExit((folder / "ingest.log").read_text(errors="replace"))
        try:
            return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    try:
        wait_for(ready, what="ingest")
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


def changed_bodies(turn: int) -> list[bytes]:
    """As many reports as are posted in a moment, no two with the same packages: nothing of them is known."""
    reports = list(fleet_reports().values())
    bodies = []
    for number in range(CHANGED_COUNT):
        report = reports[number % len(reports)]
        assert report.packages
        first = msgspec.structs.replace(report.packages[0], version=f"1.{turn}.{number}")
        changed = msgspec.structs.replace(report, packages=[first, *report.packages[1:]])
        bodies.append(gzip.compress(msgspec.json.encode(changed), 1))
    return bodies


def bodies() -> list[bytes]:
    """Reports of 1,500 packages as the agent sends them: JSON under gzip."""
    reports: list[Report] = list(itertools.islice(itertools.cycle(fleet_reports().values()), HOST_COUNT))
    return [gzip.compress(msgspec.json.encode(each)) for each in reports]


def enrolled(url: str) -> list[str]:
    """The tokens of as many hosts."""
    answers = [
        requests.post(
            f"{url}/api/v1/enrol", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30,
            json={"hostname": f"host{number}.example.org", "machine_id": f"{number:032}"},
        )
        for number in range(HOST_COUNT)
    ]  # fmt: skip
    return [each.json()["token"] for each in answers]


def post(client: HTTPConnection, tokens: list[str], reports: list[bytes], turn: int) -> int:
    """The status. http.client, since the generator's own CPU time is taken from what is measured."""
    headers = {
        "Authorization": f"Bearer {tokens[turn % HOST_COUNT]}",
        "Content-Type": "application/json",
        "Content-Encoding": "gzip",
    }
    client.request("POST", "/api/v1/reports", reports[turn % len(reports)], headers)
    answer = client.getresponse()
    answer.read()
    return answer.status


def accepted_in(
    url: str, tokens: list[str], reports: list[bytes], *, per_second: float = 0, once: bool = False
) -> list[tuple[int, float]]:
    """(status, milliseconds) of every request that parallel clients made in SECONDS, paced if `per_second` is set.

    `once`: each report is posted once, however long that takes.
    """
    results: list[tuple[int, float]] = []
    begun = time.perf_counter()
    deadline = begun + SECONDS

    def work(position: int) -> None:
        with closing(HTTPConnection(urlsplit(url).netloc, timeout=60)) as client:
            for turn in itertools.count(position, CLIENT_COUNT):
                if per_second:
                    time.sleep(max(0.0, begun + turn / per_second - time.perf_counter()))
                started = time.perf_counter()
                if turn >= len(reports) if once else started > deadline:
                    return
                status = post(client, tokens, reports, turn)
                results.append((status, (time.perf_counter() - started) * 1_000))

    threads = [threading.Thread(target=work, args=(position,)) for position in range(CLIENT_COUNT)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return results


def burst(url: str, tokens: list[str], reports: list[bytes]) -> list[int]:
    """The statuses of BURST_COUNT reports, posted at once by BURST_CLIENTS clients."""
    statuses: list[int] = []

    def work(position: int) -> None:
        for turn in range(position, BURST_COUNT, BURST_CLIENTS):
            with closing(HTTPConnection(urlsplit(url).netloc, timeout=120)) as client:
                statuses.append(post(client, tokens, reports, turn))

    threads = [threading.Thread(target=work, args=(position,)) for position in range(BURST_CLIENTS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return statuses


def bare_producer_per_s(bus_url: str, reports: list[bytes]) -> float:
    """The same bytes by one producer with confirms, one after the other, without HTTP or decoding."""
    bus = Bus(bus_url)
    started = time.perf_counter()
    count = 0
    while time.perf_counter() - started < SECONDS / 2:
        bus.publish(REPORT_RECEIVED, reports[count % HOST_COUNT], {"report": "{}"})
        count += 1
    return count / (time.perf_counter() - started)


def drain(bus_url: str) -> int:
    """Messages that were on the queue; it is empty afterwards."""
    connection = pika.BlockingConnection(pika.URLParameters(bus_url))
    channel = connection.channel()
    waiting = int(channel.queue_purge(FRESH_REPORTS.name).method.message_count)
    connection.close()
    return waiting


@contextmanager
def highest_memory_mb(process: psutil.Process, found: list[float]) -> Iterator[None]:
    """Append the highest proportional memory of the server and its workers, looked at twice a second."""
    stop = threading.Event()
    highest = 0.0

    def watch() -> None:
        nonlocal highest
        while not stop.wait(0.5):
            members = [process, *process.children(recursive=True)]
            highest = max(highest, sum(each.memory_full_info().pss for each in members) / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()
        found.append(highest)


def measure(url: str, server: psutil.Process, bus_url: str) -> None:
    reports, tokens = bodies(), enrolled(url)
    accepted_in(url, tokens, reports)  # connections are open and tokens known from here on
    drain(bus_url)
    per_second: list[float] = []
    floors: list[float] = []
    slowest: list[float] = []
    memory: list[float] = []
    for _ in range(ROUNDS):
        with highest_memory_mb(server, memory):
            results = accepted_in(url, tokens, reports)
        per_second.append(sum(status == 202 for status, _ in results) / SECONDS)
        drain(bus_url)
        floors.append(bare_producer_per_s(bus_url, reports))
        drain(bus_url)
    changed: list[float] = []
    for turn in range(ROUNDS):
        fresh = changed_bodies(turn)
        started = time.perf_counter()
        results = accepted_in(url, tokens, fresh, once=True)
        taken_seconds = time.perf_counter() - started
        accepted = sum(status == 202 for status, _ in results) / taken_seconds
        drain(bus_url)
        changed.append(accepted / bare_producer_per_s(bus_url, fresh))
        drain(bus_url)
    for _ in range(ROUNDS):
        results = accepted_in(url, tokens, reports, per_second=min(per_second) / 2)
        taken = sorted(ms for status, ms in results if status == 202)
        slowest.append(taken[int(len(taken) * 0.99)] if taken else float("inf"))
        drain(bus_url)
    with highest_memory_mb(server, memory):
        statuses = burst(url, tokens, reports)
    refused = [status for status in statuses if status not in {202, 429, 503}]
    lost = BURST_COUNT - len(statuses) + len(refused) + abs(statuses.count(202) - drain(bus_url))
    floor = sorted(floors)[len(floors) // 2]
    ratios = [accepted / bare for accepted, bare in zip(per_second, floors, strict=True)]
    figure("ingest_accept_ratio", ratios, "ratio", target=">= 0.4 of a bare producer's confirms", floor=floor)
    figure("ingest_accept_ratio_changed", changed, "ratio", target="no packages are known: nothing is spared")
    figure("ingest_accepted_per_s", per_second, "1/s", target="> 69", floor=floor, peer="Patchman 4.0.19: 69")
    figure("ingest_p99_ms", slowest, "ms", target="< 100 at half that load")
    figure("ingest_lost", lost, "reports", target="0 of a burst of 2,000 by 200 clients: none lost, none twice")
    figure("ingest_peak_mb", max(memory), "MB", target="< 200")


def main() -> None:
    if not SERVER.exists():
        raise SystemExit("Debian's package rabbitmq-server is needed for this benchmark.")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="patchbay-bench-")))
        folder.chmod(0o755)
        server = start_postgres(folder / "postgres")
        with Database(server.get_uri(), service=None, roles=False).engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("CREATE DATABASE patchbay")
        database_url = server.get_uri("patchbay")
        owner = Database(database_url, service=None, roles=False)
        migrate(owner, roles=True)
        with owner.transaction() as transaction:
            transaction.execute(
                insert(enrolment_token).values(name="bench", token_hash=hashlib.sha256(TOKEN.encode()).digest())
            )
        owner.close()
        node = RabbitMQNode()
        stack.callback(node.stop)
        bus_url = node.start().url
        url, process = stack.enter_context(ingest(database_url, bus_url, folder))
        measure(url, process, bus_url)


if __name__ == "__main__":
    main()
