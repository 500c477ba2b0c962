"""Advisories, CVEs, and which hosts they touch, through the API."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.tables import (
    cve,
    known_exploited,
    lifecycle,
)
from sqlalchemy import insert
from vulnerable_fleet import NOW, Seed


def test_a_cve_finds_the_hosts_without_its_fix(seed: Any, get: Callable[[str], Any]) -> None:
    """By release and source version: the fixed host and the other release's are not listed."""

    def write(made: Seed) -> None:
        made.host("old", "bookworm", "libssl3 3.0.1-1", source="openssl")
        made.host("new", "bookworm", "libssl3 3.0.2-1", source="openssl")
        made.host("other", "trixie", "libssl3 3.0.1-1", source="openssl")
        made.advisory("DSA-1-1", "CVE-2024-0001", "bookworm openssl 3.0.2-1")

    seed(write)

    [found] = get("/cves/CVE-2024-0001/hosts")["items"]
    assert (found["hostname"], found["state"], found["packages"]) == ("old", "fix-available", ["libssl3 3.0.1-1"])
    [fixed] = get("/cves/CVE-2024-0001/hosts?state=fixed")["items"]
    assert fixed["hostname"] == "new"


def test_a_host_lists_its_cves_by_their_scores(seed: Any, get: Callable[[str], Any]) -> None:
    """The worst first, with the advisories that are still to be installed."""

    def write(made: Seed) -> UUID:
        made.advisory("DSA-1-1", "CVE-2024-0001", "bookworm bash 5.2-2")
        made.advisory("DSA-2-1", "CVE-2024-0002", "bookworm bash 5.2-3")
        made.advisory("DSA-3-1", "CVE-2024-0003", "bookworm bash 5.2-1")
        made._connection.execute(
            insert(cve).values(
                id="CVE-2024-0002", source="debian-dsa", digest=0, state="published", description="d", score=9.8,
                severity="critical", vector="", cvss_version="3.1", provider="x", metrics=[], cwes=["CWE-79"],
            )
        )  # fmt: skip
        made._connection.execute(
            insert(known_exploited).values(
                cve="CVE-2024-0001",
                added_on=NOW.date(),
                due_on=NOW.date(),
                ransomware=True,
                title="",
                action="Patch.",
            )
        )
        return made.host("h", "bookworm", "bash 5.2-1")

    host_id = seed(write)

    items = get(f"/hosts/{host_id}/cves?sort=-score")["items"]
    assert [(each["cve"], each["score"], each["advisories"], each["known_exploited"]) for each in items] == [
        ("CVE-2024-0002", 9.8, ["DSA-2-1"], False),
        ("CVE-2024-0001", None, ["DSA-1-1"], True),
    ]
    [fixed] = get(f"/hosts/{host_id}/cves?state=fixed")["items"]
    assert fixed["cve"] == "CVE-2024-0003"


def test_pages_of_a_hosts_cves_follow_each_other(seed: Any, get: Callable[[str], Any]) -> None:
    """A cursor of a float and an id leads on."""

    def write(made: Seed) -> UUID:
        for number in range(5):
            made.advisory(f"DSA-{number}-1", f"CVE-2024-000{number}", "bookworm bash 5.2-2")
        return made.host("h", "bookworm", "bash 5.2-1")

    host_id = seed(write)
    found = []
    cursor = ""
    while cursor is not None:
        page = get(f"/hosts/{host_id}/cves?limit=2" + (f"&cursor={cursor}" if cursor else ""))
        found += [each["cve"] for each in page["items"]]
        cursor = page["next_cursor"]

    assert found == [f"CVE-2024-000{number}" for number in range(5)]


@pytest.mark.parametrize(("state", "expected"), [("open", "open"), ("no-fix-planned", "no-fix-planned")])
def test_a_cve_without_a_fix_says_so(seed: Any, get: Callable[[str], Any], state: str, expected: str) -> None:
    """The tracker knows of it, and that nothing can be installed."""

    def write(made: Seed) -> UUID:
        made.advisory("CVE-2024-0001 bash", "CVE-2024-0001", "bookworm bash -", kind="cve", state=state)
        return made.host("h", "bookworm", "bash 5.2-1")

    [found] = get(f"/hosts/{seed(write)}/cves")["items"]

    assert found["state"] == expected


def test_the_tracker_counts_before_an_advisory(seed: Any, get: Callable[[str], Any]) -> None:
    """A regression update names the CVE again, but its first version has the fix already."""

    def write(made: Seed) -> UUID:
        made.advisory("DSA-1-2", "CVE-2024-0001", "bookworm bash 5.2-3")
        made.advisory("CVE-2024-0001 bash", "CVE-2024-0001", "bookworm bash 5.2-2", kind="cve")
        return made.host("h", "bookworm", "bash 5.2-2")

    host_id = seed(write)

    assert get(f"/hosts/{host_id}/cves")["items"] == []
    assert get("/cves/CVE-2024-0001/hosts")["items"] == []


def test_a_rebuilt_binary_is_compared_by_its_source(seed: Any, get: Callable[[str], Any]) -> None:
    """1.0-1+b1 lacks the fix of 1.0-1+a1, although dpkg sorts it above."""

    def write(made: Seed) -> UUID:
        made.advisory("DSA-1-1", "CVE-2024-0001", "bookworm tool 1.0-1+a1")
        return made.host("h", "bookworm", "tool 1.0-1+b1", built="1.0-1")

    host_id = seed(write)

    assert len(get(f"/hosts/{host_id}/cves")["items"]) == 1
    assert len(get("/cves/CVE-2024-0001/hosts")["items"]) == 1


def test_advisories_are_found_by_what_they_name(seed: Any, get: Callable[[str], Any]) -> None:
    """By CVE, by package and by a part of the id; a tracker's records only when asked for."""

    def write(made: Seed) -> None:
        made.advisory("DSA-1-1", "CVE-2024-0001", "bookworm bash 5.2-2")
        made.advisory("DSA-2-1", "CVE-2024-0002", "bookworm zsh 5.9-2")
        made.advisory("CVE-2024-0001 bash", "CVE-2024-0001", "bookworm bash 5.2-2", kind="cve")

    seed(write)

    def names(query: str) -> list[str]:
        return sorted(each["name"] for each in get(f"/advisories?{query}")["items"])

    assert names("") == ["DSA-1-1", "DSA-2-1"]
    assert names("cve=CVE-2024-0001") == ["DSA-1-1"]
    assert names("package=zsh") == ["DSA-2-1"]
    assert names("q=sa-2") == ["DSA-2-1"]
    assert names("type=cve") == ["CVE-2024-0001 bash"]
    detail = get("/advisories/debian-dsa/DSA-1-1")
    assert (detail["description"], detail["fixes"][0]["evr"]) == ("<b>text</b>", "5.2-2")
    assert get("/cves/CVE-2024-0001")["advisories"] == ["DSA-1-1"]
    assert [each["id"] for each in get("/cves")["items"]] == ["CVE-2024-0002", "CVE-2024-0001"]


def test_feeds_show_how_fresh_they_are(seed: Any, get: Callable[[str], Any]) -> None:
    """Each with its state, and what of it could not be read."""
    seed(lambda _: None)

    [feed] = get("/errata-feeds")["items"]

    assert (feed["name"], feed["state"], feed["rejected"]) == ("debian-dsa", "pending", [])


def test_lifecycles_say_until_when_and_from_where(database: Database, get: Callable[[str], Any]) -> None:
    """A release has its end of free updates and the source of that date."""
    day = NOW.date()
    with database.transaction() as connection:
        for name in ("debian", "rocky"):
            values = {"codename": "", "name": name, "ends_on": day, "source": "a calendar"}
            connection.execute(insert(lifecycle).values(ecosystem=name, version="9", **values))

    [found] = get("/lifecycles?ecosystem=rocky")["items"]

    assert (found["version"], found["ends_on"], found["source"]) == ("9", day.isoformat(), "a calendar")


@pytest.mark.parametrize("path", ["/cves/CVE-1999-9999", "/advisories/debian-dsa/none"])
def test_what_is_not_known_is_not_found(ask: Callable[[str], FlaskClient], path: str) -> None:
    """404, with a sentence."""
    assert ask("viewer").get(f"/api/v1{path}").status_code == 404
