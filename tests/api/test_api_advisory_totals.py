"""The list of advisories by the hosts on which they are outstanding: its numbers are those that queries find."""

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from patchbay_errata.totals import Totals
from patchbay_shared.db import Database
from patchbay_shared.exposure import LEVELS
from patchbay_shared.tables import user_account
from sqlalchemy import text, update
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
def test_advisories_are_narrowed_by_the_severity_that_they_show(get: Get) -> None:
    """The vendor's, else that of the worst CVE; each advisory is in one severity's list, or is not rated at all."""
    found = {level: {each["name"] for each in get(f"/advisories?severity={level}")["items"]} for level in LEVELS}

    assert found == {"low": {"DSA-5764-1"}, "medium": set(), "high": set(), "critical": {"DSA-1-1", "DSA-5901-1"}}
    for each in get("/advisories")["items"]:
        shown = each["severity"] or each["worst_cve_severity"]
        assert [level for level in LEVELS if each["name"] in found[level]] == ([shown] if shown else [])
    assert counts(get("/advisories?severity=critical&outstanding=true")["items"]) == {"DSA-5901-1": 4}


@pytest.mark.usefixtures("fleet")
def test_an_outstanding_advisory_is_rated_by_what_its_cve_is_to_the_hosts(
    database: Database, database_of: Callable[[str | None], Database], ask: Callable[[str], FlaskClient]
) -> None:
    """As on the CVE's page: by the advisories for the hosts that it touches, in a scope for those in it."""
    with database.transaction() as connection:
        for number, level, hosts in ((1, 1, "tags && '{web}'"), (2, 4, "NOT tags && '{web}'")):
            connection.execute(
                text("INSERT INTO exposure_set VALUES (:id, '{CVE-2024-0002}', '{0}', ARRAY[:level])"),
                {"id": UUID(int=number), "level": level},
            )
            connection.execute(
                text(f"""
                    INSERT INTO host_exposure (host_id, basis, exposed_count, fixable_count, restart_count,
                        exploited_count, overdue_count, waived_count, worst_cve, exposure_set_id, counted_at)
                    SELECT id, '', 1, 1, 0, 0, 0, 0, '', :id, now() FROM host WHERE {hosts}"""),
                {"id": UUID(int=number)},
            )
        connection.execute(text("DELETE FROM cve"))
        connection.execute(
            text("INSERT INTO advisory_cve SELECT id, 'CVE-2024-0002' FROM advisory WHERE name = 'DSA-5764-1'")
        )
        connection.execute(update(user_account).where(user_account.c.username == "viewer").values(scope=["tag:web"]))
    Totals(database_of("errata")).run(threading.Event())

    for role, severity in (("admin", "critical"), ("viewer", "low")):
        client = ask(role)
        shown = client.get("/api/v1/advisories/debian-dsa/DSA-5901-1").json
        assert (shown["worst_cve"], shown["worst_cve_severity"]) == ("CVE-2024-0002", severity)
        assert client.get("/api/v1/cves/CVE-2024-0002").json["severity"] == severity
        for level in LEVELS:
            found = counts(client.get(f"/api/v1/advisories?severity={level}&outstanding=true").json["items"])
            assert ("DSA-5901-1" in found) is (level == severity)


@pytest.mark.usefixtures("fleet")
def test_known_exploited_advisories_are_marked_and_narrowed(get: Get, database: Database) -> None:
    """Any of their CVEs is enough."""
    assert not any(each["known_exploited"] for each in get("/advisories")["items"])
    with database.transaction() as connection:
        connection.execute(
            text("INSERT INTO known_exploited VALUES ('CVE-2024-0004', current_date, current_date, false, '', '')")
        )

    marked = {each["name"]: each["known_exploited"] for each in get("/advisories")["items"]}
    assert [name for name, is_so in marked.items() if is_so] == ["DSA-5901-1"]
    only = get("/advisories?known_exploited=true")
    assert (list(counts(only["items"])), only["total_count"]) == (["DSA-5901-1"], 1)
    assert get("/advisories/debian-dsa/DSA-5901-1")["known_exploited"] is True


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
