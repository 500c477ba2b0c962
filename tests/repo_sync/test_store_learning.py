"""How repositories become known: from what hosts name, by a nudge or by the sweep."""

import threading
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from patchbay_repo_sync.handlers import nudge_handler
from patchbay_repo_sync.service import SERVICE
from patchbay_shared.bus import Delivery
from patchbay_shared.errors import InvalidInput
from patchbay_shared.messages import REPOSITORY_REFERENCED, SYNC_REQUESTED, RepositoryNudge
from patchbay_shared.report import ReportRepository
from patchbay_shared.service import Context, WorkerThreads, run_once
from sqlalchemy import text

MAIN = ("main", "amd64")


def nudge(key: str, *ids: Any, force: bool = False) -> Delivery:
    return Delivery(key, {}, msgspec.json.encode(RepositoryNudge(list(ids), force)))


def test_a_nudge_makes_a_repository_with_mirrors_and_indexes(world: Any) -> None:
    """All of what the host said of it."""
    source = ReportRepository(
        id="deb", type="deb", name="Debian", urls=["http://a.test/debian/", "http://b.test/debian"], suite="bookworm"
    )
    number = world.refer(source, MAIN, ("main", "i386"))

    nudge_handler(world.database, world.bus)(nudge(REPOSITORY_REFERENCED, number))

    row = world.repository()
    assert (row["id"], row["type"], row["name"], row["suite"]) == (number, "deb", "Debian", "bookworm")
    assert (row["url"], row["state"], row["generation"]) == ("http://a.test/debian", "pending", 0)
    mirrors = world.rows("SELECT url FROM mirror ORDER BY rank")
    assert [each["url"] for each in mirrors] == ["http://a.test/debian", "http://b.test/debian"]
    indexes = world.rows("SELECT architecture FROM repository_index ORDER BY 1")
    assert [each["architecture"] for each in indexes] == ["amd64", "i386"]


def test_the_sweep_finds_what_no_nudge_told(world: Any) -> None:
    """A lost message costs a minute."""
    world.refer(ReportRepository(id="x", type="rpm", urls=["http://a.test/x"]))
    workers = SERVICE.workers
    assert workers is not None

    run_once(workers(Context(world.settings, world.database, world.bus)), "learn-references")

    assert world.repository()["type"] == "rpm-md"


def test_learning_twice_changes_nothing(world: Any) -> None:
    """Every handler is idempotent."""
    world.refer(ReportRepository(id="x", type="rpm", urls=["http://a.test/x"]))

    assert len(world.learn()) == 1
    assert world.learn() == []


def test_a_type_that_nobody_crawls_is_shown_but_not_due(world: Any) -> None:
    """It is listed with the reason."""
    world.refer(ReportRepository(id="flathub", type="flatpak", urls=["https://flat.test/repo"]))

    world.sync()

    assert world.repository()["enabled"] is False
    assert "not crawled" in world.repository()["message"]


def test_a_mirror_list_is_no_mirror(world: Any) -> None:
    """Its URL identifies the repository; the mirrors are those that it lists."""
    world.refer(ReportRepository(id="x", type="rpm", urls=["http://m.test/metalink?repo=x&arch=x86_64"]))

    world.learn()

    assert world.rows("SELECT url FROM mirror") == []


def test_an_operators_request_makes_a_repository_due(world: Any, apt_mirror: Any) -> None:
    """Whatever its back-off says."""
    number = world.refer(apt_mirror.source(), MAIN)
    world.sync()
    assert not world.syncer().sync_next()

    nudge_handler(world.database, world.bus)(nudge(SYNC_REQUESTED, number))

    assert world.syncer().sync_next()


def test_a_forced_request_fetches_everything_anew(world: Any, apt_mirror: Any) -> None:
    """And finds, in this case, that nothing differs."""
    number = world.refer(apt_mirror.source(), MAIN)
    world.sync()
    world.server.requests.clear()
    nudge_handler(world.database, world.bus)(nudge(SYNC_REQUESTED, number, force=True))

    world.syncer().sync_next()

    assert any("Packages" in path for path in world.server.requests)
    assert world.repository()["generation"] == 1


def test_a_request_during_a_sync_is_not_lost(world: Any, apt_mirror: Any) -> None:
    """The repository stays due."""
    number = world.refer(apt_mirror.source(), MAIN)
    handle = nudge_handler(world.database, world.bus)
    once = iter([True])

    def while_fetching(_path: str) -> None:
        if next(once, False):
            handle(nudge(SYNC_REQUESTED, number))

    world.server.on_request = while_fetching
    world.learn()
    world.syncer().sync_next()

    assert world.syncer().sync_next()


def test_an_unreadable_nudge_is_refused() -> None:
    """It becomes a dead letter, not an endless retry."""
    with pytest.raises(InvalidInput, match="cannot be read"):
        nudge_handler(None, None)(Delivery(SYNC_REQUESTED, {}, b"{"))  # type: ignore[arg-type]  # it is refused before


def test_an_unknown_repository_is_no_error(world: Any) -> None:
    """It may have been deleted while the message waited."""
    nudge_handler(world.database, world.bus)(nudge(SYNC_REQUESTED, uuid4()))

    with world.database.transaction() as connection:
        assert connection.execute(text("SELECT count(*) FROM repository")).scalar_one() == 0


def test_the_running_service_goes_from_a_nudge_to_a_change(world: Any, apt_mirror: Any) -> None:
    """Its threads, its queue and its jobs, as in production but for the transport."""
    number = world.refer(apt_mirror.source(), MAIN)
    assert SERVICE.workers is not None
    context = Context(world.settings, world.database, world.bus)
    threads = WorkerThreads(context, SERVICE.workers(context))
    threads.start()
    try:
        world.bus.publish(REPOSITORY_REFERENCED, nudge(REPOSITORY_REFERENCED).body)
        assert world.bus.changed.wait(30)
        assert threads.dead() == []
    finally:
        threads.stop()

    assert world.bus.changes[0].repository_id == number
    assert len(world.packages()) == 3


def test_the_job_syncs_until_nothing_is_due(world: Any, apt_mirror: Any) -> None:
    """Under the service's own database role."""
    world.refer(apt_mirror.source(), MAIN)
    world.learn()
    workers = SERVICE.workers
    assert workers is not None

    run_once(workers(Context(world.settings, world.database, world.bus)), "sync-due", threading.Event())

    assert len(world.packages()) == 3


def test_the_history_of_syncs_is_bounded(world: Any, apt_mirror: Any) -> None:
    """A month is kept."""
    world.refer(apt_mirror.source(), MAIN)
    world.sync()
    world.sync()
    with world.owner.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE repository_sync SET finished_at = now() - interval '31 days' WHERE result = 'changed'"
        )
    workers = SERVICE.workers
    assert workers is not None

    run_once(workers(Context(world.settings, world.database, world.bus)), "prune-sync-history")

    assert [row["result"] for row in world.rows("SELECT result FROM repository_sync")] == ["unchanged"]


def use(world: Any, number: Any) -> None:
    """A host that has the repository configured."""
    with world.owner.transaction() as connection:
        connection.exec_driver_sql(
            f"""
            INSERT INTO package_set (digest, package_ids, held_ids, config_ids) VALUES ('x', '{{}}', '{{}}', '{{}}');
            INSERT INTO repository_set (digest, repository_ids, document)
                VALUES ('x', ARRAY['{number}'::uuid], '{{}}');
            INSERT INTO host (id, hostname, machine_id, facts, os_name, arch, kernel, boot_id, tags, content_digest,
                    package_set_id, repository_set_id, package_count, first_report_at, last_report_at, changed_at)
                SELECT gen_random_uuid(), 'h', '', '{{}}', '', '', '', '', '{{}}', 'x', p.id, r.id, 0,
                    now(), now(), now()
                FROM package_set p, repository_set r
            """
        )


def pause_hours(world: Any) -> float:
    [row] = world.rows("SELECT extract(epoch FROM next_sync_at - now())::float / 3600 AS pause FROM repository")
    pause: float = row["pause"]
    return pause


def test_a_repository_that_no_host_uses_waits_a_day(world: Any, apt_mirror: Any) -> None:
    """Whatever was configured once is not crawled every hour for ever."""
    world.refer(apt_mirror.source(), MAIN)

    world.sync()

    assert 20 < pause_hours(world) < 28


def test_a_repository_that_a_host_uses_again_is_due_at_once(world: Any, apt_mirror: Any) -> None:
    """The sweep finds it."""
    number = world.refer(apt_mirror.source(), MAIN)
    world.sync()
    use(world, number)
    assert SERVICE.workers is not None

    run_once(SERVICE.workers(Context(world.settings, world.database, world.bus)), "learn-references")

    assert pause_hours(world) <= 0
    assert world.syncer().sync_next()
    assert 0.8 < pause_hours(world) < 1.2
