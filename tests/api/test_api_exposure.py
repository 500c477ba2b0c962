"""States, due dates, priorities and exceptions of a host's CVEs, asked both ways."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.tables import host, host_group, host_label, lifecycle, reboot_verdict, repository, repository_set
from sqlalchemy import insert, text, update
from vulnerable_fleet import NOW, Seed

CVE = "CVE-2024-0001"
Get = Callable[[str], Any]


def both_ways(get: Get, host_id: UUID, cve: str = CVE) -> list[str]:
    """The state that the host's list gives; the CVE's list of hosts has to say the same."""
    [found] = [
        each
        for state in ("", "?state=fixed", "?state=not-affected")
        for each in get(f"/hosts/{host_id}/cves{state}")["items"]
        if each["cve"] == cve
    ]
    [other] = [
        each for each in get(f"/cves/{cve}/hosts?state={found['state']}")["items"] if each["id"] == str(host_id)
    ]
    assert {name: found[name] for name in other if name in found} == {
        name: value for name, value in other.items() if name in found
    }
    assert get(f"/cves/{cve}")["hosts_by_state"][found["state"]] == 1
    return [found["state"], *found["packages"]]


def test_a_fixed_kernel_beside_the_running_old_one_waits_for_a_restart(seed: Any, get: Get) -> None:
    """The fix is on disk, the old kernel runs: an update would change nothing."""

    def write(made: Seed) -> UUID:
        made.advisory("DSA-1-1", CVE, "bookworm linux 6.1.119-1")
        made.package("linux-image-6.1.0-28-amd64 6.1.112-1", source="linux", built="6.1.112-1")
        made.package("linux-image-6.1.0-29-amd64 6.1.119-1", source="linux", built="6.1.119-1")
        names = ["linux-image-6.1.0-28-amd64 6.1.112-1", "linux-image-6.1.0-29-amd64 6.1.119-1"]
        return made.host("h", "bookworm", *names, kernel="6.1.0-28-amd64")

    host_id = seed(write)

    assert both_ways(get, host_id) == ["restart-pending", "linux-image-6.1.0-28-amd64 6.1.112-1"]


def test_an_old_kernel_that_does_not_run_is_no_exposure(seed: Any, get: Get) -> None:
    """It is kept to fall back on; what runs has the fix."""

    def write(made: Seed) -> UUID:
        made.advisory("DSA-1-1", CVE, "bookworm linux 6.1.119-1")
        made.package("linux-image-6.1.0-28-amd64 6.1.112-1", source="linux", built="6.1.112-1")
        made.package("linux-image-6.1.0-29-amd64 6.1.119-1", source="linux", built="6.1.119-1")
        names = ["linux-image-6.1.0-28-amd64 6.1.112-1", "linux-image-6.1.0-29-amd64 6.1.119-1"]
        return made.host("h", "bookworm", *names, kernel="6.1.0-29-amd64")

    host_id = seed(write)

    assert both_ways(get, host_id)[0] == "fixed"
    assert get(f"/cves/{CVE}/hosts")["items"] == []


@pytest.mark.parametrize(
    ("stale", "state"),
    [
        ([{"name": "nginx.service", "reason": "/usr/lib/libssl.so.3 has been replaced"}], "restart-pending"),
        ([{"name": "nginx.service", "reason": "/x.so.1 has been replaced", "package": "libssl3"}], "restart-pending"),
        ([{"name": "cron.service", "reason": "/usr/sbin/cron has been replaced"}], "fixed"),
        ([], "fixed"),
    ],
)
def test_a_service_that_runs_the_replaced_library_waits_for_a_restart(
    seed: Any, get: Get, stale: list[Any], state: str
) -> None:
    """Only a service that maps a file of the very package whose vulnerable version was replaced."""

    def write(made: Seed) -> UUID:
        made.advisory("DSA-1-1", CVE, "bookworm openssl 3.0.2-1")
        made.package("libssl3 3.0.1-1", source="openssl")
        host_id = made.host("h", "bookworm", "libssl3 3.0.2-1", source="openssl", facts={"stale_services": stale})
        made.replaced(host_id, "libssl3 3.0.1-1", "libssl3 3.0.2-1")
        return host_id

    assert both_ways(get, seed(write)) == [state, "libssl3 3.0.2-1"]


def test_what_never_had_the_flaw_is_said_so(seed: Any, get: Get) -> None:
    """The tracker's word that a release is not affected outweighs an advisory that names the package."""

    def write(made: Seed) -> UUID:
        made.advisory("DSA-1-1", CVE, "bookworm bash 5.2-9")
        made.advisory(f"{CVE} bash", CVE, "bookworm bash -", kind="cve", state="not-affected")
        return made.host("h", "bookworm", "bash 5.2-1")

    assert both_ways(get, seed(write))[0] == "not-affected"


def test_exposure_counts_from_the_later_of_publication_and_installation(seed: Any, get: Get) -> None:
    """An old flaw that came with yesterday's package is a day old on this host."""

    def write(made: Seed) -> UUID:
        made.advisory("DSA-1-1", CVE, "bookworm bash 5.2-9", days_ago=400)
        host_id = made.host("h", "bookworm", "bash 5.2-1", "zsh 1-1")
        made.replaced(host_id, "bash 5.1-1", "bash 5.2-1", days_ago=1)
        made.advisory("DSA-2-1", "CVE-2024-0002", "bookworm zsh 1-2", days_ago=40)
        return host_id

    found = {each["cve"]: each for each in get(f"/hosts/{seed(write)}/cves")["items"]}

    assert found[CVE]["since"][:10] == (NOW - timedelta(days=1)).date().isoformat()
    assert found["CVE-2024-0002"]["since"][:10] == (NOW - timedelta(days=40)).date().isoformat()


def test_priority_goes_from_exploited_over_epss_and_cvss_to_age(seed: Any, get: Get) -> None:
    """Each only decides between equals of those before it."""

    def write(made: Seed) -> UUID:
        for number, days in enumerate((0, 0, 0, 0, 100)):
            name = f"CVE-2024-000{number}"
            made.advisory(f"DSA-{number}-1", name, "bookworm bash 5.2-9", days_ago=days, severity="")
        made.score("CVE-2024-0000", 4.0)
        made.exploited("CVE-2024-0000", due_on=NOW.date() + timedelta(days=9))
        made.score("CVE-2024-0001", 5.0, epss=0.7)
        made.score("CVE-2024-0002", 9.8, epss=0.001)
        made.score("CVE-2024-0003", 7.5)
        made.score("CVE-2024-0004", 7.5)
        return made.host("h", "bookworm", "bash 5.2-1")

    order = [each["cve"][-1] for each in get(f"/hosts/{seed(write)}/cves")["items"]]

    assert order == ["0", "1", "2", "4", "3"]


def test_due_dates_follow_the_strictest_policy_of_the_hosts_tags(
    seed: Any, get: Get, ask: Callable[[str], FlaskClient]
) -> None:
    """Without one the documented days; the fleet's for all others; a tag's before the fleet's."""

    def write(made: Seed) -> tuple[UUID, UUID]:
        made.advisory("DSA-1-1", CVE, "bookworm bash 5.2-9", days_ago=10)
        return made.host("a", "bookworm", "bash 5.2-1"), made.host("b", "bookworm", "bash 5.2-1", tags=["web", "dmz"])

    plain, tagged = seed(write)

    def days(host_id: UUID) -> tuple[int, bool]:
        [found] = get(f"/hosts/{host_id}/cves")["items"]
        due = datetime.fromisoformat(found["due_by"]).replace(tzinfo=UTC)
        return (due.date() - (NOW - timedelta(days=10)).date()).days, found["overdue"]

    assert (days(plain), days(tagged)) == ((30, False), (30, False))
    admin = ask("admin")
    for scope, target, number in (("fleet", "", 60), ("tag", "web", 9), ("tag", "dmz", 5)):
        body = {"scope": scope, "target": target, "high_days": number}
        assert admin.post("/api/v1/remediation-policies", json=body).status_code == 201
    assert (days(plain), days(tagged)) == ((60, False), (5, True))
    [overdue] = get(f"/hosts/{tagged}/cves?overdue=true")["items"]
    assert overdue["cve"] == CVE


def test_cisas_date_counts_where_it_is_earlier(seed: Any, get: Get) -> None:
    """An exploited CVE of low severity is due when the catalogue says."""
    due_on = NOW.date() - timedelta(days=3)

    def write(made: Seed) -> UUID:
        made.advisory("DSA-1-1", CVE, "bookworm bash 5.2-9", severity="low")
        made.exploited(CVE, due_on=due_on)
        return made.host("h", "bookworm", "bash 5.2-1")

    [found] = get(f"/hosts/{seed(write)}/cves")["items"]

    assert (found["due_by"], found["overdue"]) == (due_on.isoformat(), True)


def waive(client: FlaskClient, kind: str, subject: str, scope: str, target: str, **more: Any) -> Any:
    body = {
        "kind": kind,
        "subject": subject,
        "scope": scope,
        "target": target,
        "owner": "Ann",
        "reason": "lab",
        **more,
    }
    return client.post("/api/v1/exceptions", json=body)


@pytest.mark.parametrize(("kind", "subject"), [("cve", CVE), ("advisory", "DSA-1-1"), ("package", "bash")])
def test_what_is_waived_for_a_tag_is_waived_on_its_hosts_only(
    seed: Any, get: Get, ask: Callable[[str], FlaskClient], kind: str, subject: str
) -> None:
    """It stays listed as waived, with the exception, and ending it lets it count again."""

    def write(made: Seed) -> tuple[UUID, UUID]:
        made.advisory("DSA-1-1", CVE, "bookworm bash 5.2-9", days_ago=100)
        return made.host("a", "bookworm", "bash 5.2-1"), made.host("b", "bookworm", "bash 5.2-1", tags=["lab"])

    plain, tagged = seed(write)
    made = waive(ask("operator"), kind, subject, "tag", "lab")
    assert made.status_code == 201, made.text

    assert both_ways(get, plain) == ["fix-available", "bash 5.2-1"]
    assert both_ways(get, tagged) == ["waived", "bash 5.2-1"]
    [found] = get(f"/hosts/{tagged}/cves")["items"]
    assert (found["exception_id"], found["overdue"]) == (made.json["id"], False)
    assert get(f"/exceptions?host_id={plain}")["items"] == []
    [listed] = get(f"/exceptions?host_id={tagged}")["items"]
    assert (listed["state"], listed["owner"], listed["created_by"]) == ("active", "Ann", "operator")
    ended = ask("operator").post(f"/api/v1/exceptions/{made.json['id']}/end")
    assert (ended.status_code, ended.json["state"], ended.json["ended_by"]) == (200, "ended", "operator")
    [found] = get(f"/hosts/{tagged}/cves")["items"]
    assert (found["state"], found["overdue"]) == ("fix-available", True)


def test_an_expired_exception_waives_nothing_any_more(
    seed: Any, get: Get, database: Database, ask: Callable[[str], FlaskClient]
) -> None:
    """By itself, at the moment that it says."""

    def write(made: Seed) -> UUID:
        made.advisory("DSA-1-1", CVE, "bookworm bash 5.2-9")
        return made.host("h", "bookworm", "bash 5.2-1")

    host_id = seed(write)
    later = (NOW + timedelta(days=1)).isoformat()
    assert waive(ask("operator"), "cve", CVE, "host", str(host_id), expires_at=later).status_code == 201
    assert both_ways(get, host_id)[0] == "waived"

    with database.transaction() as connection:
        connection.execute(text("UPDATE risk_exception SET expires_at = now() - interval '1 second'"))

    assert both_ways(get, host_id)[0] == "fix-available"
    assert [each["target_name"] for each in get("/exceptions?state=expired")["items"]] == ["h"]


def test_a_group_and_an_operators_tag_are_scopes_as_well(
    seed: Any, get: Get, ask: Callable[[str], FlaskClient]
) -> None:
    """A policy of the group and an exception for a tag that an operator gave."""

    def write(made: Seed) -> tuple[UUID, int | None]:
        made.advisory("DSA-1-1", CVE, "bookworm bash 5.2-9", days_ago=10)
        made.advisory("DSA-2-1", "CVE-2024-0002", "bookworm bash 5.2-9", days_ago=10)
        host_id = made.host("h", "bookworm", "bash 5.2-1")
        number = made._connection.scalar(insert(host_group).values(name="Shop").returning(host_group.c.id))
        made._connection.execute(
            insert(host_label).values(host_id=host_id, group_id=number, tags=["lab"], changed_by="ann")
        )
        return host_id, number

    host_id, number = seed(write)
    body = {"scope": "group", "target": str(number), "high_days": 3}
    answer = ask("admin").post("/api/v1/remediation-policies", json=body)
    assert (answer.status_code, answer.json["target_name"]) == (201, "Shop")
    refused = ask("admin").post("/api/v1/remediation-policies", json=body | {"target": "Shop"})
    assert (refused.status_code, "Not the id of a group" in refused.text) == (422, True)
    assert waive(ask("operator"), "cve", CVE, "tag", "lab").status_code == 201
    assert waive(ask("operator"), "cve", "CVE-2024-0009", "group", str(number)).json["target_name"] == "Shop"

    assert both_ways(get, host_id)[0] == "waived"
    assert [each["cve"] for each in get(f"/hosts/{host_id}/cves?overdue=true")["items"]] == ["CVE-2024-0002"]
    assert len(get(f"/exceptions?host_id={host_id}")["items"]) == 2
    assert [each["scope"] for each in get(f"/exceptions?host_id={host_id}&scope=tag")["items"]] == ["tag"]
    assert get("/exceptions?scope=host")["items"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"scope": "host", "target": "web-01"},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"owner": " "},
        {"reason": ""},
        {"kind": "host"},
    ],
)
def test_an_exception_that_means_nothing_is_refused(ask: Callable[[str], FlaskClient], wrong: dict[str, Any]) -> None:
    """With what is wrong; and a viewer waives nothing at all."""
    body = {"kind": "cve", "subject": CVE, "scope": "tag", "target": "lab", "owner": "Ann", "reason": "lab"}

    assert ask("operator").post("/api/v1/exceptions", json={**body, **wrong}).status_code == 422
    assert ask("viewer").post("/api/v1/exceptions", json=body).status_code == 403


def test_what_ends_soon_is_forecast_with_its_hosts(database: Database, seed: Any, get: Get) -> None:
    """Distribution releases and third-party repositories; what is ended counts in every span."""

    def write(made: Seed) -> UUID:
        connection = made._connection
        host_id = made.host("old", "buster", "bash 1-1")
        made.host("new", "trixie", "bash 1-1")
        for codename, version in (("buster", "10"), ("trixie", "13")):
            connection.execute(
                update(repository_set)
                .where(repository_set.c.distro_release == codename)
                .values(document={"policy": {"os_release": {"ID": "debian", "VERSION_ID": version}}})
            )
        number = UUID(int=7)
        connection.execute(
            insert(repository).values(
                id=number, type="deb", name="node", url="https://deb.nodesource.com/node_18.x", state="ok"
            )
        )
        connection.execute(update(repository_set).values(repository_ids=[number]))
        connection.execute(update(host).values(facts={"os_release": {"ID": "debian", "VERSION_ID": "10"}}))
        day = NOW.date()
        for ecosystem, version, name, ends, extended in (
            ("debian", "10", "Debian 10", -400, -10),
            ("debian", "13", "Debian 13", 100, 900),
            ("repository", r"nodesource\.com/node_18\.x", "Node.js 18", 300, None),
        ):
            later = None if extended is None else day + timedelta(days=extended)
            values = {"codename": "", "name": name, "ends_on": day + timedelta(days=ends), "source": "x"}
            connection.execute(
                insert(lifecycle).values(ecosystem=ecosystem, version=version, extended_ends_on=later, **values)
            )
        return host_id

    host_id = seed(write)

    found = get("/lifecycles/forecast")
    assert [(each["name"], each["phase"], each["hosts"]) for each in found["items"]] == [
        ("Debian 10", "ended", 1),
        ("Debian 13", "supported", 1),
        ("Node.js 18", "supported", 2),
    ]
    assert [(each["days"], each["hosts"], each["repositories"]) for each in found["totals"]] == [
        (0, 1, 0),
        (90, 1, 0),
        (180, 2, 0),
        (365, 2, 1),
    ]
    detail = get(f"/hosts/{host_id}")
    assert detail["support"]["phase"] == "ended"
    assert [each["name"] for each in detail["repository_support"]] == ["Node.js 18"]


def test_a_restart_that_is_asked_for_counts_where_no_kernel_is_known(seed: Any, get: Get, database: Database) -> None:
    """A host that does not say what it runs, but has to be restarted, is taken at that word."""

    def write(made: Seed) -> UUID:
        made.advisory("DSA-1-1", CVE, "bookworm linux 6.1.119-1")
        made.package("linux-image-6.1.0-28-amd64 6.1.112-1", source="linux")
        made.package("linux-image-6.1.0-29-amd64 6.1.119-1", source="linux")
        names = ["linux-image-6.1.0-28-amd64 6.1.112-1", "linux-image-6.1.0-29-amd64 6.1.119-1"]
        host_id = made.host("h", "bookworm", *names, kernel="")
        made._connection.execute(
            insert(reboot_verdict).values(
                host_id=host_id, required=True, rule="host.flag", why="x", boot_id="", judged_at=NOW
            )
        )
        return host_id

    assert both_ways(get, seed(write))[0] == "restart-pending"
