"""Groups, tags and notes: what operators say of hosts."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient
from patchbay_shared.db import Database


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The six hosts of fleet_seed."""
    return fleet_seed.seed_fleet(database, fleet_seed.HOSTS)


@pytest.fixture
def operator(ask: Callable[[str], FlaskClient]) -> FlaskClient:
    """A client signed in as an operator."""
    return ask("operator")


def _names(answer: Any) -> list[str]:
    return [each["hostname"].split(".")[0] for each in answer.json["items"]]


def test_a_tag_set_by_an_operator_stands_beside_the_reported_ones(operator: FlaskClient, fleet: Any) -> None:
    """Both filter; only the operator's can be taken away."""
    path = f"/api/v1/hosts/{fleet.hosts['web-01.example.com']}"
    answer = operator.patch(path, json={"operator_tags": ["pci", "web"]})

    assert (answer.json["tags"], answer.json["operator_tags"]) == (["pci", "production", "web"], ["pci", "web"])
    assert _names(operator.get("/api/v1/hosts?tag=pci")) == ["web-01"]
    assert operator.patch(path, json={"operator_tags": []}).json["tags"] == ["production", "web"]


def test_tags_are_counted_once_a_host(operator: FlaskClient, fleet: Any) -> None:
    """A tag that is reported and set is one tag."""
    operator.patch(f"/api/v1/hosts/{fleet.hosts['web-01.example.com']}", json={"operator_tags": ["web"]})

    assert operator.get("/api/v1/tags").json["items"] == [
        {"name": "production", "host_count": 6},
        {"name": "web", "host_count": 2},
    ]


def test_a_host_is_in_one_group_or_in_none(operator: FlaskClient, fleet: Any) -> None:
    """Another group replaces the first; a removed group leaves its hosts behind."""
    path = f"/api/v1/hosts/{fleet.hosts['db-01.example.com']}"
    numbers = [operator.post("/api/v1/groups", json={"name": name}).json["id"] for name in ("lab", "office")]
    for name in ("lab", "office"):
        assert operator.patch(path, json={"group": name}).json["group"] == name

    assert _names(operator.get("/api/v1/hosts?group=office")) == ["db-01"]
    assert [each["host_count"] for each in operator.get("/api/v1/groups").json["items"]] == [0, 1]
    assert operator.delete(f"/api/v1/groups/{numbers[1]}").status_code == 204
    assert operator.get(path).json["group"] is None


def test_what_a_change_does_not_name_stays(operator: FlaskClient, fleet: Any) -> None:
    """Notes survive a change of tags."""
    path = f"/api/v1/hosts/{fleet.hosts['db-01.example.com']}"
    operator.patch(path, json={"notes": "Do not reboot on Mondays."})
    operator.patch(path, json={"operator_tags": ["db"]})

    found = operator.get(path).json
    assert (found["notes"], found["operator_tags"]) == ("Do not reboot on Mondays.", ["db"])


@pytest.mark.parametrize(
    ("method", "path", "body", "pointer"),
    [
        ("post", "/groups", {"name": "lab"}, "$.json.name"),
        ("post", "/groups", {"name": " lab"}, "$.json.name"),
        ("patch", "/groups/{group}", {}, "$.json.name"),
        ("patch", "/hosts/{host}", {"group": "nowhere"}, "$.json.group"),
        ("patch", "/hosts/{host}", {"operator_tags": ["two words"]}, "$.json.operator_tags[0]"),
        ("patch", "/hosts/{host}", {"operator_tags": ["a*"]}, "$.json.operator_tags[0]"),
    ],
)
def test_a_label_that_cannot_be_is_refused(
    operator: FlaskClient, fleet: Any, method: str, path: str, body: dict[str, Any], pointer: str
) -> None:
    """The answer points at the field."""
    group = operator.post("/api/v1/groups", json={"name": "lab"}).json["id"]
    where = "/api/v1" + path.format(group=group, host=fleet.hosts["db-01.example.com"])

    answer = getattr(operator, method)(where, json=body)

    assert (answer.status_code, answer.json["pointer"]) == (422, pointer)


def test_a_group_cannot_take_the_name_of_another(operator: FlaskClient, fleet: Any) -> None:
    """Names are how groups are asked for."""
    [first, _] = [operator.post("/api/v1/groups", json={"name": name}).json for name in ("lab", "office")]

    path = f"/api/v1/groups/{first['id']}"
    assert operator.patch(path, json={"name": "office"}).status_code == 422
    assert operator.patch(path, json={"name": "lab", "description": "x"}).status_code == 200


def test_a_viewer_labels_nothing(viewer: FlaskClient, fleet: Any) -> None:
    """Labels decide who sees what later."""
    path = f"/api/v1/hosts/{fleet.hosts['db-01.example.com']}"

    assert viewer.patch(path, json={"notes": "x"}).status_code == 403
    assert viewer.post("/api/v1/groups", json={"name": "x"}).status_code == 403


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_number_that_no_id_can_have_is_not_found(operator: FlaskClient, method: str) -> None:
    """Not 405, whichever method the routes list first."""
    answer = operator.open("/api/v1/groups/579649206857199", method=method, json={} if method == "PATCH" else None)

    assert answer.status_code == 404
