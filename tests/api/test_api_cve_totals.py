"""The list of CVEs by what they touch: its numbers are those of the pages of the CVEs."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.exposure import FIXED, STATES
from patchbay_shared.tables import risk_exception, user_account
from sqlalchemy import insert, text, update
from vulnerable_fleet import NOW, Seed

Get = Callable[[str], Any]


@pytest.fixture
def fleet(seed: Any, count: Callable[[], None]) -> None:
    """Three hosts; a CVE on two and waived on one of them, an unfixed one, a fixed one, one of nobody's."""

    def write(made: Seed) -> None:
        made.advisory("DSA-1-1", "CVE-2024-0001", "bookworm bash 5.2-9", severity="critical")
        made.advisory("CVE-2024-0002 bash", "CVE-2024-0002", "bookworm bash -", kind="cve", severity="", state="open")
        made.score("CVE-2024-0002", 5.0, epss=0.3, provider="NVD")
        made.advisory("DSA-3-1", "CVE-2024-0003", "bookworm bash 5.1-1")
        made.advisory("DSA-4-1", "CVE-2024-0004", "bookworm zsh 5.9-5", severity="medium")
        made.exploited("CVE-2024-0004", due_on=NOW.date())
        made.advisory("DSA-5-1", "CVE-2024-0005", "bookworm nothing 1-1", severity="low")
        made.host("a", "bookworm", "bash 5.2-1", "zsh 5.9-4", tags=["web"])
        made.host("b", "bookworm", "bash 5.2-1", tags=["lab"])
        made.host("c", "bookworm", "bash 5.2-9")
        made._connection.execute(
            insert(risk_exception).values(
                kind="cve", subject="CVE-2024-0001", scope="tag", target="lab", owner="o", reason="r", created_by="x"
            )
        )

    seed(write)
    count()


def ids(get: Get, query: str) -> list[str]:
    return [each["id"][-1] for each in get(f"/cves?{query}")["items"]]


@pytest.mark.usefixtures("fleet")
def test_the_lists_numbers_are_those_of_each_cves_page(get: Get) -> None:
    """By state; the number of hosts is that of the list which the page links to."""
    for each in get("/cves")["items"]:
        page = get(f"/cves/{each['id']}")
        shown = {name: n for name, n in page["hosts_by_state"].items() if n and name not in STATES[FIXED:8]}
        assert (each["hosts_by_state"], each["host_count"]) == (shown, page["host_count"])
        assert get(f"/cves/{each['id']}/hosts?state=exposed")["total_count"] == each["host_count"]
        assert each["severity"] == page["severity"]
    found = {each["id"]: each["hosts_by_state"] for each in get("/cves?exposed=true")["items"]}
    assert found == {
        "CVE-2024-0001": {"fix-available": 1, "waived": 1},
        "CVE-2024-0002": {"open": 3},
        "CVE-2024-0004": {"fix-available": 1},
    }


@pytest.mark.usefixtures("fleet")
def test_cves_are_narrowed_and_sorted_by_what_they_touch(get: Get) -> None:
    """Urgency: exploited, then severity; what touches nothing comes last. Pages follow each other."""
    assert ids(get, "exposed=true&sort=-urgency") == ["4", "1", "2"]
    assert ids(get, "sort=-urgency") == ["4", "1", "2", "5", "3"]
    assert ids(get, "sort=-hosts")[:1] == ["2"]
    assert ids(get, "sort=-score")[:1] == ids(get, "sort=-epss")[:1] == ["2"]
    assert ids(get, "severity=critical") == ["1"]
    assert ids(get, "exposed=true&severity=medium") == ["4", "2"]
    assert ids(get, "exposed=true&known_exploited=true") == ["4"]
    for sort in ("-urgency", "-hosts", "-score", "-epss", "-id"):
        found, cursor = [], ""
        while cursor is not None:
            page = get(f"/cves?limit=2&sort={sort}" + (f"&cursor={cursor}" if cursor else ""))
            found += [each["id"][-1] for each in page["items"]]
            cursor = page["next_cursor"]
        assert found == ids(get, f"sort={sort}")


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("CVE-2024-0001", ["1"]),
        ("cve-2024-000", ["5", "4", "3", "2", "1"]),
        ("2024-0003", ["3"]),
        ("4-0003", ["3"]),
        ("0004", ["4"]),
        ("024-", ["5", "4", "3", "2", "1"]),
        ("2024_0001", []),
        ("%", []),
        ("2023-", []),
    ],
)
def test_a_cve_is_found_by_any_part_of_its_id(get: Get, part: str, found: list[str]) -> None:
    """From its beginning by the index, or by what is within; no character stands for another."""
    assert ids(get, f"q={quote(part)}") == found


@pytest.mark.usefixtures("fleet")
def test_the_list_follows_the_feeds(database: Database, get: Get, count: Callable[[], None]) -> None:
    """What is no longer exploited, named or rated so is not listed so after the next look."""
    with database.transaction() as connection:
        connection.execute(text("DELETE FROM known_exploited"))
        connection.execute(text("DELETE FROM advisory WHERE name = 'DSA-5-1'"))
        connection.execute(text("UPDATE advisory SET severity = 'high' WHERE name = 'DSA-3-1'"))
        connection.execute(text("UPDATE errata_source SET changed_at = now()"))
    count()

    assert ids(get, "") == ["4", "3", "2", "1"]
    assert ids(get, "known_exploited=true") == []
    assert "3" in ids(get, "severity=high")


@pytest.mark.usefixtures("fleet")
def test_a_severity_says_whose_it_is_and_is_the_one_on_the_hosts_page(get: Get) -> None:
    """The advisory's before the CVSS score's."""
    cves = {each["id"]: (each["severity"], each["severity_by"]) for each in get("/cves")["items"]}
    assert cves["CVE-2024-0001"] == ("critical", "DSA-1-1")
    assert cves["CVE-2024-0002"] == ("medium", "NVD")
    [host] = [each for each in get("/hosts")["items"] if each["hostname"] == "a"]
    for each in get(f"/hosts/{host['id']}/cves")["items"]:
        assert each["severity"] == cves[each["cve"]][0]


@pytest.mark.usefixtures("fleet")
def test_in_a_scope_only_its_hosts_are_counted(database: Database, ask: Callable[[str], FlaskClient]) -> None:
    """The whole fleet's sums do not show through."""
    with database.transaction() as connection:
        connection.execute(update(user_account).where(user_account.c.username == "viewer").values(scope=["tag:web"]))
    items = ask("viewer").get("/api/v1/cves?exposed=true&sort=-urgency").json["items"]

    assert [(each["id"][-1], each["host_count"]) for each in items] == [("4", 1), ("1", 1), ("2", 1)]


@pytest.mark.usefixtures("fleet")
def test_sums_follow_a_host_that_goes(database: Database, get: Get, count: Callable[[], None]) -> None:
    """Nothing of it stays: not its count, nor its set of CVEs."""
    with database.transaction() as connection:
        connection.execute(text("DELETE FROM host WHERE hostname = 'a'"))
    count()

    assert ids(get, "exposed=true") == ["2"]
    with database.transaction() as connection:
        assert connection.scalar(text("SELECT count(*) FROM exposure_set")) == 2
