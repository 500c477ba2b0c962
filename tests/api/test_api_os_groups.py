"""Operating systems, groups of them, and domains."""

from collections.abc import Callable
from datetime import date
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.tables import group_repository_set, host, lifecycle
from sqlalchemy import insert, text, update

ROCKY = {"os": "Rocky Linux 9.5 (Blue Onyx)", "arch": "x86_64"}


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The six hosts of fleet_seed."""
    return fleet_seed.seed_fleet(database, fleet_seed.HOSTS)


@pytest.fixture
def operator(ask: Callable[[str], FlaskClient]) -> FlaskClient:
    """A client signed in as an operator."""
    return ask("operator")


def _group(operator: FlaskClient, **values: Any) -> int:
    made = operator.post("/api/v1/os-groups", json={"name": "EL 9", **values})
    assert made.status_code == 201
    return int(made.json["id"])


def test_variants_are_listed_with_their_hosts_and_their_group(operator: FlaskClient, fleet: Any) -> None:
    """An operating system and an architecture make a variant."""
    group = _group(operator)
    operator.patch(f"/api/v1/os-groups/{group}", json={"variants": [ROCKY]})

    found = {each["os"]: each for each in operator.get("/api/v1/os-variants").json["items"]}

    assert found["Debian GNU/Linux 12 (bookworm)"]["host_count"] == 3
    assert (found[ROCKY["os"]]["group"], found[ROCKY["os"]]["hosts_with_updates"]) == ("EL 9", 1)


def test_releases_are_listed_with_their_support(operator: FlaskClient, fleet: Any, database: Database) -> None:
    """A release is what advisories are for; a calendar says how long there will be any."""
    with database.transaction() as connection:
        connection.execute(
            text("UPDATE repository_set SET document = jsonb_set(document, '{policy,os_release}',"
                 " '{\"ID\": \"debian\", \"VERSION_CODENAME\": \"bookworm\"}', true)")
        )  # fmt: skip
        connection.execute(
            insert(lifecycle).values(
                ecosystem="debian", version="12", codename="bookworm", name="Debian 12", source="x",
                ends_on=date(2020, 1, 1),
            )
        )  # fmt: skip

    [found] = operator.get("/api/v1/distro-releases").json["items"]

    assert (found["ecosystem"], found["distro_release"], found["host_count"]) == ("debian", "bookworm", 6)
    assert (found["support"]["name"], found["support"]["ended"]) == ("Debian 12", True)
    assert len(found["variants"]) == 4


def test_hosts_are_counted_by_domain(operator: FlaskClient, fleet: Any, database: Database) -> None:
    """What follows the first dot; names without one are together."""
    with database.transaction() as connection:
        connection.execute(update(host).where(host.c.hostname == "new.example.com").values(hostname="new"))

    found = operator.get("/api/v1/domains").json["items"]

    assert [(each["domain"], each["host_count"]) for each in found] == [("", 1), ("example.com", 5)]


def test_a_group_holds_variants_and_repositories_in_order(operator: FlaskClient, fleet: Any) -> None:
    """What a change does not name stays."""
    ids = [str(each) for each in fleet.repositories.values()]
    group = _group(operator, use_host_repos=False)
    wanted = [{"repository_id": ids[1], "priority": 10}, {"repository_id": ids[0]}]
    operator.patch(f"/api/v1/os-groups/{group}", json={"repositories": wanted, "variants": [ROCKY]})
    operator.patch(f"/api/v1/os-groups/{group}", json={"name": "Enterprise Linux 9"})

    found = operator.get(f"/api/v1/os-groups/{group}").json

    assert (found["name"], found["use_host_repos"], found["changed_by"]) == ("Enterprise Linux 9", False, "operator")
    assert [(each["repository_id"], each["priority"]) for each in found["repositories"]] == [
        (ids[1], 10),
        (ids[0], None),
    ]
    assert found["variants"] == [{**ROCKY, "hosts": 1}]


def test_a_variant_is_in_one_group(operator: FlaskClient, fleet: Any) -> None:
    """It leaves the one that it was in."""
    first, second = _group(operator), _group(operator, name="other")
    for group in (first, second):
        operator.patch(f"/api/v1/os-groups/{group}", json={"variants": [ROCKY]})

    counts = [operator.get(f"/api/v1/os-groups/{group}").json["variant_count"] for group in (first, second)]

    assert counts == [0, 1]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({}, "$.json.name"),
        ({"name": "taken"}, "$.json.name"),
        ({"repositories": [{"repository_id": "00000000-0000-0000-0000-000000000001"}]}, "$.json.repositories"),
        ({"repositories": [{"repository_id": "00000000-0000-0000-0000-000000000001"}] * 2}, "$.json.repositories"),
    ],
)
def test_a_change_that_cannot_be_is_refused(
    operator: FlaskClient, fleet: Any, change: dict[str, Any], pointer: str
) -> None:
    """422 with the place; nothing is stored."""
    group = _group(operator)
    _group(operator, name="taken")

    answer = operator.patch(f"/api/v1/os-groups/{group}", json=change)

    assert (answer.status_code, answer.json["pointer"]) == (422, pointer)
    assert operator.get(f"/api/v1/os-groups/{group}").json["name"] == "EL 9"


def test_a_dropped_group_is_gone(operator: FlaskClient, fleet: Any) -> None:
    """With its members."""
    group = _group(operator)

    assert operator.delete(f"/api/v1/os-groups/{group}").status_code == 204
    assert operator.get(f"/api/v1/os-groups/{group}").status_code == 404
    assert operator.delete(f"/api/v1/os-groups/{group}").status_code == 404


def test_a_host_says_by_which_repositories_it_is_judged(
    operator: FlaskClient, fleet: Any, database: Database
) -> None:
    """Its own are shown in any case, those of the group where they count."""
    web = fleet.hosts["web-02.example.com"]
    with database.transaction() as connection:  # as the engine does once it has looked
        other = connection.scalar(text("SELECT repository_set_id FROM host WHERE hostname LIKE 'web-01%'"))
        connection.execute(update(host).where(host.c.id == web).values(group_repository_set_id=other))
    assert operator.patch(f"/api/v1/hosts/{web}/repositories", json={"use_host_repos": False}).status_code == 202

    found = operator.get(f"/api/v1/hosts/{web}/repositories").json

    assert (found["use_host_repos"], found["choice"]) == (False, False)
    assert [(each["origin"], each["judging"]) for each in found["items"]] == [("host", False)] * 2 + [
        ("group", True)
    ] * 4
    assert operator.get(f"/api/v1/hosts/{web}").json["repository_count"] == 3


def test_the_hosts_that_a_group_judges_are_found(operator: FlaskClient, fleet: Any, database: Database) -> None:
    """As many as its page says."""
    number = operator.post("/api/v1/os-groups", json={"name": "Debian 12"}).json["id"]
    with database.transaction() as connection:  # as the engine does once it has looked
        used = connection.scalar(text("SELECT repository_set_id FROM host WHERE hostname LIKE 'web-01%'"))
        connection.execute(
            insert(group_repository_set).values(own_set_id=used, group_id=number, generation=1, set_id=used)
        )
        web = host.c.id == fleet.hosts["web-02.example.com"]
        connection.execute(update(host).where(web).values(group_repository_set_id=used))

    found = operator.get("/api/v1/hosts", query_string={"query": 'judged-by:"debian 12"'}).json

    assert [each["hostname"] for each in found["items"]] == ["web-02.example.com"]
    assert operator.get(f"/api/v1/os-groups/{number}").json["judged_host_count"] == 1


def test_a_choice_for_a_host_is_taken_back_with_null(operator: FlaskClient, fleet: Any) -> None:
    """Then its group's counts again."""
    path = f"/api/v1/hosts/{fleet.hosts['mail.example.com']}/repositories"
    for choice in (False, None):
        operator.patch(path, json={"use_host_repos": choice})

    assert operator.get(path).json["choice"] is None


def test_a_viewer_decides_nothing(viewer: FlaskClient, fleet: Any) -> None:
    """Groups and choices are an operator's."""
    path = f"/api/v1/hosts/{fleet.hosts['mail.example.com']}/repositories"

    assert viewer.post("/api/v1/os-groups", json={"name": "x"}).status_code == 403
    assert viewer.patch(path, json={"use_host_repos": False}).status_code == 403
