"""Advisories, CVEs, and which hosts they touch, through the API."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.tables import (
    cve,
    evaluation,
    host,
    known_exploited,
    lifecycle,
    package,
    verdict,
)
from sqlalchemy import insert, select, update
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


def test_an_update_says_which_cves_it_fixes_how_bad_and_until_when(
    seed: Any, get: Callable[[str], Any], database: Database
) -> None:
    """The worst severity, the earliest date; not what another package fixes or this version already has."""

    def write(made: Seed) -> UUID:
        made.advisory("DSA-1-1", "CVE-2024-0001", "bookworm bash 5.2-2", severity="medium", days_ago=3)
        made.advisory("DSA-2-1", "CVE-2024-0002", "bookworm bash 5.2-3", severity="critical", days_ago=40)
        made.advisory("DSA-3-1", "CVE-2024-0003", "bookworm bash 5.2-1")
        made.advisory("DSA-4-1", "CVE-2024-0004", "bookworm zsh 5.9-5")
        return made.host("h", "bookworm", "bash 5.2-1", "zsh 5.9-4", first_report_at=NOW - timedelta(days=90))

    host_id = seed(write)
    _evaluate(database, host_id, bash=True, zsh=False)

    bash, zsh = get(f"/hosts/{host_id}/updates")["items"]

    assert sorted(bash["cves"]) == ["CVE-2024-0001", "CVE-2024-0002"]
    assert (bash["severity"], bash["known_exploited"], bash["overdue"]) == ("critical", False, True)
    cves = {each["cve"]: each for each in get(f"/hosts/{host_id}/cves")["items"]}
    assert bash["due_by"] == cves["CVE-2024-0002"]["due_by"]
    assert bash["since"] == cves["CVE-2024-0002"]["since"]
    assert (zsh["cves"], zsh["severity"], zsh["since"], zsh["due_by"], zsh["overdue"]) == ([], "", None, None, False)


@pytest.fixture
def urgent(seed: Any, database: Database) -> UUID:
    """A host with updates of every urgency; their names are in another order."""

    def write(made: Seed) -> UUID:
        made.advisory("DSA-1-1", "CVE-2024-0001", "bookworm zsh 5.9-5", severity="low", days_ago=1)
        made.exploited("CVE-2024-0001", due_on=(NOW + timedelta(days=10)).date())
        made.advisory("DSA-2-1", "CVE-2024-0002", "bookworm tar 1.34-2", severity="high", days_ago=60)
        made.advisory("DSA-3-1", "CVE-2024-0003", "bookworm vim 9.1-2", severity="critical", days_ago=2)
        made.advisory("DSA-4-1", "CVE-2024-0004", "bookworm git 2.39-2", severity="medium", days_ago=3)
        made.names("DSA-4-1", "CVE-2024-0005")
        named = ("adduser 3.1", "bash 5.2-1", "git 2.39-1", "tar 1.34-1", "vim 9.1-1", "zsh 5.9-4")
        return made.host("h", "bookworm", *named, first_report_at=NOW - timedelta(days=90))

    host_id: UUID = seed(write)
    _evaluate(database, host_id, adduser=False, bash=True, git=True, tar=True, vim=True, zsh=True)
    with database.transaction() as connection:
        for name, values in {
            "bash": {"state": "phased"},
            "tar": {"state": "held", "advisories": ["DSA-2-1", "DSA-2-2"]},
            "zsh": {"advisories": ["DSA-1-1"]},
        }.items():
            connection.execute(update(verdict).where(verdict.c.name == name).values(**values))
    return host_id


def test_updates_of_a_host_are_in_order_of_urgency(urgent: UUID, get: Callable[[str], Any]) -> None:
    """Exploited, overdue, by severity, security fixes that nothing is known of, the others."""
    found = get(f"/hosts/{urgent}/updates")["items"]

    assert [each["name"] for each in found] == ["zsh", "tar", "vim", "git", "bash", "adduser"]
    assert [(each["known_exploited"], each["overdue"]) for each in found[:3]] == [
        (True, False),
        (False, True),
        (False, False),
    ]


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("name", "adduser bash git tar vim zsh"),
        ("-name", "zsh vim tar git bash adduser"),
        ("urgency", "adduser bash git vim tar zsh"),
        ("-severity", "vim tar git zsh adduser bash"),
        ("since", "tar git vim zsh adduser bash"),
        ("-since", "zsh vim git tar adduser bash"),
        ("due_by", "tar zsh vim git adduser bash"),
        ("repository", "adduser bash git tar vim zsh"),
        ("-cves", "git tar vim zsh adduser bash"),
        ("cves", "adduser bash tar vim zsh git"),
        ("-advisories", "tar zsh adduser bash git vim"),
        ("state", "adduser git vim zsh tar bash"),
        ("-state", "bash tar adduser git vim zsh"),
    ],
)
def test_updates_are_paged_in_every_order(urgent: UUID, get: Callable[[str], Any], sort: str, order: str) -> None:
    """Two at a time gives the same as all at once; what has no date stays last."""
    path = f"/hosts/{urgent}/updates?sort={sort}"
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        page = get(f"{path}&limit=2{cursor and f'&cursor={cursor}'}")
        found += [each["name"] for each in page["items"]]
        cursor = page["next_cursor"]

    assert found == order.split()
    assert page["total_count"] == len(found)


def _evaluate(database: Database, host_id: UUID, **security: bool) -> None:
    """Let these packages of a host be outstanding: whether each update is a security fix."""
    with database.transaction() as connection:
        row = connection.execute(select(host).where(host.c.id == host_id)).one()
        number = connection.execute(
            insert(evaluation)
            .values(
                package_set_id=row.package_set_id, repository_set_id=row.repository_set_id, catalogue_generations=[],
                incomplete_count=0, rules_version=1, listed_count=len(security),
                security_count=sum(security.values()), state_counts={"outstanding": len(security)},
                evaluated_at=NOW,
            )
            .returning(evaluation.c.id)
        ).scalar_one()  # fmt: skip
        for name, is_security in security.items():
            found = connection.execute(select(package.c.id, package.c.evr).where(package.c.name == name)).one()
            connection.execute(
                insert(verdict).values(
                    evaluation_id=number, package_id=found.id,
                    name=name, arch="amd64", installed=found.evr, candidate="9", candidate_arch="amd64",
                    repository="r", repositories=["r"], state="outstanding", listed=True, security=is_security,
                    advisories=[], rule="apt.candidate", why="w",
                )
            )  # fmt: skip
        connection.execute(update(host).where(host.c.id == host_id).values(evaluation_id=number))
