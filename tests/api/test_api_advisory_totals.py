"""The list of advisories by the hosts on which they are outstanding: its numbers are those that queries find."""

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from patchbay_errata.totals import Totals
from patchbay_shared.db import Database
from patchbay_shared.tables import user_account
from sqlalchemy import update
from vulnerable_fleet import Seed

Get = Callable[[str], Any]

DSA = {"DSA-5764-1": 4, "DSA-5901-1": 4}
"""What `fleet_seed` has outstanding, with the number of hosts."""


@pytest.fixture
def fleet(
    seed: Any, database: Database, fleet_seed: ModuleType, database_of: Callable[[str | None], Database]
) -> None:
    """Two advisories that are outstanding, one rated by its vendor and one not, and two that are not."""
    fleet_seed.seed_fleet(database, fleet_seed.HOSTS)

    def write(made: Seed) -> None:
        made.advisory("DSA-5764-1", "CVE-2024-0001", "bookworm openssl 3.0.17", severity="low")
        made.advisory("DSA-5901-1", "CVE-2024-0002", "bookworm openssl 3.0.17", severity="", days_ago=9)
        made.names("DSA-5901-1", "CVE-2024-0003", "CVE-2024-0004", "CVE-2024-0005")
        made.advisory("DSA-1-1", "CVE-2024-0002", "bookworm bash 5", severity="critical")
        made.advisory("DSA-2-1", "CVE-2024-0009", "bookworm bash 5", severity="", days_ago=30)
        made.score("CVE-2024-0003", 7.5)
        made.score("CVE-2024-0004", 5.0)

    seed(write)
    Totals(database_of("errata")).run(threading.Event())


def counts(items: list[dict[str, Any]]) -> dict[str, int]:
    return {each["name"]: each["host_count"] for each in items}


@pytest.mark.usefixtures("fleet")
def test_the_number_of_hosts_is_that_which_the_query_finds(get: Get) -> None:
    """In the list and on the advisory's page; the filter keeps those with a host."""
    items = get("/advisories")["items"]
    for each in items:
        found = get("/hosts?query=" + quote(f"advisory:{each['name']}"))["total_count"]
        assert (each["name"], each["host_count"]) == (each["name"], found)
        assert get(f"/advisories/{each['source']}/{each['name']}")["host_count"] == found
    assert counts(items) == {**DSA, "DSA-1-1": 0, "DSA-2-1": 0}
    outstanding = get("/advisories?outstanding=true")
    assert (counts(outstanding["items"]), outstanding["total_count"]) == (DSA, 2)


@pytest.mark.usefixtures("fleet")
def test_advisories_are_sorted_by_urgency_and_hosts(get: Get) -> None:
    """The worst CVE counts where the vendor gives no severity. Pages follow each other."""
    urgent = [each["name"] for each in get("/advisories?sort=-urgency")["items"]]
    assert urgent[:2] == ["DSA-5901-1", "DSA-5764-1"]
    for sort in ("-urgency", "-hosts", "-issued_at", "name"):
        found, cursor = [], ""
        while cursor is not None:
            page = get(f"/advisories?limit=1&sort={sort}" + (f"&cursor={cursor}" if cursor else ""))
            found += [each["name"] for each in page["items"]]
            cursor = page["next_cursor"]
        assert found == [each["name"] for each in get(f"/advisories?sort={sort}")["items"]]
        assert len(found) == 4


@pytest.mark.usefixtures("fleet")
def test_an_unrated_advisory_names_its_worst_cve(get: Get) -> None:
    """By the severity that the CVE's own page shows; an advisory that is rated, or whose CVEs are not, names none."""
    worst = {each["name"]: (each["worst_cve"], each["worst_cve_severity"]) for each in get("/advisories")["items"]}

    assert worst == {
        "DSA-5901-1": ("CVE-2024-0002", "critical"),
        "DSA-5764-1": ("", ""),
        "DSA-1-1": ("", ""),
        "DSA-2-1": ("", ""),
    }
    assert get("/cves/CVE-2024-0002")["severity"] == "critical"
    assert get("/advisories/debian-dsa/DSA-5901-1")["worst_cve"] == "CVE-2024-0002"


@pytest.mark.usefixtures("fleet")
def test_in_a_scope_only_its_hosts_are_counted(database: Database, ask: Callable[[str], FlaskClient]) -> None:
    """The whole fleet's sums do not show through; the severity of the worst CVE stays."""
    with database.transaction() as connection:
        connection.execute(update(user_account).where(user_account.c.username == "viewer").values(scope=["tag:web"]))
    client = ask("viewer")
    items = client.get("/api/v1/advisories?outstanding=true&sort=-urgency").json["items"]

    assert counts(items) == {"DSA-5901-1": 2, "DSA-5764-1": 2}
    assert [each["worst_cve_severity"] for each in items] == ["critical", ""]
    assert client.get("/api/v1/advisories/debian-dsa/DSA-5764-1").json["host_count"] == 2
    assert client.get("/api/v1/hosts?query=advisory:DSA-5764-1").json["total_count"] == 2
