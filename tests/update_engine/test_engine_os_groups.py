"""Hosts that are judged by the repositories of their operating system's group."""

import hashlib
import itertools
import threading
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import zstandard
from patchbay_shared.bus import Bus, Delivery
from patchbay_shared.db import Database
from patchbay_shared.messages import JUDGING_REPOSITORIES_CHANGED, ReportReceived
from patchbay_shared.receipts import new_receipt_id
from patchbay_shared.report import ClientUpdate, Report, ReportPackage, ReportRepository
from patchbay_shared.repositories import repository_id
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import available_package, repository, repository_index
from patchbay_shared.versions import evr_key
from patchbay_update_engine.handlers import Engine
from sqlalchemy import insert, text

OWN = ReportRepository(id="own", type="rpm-md", name="Own", urls=["http://mirror.example.org/own/"])
FROZEN = ReportRepository(id="frozen", type="rpm-md", name="Frozen", urls=["http://mirror.example.org/frozen/"])
clock = itertools.count(1_900_000_000)


class Fleet:
    """One host with `own`, another with `frozen`; bash 1 is installed, own offers 3 and frozen offers 2."""

    def __init__(self, database_of: Callable[[str | None], Database]) -> None:
        bus = Bus("memory://")
        bus.publish = lambda *_, **__: None  # type: ignore[method-assign]
        self.engine = Engine(settings_from({}), database_of("update-engine"), bus)
        self.owner = database_of(None)
        self.api = database_of("api")
        self.host, self.other = uuid.uuid4(), uuid.uuid4()
        for definition, evr in ((OWN, "3"), (FROZEN, "2")):
            self._offer(definition, evr)
        self.report(self.host, OWN)
        self.report(self.other, FROZEN)

    def _offer(self, definition: ReportRepository, evr: str) -> None:
        number = repository_id(definition)
        with self.owner.transaction() as connection:
            connection.execute(
                insert(repository).values(
                    id=number, type="rpm-md", name=definition.id, url=definition.urls[0], generation=1, state="ok"
                )
            )
            index = connection.execute(
                insert(repository_index)
                .values(repository_id=number, component="", architecture="", present=True)
                .returning(repository_index.c.id)
            ).scalar_one()
            connection.execute(
                insert(available_package).values(
                    index_id=index, name="bash", arch="x86_64", evr=evr, evr_key=evr_key("rpm", evr), digest=1
                )
            )

    def report(self, host_id: uuid.UUID, *repos: ReportRepository, **more: Any) -> None:
        report = Report(
            hostname=f"{host_id.hex[:8]}.example.com", arch="x86_64", os="Fedora 42", package_manager="dnf",
            packages=[ReportPackage(name="bash", version="1", arch="x86_64", type="rpm")], repos=list(repos), **more,
        )  # fmt: skip
        packed = msgspec.msgpack.encode(report)
        at = float(next(clock))
        header = ReportReceived(new_receipt_id(), host_id, at, hashlib.sha256(packed).hexdigest(), len(packed))
        headers = {"report": msgspec.json.encode(header).decode()}
        self.engine.report_received(Delivery("report.received", headers, zstandard.compress(packed)))

    def group(self, *repositories: ReportRepository, use_host_repos: bool = False) -> int:
        """A group of the hosts' operating system, as the API makes it."""
        with self.api.transaction() as connection:
            number = connection.execute(
                text("INSERT INTO os_group (name, use_host_repos, changed_by) VALUES ('g', :own, 'me') RETURNING id"),
                {"own": use_host_repos},
            ).scalar_one()
            connection.execute(
                text("INSERT INTO os_variant_group (os_name, arch, group_id) VALUES ('Fedora 42', 'x86_64', :id)"),
                {"id": number},
            )
            for place, each in enumerate(repositories):
                connection.execute(
                    text("INSERT INTO os_group_repository VALUES (:id, :repository, :place, NULL)"),
                    {"id": number, "repository": repository_id(each), "place": place},
                )
        return int(number)

    def decide(self, statement: str, **values: Any) -> None:
        with self.api.transaction() as connection:
            connection.execute(text(statement), values)
        self.engine.recalculate(Delivery(JUDGING_REPOSITORIES_CHANGED, {}, b""))

    def candidate(self, host_id: uuid.UUID | None = None) -> str | None:
        with self.owner.transaction() as connection:
            return connection.scalar(
                text("SELECT candidate FROM verdict v JOIN host h USING (evaluation_id) WHERE h.id = :id AND listed"),
                {"id": host_id or self.host},
            )


@pytest.fixture
def fleet(database_of: Callable[[str | None], Database]) -> Fleet:
    """Two hosts, judged by their own repositories."""
    return Fleet(database_of)


def test_a_group_whose_hosts_keep_their_own_repositories_changes_nothing(fleet: Fleet) -> None:
    """use_host_repos is on until somebody turns it off."""
    fleet.group(FROZEN, use_host_repos=True)

    fleet.engine.evaluate_stale(threading.Event())

    assert fleet.candidate() == "3"


def test_hosts_of_a_group_are_judged_by_its_repositories(fleet: Fleet) -> None:
    """The sweep finds them, whether a message came or not."""
    fleet.group(FROZEN)

    fleet.engine.evaluate_stale(threading.Event())

    assert fleet.candidate() == "2"


def test_what_the_host_reported_stays_as_it_is(fleet: Fleet) -> None:
    """Facts and conclusions are different columns."""
    fleet.group(FROZEN)
    fleet.engine.evaluate_stale(threading.Event())

    with fleet.owner.transaction() as connection:
        own = connection.scalar(
            text("SELECT s.repository_ids FROM host h JOIN repository_set s ON s.id = h.repository_set_id"
                 " WHERE h.id = :id"),
            {"id": fleet.host},
        )  # fmt: skip

    assert own == [repository_id(OWN)]


def test_a_report_of_such_a_host_is_judged_by_the_group_at_once(fleet: Fleet) -> None:
    """No sweep in between."""
    fleet.group(FROZEN)

    fleet.report(fleet.host, OWN, kernel="6.1")

    assert fleet.candidate() == "2"


def test_a_host_may_differ_from_its_group(fleet: Fleet) -> None:
    """Its own choice counts over the group's, either way."""
    fleet.group(FROZEN)
    fleet.decide("INSERT INTO host_repository_choice VALUES (:id, true, 'me')", id=fleet.host)

    assert fleet.candidate() == "3"

    fleet.decide("UPDATE os_group SET use_host_repos = true, generation = generation + 1")
    fleet.decide("UPDATE host_repository_choice SET use_host_repos = false")

    assert fleet.candidate() == "2"


def test_a_changed_group_judges_its_hosts_anew(fleet: Fleet) -> None:
    """With the repositories that it has now."""
    group = fleet.group(FROZEN)
    fleet.engine.evaluate_stale(threading.Event())

    fleet.decide(
        "WITH g AS (UPDATE os_group SET generation = generation + 1)"
        " UPDATE os_group_repository SET repository_id = :own WHERE group_id = :group",
        own=repository_id(OWN),
        group=group,
    )

    assert (fleet.candidate(), fleet.candidate(fleet.other)) == ("3", "3")


@pytest.mark.parametrize("statement", ["DELETE FROM os_group", "DELETE FROM os_group_repository"])
def test_hosts_go_back_to_their_own_repositories(fleet: Fleet, statement: str) -> None:
    """When their group is gone or has no repositories: nothing is not a choice."""
    fleet.group(FROZEN)
    fleet.engine.evaluate_stale(threading.Event())

    fleet.decide(statement)

    assert fleet.candidate() == "3"


def test_a_host_that_goes_back_to_no_repositories_at_all_is_judged_too(fleet: Fleet) -> None:
    """An empty set is a set."""
    fleet.report(fleet.host)
    fleet.group(FROZEN)
    fleet.engine.evaluate_stale(threading.Event())

    fleet.decide("DELETE FROM os_group")

    assert fleet.candidate() is None


def test_a_repository_that_no_host_names_makes_the_verdicts_incomplete(fleet: Fleet) -> None:
    """It has no address any more; the operator is told rather than left with counts too low."""
    gone = ReportRepository(id="gone", type="rpm-md", urls=["http://mirror.example.org/gone/"])
    fleet.group(FROZEN, gone)
    fleet.engine.evaluate_stale(threading.Event())

    with fleet.owner.transaction() as connection:
        incomplete = connection.scalar(
            text("SELECT incomplete_count FROM evaluation e JOIN host h ON h.evaluation_id = e.id WHERE h.id = :id"),
            {"id": fleet.host},
        )

    assert (fleet.candidate(), incomplete) == ("2", 1)


def test_the_client_is_not_said_to_differ_where_other_repositories_judge(fleet: Fleet) -> None:
    """Its own list is of its own repositories."""
    fleet.group(FROZEN)
    fleet.report(fleet.host, OWN, updates=[ClientUpdate(name="bash", arch="x86_64", to="3")])

    with fleet.owner.transaction() as connection:
        assert connection.scalar(text("SELECT difference_count FROM opinion")) is None
