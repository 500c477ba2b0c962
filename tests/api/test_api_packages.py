"""Packages over the whole fleet: names, versions, hosts."""

from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.tables import (
    advisory,
    advisory_cve,
    advisory_fix,
    available_package,
    errata_source,
    repository_index,
)
from patchbay_shared.versions import evr_key
from sqlalchemy import event, insert, select


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The six hosts of fleet_seed, two offers of openssl and one of a package that nobody has."""
    fleet = fleet_seed.seed_fleet(database, fleet_seed.HOSTS)
    offers = [
        ("openssl", "3.0.15-1~deb12u1", fleet_seed.MAIN.id),
        ("openssl", "3.0.17-1~deb12u2", fleet_seed.SECURITY.id),
        ("openssh-client", "1:9.2p1-2", fleet_seed.MAIN.id),
        ("100%_pure", "1", fleet_seed.MAIN.id),
    ]
    with database.transaction() as connection:
        for name, evr, where in offers:
            wanted = repository_index.c.repository_id == fleet.repositories[where]
            index = connection.execute(select(repository_index.c.id).where(wanted)).scalar_one()
            connection.execute(
                insert(available_package).values(
                    index_id=index, name=name, arch="amd64", evr=evr, evr_key=evr_key("deb", evr), digest=1
                )
            )
        connection.execute(insert(errata_source).values(name="debian", url="http://x.example", enabled=True))
        connection.execute(
            insert(advisory).values(
                id=1, source="debian", name="DSA-5901-1", part=1, digest=1, vendor="Debian", type="security",
                severity="high", vendor_severity="", status="final", title="", description="", url="", links=[],
            )
        )  # fmt: skip
        connection.execute(insert(advisory_cve).values(advisory_id=1, cve="CVE-2026-0001"))
        connection.execute(
            insert(advisory_fix).values(
                advisory_id=1, ecosystem="debian", distro_release="bookworm", package="openssl", kind="source",
                arch="", module="", pocket="", state="fixed", evr="3.0.17-1~deb12u2",
                evr_key=evr_key("deb", "3.0.17-1~deb12u2"), note="",
            )
        )  # fmt: skip
    return fleet


def test_a_name_is_listed_with_where_it_is_and_its_newest_offer(viewer: FlaskClient, fleet: Any) -> None:
    """One row a name: hosts, repositories, newest version of each type."""
    [found] = viewer.get("/api/v1/packages?q=openssl").json["items"]

    assert found == {
        "name": "openssl",
        "host_count": 6,
        "installed_version_count": 1,
        "repository_count": 2,
        "newest": [{"type": "deb", "version": "3.0.17-1~deb12u2"}],
    }


def test_the_versions_that_hosts_have_are_as_many_as_the_list_says(viewer: FlaskClient, fleet: Any) -> None:
    """Those that only repositories have are left out."""
    every = viewer.get("/api/v1/packages/openssl/versions").json
    installed = viewer.get("/api/v1/packages/openssl/versions?installed=true").json

    assert [each["version"] for each in every["items"]] == ["3.0.17-1~deb12u2", "3.0.15-1~deb12u1"]
    assert [each["version"] for each in installed["items"]] == ["3.0.15-1~deb12u1"]


def test_the_packages_of_a_repository_are_listed(viewer: FlaskClient, fleet: Any, fleet_seed: ModuleType) -> None:
    """Every entry of its indexes, by name, newest first; narrowed by the beginning of the name or by an index."""
    path = f"/api/v1/repositories/{fleet.repositories[fleet_seed.MAIN.id]}/packages"

    first = viewer.get(f"{path}?limit=2").json
    rest = viewer.get(f"{path}?limit=2&cursor={first['next_cursor']}").json

    names = [each["name"] for each in first["items"] + rest["items"]]
    assert names == ["100%_pure", "openssh-client", "openssl"]
    assert (first["total_count"], rest["next_cursor"]) == (3, None)
    assert first["items"][0] == {
        "name": "100%_pure", "arch": "amd64", "version": "1", "source": None, "component": "main",
        "architecture": "amd64",
    }  # fmt: skip
    assert viewer.get(f"{path}?q=openss").json["total_count"] == 2
    assert viewer.get(f"{path}?q=100%25_").json["total_count"] == 1
    assert viewer.get(f"{path}?component=main").json["total_count"] == 3
    assert viewer.get(f"{path}?architecture=none").json["total_count"] == 0
    assert viewer.get(f"/api/v1/repositories/{fleet.hosts['web-01.example.com']}/packages").status_code == 404


def test_the_repositories_that_offer_a_package_are_as_many_as_the_list_says(
    viewer: FlaskClient, fleet: Any, fleet_seed: ModuleType
) -> None:
    """Also those whose index was not there the last time."""
    found = viewer.get("/api/v1/repositories?package=openssl").json

    assert {each["name"] for each in found["items"]} == {fleet_seed.MAIN.id, fleet_seed.SECURITY.id}
    assert viewer.get("/api/v1/repositories?package=openssh-client").json["total_count"] == 1
    assert viewer.get("/api/v1/repositories?package=nothing").json["total_count"] == 0


def test_packages_that_only_repositories_have_are_listed_when_asked_for(viewer: FlaskClient, fleet: Any) -> None:
    """Installed ones are the default: a repository offers sixty thousand."""
    installed = viewer.get("/api/v1/packages?q=open").json
    offered = viewer.get("/api/v1/packages?q=open&offered=true").json

    assert [each["name"] for each in installed["items"]] == ["openssl"]
    assert [each["name"] for each in offered["items"]] == ["openssh-client", "openssl"]
    assert (offered["items"][0]["host_count"], offered["total_count"]) == (0, 2)


def test_signs_of_a_pattern_are_letters_like_any_other(viewer: FlaskClient, fleet: Any) -> None:
    """The prefix is a text, not a pattern."""
    found = viewer.get("/api/v1/packages", query_string={"q": "100%_", "offered": "true"}).json["items"]
    other = viewer.get("/api/v1/packages", query_string={"q": "100_%", "offered": "true"}).json["items"]

    assert ([each["name"] for each in found], other) == (["100%_pure"], [])


def test_offered_needs_the_beginning_of_a_name(viewer: FlaskClient, fleet: Any) -> None:
    """Nobody reads everything that all repositories offer."""
    answer = viewer.get("/api/v1/packages?offered=true&q=o")

    assert (answer.status_code, answer.json["pointer"]) == (422, "$.query.q")


def test_pages_of_names_give_each_once(viewer: FlaskClient, fleet: Any) -> None:
    """In byte order."""
    seen, cursor = [], ""
    while cursor is not None:
        answer = viewer.get("/api/v1/packages?limit=5" + (f"&cursor={cursor}" if cursor else "")).json
        seen += [each["name"] for each in answer["items"]]
        cursor = answer["next_cursor"]

    assert seen == sorted(seen)
    assert len(seen) == len(set(seen)) == answer["total_count"] == 18


def test_a_version_says_who_has_it_who_offers_it_and_what_it_fixes(viewer: FlaskClient, fleet: Any) -> None:
    """The newest first; an advisory stands with the first version that fixes it."""
    newer, older = viewer.get("/api/v1/packages/openssl/versions").json["items"]

    assert (newer["version"], newer["host_count"]) == ("3.0.17-1~deb12u2", 0)
    assert [each["suite"] for each in newer["repositories"]] == ["bookworm-security"]
    assert newer["fixes"] == [
        {"source": "debian", "name": "DSA-5901-1", "severity": "high", "cves": ["CVE-2026-0001"]}
    ]
    assert (older["version"], older["host_count"], older["fixes"]) == ("3.0.15-1~deb12u1", 6, [])


def test_pages_of_one_version_give_each_once(viewer: FlaskClient, fleet: Any) -> None:
    """The cursor holds the version's sort key."""
    first = viewer.get("/api/v1/packages/openssl/versions?limit=1").json
    second = viewer.get(f"/api/v1/packages/openssl/versions?limit=1&cursor={first['next_cursor']}").json

    assert [each["items"][0]["version"] for each in (first, second)] == ["3.0.17-1~deb12u2", "3.0.15-1~deb12u1"]
    assert second["next_cursor"] is None


def test_the_hosts_of_a_version_are_listed(viewer: FlaskClient, fleet: Any) -> None:
    """By exactly that version, or by any."""
    every = viewer.get("/api/v1/packages/openssl/hosts").json
    none = viewer.get("/api/v1/packages/openssl/hosts?version=3.0.17-1~deb12u2").json

    assert (every["total_count"], none["total_count"]) == (6, 0)
    assert every["items"][0]["versions"] == ["3.0.15-1~deb12u1 amd64"]


def test_a_package_that_nobody_knows_is_404(viewer: FlaskClient, fleet: Any) -> None:
    """Rather than an empty list, which would read as `nowhere installed`."""
    assert viewer.get("/api/v1/packages/opnessl/versions").status_code == 404
    assert viewer.get("/api/v1/packages/opnessl/hosts").status_code == 404


@pytest.mark.parametrize("path", ["packages?q=&limit={}", "packages/openssl/versions?limit={}"])
def test_a_longer_page_costs_no_more_queries(viewer: FlaskClient, fleet: Any, app: Any, path: str) -> None:
    """No query in a loop."""
    counts = []
    statements: list[str] = []
    engine = app.extensions["patchbay"].database.engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    for limit in (1, 500):
        statements.clear()
        assert viewer.get("/api/v1/" + path.format(limit)).status_code == 200
        counts.append(len(statements))

    assert counts[0] == counts[1]
