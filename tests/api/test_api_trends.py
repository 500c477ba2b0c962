"""The fleet over time, what needs attention, and how the pipeline does."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from patchbay_api.service import SERVICE
from patchbay_api.store import trends
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.messages import SYNC_REQUESTED
from patchbay_shared.service import run_once
from patchbay_shared.tables import advisory, errata_source, fleet_snapshot, mirror
from sqlalchemy import insert, select, text, update


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The six hosts of fleet_seed."""
    return fleet_seed.seed_fleet(database, fleet_seed.HOSTS)


@pytest.fixture
def take_snapshot(app: Flask) -> Callable[[], None]:
    """The service's own job, run once."""
    assert SERVICE.workers
    workers = SERVICE.workers(app.extensions["patchbay"])
    return lambda: run_once(workers, "fleet-snapshot", threading.Event())


def test_a_snapshot_holds_the_figures_of_the_dashboard(
    viewer: FlaskClient, fleet: Any, take_snapshot: Callable[[], None]
) -> None:
    """Of the fleet and of each operating system, from the same SQL."""
    take_snapshot()

    totals = viewer.get("/api/v1/dashboard").json["hosts"]
    [whole] = viewer.get("/api/v1/trends?span=1d").json["points"]
    systems = viewer.get("/api/v1/trends?span=1d&by=os").json["points"]

    assert {name: whole["figures"][name] for name in totals} == totals
    assert sum(each["figures"]["hosts"] for each in systems) == totals["hosts"]


def test_outstanding_fixes_are_counted_by_severity_and_age(
    viewer: FlaskClient, fleet: Any, database: Database, take_snapshot: Callable[[], None]
) -> None:
    """Of an update that several advisories are for, the worst and the oldest count."""
    issued = {"DSA-5764-1": ("medium", 200), "DSA-5901-1": ("critical", 3)}
    with database.transaction() as connection:
        connection.execute(insert(errata_source).values(name="debian", url="http://x.example", enabled=True))
        for number, (name, (severity, days)) in enumerate(issued.items()):
            connection.execute(
                insert(advisory).values(
                    id=number, source="debian", name=name, part=1, digest=1, vendor="Debian", type="security",
                    severity=severity, vendor_severity="", status="final", title="", description="", url="", links=[],
                    issued_at=datetime.now(UTC) - timedelta(days=days),
                )
            )  # fmt: skip

    take_snapshot()

    found = {
        by: {
            each["value"]: each["figures"]["updates"]
            for each in viewer.get(f"/api/v1/trends?span=1d&by={by}").json["points"]
        }
        for by in ("severity", "age")
    }
    assert found == {"severity": {"critical": 4, "medium": 3}, "age": {"older": 7}}


def test_an_hour_has_one_snapshot(database: Database, fleet: Any, take_snapshot: Callable[[], None]) -> None:
    """However many replicas look."""
    take_snapshot()
    take_snapshot()
    with database.transaction() as connection:
        assert trends.take_snapshot(connection) is False
        assert len(connection.execute(select(fleet_snapshot.c.at).distinct()).all()) == 1


def test_old_snapshots_are_thinned_to_one_a_day_and_end(database: Database) -> None:
    """The last of a day stays; after two years nothing does."""
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
    kept = [noon - timedelta(days=1, hours=1), noon - timedelta(days=1), noon - timedelta(days=30)]
    gone = [noon - timedelta(days=30, hours=1), noon - timedelta(days=30, hours=2), noon - timedelta(days=800)]
    with database.transaction() as connection:
        for each in kept + gone:
            connection.execute(insert(fleet_snapshot).values(at=each, dimension="fleet", value="", figures={}))
        trends.thin_out(connection)

        assert sorted(connection.scalars(select(fleet_snapshot.c.at))) == sorted(kept)


def test_a_long_span_has_a_point_a_day(viewer: FlaskClient, database: Database) -> None:
    """The last of each day: as many points as can be drawn."""
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=5)
    with database.transaction() as connection:
        for hour in range(48):
            at = start + timedelta(hours=hour)
            connection.execute(insert(fleet_snapshot).values(at=at, dimension="fleet", value="", figures={"n": hour}))

    long = viewer.get("/api/v1/trends?span=1y").json["points"]
    short = viewer.get("/api/v1/trends?span=7d").json["points"]

    assert ([each["figures"]["n"] for each in long], len(short)) == ([23, 47], 48)


def test_what_needs_attention_is_listed_with_numbers(
    viewer: FlaskClient, fleet: Any, fleet_seed: ModuleType, database: Database
) -> None:
    """Only kinds that have any."""
    fleet_seed.seed_dead_letters(database)
    with database.transaction() as connection:
        connection.execute(
            update(mirror)
            .where(mirror.c.repository_id == fleet.repositories[fleet_seed.MAIN.id])
            .values(state="lagging", message="It serves what is two days old.")
        )

    found = {each["kind"]: each for each in viewer.get("/api/v1/attention").json["items"]}

    assert {kind: each["count"] for kind, each in found.items()} == {
        "silent-hosts": 1,
        "packages-in-no-repository": 1,
        "failing-repositories": 1,
        "failing-mirrors": 1,
        "lagging-mirrors": 1,
        "dead-letters": 2,
    }
    assert found["silent-hosts"]["examples"][0]["name"] == "build-arm.example.com"
    assert found["packages-in-no-repository"]["examples"][0]["name"] == "internal-monitor"
    for kind in found.keys() - {"dead-letters"}:
        listed = viewer.get(f"/api/v1/attention/{kind}?limit=500").json
        assert listed["total_count"] == found[kind]["count"], kind
        assert listed["items"] == found[kind]["examples"], kind


def test_a_kind_that_needs_attention_is_paged(viewer: FlaskClient, fleet: Any, database: Database) -> None:
    """The longest silent host comes first; kinds that there are not, and dead letters, are said to be elsewhere."""
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE host SET last_report_at = last_report_at - interval '2 days'")

    first = viewer.get("/api/v1/attention/silent-hosts?limit=4").json
    rest = viewer.get(f"/api/v1/attention/silent-hosts?limit=4&cursor={first['next_cursor']}").json

    names = [each["name"].split(".")[0] for each in first["items"] + rest["items"]]
    assert names == ["build-arm", "mail", "db-01", "web-02", "web-01", "new"]
    assert (first["total_count"], rest["next_cursor"]) == (6, None)
    assert "dead-letters" in viewer.get("/api/v1/attention/dead-letters").json["detail"]
    assert "silent-hosts" in viewer.get("/api/v1/attention/bad-moods").json["detail"]


def test_hosts_whose_address_has_another_name_need_attention(
    viewer: FlaskClient, fleet: Any, database: Database
) -> None:
    """A short name is the first label of a whole one; what is unknown, old or of another address says nothing."""
    cases: dict[str, tuple[str, str, list[str], str]] = {
        "web9.example.com": ("named", "web9.example.com", ["other.example.com", "web9.example.com"], "0 hours"),
        "short": ("named", "short", ["short.example.com"], "0 hours"),
        "renamed": ("named", "renamed.example.com", ["old.example.com"], "0 hours"),
        "short-other": ("named", "short-other", ["another.example.com"], "0 hours"),
        "no answer": ("unknown", "no-answer.example.com", [], "0 hours"),
        "old answer": ("named", "old-answer.example.com", ["x.example.com"], "3 days"),
    }
    with database.transaction() as connection:
        for number, (host_id, case) in enumerate(zip(fleet.hosts.values(), cases.values(), strict=True)):
            state, name, names, age = case
            values = {
                "id": host_id,
                "at": f"192.0.2.{number}",
                "name": name,
                "names": names,
                "state": state,
                "age": age,
            }
            connection.execute(
                text("UPDATE host SET hostname = :name, peer_address = :at, last_report_at = now() WHERE id = :id"),
                values,
            )
            connection.execute(
                text("""
                    INSERT INTO reverse_name (host_id, address, state, names, checked_at, due_at)
                    VALUES (:id, :at, :state, :names, now() - CAST(:age AS interval), now())
                """),
                values,
            )

    found = {each["kind"]: each for each in viewer.get("/api/v1/attention").json["items"]}["reverse-dns-mismatches"]

    assert found["count"] == 2
    assert [(each["name"], each["detail"]) for each in found["examples"]] == [
        ("renamed.example.com", "192.0.2.2 is old.example.com"),
        ("short-other", "192.0.2.3 is another.example.com"),
    ]
    with database.transaction() as connection:
        connection.execute(text("UPDATE host SET peer_address = '198.51.100.1'"))
    kinds = [each["kind"] for each in viewer.get("/api/v1/attention").json["items"]]
    assert "reverse-dns-mismatches" not in kinds


def test_a_repository_that_no_host_has_is_unused(viewer: FlaskClient, fleet: Any, database: Database) -> None:
    """It is crawled for nobody."""
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE host SET repository_set_id = (SELECT min(id) FROM repository_set)")

    found = {each["kind"]: each for each in viewer.get("/api/v1/attention").json["items"]}

    assert [each["name"] for each in found["unused-repositories"]["examples"]] == [
        "download.docker.com bookworm stable"
    ]


def test_the_queues_are_listed_with_what_waits(viewer: FlaskClient, bus: Bus) -> None:
    """Also of the broker in memory."""
    bus.publish(SYNC_REQUESTED, b"{}")

    found = {each["name"]: each["messages"] for each in viewer.get("/api/v1/queues").json["items"]}

    assert (found["repo-sync.nudges"], found["update-engine.reports"]) == (1, 0)


def test_the_pipeline_says_what_happened_last(viewer: FlaskClient, fleet: Any) -> None:
    """And what waits."""
    found = viewer.get("/api/v1/pipeline").json

    assert found["hosts_awaiting_evaluation"] == 1
    assert found["last_report_at"] and found["last_sync_at"]
    assert found["report_lag_p95_seconds"] > 0


def test_the_pipeline_of_an_empty_installation_is_shown(viewer: FlaskClient) -> None:
    """Nothing has happened: null, not an error."""
    assert viewer.get("/api/v1/pipeline").json["last_report_at"] is None


def test_settings_are_shown_to_administrators_without_secrets(ask: Callable[[str], FlaskClient]) -> None:
    """Nobody else, and no secret to anybody."""
    found = {each["variable"]: each for each in ask("admin").get("/api/v1/settings").json["items"]}

    assert found["PATCHBAY_PORT"]["value"] == "8080"
    assert found["PATCHBAY_SECRET_KEY"]["value"] is None
    assert ask("operator").get("/api/v1/settings").status_code == 403
