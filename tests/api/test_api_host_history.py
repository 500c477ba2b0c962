"""One host over time and beside others."""

from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.tables import host, package, package_event, package_set
from patchbay_shared.versions import evr_key
from sqlalchemy import insert, select, update

OLDER, NEWER = "1.2.2-1", "1.2.3-4"


@pytest.fixture
def history(database: Database, fleet_seed: ModuleType) -> Any:
    """web-01 upgraded bash two days ago and removed mc yesterday; web-02 still has the older bash, and mc."""
    fleet = fleet_seed.seed_fleet(database, fleet_seed.HOSTS)
    first, second = (fleet.hosts[f"web-0{n}.example.com"] for n in (1, 2))
    with database.transaction() as connection:
        bash = connection.execute(select(package.c.id).where(package.c.name == "bash")).scalar_one()
        old = {}
        for name, evr in (("bash", OLDER), ("mc", "4.8")):
            values = {"digest": name.encode(), "type": "deb", "name": name, "arch": "amd64", "evr": evr}
            old[name] = connection.execute(
                insert(package).values(evr_key=evr_key("deb", evr), **values).returning(package.c.id)
            ).scalar_one()
        days = [(2, [bash], [old["bash"]]), (1, [], [old["mc"]])]
        for ago, added, removed in days:
            connection.execute(
                insert(package_event).values(
                    host_id=first, at=fleet_seed.NOW - timedelta(days=ago), added_ids=added, removed_ids=removed
                )
            )
        ids = connection.execute(
            select(package_set.c.package_ids)
            .join(host, host.c.package_set_id == package_set.c.id)
            .where(host.c.id == second)
        ).scalar_one()
        other = connection.execute(
            insert(package_set)
            .values(
                digest=b"other",
                package_ids=sorted({*ids, *old.values()} - {bash}),
                held_ids=[],
                config_ids=[],
            )
            .returning(package_set.c.id)
        ).scalar_one()
        connection.execute(update(host).where(host.c.id == second).values(package_set_id=other))
        modules = [{"name": "nginx", "stream": "1.24", "state": "enabled", "profiles": ["common"]}, {"name": "a"}]
        facts = connection.execute(select(host.c.facts).where(host.c.id == first)).scalar_one()
        connection.execute(update(host).where(host.c.id == first).values(facts={**facts, "modules": modules}))
    return {"first": first, "second": second, "now": fleet_seed.NOW}


def test_the_timeline_says_what_changed_when_the_newest_first(viewer: FlaskClient, history: Any) -> None:
    """An older and a newer version of one name are one change."""
    removal, upgrade = viewer.get(f"/api/v1/hosts/{history['first']}/timeline").json["items"]

    assert removal["changes"] == [
        {"name": "mc", "arch": "amd64", "change": "removed", "before": ["4.8"], "after": []}
    ]
    assert upgrade["changes"] == [
        {"name": "bash", "arch": "amd64", "change": "upgraded", "before": [OLDER], "after": [NEWER]}
    ]


def test_the_timeline_of_one_package_leaves_the_others_out(viewer: FlaskClient, history: Any) -> None:
    """`package` filters by name."""
    found = viewer.get(f"/api/v1/hosts/{history['first']}/timeline?package=bash").json

    assert [each["changes"][0]["name"] for each in found["items"]] == ["bash"]
    assert found["total_count"] == 1


def test_two_hosts_are_compared(viewer: FlaskClient, history: Any) -> None:
    """Seen from the host that is asked."""
    found = viewer.get(f"/api/v1/hosts/{history['first']}/diff?with={history['second']}").json

    assert [(each["name"], each["difference"], each["here"], each["there"]) for each in found["items"]] == [
        ("bash", "newer", [NEWER], [OLDER]),
        ("mc", "only-there", [], ["4.8"]),
    ]
    assert found["counts"] == {"only_here": 0, "only_there": 1, "newer": 1, "older": 0}


@pytest.mark.parametrize("kind", ["only-here", "only-there", "newer", "older"])
def test_each_kind_of_difference_is_as_many_as_it_counts(viewer: FlaskClient, history: Any, kind: str) -> None:
    """The numbers stay those of the whole comparison; seen from the other host they are turned round."""
    for one, other in (("first", "second"), ("second", "first")):
        path = f"/api/v1/hosts/{history[one]}/diff?with={history[other]}"
        found = viewer.get(f"{path}&difference={kind}").json

        assert {each["difference"] for each in found["items"]} <= {kind}
        assert found["total_count"] == found["counts"][kind.replace("-", "_")]
        assert found["counts"] == viewer.get(path).json["counts"]


@pytest.mark.parametrize(
    ("days", "expected"),
    [(3, [("bash", "newer"), ("mc", "only-there")]), (1.5, [("mc", "only-there")]), (0.5, [])],
)
def test_a_host_is_compared_with_itself_at_another_time(
    viewer: FlaskClient, history: Any, days: float, expected: list[tuple[str, str]]
) -> None:
    """The changes since then are undone."""
    at = (history["now"] - timedelta(days=days)).isoformat()

    found = viewer.get(f"/api/v1/hosts/{history['first']}/diff", query_string={"at": at}).json

    assert [(each["name"], each["difference"]) for each in found["items"]] == expected


def test_a_time_before_the_first_report_is_refused(viewer: FlaskClient, history: Any) -> None:
    """Nothing is known of it, which is not the same as nothing installed."""
    answer = viewer.get(f"/api/v1/hosts/{history['first']}/diff?at=2001-01-01T00:00:00Z")

    assert (answer.status_code, answer.json["pointer"]) == (422, "$.query.at")


@pytest.mark.parametrize("query", ["", "?at=2026-01-01T00:00:00Z&with=00000000-0000-0000-0000-000000000000"])
def test_a_comparison_is_with_one_thing(viewer: FlaskClient, history: Any, query: str) -> None:
    """Neither nothing nor two."""
    answer = viewer.get(f"/api/v1/hosts/{history['first']}/diff{query}")

    assert (answer.status_code, answer.json["pointer"]) == (422, "$.query.with")


def test_modules_are_listed_as_the_host_has_them(viewer: FlaskClient, history: Any) -> None:
    """By name; what the host left out is empty."""
    found = viewer.get(f"/api/v1/hosts/{history['first']}/modules").json["items"]

    assert found == [
        {"name": "a", "stream": "", "state": "", "profiles": []},
        {"name": "nginx", "stream": "1.24", "state": "enabled", "profiles": ["common"]},
    ]
