"""kill -9 of everything in turn, while reports arrive."""

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from apt_mirror import host_report
from deployment import Deployment, depth, purge
from patchbay_shared.db import Database
from patchbay_shared.migrate import migrate
from patchbay_shared.report import SECTIONS
from patchbay_shared.tables import enrolment_token, host_credential
from postgres_server import PostgresServer
from processes import post_report, wait_for
from rabbitmq_node import RabbitMQNode, kill_tree
from sqlalchemy import insert, text

pytestmark = [pytest.mark.rabbitmq, pytest.mark.xdist_group("rabbitmq"), pytest.mark.timeout(600)]

REPORT_COUNT = int(os.environ.get("PATCHBAY_TEST_KILL_REPORTS", "160"))
"""The full figure is 1,000; CI takes fewer, for every report of them is posted twice by the same two cores."""
CLIENT_COUNT = 4
PARTIAL_ATTEMPTS = 10
"""The first report of the host may still be in the queue; the agent itself would send the whole at once."""


@pytest.fixture
def postgres_server(open_folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(open_folder)
    yield server
    server.stop()


@pytest.fixture
def deployment(tmp_path: Path, postgres_server: PostgresServer, rabbitmq_node: RabbitMQNode) -> Iterator[Deployment]:
    url = postgres_server.start()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE patchbay")
    database_url = url.replace("/postgres?", "/patchbay?")
    owner = Database(database_url, service=None, roles=False)
    migrate(owner, roles=True)
    owner.close()
    made = Deployment(tmp_path, database_url, rabbitmq_node.url)
    made.environment["PATCHBAY_STARTUP_WAIT_SECONDS"] = "120"  # as the compose file and the manifests have it
    yield made
    made.stop()
    purge(rabbitmq_node.url)


class Fleet:
    """Hosts that report three times, and send a report until they are told that it was accepted.

    The third leaves out what has not changed; where the server lacks that, the whole follows.
    """

    def __init__(self, deployment: Deployment, host_count: int) -> None:
        self.receipts: list[tuple[str, str]] = []
        """(hostname, receipt) of every 202."""
        self.other_answers: Counter[int] = Counter()
        self.partial_count = 0
        """Of the accepted reports, those that left something out."""
        self._deployment = deployment
        self._host_count = host_count
        self._turns = count()
        self._pause = threading.Event()
        self._clients = [threading.Thread(target=self._report) for _ in range(CLIENT_COUNT)]

    def enrol(self, owner: Database) -> None:
        with owner.transaction() as connection:
            token = hashlib.sha256(b"a fleet's").digest()
            connection.execute(insert(enrolment_token).values(name="fleet", token_hash=token))
            connection.execute(
                insert(host_credential),
                [
                    {
                        "token_hash": hashlib.sha256(f"token of {hostname}".encode()).digest(),
                        "host_id": hashlib.md5(hostname.encode(), usedforsecurity=False).hexdigest(),
                        "hostname": hostname,
                        "machine_id": hostname,
                    }
                    for hostname in map(name_of, range(self._host_count))
                ],
            )

    def start(self) -> None:
        for each in self._clients:
            each.start()

    def wait(self) -> None:
        for each in self._clients:
            each.join(400)
            assert not each.is_alive()

    def _report(self) -> None:
        while (turn := next(self._turns)) < self._host_count:
            hostname = name_of(turn)
            for version in ("5.2-1", "5.2-2"):
                self._send(hostname, whole(hostname, version))
            last = whole(hostname, "5.2-3")
            for _ in range(PARTIAL_ATTEMPTS):
                if self._send(hostname, without_unchanged(last)) == 202:
                    self.partial_count += 1
                    break
                self._pause.wait(0.2)
            else:
                self._send(hostname, last)

    def _send(self, hostname: str, report: dict[str, Any]) -> int:
        """202, or 409 where the server lacks what was left out."""
        while True:
            try:
                answer = post_report(self._deployment.url("ingest"), f"token of {hostname}", report)
            except requests.RequestException:
                self.other_answers[0] += 1
            else:
                if answer.status_code == 202:
                    self.receipts.append((hostname, answer.json()["receipt"]))
                    return 202
                self.other_answers[answer.status_code] += 1
                if answer.status_code == 409:
                    return 409
            self._pause.wait(0.2)


def name_of(number: int) -> str:
    return f"host{number:04}"


def whole(hostname: str, version: str) -> dict[str, Any]:
    """A report with the digests of its sections, as they are sent."""
    report = host_report(hostname, {"bash": version, f"own-{hostname}": "1-1"}, "stable")
    policy = {name: report[name] for name in SECTIONS["policy"] if name in report}
    sections = {
        "packages": json.dumps(report["packages"]),
        "repos": json.dumps(report["repos"]),
        "modules": "[]",
        "policy": json.dumps(policy, separators=(",", ":")),
    }
    digests = {name: hashlib.sha256(sent.encode()).hexdigest() for name, sent in sections.items()}
    return {**report, "digests": digests}


def without_unchanged(report: dict[str, Any]) -> dict[str, Any]:
    """The same without all but its packages."""
    left_out = ["repos", "modules", "policy"]
    fields = {field for name in left_out for field in SECTIONS[name]}
    return {name: value for name, value in report.items() if name not in fields} | {"unchanged": left_out}


def test_every_202_is_evaluated_exactly_once_whatever_is_killed(
    deployment: Deployment, postgres_server: PostgresServer, rabbitmq_node: RabbitMQNode
) -> None:
    """SIGKILL to ingest, engine, RabbitMQ and PostgreSQL in turn, each started again at once."""
    owner = Database(deployment.environment["PATCHBAY_DATABASE_URL"], service=None, roles=False)
    fleet = Fleet(deployment, REPORT_COUNT // 3)
    fleet.enrol(owner)
    owner.close()  # its connections will not outlive the server

    def start(service: str) -> Callable[[], object]:
        return lambda: deployment.start(service)

    victims: list[tuple[str, Callable[[], None], Callable[[], object]]] = [
        ("ingest", lambda: kill_tree(deployment.processes["ingest"].popen), start("ingest")),
        ("engine", lambda: kill_tree(deployment.processes["update-engine"].popen), start("update-engine")),
        ("RabbitMQ", rabbitmq_node.kill, rabbitmq_node.start),
        ("PostgreSQL", postgres_server.kill, postgres_server.start),
    ]
    deployment.start("ingest")
    deployment.start("update-engine")
    wait_for(lambda: deployment.answers("ingest"), what="ingest")
    fleet.start()
    for turn, (name, kill, restart) in enumerate(victims, start=1):
        reached = REPORT_COUNT * turn // (len(victims) + 1)
        wait_for(lambda reached=reached: len(fleet.receipts) >= reached, within_seconds=240, what=f"before {name}")
        kill()
        restart()
    fleet.wait()
    accepted = sorted(receipt for _, receipt in fleet.receipts)

    def evaluated() -> bool:
        with owner.transaction() as connection:
            found = connection.execute(
                text("SELECT count(*) FROM receipt WHERE state = 'evaluated' AND id = ANY(CAST(:ids AS uuid[]))"),
                {"ids": accepted},
            )
            return bool(found.scalar_one() == len(accepted))

    wait_for(evaluated, within_seconds=240, what="a verdict of every 202")
    wait_for(lambda: depth(deployment.bus_url, "update-engine.reports") == 0, what="an empty queue")
    assert len(set(accepted)) == len(accepted) == REPORT_COUNT // 3 * 3
    with owner.transaction() as connection:

        def number(query: str) -> int:
            return int(connection.execute(text(query)).scalar_one())

        assert number("SELECT count(*) FROM dead_letter") == 0
        lacking = "state = 'refused' AND reason LIKE '%send the whole report%'"
        assert number(f"SELECT count(*) FROM receipt WHERE state <> 'evaluated' AND NOT ({lacking})") == 0
        assert fleet.partial_count > 0
        assert number("SELECT count(*) FROM repository_set") == 1
        assert number("SELECT count(*) FROM host WHERE evaluation_id IS NOT NULL") == fleet._host_count
        # A report that was handled twice would have its change in the history twice.
        assert number("SELECT count(*) FROM package_event") == 2 * fleet._host_count
        assert number("SELECT count(DISTINCT host_id) FROM package_event") == fleet._host_count
    owner.close()
