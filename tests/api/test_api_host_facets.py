"""By what a result of hosts can be narrowed further."""

from collections.abc import Callable
from types import ModuleType

from flask.testing import FlaskClient
from patchbay_shared.db import Database


def test_facets_count_within_the_result(
    ask: Callable[[str], FlaskClient], database: Database, fleet_seed: ModuleType
) -> None:
    """Each number is that of the list which the value leads to; the most frequent come first."""
    fleet_seed.seed_fleet(database, fleet_seed.HOSTS)
    client = ask("viewer")

    found = client.get("/api/v1/hosts/facets", query_string={"query": "name:web"}).json

    hosts = client.get("/api/v1/hosts", query_string={"query": "name:web"}).json["total_count"]
    assert found["tags"] == [{"name": "production", "host_count": hosts}, {"name": "web", "host_count": hosts}]
    assert found["groups"] == []
    for each in found["os"]:
        listed = client.get("/api/v1/hosts", query_string={"query": "name:web", "os": each["name"]}).json
        assert listed["total_count"] == each["host_count"]
    assert sum(each["host_count"] for each in found["os"]) == hosts


def test_conditions_are_counted_within_the_result(
    ask: Callable[[str], FlaskClient], database: Database, fleet_seed: ModuleType
) -> None:
    """Each count is that of the list with the condition added."""
    fleet_seed.seed_fleet(database, fleet_seed.HOSTS)
    client = ask("viewer")

    found = client.get("/api/v1/hosts/facets?query=name:example").json["conditions"]

    counts = {each["query"]: each["host_count"] for each in found}
    assert counts["security>0"] > 0
    for condition, count in counts.items():
        listed = client.get("/api/v1/hosts", query_string={"query": f"name:example {condition}"}).json
        assert listed["total_count"] == count, condition


def test_facets_of_a_query_that_cannot_be_read_are_refused(ask: Callable[[str], FlaskClient]) -> None:
    """As the list itself is."""
    assert ask("viewer").get("/api/v1/hosts/facets?query=nonsense:1").status_code == 422
