"""What the engine keeps of reports that say little, or that ingest refused."""

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from patchbay_shared.bus import Delivery
from patchbay_shared.db import Database
from patchbay_shared.errors import InvalidInput, Unavailable
from patchbay_shared.messages import (
    DeadLettersRequested,
    HostRemoved,
    ReportReceived,
    ReportRefused,
    ReprocessRequested,
)
from patchbay_shared.receipts import new_receipt_id
from patchbay_shared.report import ReportPackage, ReportRepository
from patchbay_update_engine.requests import Requests
from sqlalchemy import text

from tests.update_engine.test_engine_reports import UPDATES, Bench, delivery_of, host_report


class IntakeBench(Bench):
    """With the handler of the operator's queue."""

    def __init__(self, database_of: Callable[[str | None], Database]) -> None:
        super().__init__(database_of)
        self.requests = Requests(self.engine, database_of("update-engine"), self.bus)

    def ask(self, routing_key: str, body: Any) -> None:
        self.requests.handle(Delivery(routing_key, {}, msgspec.json.encode(body)))


@pytest.fixture
def bench(database_of: Callable[[str | None], Database]) -> IntakeBench:
    return IntakeBench(database_of)


def test_a_refusal_becomes_a_receipt_with_its_reason(bench: IntakeBench) -> None:
    """What a host lost at ingest shows beside its other reports."""
    refused = ReportRefused(new_receipt_id(), bench.host_id, time.time(), 17, "Line 1 of packages is rubbish.")

    bench.engine.report_refused(Delivery("report.refused", {}, msgspec.json.encode(refused)))

    assert bench.rows("SELECT id, host_id, state, reason, bytes FROM receipt") == [
        (refused.receipt_id, bench.host_id, "refused", "Line 1 of packages is rubbish.", 17)
    ]


def test_a_note_of_ingest_is_kept_in_the_receipt(bench: IntakeBench) -> None:
    """What could not be read of an accepted report."""
    delivery, receipt_id = delivery_of(host_report("bash-1.0-1"), bench.host_id, 1000)
    header = msgspec.json.decode(delivery.headers["report"], type=ReportReceived)
    noted = msgspec.json.encode(msgspec.structs.replace(header, note="Line 3 of repos could not be read."))

    bench.engine.report_received(Delivery("report.received", {"report": noted.decode()}, delivery.body))

    assert bench.rows("SELECT state, reason FROM receipt WHERE id = :id", id=receipt_id) == [
        ("evaluated", "Line 3 of repos could not be read.")
    ]


def test_gentoo_packages_are_stored_without_verdicts(bench: IntakeBench) -> None:
    """The protocols carry them; nothing is concluded from them yet, and nothing breaks."""
    packages = [ReportPackage(name="sys-devel/gcc", version="14.2.1_p2024-r1", arch="amd64", type="gentoo")]
    repository = ReportRepository(id="gentoo", type="gentoo", urls=["rsync://r.example.org/gentoo-portage"])

    bench.report(host_report(package_manager="portage", packages=packages, repos=[repository]))

    assert bench.rows("SELECT name, evr, type FROM package") == [("sys-devel/gcc", "14.2.1_p2024-r1", "gentoo")]
    assert bench.rows("SELECT package_count, evaluation_id IS NOT NULL FROM host") == [(1, True)]
    assert bench.rows("SELECT count(*) FROM verdict") == [(0,)]


@pytest.mark.parametrize("section", ["packages", "repos"])
def test_one_section_may_be_unchanged_while_the_other_changes(bench: IntakeBench, section: str) -> None:
    """A hook's report has packages and no repositories; some clients fail to list their packages."""
    bench.offer(UPDATES, "bash-1.1-1")
    bench.report(host_report("bash-1.0-1"))
    changed: dict[str, Any] = {"packages": host_report("zsh-1-1").packages, "repos": [], section: None}

    bench.report(host_report(**changed))

    rows = bench.rows(
        "SELECT (SELECT string_agg(name, '') FROM package p WHERE p.id = ANY(s.package_ids)), "
        "cardinality(r.repository_ids) FROM host h JOIN package_set s ON s.id = h.package_set_id "
        "JOIN repository_set r ON r.id = h.repository_set_id"
    )
    assert rows == [("zsh", 1) if section == "repos" else ("bash", 0)]


def test_a_first_report_without_repositories_is_stored(bench: IntakeBench) -> None:
    """Some clients cannot name them; the inventory is worth having, and nothing is called repository-less."""
    bench.report(host_report("bash-1.0-1", repos=None), host_id=uuid.uuid4())

    assert bench.rows("SELECT package_count FROM host") == [(1,)]
    assert bench.rows("SELECT incomplete_count FROM evaluation") == [(1,)]
    assert bench.rows("SELECT count(*) FROM verdict") == [(0,)]


def test_repositories_that_become_known_complete_the_host(bench: IntakeBench) -> None:
    """The next full report says what the first one could not."""
    bench.offer(UPDATES, "bash-1.1-1")
    bench.report(host_report("bash-1.0-1", "own-1-1", repos=None))

    bench.report(host_report("bash-1.0-1", "own-1-1"))

    assert bench.updates() == [("bash", "1.0-1", "1.1-1")]
    assert bench.rows("SELECT incomplete_count FROM evaluation e JOIN host h ON h.evaluation_id = e.id") == [(0,)]


def test_a_host_that_has_no_repositories_is_complete(bench: IntakeBench) -> None:
    """It said so: its packages are in none."""
    bench.report(host_report("bash-1.0-1", repos=[]))

    assert bench.rows("SELECT state FROM verdict") == [("not-in-any-repository",)]


def kept(bench: IntakeBench) -> list[uuid.UUID]:
    return [row[0] for row in bench.rows("SELECT receipt_id FROM report_body ORDER BY received_at")]


def test_the_newest_reports_of_a_host_are_kept_as_they_arrived(bench: IntakeBench) -> None:
    """Two by default; an unchanged report is no news."""
    receipts = [bench.report(host_report(f"bash-1.{number}-1"), at=1000 + number) for number in range(4)]
    bench.report(host_report("bash-1.3-1"), at=2000)

    assert kept(bench) == receipts[2:]


def test_a_kept_report_can_be_processed_again(bench: IntakeBench) -> None:
    """After a fault was mended: the same receipt, the verdict of now."""
    receipt_id = bench.report(host_report("bash-1.0-1"))
    with bench.owner.transaction() as connection:
        connection.execute(text("UPDATE receipt SET state = 'refused', reason = 'a fault'"))
    bench.offer(UPDATES, "bash-1.1-1")

    bench.ask("report.reprocess-requested", ReprocessRequested(receipt_id))

    assert bench.updates() == [("bash", "1.0-1", "1.1-1")]
    assert bench.rows("SELECT id, state, reason FROM receipt") == [(receipt_id, "evaluated", "")]


@pytest.mark.parametrize("at", [1700000000.1234567, 1700000000.1234561])
def test_a_report_is_not_older_than_itself(bench: IntakeBench, at: float) -> None:
    """The database keeps microseconds, clocks give more."""
    receipt_id = bench.report(host_report("bash-1.0-1"), at=at)
    bench.offer(UPDATES, "bash-1.1-1")

    bench.ask("report.reprocess-requested", ReprocessRequested(receipt_id))

    assert bench.updates() == [("bash", "1.0-1", "1.1-1")]


def test_an_older_kept_report_does_not_overwrite_a_newer_one(bench: IntakeBench) -> None:
    """Its receipt says why."""
    first = bench.report(host_report("bash-1.0-1"), at=1000)
    bench.report(host_report("bash-2.0-1"), at=2000)

    bench.ask("report.reprocess-requested", ReprocessRequested(first))

    assert bench.rows("SELECT p.evr FROM host h JOIN package_set s ON s.id = h.package_set_id "
                      "JOIN package p ON p.id = ANY(s.package_ids)") == [("2.0-1",)]  # fmt: skip


def test_kept_reports_have_an_end(bench: IntakeBench) -> None:
    """PATCHBAY_KEPT_REPORT_DAYS; this report is of the year 1970."""
    bench.report(host_report("bash-1.0-1"), at=1000)

    bench.engine.clean(threading.Event())

    assert kept(bench) == []


def bury(bench: IntakeBench) -> int:
    """A report that ended as a dead letter; the letter's id."""
    delivery, _ = delivery_of(host_report("bash-1.0-1"), bench.host_id, 1000)
    headers = {**delivery.headers, "x-patchbay-routing-key": "report.received", "x-patchbay-error": "a fault"}
    bench.engine.message_died(Delivery("message.dead", headers, delivery.body))
    [(number,)] = bench.rows("SELECT id FROM dead_letter")
    return int(number)


def test_a_replayed_dead_letter_is_the_message_that_it_was(bench: IntakeBench) -> None:
    """Its receipt then tells what became of it."""
    number = bury(bench)
    sent: list[Delivery] = []

    def publish(routing_key: str, body: bytes, headers: Any = None, **_: Any) -> None:
        sent.append(Delivery(routing_key, headers or {}, body))

    bench.bus.publish = publish  # type: ignore[method-assign]  # what was published is looked at
    bench.ask("dead-letters.requested", DeadLettersRequested("replay", [number]))
    assert bench.rows("SELECT count(*) FROM dead_letter") == [(0,)]
    assert bench.rows("SELECT state FROM receipt") == [("refused",)]

    bench.engine.report_received(sent[0])
    assert [each.routing_key for each in sent][:1] == ["report.received"]
    assert bench.rows("SELECT state, reason FROM receipt") == [("evaluated", "")]


def test_a_dead_letter_that_cannot_be_published_stays(bench: IntakeBench) -> None:
    """The broker is away: nothing is lost."""
    number = bury(bench)

    def publish(*_: Any, **__: Any) -> None:
        raise Unavailable("away")

    bench.bus.publish = publish  # type: ignore[method-assign]  # a broker that is away
    with pytest.raises(Unavailable):
        bench.ask("dead-letters.requested", DeadLettersRequested("replay", [number]))

    assert bench.rows("SELECT count(*) FROM dead_letter") == [(1,)]


def test_a_discarded_dead_letter_is_gone(bench: IntakeBench) -> None:
    """Nothing is published; ids that are gone already are passed over."""
    number = bury(bench)
    bench.published.clear()

    bench.ask("dead-letters.requested", DeadLettersRequested("discard", [number, number + 1]))

    assert bench.rows("SELECT count(*) FROM dead_letter") == [(0,)]
    assert bench.published == []


def test_a_request_that_nobody_handles_is_refused(bench: IntakeBench) -> None:
    """It becomes a dead letter, not silence."""
    with pytest.raises(InvalidInput, match=r"'no\.such'"):
        bench.ask("no.such", DeadLettersRequested("discard", []))


def remove(bench: IntakeBench, host_id: uuid.UUID) -> None:
    """What the API does."""
    with bench.owner.transaction() as connection:
        connection.execute(text("INSERT INTO host_removal (host_id, removed_by) VALUES (:id, 'op')"), {"id": host_id})


def test_a_removed_host_is_forgotten_but_for_its_receipts(bench: IntakeBench) -> None:
    """Its report that is kept, its history and what was concluded of it go with it."""
    receipt_id = bench.report(host_report("bash-1.0-1"))
    bench.report(host_report("bash-1.1-1"))
    other = uuid.uuid4()
    bench.report(host_report("bash-1.0-1"), host_id=other)
    remove(bench, bench.host_id)

    bench.ask("host.removed", HostRemoved(bench.host_id))

    assert bench.rows("SELECT id FROM host") == [(other,)]
    assert bench.rows("SELECT DISTINCT host_id FROM report_body") == [(other,)]
    assert bench.rows("SELECT count(*) FROM package_event") == [(0,)]
    assert bench.rows("SELECT state FROM receipt WHERE id = :id", id=receipt_id) == [("evaluated",)]


def test_a_report_under_way_does_not_bring_a_removed_host_back(bench: IntakeBench) -> None:
    """It was accepted before the host was removed: its receipt says what became of it."""
    bench.report(host_report("bash-1.0-1"))
    remove(bench, bench.host_id)
    bench.engine.remove_hosts(threading.Event())

    receipt_id = bench.report(host_report("bash-1.0-1"))

    assert bench.rows("SELECT id FROM host") == []
    [(state, reason)] = bench.rows("SELECT state, reason FROM receipt WHERE id = :id", id=receipt_id)
    assert state == "refused"
    assert "removed by op" in reason


def test_hosts_with_one_machine_id_are_flagged_as_clones(bench: IntakeBench) -> None:
    """Both of them; and no longer once one has got a machine-id of its own."""
    first, second = uuid.uuid4(), uuid.uuid4()
    bench.report(host_report("bash-1.0-1", machine_id="m"), host_id=first)
    bench.report(host_report("bash-1.0-1", machine_id="n"), host_id=uuid.uuid4())
    assert flagged(bench) == set()

    bench.report(host_report("bash-1.0-1", machine_id="m", hostname="clone"), host_id=second)
    assert flagged(bench) == {first, second}

    bench.report(host_report("bash-1.0-1", machine_id="own", hostname="clone"), host_id=second)
    bench.engine.clean(threading.Event())
    assert flagged(bench) == set()


def test_hosts_without_a_machine_id_are_no_clones(bench: IntakeBench) -> None:
    """Older protocols do not send one."""
    bench.report(host_report("bash-1.0-1"), host_id=uuid.uuid4())
    bench.report(host_report("bash-1.0-1", hostname="b"), host_id=uuid.uuid4())

    assert flagged(bench) == set()


def flagged(bench: IntakeBench) -> set[uuid.UUID]:
    return {row[0] for row in bench.rows("SELECT id FROM host WHERE machine_id_shared")}


def version(bench: IntakeBench) -> str:
    rows = bench.rows(
        "SELECT p.evr FROM host h JOIN package_set s ON s.id = h.package_set_id JOIN package p "
        "ON p.id = ANY(s.package_ids)"
    )
    return str(rows[0][0])


YEARS = 20 * 365 * 86_400


@pytest.mark.parametrize("host_clock", [0.0, -YEARS, YEARS, 253_402_300_799.0])
def test_a_host_whose_clock_is_wrong_by_years_is_followed(bench: IntakeBench, host_clock: float) -> None:
    """Reports are in order by the server's clock; the host's is only shown, before and after it was set right.

    The clock is a moment, or `YEARS` off from now.
    """
    if abs(host_clock) == YEARS:
        host_clock += time.time()
    for number, collected_at in enumerate([time.time(), host_clock, time.time()]):
        delivery, _ = delivery_of(
            host_report(f"bash-1.{number}-1"), bench.host_id, time.time(), collected_at=collected_at
        )
        bench.engine.report_received(delivery)
        assert version(bench) == f"1.{number}-1"

    assert bench.rows("SELECT DISTINCT state FROM receipt") == [("evaluated",)]


@pytest.mark.parametrize("changed", [True, False])
def test_a_server_whose_clock_was_ahead_by_years_goes_on(bench: IntakeBench, changed: bool) -> None:
    """Else every later report would be older than that one for ever."""
    bench.report(host_report("bash-1.0-1"), at=time.time() + YEARS)

    receipt_id = bench.report(host_report("bash-1.1-1" if changed else "bash-1.0-1"), at=time.time())

    assert version(bench) == ("1.1-1" if changed else "1.0-1")
    assert bench.rows("SELECT state, unchanged FROM receipt WHERE id = :id", id=receipt_id) == [
        ("evaluated", not changed)
    ]
    assert bench.rows("SELECT last_report_at < now() + interval '1 minute' FROM host") == [(True,)]


def test_a_server_whose_clock_was_behind_by_years_goes_on(bench: IntakeBench) -> None:
    """Its reports are old from then on, and the next one is newer."""
    bench.report(host_report("bash-1.0-1"), at=time.time() - YEARS)
    bench.report(host_report("bash-1.1-1"), at=time.time())

    assert version(bench) == "1.1-1"


def test_a_package_that_is_listed_twice_counts_once(bench: IntakeBench) -> None:
    """Equal entries are one package; two versions of one name are two."""
    bench.report(host_report("bash-1.0-1", "bash-1.0-1", "kernel-6.1-1", "kernel-6.2-1", "bash-1.0-1"))

    assert bench.rows("SELECT package_count FROM host") == [(3,)]
    assert bench.rows("SELECT count(*) FROM package") == [(3,)]
