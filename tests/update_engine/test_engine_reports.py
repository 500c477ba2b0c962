"""From a queued report to its stored verdicts, in a real database."""

import gzip
import hashlib
import itertools
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import zstandard
from patchbay_shared.bus import Bus, Delivery
from patchbay_shared.db import Database
from patchbay_shared.exposure import STATES, rank
from patchbay_shared.messages import EvaluationRequested, ReportReceived, RepositoryChanged
from patchbay_shared.receipts import new_receipt_id
from patchbay_shared.report import ClientUpdate, DnfOptions, Report, ReportPackage, ReportRepository
from patchbay_shared.repositories import repository_id
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import available_package, repository, repository_index
from patchbay_shared.versions import evr_key
from patchbay_update_engine.handlers import Engine
from sqlalchemy import insert, text

UPDATES = ReportRepository(id="updates", type="rpm-md", name="Updates", urls=["http://mirror.example.org/updates/"])
clock = itertools.count(int(time.time()) - 100_000)


class Bench:
    """An engine with its database, and the hands of its neighbours: ingest and repo-sync."""

    def __init__(self, database_of: Callable[[str | None], Database]) -> None:
        self.bus = Bus("memory://")
        self.published: list[str] = []
        self.bus.publish = self._publish  # type: ignore[method-assign]  # what was published is looked at
        self.engine = Engine(settings_from({}), database_of("update-engine"), self.bus)
        self.owner = database_of(None)
        self.host_id = uuid.uuid4()

    def _publish(self, routing_key: str, *_: Any, **__: Any) -> None:
        self.published.append(routing_key)

    def report(self, report: Report, *, at: float | None = None, host_id: uuid.UUID | None = None) -> uuid.UUID:
        delivery, receipt_id = delivery_of(report, host_id or self.host_id, at or next(clock))
        self.engine.report_received(delivery)
        return receipt_id

    def offer(self, definition: ReportRepository, *packages: str) -> int:
        """Make or replace the repository's packages, `name-evr` of x86_64; its new generation."""
        number = repository_id(definition)
        with self.owner.transaction() as connection:
            generation = connection.scalar(
                text("UPDATE repository SET generation = generation + 1 WHERE id = :id RETURNING generation"),
                {"id": number},
            )
            if generation is None:
                generation = 1
                connection.execute(
                    insert(repository).values(
                        id=number, type="rpm-md", name=definition.id, url=definition.urls[0], generation=1, state="ok"
                    )
                )
                connection.execute(
                    insert(repository_index).values(repository_id=number, component="", architecture="", present=True)
                )
            index_id = connection.scalar(
                text("SELECT id FROM repository_index WHERE repository_id = :id"), {"id": number}
            )
            connection.execute(text("DELETE FROM available_package WHERE index_id = :id"), {"id": index_id})
            for position, each in enumerate(packages):
                name, _, evr = each.partition("-")
                connection.execute(
                    insert(available_package).values(
                        index_id=index_id, name=name, arch="x86_64", evr=evr, evr_key=evr_key("rpm", evr),
                        digest=position,
                    )
                )  # fmt: skip
        return int(generation)

    def changed(self, definition: ReportRepository, generation: int, names: list[str] | None) -> None:
        body = msgspec.json.encode(RepositoryChanged(repository_id(definition), generation, names))
        self.engine.repository_changed(Delivery("repository.changed", {}, body))

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.owner.transaction() as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]

    def updates(self, host_id: uuid.UUID | None = None) -> list[tuple[str, str, str]]:
        rows = self.rows(
            "SELECT v.name, v.installed, v.candidate FROM verdict v JOIN host h ON h.evaluation_id = v.evaluation_id "
            "WHERE h.id = :id AND v.listed ORDER BY 1",
            id=host_id or self.host_id,
        )
        return [(name, installed, candidate) for name, installed, candidate in rows]


def delivery_of(report: Report, host_id: uuid.UUID, at: float, **changes: Any) -> tuple[Delivery, uuid.UUID]:
    """A message of ingest; `changes` are those of its header."""
    content = msgspec.msgpack.encode(report)
    header = ReportReceived(new_receipt_id(), host_id, at, hashlib.sha256(content).hexdigest(), len(content))
    header = msgspec.structs.replace(header, **changes)
    headers = {"report": msgspec.json.encode(header).decode()}
    return Delivery("report.received", headers, zstandard.compress(content)), header.receipt_id


def host_report(*packages: str, **changes: Any) -> Report:
    """A dnf host with `name-version-release` packages of x86_64."""
    installed = []
    for each in packages:
        name, version, release = each.split("-")
        installed.append(
            ReportPackage(name=name, version=version, release=release, arch="x86_64", epoch="0", type="rpm")
        )
    values: dict[str, Any] = {
        "hostname": "rpm1.example.org",
        "arch": "x86_64",
        "package_manager": "dnf",
        "dnf": DnfOptions(),
        "packages": installed,
        "repos": [UPDATES],
        **changes,
    }
    return Report(**values)


@pytest.fixture
def bench(database_of: Callable[[str | None], Database]) -> Bench:
    return Bench(database_of)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_report_is_read_as_its_client_sent_it(bench: Bench, compress: Callable[[bytes], bytes]) -> None:
    """JSON, compressed by the client: ingest passes it on as it is."""
    bench.offer(UPDATES, "bash-1.1-1")
    delivery, receipt_id = delivery_of(host_report(), bench.host_id, next(clock))
    document = msgspec.json.encode(host_report("bash-1.0-1"))

    bench.engine.report_received(Delivery(delivery.routing_key, delivery.headers, compress(document)))

    assert bench.updates() == [("bash", "1.0-1", "1.1-1")]
    assert bench.rows("SELECT state FROM receipt WHERE id = :id", id=receipt_id) == [("evaluated",)]


def test_an_operators_tags_are_added_to_the_hosts_own(bench: Bench) -> None:
    """Those of the enrolment token, each once."""
    delivery, _ = delivery_of(
        host_report("bash-1.0-1", tags=["own", "web"]), bench.host_id, next(clock), tags=["branch", "own"]
    )

    bench.engine.report_received(delivery)

    assert bench.rows("SELECT tags FROM host") == [(["own", "web", "branch"],)]


def test_a_report_becomes_its_list_of_updates(bench: Bench) -> None:
    """Installed 1.0-1, offered 1.1-1: one outstanding update, with its reason."""
    bench.offer(UPDATES, "bash-1.1-1", "zsh-5-1")

    receipt_id = bench.report(host_report("bash-1.0-1"))

    assert bench.updates() == [("bash", "1.0-1", "1.1-1")]
    assert bench.rows("SELECT repository, why <> '' FROM verdict") == [("updates", True)]
    assert bench.rows("SELECT state, unchanged FROM receipt WHERE id = :id", id=receipt_id) == [("evaluated", False)]


def test_an_identical_report_only_moves_a_time(bench: Bench) -> None:
    """No new rows but the receipt."""
    bench.offer(UPDATES, "bash-1.1-1")
    bench.report(host_report("bash-1.0-1"), at=1000)
    before = bench.rows("SELECT (SELECT count(*) FROM verdict), (SELECT xmin::text FROM evaluation)")

    receipt_id = bench.report(host_report("bash-1.0-1"), at=2000)

    assert bench.rows("SELECT (SELECT count(*) FROM verdict), (SELECT xmin::text FROM evaluation)") == before
    assert bench.rows("SELECT unchanged FROM receipt WHERE id = :id", id=receipt_id) == [(True,)]
    assert bench.rows("SELECT extract(epoch FROM last_report_at)::int FROM host") == [(2000,)]


def test_ten_clones_cost_one_set_and_one_evaluation(bench: Bench) -> None:
    """Everything is stored by unique set."""
    bench.offer(UPDATES, "bash-1.1-1")
    hosts = [uuid.uuid4() for _ in range(10)]

    for position, host_id in enumerate(hosts):
        bench.report(host_report("bash-1.0-1", hostname=f"clone{position}"), host_id=host_id)

    assert bench.rows(
        "SELECT (SELECT count(*) FROM host), (SELECT count(*) FROM package_set), (SELECT count(*) FROM evaluation)"
    ) == [(10, 1, 1)]
    assert bench.updates(hosts[9]) == [("bash", "1.0-1", "1.1-1")]


def test_an_older_report_never_overwrites_a_newer_one(bench: Bench) -> None:
    """Messages may arrive in any order; the database says which is newest."""
    bench.offer(UPDATES, "bash-1.1-1")
    bench.report(host_report("bash-1.1-1"), at=2000)

    receipt_id = bench.report(host_report("bash-1.0-1"), at=1000)

    assert bench.updates() == []
    assert bench.rows("SELECT state FROM receipt WHERE id = :id", id=receipt_id) == [("superseded",)]


def test_a_message_delivered_twice_changes_nothing(bench: Bench) -> None:
    """Every handler is idempotent."""
    bench.offer(UPDATES, "bash-1.1-1")
    delivery, _ = delivery_of(host_report("bash-1.0-1"), bench.host_id, 1000)

    bench.engine.report_received(delivery)
    bench.engine.report_received(delivery)

    assert bench.updates() == [("bash", "1.0-1", "1.1-1")]
    assert bench.rows("SELECT count(*) FROM receipt") == [(1,)]


def test_a_changed_repository_is_judged_again(bench: Bench) -> None:
    """repository.changed names bash: the host's list follows."""
    bench.offer(UPDATES, "bash-1.1-1")
    bench.report(host_report("bash-1.0-1"))

    bench.changed(UPDATES, bench.offer(UPDATES, "bash-1.2-1"), ["bash"])

    assert bench.updates() == [("bash", "1.0-1", "1.2-1")]


def test_a_change_that_touches_no_installed_name_judges_nothing_again(bench: Bench) -> None:
    """Exactly the sets that hold one of the changed names are evaluated."""
    bench.offer(UPDATES, "bash-1.1-1")
    bench.report(host_report("bash-1.0-1"))
    before = bench.rows("SELECT evaluated_at FROM evaluation")

    bench.changed(UPDATES, bench.offer(UPDATES, "bash-1.1-1", "zsh-6-1"), ["zsh"])
    bench.engine.evaluate_stale(threading.Event())

    assert bench.rows("SELECT evaluated_at FROM evaluation") == before
    assert bench.rows("SELECT catalogue_generations FROM evaluation") == [([2],)]


def test_the_sweep_finds_what_a_lost_message_would_have_said(bench: Bench) -> None:
    """A lost nudge costs a minute, never a wrong answer."""
    bench.offer(UPDATES, "bash-1.1-1")
    bench.report(host_report("bash-1.0-1"))
    bench.offer(UPDATES, "bash-1.3-1")

    bench.engine.evaluate_stale(threading.Event())

    assert bench.updates() == [("bash", "1.0-1", "1.3-1")]


def test_a_nudge_about_one_change_does_not_hide_another(bench: Bench) -> None:
    """Two changes, one message lost: the evaluation is not moved past the lost one."""
    bench.offer(UPDATES, "bash-1.1-1")
    bench.report(host_report("bash-1.0-1"))
    bench.offer(UPDATES, "bash-1.4-1")
    generation = bench.offer(UPDATES, "bash-1.4-1", "zsh-6-1")

    bench.changed(UPDATES, generation, ["zsh"])

    assert bench.updates() == [("bash", "1.0-1", "1.4-1")]


def test_before_the_first_crawl_nothing_is_called_repository_less(bench: Bench) -> None:
    """An empty catalogue is unknown, not proof; the reference asks repo-sync to crawl."""
    bench.report(host_report("bash-1.0-1"))

    assert bench.rows("SELECT count(*) FROM verdict") == [(0,)]
    assert bench.rows("SELECT incomplete_count FROM evaluation") == [(1,)]
    assert bench.rows("SELECT repository_id FROM repository_reference") == [(repository_id(UPDATES),)]
    assert "repository.referenced" in bench.published


def test_the_first_crawl_completes_the_waiting_host(bench: Bench) -> None:
    """Report first, catalogue later: the same answer as the other way round."""
    bench.report(host_report("bash-1.0-1", "own-1-1"))

    bench.changed(UPDATES, bench.offer(UPDATES, "bash-1.1-1"), ["bash"])

    assert bench.updates() == [("bash", "1.0-1", "1.1-1")]
    assert bench.rows("SELECT name FROM verdict WHERE state = 'not-in-any-repository'") == [("own",)]


def test_what_changed_on_a_host_is_kept(bench: Bench) -> None:
    """The difference between two reports is an event."""
    bench.report(host_report("bash-1.0-1", "gone-1-1"))
    bench.report(host_report("bash-1.1-1", "new-1-1"))

    [(added, removed)] = bench.rows("SELECT added_ids, removed_ids FROM package_event")
    names = dict(bench.rows("SELECT id, name || ' ' || evr FROM package"))
    assert {names[each] for each in added} == {"bash 1.1-1", "new 1-1"}
    assert {names[each] for each in removed} == {"bash 1.0-1", "gone 1-1"}


def test_sections_that_are_left_out_mean_unchanged(bench: Bench) -> None:
    """`packages` and `repos` of null keep what the last report said."""
    bench.offer(UPDATES, "bash-1.1-1")
    bench.report(host_report("bash-1.0-1"))

    bench.report(host_report(packages=None, repos=None, kernel="6.9"))

    assert bench.updates() == [("bash", "1.0-1", "1.1-1")]
    assert bench.rows("SELECT kernel FROM host") == [("6.9",)]


def test_a_version_without_an_order_is_no_candidate_s_elder(bench: Bench) -> None:
    """An empty key would sort below all that repositories offer: nothing is listed, and the others are judged."""
    bench.offer(UPDATES, "bash-2.0-1", "zlib-2.0-1")

    bench.report(host_report("bash-1:2:3-1", "zlib-1.0-1"))

    assert bench.updates() == [("zlib", "1.0-1", "2.0-1")]
    assert bench.rows("SELECT name, state FROM verdict ORDER BY 1") == [
        ("bash", "unordered"),
        ("zlib", "outstanding"),
    ]


def test_a_fix_says_nothing_of_a_version_without_an_order(bench: Bench) -> None:
    """It is undetermined, neither fixed nor touched."""
    fix = (
        "SELECT 'fixed' AS state, CAST(NULL AS bytea) AS introduced_key, CAST('a' AS bytea) AS evr_key, '' AS pocket"
    )
    [(place,)] = bench.rows(f"SELECT {rank('k.key')} FROM ({fix}) f, (SELECT CAST('' AS bytea) AS key) k")

    assert STATES[place] == "undetermined"


@pytest.mark.parametrize("kernel", ["a:b:c", "x:1"])
def test_a_running_kernel_that_is_no_version_loses_no_report(bench: Bench, kernel: str) -> None:
    """Whether a restart is due is unknown then."""
    bench.report(host_report("kernel-6.1-1", kernel=kernel))

    assert bench.rows("SELECT required FROM reboot_verdict") == [(None,)]


def test_without_a_package_manager_the_inventory_is_kept(bench: Bench) -> None:
    """No rules apply, nothing is lost, and the receipt says so."""
    bench.offer(UPDATES, "bash-2.0-1")
    bench.report(host_report("bash-1.0-1", package_manager=""))

    assert bench.rows("SELECT package_count FROM host") == [(1,)]
    assert bench.rows("SELECT name FROM verdict") == []
    [(state, reason)] = bench.rows("SELECT state, reason FROM receipt")
    assert (state, reason.partition(":")[0]) == ("evaluated", "The report does not name its package manager")


def test_a_first_report_without_packages_is_refused(bench: Bench) -> None:
    """There is nothing to keep; its receipt says so."""
    bench.report(host_report(packages=None))

    assert bench.rows("SELECT state, reason FROM receipt") == [
        ("refused", "A host's first report must list its packages.")
    ]
    assert bench.rows("SELECT id FROM host") == []


def test_a_dead_report_is_kept_and_has_a_receipt(bench: Bench) -> None:
    """Nothing fails silently."""
    delivery, receipt_id = delivery_of(host_report("bash-1.0-1"), bench.host_id, 1000)
    headers = {
        **delivery.headers,
        "x-patchbay-queue": "update-engine.reports",
        "x-patchbay-routing-key": "report.received",
        "x-patchbay-error": "ValueError: boom",
        "x-patchbay-attempts": 3,
        "x-patchbay-first-at": time.time(),
    }

    bench.engine.message_died(Delivery("message.dead", headers, delivery.body))

    assert bench.rows("SELECT queue, error, attempts FROM dead_letter") == [
        ("update-engine.reports", "ValueError: boom", 3)
    ]
    assert bench.rows("SELECT state, reason FROM receipt WHERE id = :id", id=receipt_id) == [
        ("refused", "ValueError: boom")
    ]


def test_an_operator_can_ask_for_an_evaluation(bench: Bench) -> None:
    """evaluation.requested judges the named host with the catalogue as it is now."""
    bench.offer(UPDATES, "bash-1.1-1")
    bench.report(host_report("bash-1.0-1"))
    bench.offer(UPDATES, "bash-1.5-1")

    body = msgspec.json.encode(EvaluationRequested([bench.host_id]))
    bench.engine.evaluation_requested(Delivery("evaluation.requested", {}, body))

    assert bench.updates() == [("bash", "1.0-1", "1.5-1")]


def test_the_restart_verdict_follows_the_report(bench: Bench) -> None:
    """It clears itself with the first report after the restart."""
    kernels = ("kernel-5.14.0-1", "kernel-5.14.0-2")
    bench.report(host_report(*kernels, kernel="5.14.0-1.x86_64", boot_id="a"))
    before = bench.rows("SELECT required, rule, boot_id FROM reboot_verdict")

    bench.report(host_report(*kernels, kernel="5.14.0-2.x86_64", boot_id="b"))

    assert before == [(True, "kernel.newer", "a")]
    assert bench.rows("SELECT required, rule, boot_id FROM reboot_verdict") == [(False, "kernel.current", "b")]


def test_the_clients_own_list_is_compared_once_everything_is_crawled(bench: Bench) -> None:
    """Before that a difference would only be the missing catalogue."""
    client = [ClientUpdate("bash", "x86_64", "1.1-1"), ClientUpdate("zsh", "x86_64", "9-1")]
    bench.report(host_report("bash-1.0-1", updates=client))
    assert bench.rows("SELECT difference_count FROM opinion") == [(None,)]

    bench.changed(UPDATES, bench.offer(UPDATES, "bash-1.1-1"), ["bash"])

    assert bench.rows("SELECT difference_count, only_client, only_server FROM opinion") == [
        (1, [{"name": "zsh", "to": "9-1", "arch": "x86_64"}], [])
    ]


def test_cleaning_removes_only_what_nothing_refers_to(bench: Bench) -> None:
    """Sets of former reports go, sets in use stay."""
    bench.offer(UPDATES, "bash-1.1-1")
    bench.report(host_report("bash-1.0-1"))
    bench.report(host_report("bash-1.1-1"))
    with bench.owner.transaction() as connection:
        connection.execute(text("UPDATE evaluation SET evaluated_at = now() - interval '2 days'"))

    bench.engine.clean(threading.Event())

    assert bench.rows("SELECT count(*) FROM package_set") == [(1,)]
    assert bench.rows("SELECT count(*) FROM evaluation") == [(1,)]
    assert bench.rows("SELECT count(*) FROM host") == [(1,)]


def test_two_consumers_with_the_same_new_packages_do_not_deadlock(
    database_of: Callable[[str | None], Database],
) -> None:
    """Rows are sorted before any upsert, so parallel first reports of a fleet all succeed."""
    bench = Bench(database_of)
    engines = [Engine(settings_from({}), database_of("update-engine"), bench.bus) for _ in range(4)]
    names = [f"p{number}" for number in range(300)]
    failures: list[Exception] = []

    def work(position: int) -> None:
        order = names[position * 70 :] + names[: position * 70]
        for turn in range(5):
            packages = [f"{name}-{turn}-1" for name in order]
            delivery, _ = delivery_of(host_report(*packages), uuid.uuid4(), 1000)
            try:
                engines[position].report_received(delivery)
            except Exception as exc:
                failures.append(exc)

    threads = [threading.Thread(target=work, args=(position,)) for position in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert bench.rows("SELECT count(*) FROM host") == [(20,)]
    assert bench.rows("SELECT count(*) FROM package") == [(1500,)]


def test_what_hosts_read_unchecked_is_noted_with_each_set_and_not_with_each_report(bench: Bench) -> None:
    """`trusted=yes` added or taken away makes another set; a set of an earlier version is looked at by the sweep."""
    noted = "SELECT s.id, unchecked_ids, unexpiring_ids FROM host JOIN repository_set s ON s.id = repository_set_id"
    bench.report(host_report("bash-1.0-1"))
    [(plain, *flags)] = bench.rows(noted)
    assert flags == [[], []]

    [source] = host_report("bash-1.0-1").repos or []
    changed = msgspec.structs.replace(source, trusted=True, check_valid_until=False)
    bench.report(msgspec.structs.replace(host_report("bash-1.0-1"), repos=[changed]))
    [(other, *flags)] = bench.rows(noted)
    assert (other != plain, flags) == (True, [[repository_id(UPDATES)]] * 2)

    with bench.owner.transaction() as connection:
        connection.execute(text("UPDATE repository_set SET unchecked_ids = NULL, unexpiring_ids = NULL"))
    bench.engine.evaluate_stale(threading.Event())
    assert bench.rows(noted) == [(other, *flags)]

    bench.report(host_report("bash-1.0-1"))
    assert bench.rows(noted) == [(plain, [], [])]
    assert bench.rows("SELECT count(*) FROM repository_set") == [(2,)]
