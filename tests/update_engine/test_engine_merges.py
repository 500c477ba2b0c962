"""Two entries of one machine: what the engine moves, and what becomes of reports under way."""

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from patchbay_shared.db import Database
from sqlalchemy import text

from tests.update_engine.test_engine_reports import UPDATES, Bench, clock, delivery_of, host_report


class MergeBench(Bench):
    """Two hosts, `into` and `other`."""

    def __init__(self, database_of: Callable[[str | None], Database]) -> None:
        super().__init__(database_of)
        self.into, self.other = self.host_id, uuid.uuid4()

    def set_up(self, *, newer: str = "into") -> None:
        """The older entry with two reports, the newer with one."""
        self.offer(UPDATES, "bash-2-1")
        older = "other" if newer == "into" else "into"
        for version, which in (("1.0-1", older), ("1.1-1", older), ("1.2-1", newer)):
            self.report(host_report(f"bash-{version}", boot_id=version), host_id=getattr(self, which))

    def decide(self) -> None:
        """What the API does."""
        with self.owner.transaction() as connection:
            connection.execute(
                text("INSERT INTO host_merge (host_id, into_id, merged_by) VALUES (:other, :into, 'op')"),
                {"other": self.other, "into": self.into},
            )

    def merge(self) -> None:
        self.engine.merge_hosts(threading.Event())

    def installed(self) -> list[str]:
        rows = self.rows("""
            SELECT p.name || '-' || p.evr FROM host h JOIN package_set s ON s.id = h.package_set_id
            JOIN package p ON p.id = ANY(s.package_ids) ORDER BY 1""")
        return [row[0] for row in rows]


@pytest.fixture
def bench(database_of: Callable[[str | None], Database]) -> MergeBench:
    return MergeBench(database_of)


@pytest.mark.parametrize("newer", ["into", "other"])
def test_history_moves_and_the_newer_report_counts(bench: MergeBench, newer: str) -> None:
    """A machine that was installed again, whichever entry is kept."""
    bench.set_up(newer=newer)
    bench.decide()

    bench.merge()

    assert bench.rows("SELECT id, boot_id FROM host") == [(bench.into, "1.2-1")]
    assert bench.installed() == ["bash-1.2-1"]
    assert bench.updates(bench.into) == [("bash", "1.2-1", "2-1")]
    assert bench.rows("SELECT host_id, count(*) FROM receipt GROUP BY 1") == [(bench.into, 3)]
    assert bench.rows("SELECT host_id, count(*) FROM report_body GROUP BY 1") == [(bench.into, 3)]
    assert bench.rows("SELECT DISTINCT header->>'host_id' FROM report_body") == [(str(bench.into),)]
    events = 1 if newer == "into" else 2  # also from what was installed before to what the newer report says
    assert bench.rows("SELECT host_id, count(*) FROM package_event GROUP BY 1") == [(bench.into, events)]
    assert bench.rows("SELECT host_id, boot_id FROM reboot_verdict") == [(bench.into, "1.2-1")]
    assert bench.rows("SELECT first_report_at = (SELECT min(received_at) FROM receipt) FROM host") == [(True,)]


def test_merging_twice_changes_nothing(bench: MergeBench) -> None:
    """The sweep comes by each minute."""
    bench.set_up()
    bench.decide()
    bench.merge()
    before = bench.rows("SELECT * FROM host")

    bench.merge()

    assert bench.rows("SELECT * FROM host") == before


def test_a_report_under_way_is_stored_as_the_other_hosts(bench: MergeBench) -> None:
    """Accepted before the merge, handled after: not lost, and no host comes back."""
    bench.set_up()
    delivery, receipt_id = delivery_of(host_report("bash-1.3-1"), bench.other, next(clock))
    bench.decide()
    bench.merge()

    bench.engine.report_received(delivery)

    assert bench.rows("SELECT id FROM host") == [(bench.into,)]
    assert bench.installed() == ["bash-1.3-1"]
    assert bench.rows("SELECT host_id, state FROM receipt WHERE id = :id", id=receipt_id) == [
        (bench.into, "evaluated")
    ]


def test_a_report_between_the_decision_and_the_merge_is_not_lost(bench: MergeBench) -> None:
    """It is stored where it belongs at that moment, and moves with the rest."""
    bench.set_up()
    bench.decide()

    receipt_id = bench.report(host_report("bash-1.3-1"), host_id=bench.other)
    bench.merge()

    assert bench.installed() == ["bash-1.3-1"]
    assert bench.rows("SELECT host_id FROM receipt WHERE id = :id", id=receipt_id) == [(bench.into,)]


def test_an_older_report_under_way_does_not_overwrite(bench: MergeBench) -> None:
    """Its receipt says so."""
    delivery, receipt_id = delivery_of(host_report("bash-0.9-1"), bench.other, next(clock))
    bench.set_up()
    bench.decide()
    bench.merge()

    bench.engine.report_received(delivery)

    assert bench.installed() == ["bash-1.2-1"]
    assert bench.rows("SELECT host_id, state FROM receipt WHERE id = :id", id=receipt_id) == [
        (bench.into, "superseded")
    ]


def test_a_report_of_what_was_merged_into_a_removed_host_is_refused(bench: MergeBench) -> None:
    """The removal holds for all of its entries."""
    bench.set_up()
    bench.decide()
    bench.merge()
    with bench.owner.transaction() as connection:
        connection.execute(
            text("INSERT INTO host_removal (host_id, removed_by) VALUES (:id, 'op')"), {"id": bench.into}
        )
    bench.engine.remove_hosts(threading.Event())

    receipt_id = bench.report(host_report("bash-1.3-1"), host_id=bench.other)

    assert bench.rows("SELECT id FROM host") == []
    assert bench.rows("SELECT state FROM receipt WHERE id = :id", id=receipt_id) == [("refused",)]


def test_a_merge_into_a_host_that_is_gone_meanwhile_forgets_the_other(bench: MergeBench) -> None:
    """Both decisions hold: the one was part of the removed machine."""
    bench.set_up()
    bench.decide()
    with bench.owner.transaction() as connection:
        connection.execute(text("DELETE FROM host WHERE id = :id"), {"id": bench.into})

    bench.merge()

    assert bench.rows("SELECT id FROM host") == []


def test_a_report_and_a_merge_at_the_same_moment_wait_for_each_other(bench: MergeBench) -> None:
    """Whichever is first: no deadlock, and the report counts."""
    bench.set_up()
    bench.decide()
    delivery, receipt_id = delivery_of(host_report("bash-1.3-1"), bench.other, next(clock))
    start = threading.Barrier(2)
    failures: list[Exception] = []

    def run(act: Callable[[], Any]) -> None:
        start.wait()
        try:
            act()
        except Exception as exc:
            failures.append(exc)

    acts: list[Callable[[], Any]] = [bench.merge, lambda: bench.engine.report_received(delivery)]
    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert bench.rows("SELECT id FROM host") == [(bench.into,)]
    assert bench.installed() == ["bash-1.3-1"]
    assert bench.rows("SELECT host_id, state FROM receipt WHERE id = :id", id=receipt_id) == [
        (bench.into, "evaluated")
    ]
