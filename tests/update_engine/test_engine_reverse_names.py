"""The names of the addresses that hosts report from: looked up a few at a time, and never one too many."""

import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from patchbay_shared.db import Database
from patchbay_shared.errors import Unavailable
from patchbay_update_engine import reverse_names
from patchbay_update_engine.reverse_names import ReverseNames
from sqlalchemy import text

from tests.update_engine.test_engine_reports import Bench, delivery_of, host_report

GO_ON = threading.Event()


class NamesBench(Bench):
    """An engine whose resolver knows what `names` says; an address that is not there gets no answer."""

    def __init__(self, database_of: Callable[[str | None], Database]) -> None:
        super().__init__(database_of)
        self.names: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.now = 0.0
        self.job = ReverseNames(database_of("update-engine"), self._look_up, lambda: self.now)

    def _look_up(self, address: str) -> list[str]:
        self.asked.append(address)
        if address not in self.names:
            raise Unavailable("no answer")
        return self.names[address]

    def come_from(self, *addresses: str) -> list[uuid.UUID]:
        """A report of a new host from each address."""
        made = [uuid.uuid4() for _ in addresses]
        for host_id, address in zip(made, addresses, strict=True):
            self.send(host_id, address)
        return made

    def send(self, host_id: uuid.UUID, address: str) -> None:
        delivery, _ = delivery_of(host_report("bash-1-1"), host_id, time.time(), peer=address)
        self.engine.report_received(delivery)

    def run(self) -> list[str]:
        """Run the job; what was asked."""
        self.asked = []
        self.job.run(GO_ON)
        return self.asked

    def pass_time(self, span: timedelta) -> None:
        with self.owner.transaction() as connection:
            connection.execute(
                text("UPDATE reverse_name SET due_at = due_at - CAST(:span AS interval)"), {"span": span}
            )

    def found(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT address, state, names FROM reverse_name ORDER BY 1")


@pytest.fixture
def bench(database_of: Callable[[str | None], Database]) -> NamesBench:
    return NamesBench(database_of)


def test_the_address_of_a_host_is_that_of_its_last_report(bench: NamesBench) -> None:
    """Also of one that says nothing new; a message that does not know it leaves what is known."""
    [host_id] = bench.come_from("192.0.2.1")
    addresses = []
    for each in ("192.0.2.2", ""):
        bench.send(host_id, each)
        addresses += bench.rows("SELECT peer_address FROM host")

    assert addresses == [("192.0.2.2",), ("192.0.2.2",)]


def test_names_are_looked_up_and_what_is_not_known_is_called_so(bench: NamesBench) -> None:
    """An address without a name is another matter than a name server without an answer."""
    bench.names = {"192.0.2.1": ["web1.example.org", "www.example.org"], "192.0.2.2": []}
    bench.come_from("192.0.2.1", "192.0.2.2", "192.0.2.3")

    bench.run()

    assert bench.found() == [
        ("192.0.2.1", "named", ["web1.example.org", "www.example.org"]),
        ("192.0.2.2", "none", []),
        ("192.0.2.3", "unknown", []),
    ]


def test_an_answer_counts_for_a_day_and_no_answer_for_an_hour(bench: NamesBench) -> None:
    """However often the job runs."""
    bench.names = {"192.0.2.1": ["web1.example.org"]}
    bench.come_from("192.0.2.1", "192.0.2.9")

    assert sorted(bench.run()) == ["192.0.2.1", "192.0.2.9"]
    assert bench.run() == []
    bench.pass_time(timedelta(hours=1, minutes=1))
    assert bench.run() == ["192.0.2.9"]
    bench.pass_time(timedelta(hours=23))
    assert sorted(bench.run()) == ["192.0.2.1", "192.0.2.9"]


def test_a_new_address_is_looked_up_at_once(bench: NamesBench) -> None:
    """What was known of the one before says nothing of it."""
    bench.names = {"192.0.2.1": ["web1.example.org"]}
    [host_id] = bench.come_from("192.0.2.1")
    bench.run()
    bench.send(host_id, "192.0.2.5")

    assert bench.run() == ["192.0.2.5"]
    assert bench.found() == [("192.0.2.5", "unknown", [])]


def test_what_says_nothing_of_a_host_is_not_looked_up(bench: NamesBench) -> None:
    """An address that several share (a gateway, a proxy), this machine's own, none, and that of a silent host."""
    silent = bench.come_from("192.0.2.7", "192.0.2.7", "127.0.0.1", "::1", "", "192.0.2.8")[-1]
    with bench.owner.transaction() as connection:
        connection.execute(
            text("UPDATE host SET last_report_at = now() - interval '25 hours' WHERE id = :id"), {"id": silent}
        )

    assert bench.run() == []


def test_a_run_is_bounded(bench: NamesBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, by time, and by a resolver that is away; what was left out gets its turn."""
    addresses = [f"192.0.2.{number}" for number in range(1, 9)]
    bench.names = {each: ["x.example.org"] for each in addresses}
    bench.come_from(*addresses)
    monkeypatch.setattr(reverse_names, "BATCH", 3)
    assert [len(bench.run()), len(bench.run()), len(bench.run()), len(bench.run())] == [3, 3, 2, 0]

    monkeypatch.setattr(reverse_names, "BATCH", 8)
    monkeypatch.setattr(reverse_names, "RUN_SECONDS", 0.0)
    bench.pass_time(timedelta(days=2))
    assert bench.run() == []

    monkeypatch.setattr(reverse_names, "RUN_SECONDS", 30.0)
    bench.names = {}
    bench.pass_time(timedelta(days=2))
    assert len(bench.run()) == reverse_names.GIVE_UP_AFTER


def test_two_replicas_never_look_up_the_same(bench: NamesBench) -> None:
    """Who claims an address first has it, while it is being looked up too."""
    bench.names = {"192.0.2.1": ["web1.example.org"]}
    bench.come_from("192.0.2.1")
    meanwhile: list[list[str]] = []
    other = ReverseNames(bench.owner, lambda address: meanwhile.append([address]) or [])

    def look_up(address: str) -> list[str]:
        other.run(GO_ON)
        return bench.names[address]

    ReverseNames(bench.owner, look_up).run(GO_ON)

    assert (meanwhile, bench.found()) == ([], [("192.0.2.1", "named", ["web1.example.org"])])
