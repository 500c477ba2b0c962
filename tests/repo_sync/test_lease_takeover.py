"""Leases: one worker a repository, and none waits for a dead one longer than its lease."""

import threading
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from patchbay_repo_sync import store
from patchbay_repo_sync.lease import Heartbeat, new_owner
from patchbay_repo_sync.swap import LeaseLost, NewGeneration, swap
from patchbay_shared.report import ReportRepository

MAIN = ("main", "amd64")


def lease(world: Any, owner: str, seconds: float = 60.0) -> Any:
    with world.database.transaction() as connection:
        return store.lease_next(connection, owner, seconds)


def refer(world: Any, *names: str) -> list[UUID]:
    numbers = [world.refer(ReportRepository(id=name, type="rpm", urls=[f"http://{name}.test/x"])) for name in names]
    world.learn()
    return numbers


def test_a_leased_repository_is_not_leased_again(world: Any) -> None:
    """Two workers, one repository: the second finds nothing."""
    refer(world, "a")

    assert lease(world, "one") is not None
    assert lease(world, "two") is None


def test_workers_share_what_is_due(world: Any) -> None:
    """While the first one's transaction is still open, the second gets the other repository at once."""
    refer(world, "a", "b")

    with world.database.transaction() as connection:
        first = store.lease_next(connection, "one", 60.0)
        second = lease(world, "two")

    assert first is not None
    assert second is not None
    assert first.id != second.id


def test_of_one_host_only_so_many_are_crawled_at_once(world: Any) -> None:
    """Whatever the case, the user and the path of the URL; other hosts do not wait, nor what a dead worker held."""
    urls = ["http://A.test/1", "https://user@a.test/2", "http://a.test/3", "http://a.test:8080/4", "http://b.test/5"]
    for number, url in enumerate(urls):
        world.refer(ReportRepository(id=f"r{number}", type="rpm", urls=[url]))
    world.learn()

    def leased() -> Any:
        with world.database.transaction() as connection:
            return store.lease_next(connection, "one", 60.0, per_host=1)

    found = [leased() for _ in range(4)]
    assert {urlsplit(each.url).netloc.rpartition("@")[2].lower() for each in found[:3]} == {
        "a.test", "a.test:8080", "b.test",
    }  # fmt: skip
    assert found[3] is None


def test_a_dead_workers_repository_is_taken_over(world: Any) -> None:
    """When its lease has run out."""
    refer(world, "a")
    lease(world, "dead", seconds=-1.0)

    assert lease(world, "two") is not None


def test_a_lease_is_extended_by_its_owner_only(world: Any) -> None:
    """Whoever lost it learns so."""
    [number] = refer(world, "a")
    lease(world, "one")

    with world.database.transaction() as connection:
        assert store.extend_lease(connection, number, "one", 60.0)
        assert not store.extend_lease(connection, number, "two", 60.0)


def test_a_heartbeat_extends_the_lease(world: Any) -> None:
    """A third of its time before it runs out."""
    [number] = refer(world, "a")
    lease(world, "one", seconds=-1.0)
    extended = threading.Event()
    real = store.extend_lease

    def told(*arguments: Any) -> bool:
        held = real(*arguments)
        extended.set()
        return held

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("patchbay_repo_sync.lease.extend_lease", told)
        with Heartbeat(world.database, number, "one", lease_seconds=30.0 / 1_000):
            assert extended.wait(10)

    assert world.rows("SELECT leased_until > now() - interval '1 minute' AS held FROM repository") == [{"held": True}]


def test_a_heartbeat_notices_a_lost_lease(world: Any) -> None:
    """So that the crawl can stop before it writes."""
    [number] = refer(world, "a")
    lease(world, "other")

    with Heartbeat(world.database, number, "one", lease_seconds=0.03) as heartbeat:
        assert heartbeat.lost.wait(10)


def test_a_worker_that_lost_its_lease_writes_nothing(world: Any, apt_mirror: Any) -> None:
    """Even if it only notices when it is done."""
    world.refer(apt_mirror.source(), MAIN)
    world.learn()
    world.server.on_request = lambda path: steal(world) if "Packages" in path else None

    world.syncer().sync_next()

    assert (world.packages(), world.repository()["generation"]) == ([], 0)
    assert world.repository()["lease_owner"] == "thief"
    assert world.bus.changes == []


def steal(world: Any) -> None:
    with world.owner.transaction() as connection:
        connection.exec_driver_sql("UPDATE repository SET lease_owner = 'thief'")


def test_a_swap_without_the_lease_is_refused(world: Any) -> None:
    """The last statement of the transaction decides."""
    refer(world, "a")
    repository = lease(world, "one")
    [mirror] = world.rows("SELECT id, url, etag, last_modified, entry_sha256, failure_count FROM mirror")

    with pytest.raises(LeaseLost), world.database.transaction() as connection:
        swap(connection, repository, store.Mirror(**mirror), {}, NewGeneration([], b"x"), owner="two")


def test_every_worker_has_a_name_of_its_own() -> None:
    """Also after a restart with the same process id."""
    assert new_owner() != new_owner()
