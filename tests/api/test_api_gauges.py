"""The fleet's gauges by group, distribution and severity: they add up, and their number is bounded."""

import threading
from collections.abc import Callable
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from patchbay_api.gauges import gauges
from patchbay_api.service import SERVICE
from patchbay_shared import metrics
from patchbay_shared.db import Database
from patchbay_shared.metrics import Readings
from patchbay_shared.service import run_once
from patchbay_shared.tables import fleet_snapshot, host_group, host_label
from sqlalchemy import event, insert, update


@pytest.fixture
def read(app: Flask) -> Callable[[], Readings]:
    """The service's own reader of the database."""
    return gauges(app.extensions["patchbay"])["database"]


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The six hosts of fleet_seed."""
    return fleet_seed.seed_fleet(database, fleet_seed.HOSTS)


def put_in_groups(database: Database, **groups: list[Any]) -> None:
    """Each group by its name with its hosts."""
    with database.transaction() as connection:
        for name, host_ids in groups.items():
            group_id = connection.scalar(insert(host_group).values(name=name).returning(host_group.c.id))
            for each in host_ids:
                connection.execute(insert(host_label).values(host_id=each, group_id=group_id, changed_by="x"))


def test_hosts_and_their_updates_are_counted_by_group(
    read: Callable[[], Readings], fleet: Any, database: Database
) -> None:
    """Those in no group too, so that the groups add up to the fleet."""
    first, second, *_ = fleet.hosts.values()
    put_in_groups(database, lab=[first, second])

    found = read()

    assert found[metrics.GROUP_HOSTS] == {"lab": 2, "none": 4}
    assert set(found[metrics.GROUP_UPDATES]) == {"lab", "none"}
    assert sum(found[metrics.GROUP_UPDATES].values()) == found[metrics.OUTSTANDING_UPDATES]["all"] > 0
    assert sum(found[metrics.GROUP_SECURITY_UPDATES].values()) == found[metrics.OUTSTANDING_UPDATES]["security"] > 0


def test_hosts_and_their_updates_are_counted_by_distribution(
    read: Callable[[], Readings], fleet: Any, fleet_seed: ModuleType
) -> None:
    """By the name that os-release gives it."""
    names = [each[1] for each in fleet_seed.HOSTS]

    found = read()

    assert found[metrics.DISTRIBUTION_HOSTS] == {each: names.count(each) for each in names}
    assert sum(found[metrics.DISTRIBUTION_UPDATES].values()) == found[metrics.OUTSTANDING_UPDATES]["all"] > 0
    assert (
        sum(found[metrics.DISTRIBUTION_SECURITY_UPDATES].values())
        == found[metrics.OUTSTANDING_UPDATES]["security"]
        > 0
    )


def test_the_smallest_groups_are_counted_together(
    read: Callable[[], Readings], fleet: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many groups people make; a group that is called so is counted with them."""
    monkeypatch.setattr(metrics, "MOST_VALUES", 1)
    first, second, third, fourth, *_ = fleet.hosts.values()
    put_in_groups(database, big=[first, second], other=[third], small=[fourth], empty=[])

    found = read()

    assert found[metrics.GROUP_HOSTS] == {"big": 2, "other": 2, "none": 2}
    assert sum(found[metrics.GROUP_UPDATES].values()) == found[metrics.OUTSTANDING_UPDATES]["all"]
    assert list(found[metrics.GROUP_SECURITY_UPDATES]) == list(found[metrics.GROUP_HOSTS])


def test_security_updates_by_severity_are_those_of_the_snapshot(
    app: Flask, read: Callable[[], Readings], fleet: Any, database: Database
) -> None:
    """Every severity has a value; what is older than two hours is not shown as if it were true."""
    assert SERVICE.workers
    assert read()[metrics.SECURITY_UPDATES] == {}
    run_once(SERVICE.workers(app.extensions["patchbay"]), "fleet-snapshot", threading.Event())

    found = read()

    assert set(found[metrics.SECURITY_UPDATES]) == {"critical", "high", "medium", "low", "unknown"}
    assert (
        sum(found[metrics.SECURITY_UPDATES].values())
        == found[metrics.SECURITY_UPDATES]["unknown"]
        == found[metrics.OUTSTANDING_UPDATES]["security"]
        > 0
    )
    with database.transaction() as connection:
        connection.execute(update(fleet_snapshot).values(at=fleet_snapshot.c.at - timedelta(hours=3)))
    assert read()[metrics.SECURITY_UPDATES] == {}


def test_a_fleet_without_security_updates_says_zero(
    app: Flask, read: Callable[[], Readings], database: Database
) -> None:
    """A snapshot that has none is not the same as none."""
    assert SERVICE.workers
    run_once(SERVICE.workers(app.extensions["patchbay"]), "fleet-snapshot", threading.Event())

    assert read()[metrics.SECURITY_UPDATES] == dict.fromkeys(("critical", "high", "medium", "low", "unknown"), 0)


def test_a_reading_costs_the_same_number_of_queries_however_many_groups_there_are(
    app: Flask, read: Callable[[], Readings], fleet: Any, database: Database
) -> None:
    """Groups and distributions are counted in one pass each."""
    statements: list[str] = []
    engine = app.extensions["patchbay"].database.engine
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    read()
    one = len(statements)
    put_in_groups(database, **{f"group{number}": [each] for number, each in enumerate(fleet.hosts.values())})

    read()

    assert len(statements) - one == one


def test_every_gauge_of_the_fleet_is_exposed(read: Callable[[], Readings], fleet: Any) -> None:
    """What is documented as read from the database is."""
    of_elsewhere = {metrics.BUILD, metrics.SOURCE_UP, metrics.QUEUE_MESSAGES, metrics.QUEUE_CONSUMERS}

    assert set(read()) == set(metrics.GAUGES) - of_elsewhere
