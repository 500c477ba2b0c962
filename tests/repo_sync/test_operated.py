"""Repositories as an operator handles them: labels, links, mirrors that lag, unchecked sources, progress."""

from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from patchbay_repo_sync import progress
from patchbay_repo_sync.handlers import nudge_handler
from patchbay_shared.bus import Delivery
from patchbay_shared.errors import InvalidInput
from patchbay_shared.messages import REPOSITORY_OPERATED, RepositoryOperated
from sqlalchemy import text

World = Any  # conftest's; it cannot be imported under importlib


def decide(world: World, number: UUID, **changes: Any) -> None:
    """Hand repo-sync what the API publishes."""
    body = msgspec.json.encode(RepositoryOperated(number, **changes))
    nudge_handler(world.database, world.bus)(Delivery(REPOSITORY_OPERATED, {}, body))


def known(world: World, number: UUID) -> dict[str, Any]:
    [row] = world.rows("SELECT * FROM repository WHERE id = :id", id=number)
    return dict(row)


def packages_of(world: World, number: UUID) -> list[str]:
    rows = world.rows(
        "SELECT p.name, p.evr FROM available_package p JOIN repository_index i ON i.id = p.index_id"
        " WHERE i.repository_id = :id ORDER BY 1, 2",
        id=number,
    )
    return [f"{row['name']} {row['evr']}" for row in rows]


def mirrors_of(world: World, number: UUID) -> dict[str, str]:
    rows = world.rows("SELECT url, state FROM mirror WHERE repository_id = :id ORDER BY rank", id=number)
    return {row["url"]: row["state"] for row in rows}


def with_sister(world: World, apt_mirror: Any, name: str = "sister") -> str:
    """The URL of a copy of the archive below another path."""
    for path, data in list(world.server.files.items()):
        if path.startswith(f"{apt_mirror.root}/"):
            world.server.files[path.replace(apt_mirror.root, name, 1)] = data
    return f"{world.server.url}/{name}"


def test_a_label_is_told_to_those_who_evaluate(world: World, apt_mirror: Any) -> None:
    """Every host of the repository is judged anew."""
    number = world.refer(apt_mirror.source(), ("main", "amd64"))
    world.sync()

    decide(world, number, security=True)
    decide(world, number, security=True)

    assert (known(world, number)["security"], known(world, number)["generation"]) == (True, 2)
    assert (world.bus.changes[-1].generation, world.bus.changes[-1].names) == (2, None)
    assert len(world.bus.changes) == 2


def test_without_a_label_the_distributions_own_word_counts_again(world: World, apt_mirror: Any) -> None:
    """null takes the operator's word back."""
    apt_mirror.fields["Label"] = "Debian-Security"
    apt_mirror.publish()
    number = world.refer(apt_mirror.source(), ("main", "amd64"))
    world.sync()
    decide(world, number, security=False)
    assert known(world, number)["security"] is False

    decide(world, number, security=None)

    assert known(world, number)["security"] is True


def test_a_disabled_repository_is_not_crawled_until_it_is_enabled(world: World, apt_mirror: Any) -> None:
    """What is stored stays."""
    number = world.refer(apt_mirror.source(), ("main", "amd64"))
    world.sync()
    decide(world, number, enabled=False)
    asked = len(world.server.requests)

    world.sync()
    assert len(world.server.requests) == asked
    decide(world, number, enabled=True)
    world.sync()

    assert len(world.server.requests) > asked
    assert packages_of(world, number) == ["bash 5.2-1", "curl 8.1-1", "zlib 1.3-1"]


def test_a_decision_on_an_unknown_repository_is_refused(world: World) -> None:
    """It becomes a dead letter that says so."""
    with pytest.raises(InvalidInput, match="no repository"):
        decide(world, uuid4(), enabled=False)


def linked(world: World, apt_mirror: Any) -> tuple[UUID, UUID]:
    """A leader, and a follower below another URL of the same archive."""
    leader = world.refer(apt_mirror.source(), ("main", "amd64"))
    follower = world.refer(apt_mirror.source(urls=[with_sister(world, apt_mirror)]), ("main", "amd64"))
    world.sync()
    decide(world, follower, linked_to=leader)
    return leader, follower


def test_one_crawl_serves_linked_repositories(world: World, apt_mirror: Any) -> None:
    """The follower's own mirror is not asked for indexes, yet its packages and generation follow."""
    leader, follower = linked(world, apt_mirror)
    apt_mirror.indexes["main", "amd64"].append(apt_mirror.stanza("vim", "9.1-1"))
    apt_mirror.fields["Date"] = "Fri, 20 Nov 2026 10:00:00 UTC"
    apt_mirror.publish()
    world.server.requests.clear()

    world.sync()

    assert packages_of(world, follower) == packages_of(world, leader)
    assert "vim 9.1-1" in packages_of(world, follower)
    assert not [each for each in world.server.requests if each.startswith("sister/") and "Packages" in each]
    assert {(each.repository_id, tuple(each.names or ())) for each in world.bus.changes[-2:]} == {
        (leader, ("vim",)),
        (follower, ("vim",)),
    }
    assert known(world, follower)["generation"] == 2


def test_the_followers_mirror_helps_out_where_the_leaders_fails(world: World, apt_mirror: Any) -> None:
    """Their mirrors are one list, the leader's own first."""
    leader, follower = linked(world, apt_mirror)
    apt_mirror.indexes["main", "amd64"].append(apt_mirror.stanza("vim", "9.1-1"))
    apt_mirror.fields["Date"] = "Fri, 20 Nov 2026 10:00:00 UTC"
    apt_mirror.publish()
    with_sister(world, apt_mirror)
    for path in [each for each in world.server.files if each.startswith("debian/")]:
        del world.server.files[path]

    world.sync()

    assert known(world, leader)["state"] == "ok"
    assert mirrors_of(world, leader) == {apt_mirror.url: "failing", f"{world.server.url}/sister": "ok"}
    assert "vim 9.1-1" in packages_of(world, follower)


def test_an_index_that_only_the_follower_reads_is_crawled_for_it(world: World, apt_mirror: Any) -> None:
    """Hosts behind the follower may have another architecture."""
    apt_mirror.indexes["main", "arm64"] = [apt_mirror.stanza("bash", "5.2-1", "arm64")]
    apt_mirror.publish()
    leader = world.refer(apt_mirror.source(), ("main", "amd64"))
    follower = world.refer(apt_mirror.source(urls=[with_sister(world, apt_mirror)]), ("main", "arm64"))
    world.sync()

    decide(world, follower, linked_to=leader)
    world.sync()

    assert packages_of(world, follower) == ["bash 5.2-1"]
    assert len(packages_of(world, leader)) == 4


def test_an_unlinked_repository_is_crawled_by_itself_again(world: World, apt_mirror: Any) -> None:
    """Its mirror leaves the leader's list."""
    leader, follower = linked(world, apt_mirror)
    decide(world, follower, linked_to=None)
    world.server.requests.clear()

    world.sync()

    assert any(each.startswith("sister/") and "Packages" in each for each in world.server.requests)
    assert list(mirrors_of(world, leader)) == [apt_mirror.url]
    assert known(world, follower)["state"] == "ok"


def test_repositories_of_different_archives_are_not_linked(world: World, apt_mirror: Any) -> None:
    """Whoever is linked is judged by the other's packages."""
    leader = world.refer(apt_mirror.source(), ("main", "amd64"))
    world.sync()
    apt_mirror.fields["Origin"] = "Another"
    apt_mirror.publish()
    follower = world.refer(apt_mirror.source(urls=[with_sister(world, apt_mirror)]), ("main", "amd64"))
    world.sync(force=True)
    with world.owner.transaction() as connection:
        connection.execute(
            text("""UPDATE repository SET release = release || '{"origin": "Test"}' WHERE id = :id"""), {"id": leader}
        )

    with pytest.raises(InvalidInput, match="same archive"):
        decide(world, follower, linked_to=leader)


def test_a_mirror_that_nobody_needed_is_said_to_lag(world: World, apt_mirror: Any) -> None:
    """Only its Release file is asked for."""
    sister = with_sister(world, apt_mirror)
    apt_mirror.fields["Date"] = "Fri, 20 Nov 2026 10:00:00 UTC"
    apt_mirror.publish()
    number = world.refer(apt_mirror.source(urls=[apt_mirror.url, sister]), ("main", "amd64"))

    world.sync()

    assert mirrors_of(world, number) == {apt_mirror.url: "ok", sister: "lagging"}
    [row] = world.rows("SELECT message FROM mirror WHERE state = 'lagging'")
    assert row["message"] == "What it serves is of 2026-11-19 10:00 UTC, 24.0 hours behind the newest mirror."
    assert [each for each in world.server.requests if "Packages" in each and each.startswith("sister")] == []


def test_a_newer_sister_is_crawled_in_place_of_the_one_that_lags(world: World, apt_mirror: Any) -> None:
    """What hosts get from the newer mirror must be known."""
    old = with_sister(world, apt_mirror)
    apt_mirror.fields["Date"] = "Fri, 20 Nov 2026 10:00:00 UTC"
    apt_mirror.indexes["main", "amd64"].append(apt_mirror.stanza("vim", "9.1-1"))
    apt_mirror.publish()
    number = world.refer(apt_mirror.source(urls=[old, apt_mirror.url]), ("main", "amd64"))

    world.sync()

    assert "vim 9.1-1" in packages_of(world, number)
    assert mirrors_of(world, number)[old] == "lagging"


@pytest.mark.parametrize("field", [{"trusted": True}, {"gpgcheck": False}])
def test_sources_that_hosts_do_not_check_can_be_refused(
    world: World, apt_mirror: Any, field: dict[str, bool]
) -> None:
    """With the setting, what one host reads unchecked must be verified here."""
    world.configure(refuse_unchecked_sources=True)
    world.refer(apt_mirror.source(**field), ("main", "amd64"))

    world.sync()

    assert (world.repository()["state"], world.packages()) == ("untrusted", [])


def test_sources_that_hosts_check_are_not_concerned(world: World, apt_mirror: Any) -> None:
    """The setting is about what hosts say, and off as delivered."""
    world.refer(apt_mirror.source(trusted=True), ("main", "amd64"))
    world.sync()
    assert world.repository()["state"] == "ok"

    world.configure(refuse_unchecked_sources=True)
    world.refer(apt_mirror.source(urls=[with_sister(world, apt_mirror)]), ("main", "amd64"))
    world.sync(force=True)

    states = world.rows("SELECT url, state FROM repository ORDER BY url")
    assert {row["url"].rpartition("/")[2]: row["state"] for row in states} == {"debian": "untrusted", "sister": "ok"}


def test_progress_is_written_while_a_sync_runs(
    world: World, apt_mirror: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """State, bytes and packages; at most once a second, so the clock is made to run."""
    monkeypatch.setattr(progress, "WRITE_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_LOOK_EVERY_RECORDS", 1)
    seen: list[tuple[str, int, int]] = []
    write = progress.note_progress

    def noted(connection: Any, sync_id: int, **values: Any) -> None:
        write(connection, sync_id, **values)
        row = connection.execute(text("SELECT phase, transferred_bytes, read_count FROM repository_sync")).one()
        seen.append(tuple(row))

    monkeypatch.setattr(progress, "note_progress", noted)
    world.refer(apt_mirror.source(), ("main", "amd64"))

    world.sync()

    assert seen[0][0] == "fetching"
    assert seen[0][1] > 0
    assert seen[-1][0] == "storing"
    assert seen[-1][2] == 3
    [row] = world.rows("SELECT phase, result FROM repository_sync")
    assert (row["phase"], row["result"]) == ("", "changed")


def test_progress_costs_at_most_one_write_a_second(world: World) -> None:
    """However many pieces come."""
    now = [0.0]
    written: list[float] = []
    tracker = progress.Progress(world.database, 1, clock=lambda: now[0])
    real = world.database.transaction
    world.database.transaction = lambda: written.append(now[0]) or real()

    for tenth in range(35):
        now[0] = tenth / 10
        tracker.fetched(tenth)

    assert written == [1.0, 2.0, 3.0]
