"""Lists and their filters, one host and its updates, repositories, the dashboard."""

import base64
from datetime import UTC, date, datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.tables import host_exposure, lifecycle, receipt, repository, repository_set
from sqlalchemy import cast, event, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import JSONB


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The six hosts of fleet_seed."""
    return fleet_seed.seed_fleet(database, fleet_seed.HOSTS)


def _names(answer: Any) -> list[str]:
    return [each["hostname"].split(".")[0] for each in answer.json["items"]]


def test_a_host_is_listed_with_the_counts_of_its_evaluation(viewer: FlaskClient, fleet: Any) -> None:
    """updates counts what the package manager lists, security those that are fixes."""
    answer = viewer.get("/api/v1/hosts?q=web-01")

    [found] = answer.json["items"]
    assert (found["updates"], found["security"], found["reboot_required"]) == (3, 2, True)
    assert found["states"] == {"outstanding": 3, "held": 1, "phased": 1, "not-in-any-repository": 1}
    assert (found["repository_count"], found["repository_problem_count"]) == (3, 1)


def test_a_host_that_awaits_its_evaluation_has_no_counts(viewer: FlaskClient, fleet: Any) -> None:
    """null is not 0: nothing is known yet."""
    [found] = viewer.get("/api/v1/hosts?q=new").json["items"]

    assert (found["updates"], found["security"], found["evaluated_at"]) == (None, None, None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sort=hostname", ["build-arm", "db-01", "mail", "new", "web-01", "web-02"]),
        ("sort=-updates", ["web-01", "web-02", "mail", "build-arm", "db-01", "new"]),
        ("sort=-security", ["mail", "web-01", "web-02", "build-arm", "db-01", "new"]),
        ("sort=last_report_at", ["build-arm", "mail", "db-01", "web-02", "web-01", "new"]),
        ("q=WEB", ["web-01", "web-02"]),
        ("q=%25", []),
        ("os=Ubuntu 24.04.1 LTS", ["build-arm"]),
        ("security=true", ["build-arm", "mail", "web-01", "web-02"]),
        ("updates=false", ["db-01", "new"]),
        ("reboot=true", ["web-01"]),
        ("silent=true", ["build-arm"]),
        ("tag=web", ["web-01", "web-02"]),
        ("differs=true", ["web-01"]),
        ("sort=-differences&limit=500", ["web-01", "build-arm", "db-01", "mail", "new", "web-02"]),
        ("state=held", ["web-01"]),
        ("state=outstanding", ["build-arm", "mail", "web-01", "web-02"]),
        ("reboot_rule=kernel.newer", ["web-01"]),
        ("reboot_rule=host.flag", []),
        ("incomplete=true", ["build-arm", "web-01"]),
        ("evaluated=false", ["new"]),
        ("machine_id_shared=true", []),
    ],
)
def test_hosts_are_sorted_and_filtered(viewer: FlaskClient, fleet: Any, query: str, expected: list[str]) -> None:
    """Each parameter does what it says."""
    answer = viewer.get(f"/api/v1/hosts?{query}")

    assert _names(answer) == expected
    assert answer.json["total_count"] == len(expected)


@pytest.mark.parametrize("sort", ["hostname", "-updates", "-security", "last_report_at", "os", "-os", "-urgency"])
def test_pages_of_two_give_every_host_once(viewer: FlaskClient, fleet: Any, sort: str) -> None:
    """Following the cursor visits the list in its order, whatever the sort."""
    seen, cursor = [], ""
    while cursor is not None:
        answer = viewer.get(f"/api/v1/hosts?limit=2&sort={sort}" + (f"&cursor={cursor}" if cursor else ""))
        seen += _names(answer)
        cursor = answer.json["next_cursor"]

    assert seen == _names(viewer.get(f"/api/v1/hosts?sort={sort}"))


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "%00",
        base64.urlsafe_b64encode(b'["hostname"]').decode(),
        base64.urlsafe_b64encode(b'["-updates",3,"a","b"]').decode(),
        base64.urlsafe_b64encode(b'["hostname","\\u0000","7f0c2c54-4a54-4e4f-8f5e-000000000000"]').decode(),
        base64.urlsafe_b64encode(b'["hostname","\\ud800","7f0c2c54-4a54-4e4f-8f5e-000000000000"]').decode(),
    ],
)
def test_a_changed_cursor_is_refused(viewer: FlaskClient, fleet: Any, cursor: str) -> None:
    """A cursor is data from outside."""
    answer = viewer.get("/api/v1/hosts", query_string={"cursor": cursor})

    assert (answer.status_code, answer.json["pointer"]) == (422, "$.query.cursor")


@pytest.mark.parametrize("path", ["hosts", "me", "repositories", "dashboard"])
def test_an_unknown_query_parameter_is_named(viewer: FlaskClient, fleet: Any, path: str) -> None:
    """A misspelt filter must not silently show everything."""
    answer = viewer.get(f"/api/v1/{path}?sekurity=true")

    assert (answer.status_code, answer.json["pointer"]) == (422, "$.query.sekurity")


def test_a_page_of_hosts_costs_the_same_number_of_queries_as_one_host(
    viewer: FlaskClient, fleet: Any, app: Any
) -> None:
    """No query in a loop."""
    statements: list[str] = []
    engine = app.extensions["patchbay"].database.engine
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))

    viewer.get("/api/v1/hosts?q=db-01")
    one = len(statements)
    viewer.get("/api/v1/hosts")

    assert len(statements) - one == one


def test_one_host_shows_its_facts(viewer: FlaskClient, fleet: Any) -> None:
    """What the host said of itself is there, apart from what was concluded."""
    answer = viewer.get(f"/api/v1/hosts/{fleet.hosts['web-01.example.com']}")

    assert answer.json["facts"]["reboot_reasons"] == ["linux-image-6.1.0-28-amd64 was replaced"]
    assert answer.json["machine_id"]


def test_the_engine_decides_whether_a_host_has_to_restart(viewer: FlaskClient, fleet: Any) -> None:
    """Its verdict, with the sentence behind it; the host's own word where there is none."""
    judged, unjudged = viewer.get("/api/v1/hosts?q=web").json["items"]

    assert (judged["reboot_required"], judged["reboot_why"][:27]) == (True, "The host runs kernel 6.1.0-")
    assert (unjudged["reboot_required"], unjudged["reboot_why"]) == (False, None)


def test_one_host_shows_where_its_package_manager_disagrees(viewer: FlaskClient, fleet: Any) -> None:
    """Two opinions, side by side."""
    opinion = viewer.get(f"/api/v1/hosts/{fleet.hosts['web-01.example.com']}").json["opinion"]

    assert (opinion["difference_count"], opinion["only_client"]) == (1, [])
    assert [each["name"] for each in opinion["only_server"]] == ["openssl"]


def test_an_unknown_host_is_a_404_with_its_id(viewer: FlaskClient) -> None:
    """The message names what was not found."""
    answer = viewer.get("/api/v1/hosts/7f0c2c54-4a54-4e4f-8f5e-6c3f8f1d0001")

    assert answer.status_code == 404
    assert "7f0c2c54" in answer.json["detail"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["libssl3", "openssl", "curl", "docker-ce", "internal-monitor", "systemd"]),
        ("sort=name", ["curl", "docker-ce", "internal-monitor", "libssl3", "openssl", "systemd"]),
        ("listed=true&sort=name", ["curl", "libssl3", "openssl"]),
        ("security=true", ["libssl3", "openssl"]),
        ("state=held", ["docker-ce"]),
        ("q=SSL", ["libssl3", "openssl"]),
    ],
)
def test_updates_of_a_host_are_filtered(viewer: FlaskClient, fleet: Any, query: str, expected: list[str]) -> None:
    """Each filter does what it says."""
    answer = viewer.get(f"/api/v1/hosts/{fleet.hosts['web-01.example.com']}/updates?{query}")

    assert [each["name"] for each in answer.json["items"]] == expected


def test_an_update_says_from_what_to_what_where_from_and_why(
    viewer: FlaskClient, fleet: Any, fleet_seed: ModuleType
) -> None:
    """Everything that the page shows is in one row."""
    answer = viewer.get(f"/api/v1/hosts/{fleet.hosts['web-01.example.com']}/updates?q=openssl")

    [found] = answer.json["items"]
    assert (found["installed"], found["candidate"]) == ("3.0.15-1~deb12u1", "3.0.17-1~deb12u2")
    assert (found["repository"], found["advisories"]) == (fleet_seed.SECURITY.id, ["DSA-5764-1", "DSA-5901-1"])
    assert found["why"].startswith("bookworm-security offers")


def test_a_host_says_when_its_release_stops_getting_updates(
    viewer: FlaskClient, database: Database, fleet: Any
) -> None:
    """By its os-release fields; without a calendar nothing is claimed."""
    path = f"/api/v1/hosts/{fleet.hosts['web-01.example.com']}"
    assert viewer.get(path).json["support"] is None
    with database.transaction() as connection:
        connection.execute(
            insert(lifecycle).values(
                ecosystem="debian",
                version="12",
                codename="bookworm",
                name="Debian 12",
                ends_on=date(2020, 6, 10),
                source="test",
            )
        )

    assert viewer.get(path).json["support"] == {
        "name": "Debian 12",
        "ends_on": "2020-06-10",
        "extended_ends_on": None,
        "phase": "ended",
        "ended": True,
    }


def test_packages_carry_hold_source_and_state(viewer: FlaskClient, fleet: Any) -> None:
    """The list of packages says which are held and which are behind."""
    answer = viewer.get(f"/api/v1/hosts/{fleet.hosts['web-01.example.com']}/packages")

    found = {each["name"]: each for each in answer.json["items"]}
    assert (found["docker-ce"]["held"], found["docker-ce"]["state"]) == (True, "held")
    assert (found["libssl3"]["source"], found["bash"]["state"]) == ("openssl", None)


def test_repositories_of_a_host_are_in_its_own_order(viewer: FlaskClient, fleet: Any, fleet_seed: ModuleType) -> None:
    """Disabled ones are shown too, as such."""
    answer = viewer.get(f"/api/v1/hosts/{fleet.hosts['web-01.example.com']}/repositories")

    assert [(each["id"], each["enabled"], each["state"]) for each in answer.json["items"]] == [
        (fleet_seed.MAIN.id, True, "ok"),
        (fleet_seed.SECURITY.id, True, "ok"),
        (fleet_seed.VENDOR.id, True, "failing"),
        (fleet_seed.OLD.id, False, "pending"),
    ]


def test_the_worst_repositories_come_first_when_sorted_by_state(
    viewer: FlaskClient, fleet: Any, fleet_seed: ModuleType
) -> None:
    """With what they hold and who uses them."""
    answer = viewer.get("/api/v1/repositories?sort=state")

    found = answer.json["items"]
    assert [each["state"] for each in found] == ["failing", "ok", "ok"]
    assert (found[0]["name"], found[0]["host_count"], found[0]["package_count"]) == (fleet_seed.VENDOR.id, 2, 412)


def test_one_repository_shows_mirrors_indexes_and_crawls(
    viewer: FlaskClient, fleet: Any, fleet_seed: ModuleType
) -> None:
    """Its history is at hand when it fails."""
    answer = viewer.get(f"/api/v1/repositories/{fleet.repositories[fleet_seed.VENDOR.id]}")

    assert answer.json["syncs"][0]["result"] == "failed"
    assert answer.json["indexes"][0]["component"] == "stable"
    assert answer.json["mirrors"][0]["url"] == fleet_seed.VENDOR.urls[0]


def test_a_host_with_an_unreadable_repository_is_not_called_up_to_date(viewer: FlaskClient, fleet: Any) -> None:
    """Nothing outstanding and nothing known are different things."""
    totals = viewer.get("/api/v1/dashboard").json["hosts"]

    assert totals["up_to_date"] + totals["needing_updates"] + totals["uncertain"] == totals["hosts"] == 6
    assert (totals["up_to_date"], totals["needing_updates"], totals["uncertain"]) == (1, 4, 1)
    assert (totals["silent"], totals["incomplete"], totals["awaiting_evaluation"]) == (1, 2, 1)


def test_the_most_urgent_hosts_are_those_with_exploited_then_overdue_then_fixable_flaws(
    viewer: FlaskClient, fleet: Any, database: Database
) -> None:
    """Many security fixes weigh less than one CVE that is exploited or overdue."""
    counts = {"new": (2, 0), "db-01": (1, 1), "build-arm": (1, 0), "web-02": (0, 9)}
    with database.transaction() as connection:
        connection.execute(
            insert(host_exposure),
            [
                {
                    "host_id": fleet.hosts[f"{name}.example.com"], "basis": "", "exposed_count": 9,
                    "fixable_count": 0, "restart_count": 0, "exploited_count": exploited, "overdue_count": overdue,
                    "waived_count": 0, "worst_cve": "", "counted_at": datetime.now(UTC),
                }
                for name, (exploited, overdue) in counts.items()
            ],
        )  # fmt: skip

    found = _names(viewer.get("/api/v1/hosts?sort=-urgency"))

    assert found == ["new", "db-01", "build-arm", "web-02", "mail", "web-01"]


def test_hosts_past_their_end_of_support_are_one_number_everywhere(
    viewer: FlaskClient, fleet: Any, database: Database
) -> None:
    """On the dashboard, in its list, in the forecast and in what needs attention; longer support is told apart."""
    os_release = {"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm"}
    today = datetime.now(UTC).date()
    with database.transaction() as connection:
        larger = select(func.max(repository_set.c.id)).scalar_subquery()
        policy = repository_set.c.document.op("||")(cast({"policy": {"os_release": os_release}}, JSONB))
        connection.execute(update(repository_set).where(repository_set.c.id == larger).values(document=policy))
        connection.execute(
            insert(lifecycle).values(
                ecosystem="debian", version="12", codename="bookworm", name="Debian 12", source="test",
                ends_on=today - timedelta(days=1), extended_ends_on=today + timedelta(days=1),
            )
        )  # fmt: skip

    def numbers() -> tuple[int, ...]:
        totals = viewer.get("/api/v1/dashboard").json["hosts"]
        listed = viewer.get("/api/v1/hosts", query_string={"query": "support:ended,extended"}).json["total_count"]
        [ended, *_] = viewer.get("/api/v1/lifecycles/forecast").json["totals"]
        items = viewer.get("/api/v1/attention").json["items"]
        [worrying] = [each["count"] for each in items if each["kind"] == "end-of-life-hosts"]
        return (totals["end_of_life"], listed, ended["hosts"], worrying, totals["extended_support"])

    assert numbers() == (2, 2, 2, 2, 2)
    with database.transaction() as connection:
        connection.execute(update(lifecycle).values(extended_ends_on=None))
    assert numbers() == (2, 2, 2, 2, 0)


def test_two_opinions_are_one_number_that_leads_to_its_hosts(viewer: FlaskClient, fleet: Any) -> None:
    """Hosts compared, hosts that differ, updates of which only one side knows."""
    totals = viewer.get("/api/v1/dashboard").json["opinions"]

    assert totals == {"compared": 1, "differing": 1, "differences": 1}
    assert viewer.get("/api/v1/hosts?differs=true").json["total_count"] == totals["differing"]


def test_states_are_counted_apart_over_the_fleet(viewer: FlaskClient, fleet: Any) -> None:
    """On how many hosts and packages, in the order of the states; each number leads to its hosts."""
    totals = viewer.get("/api/v1/dashboard").json["states"]

    assert [(each["state"], each["hosts"], each["packages"]) for each in totals] == [
        ("outstanding", 4, 9),
        ("held", 1, 1),
        ("phased", 1, 1),
        ("not-in-any-repository", 1, 1),
    ]
    for each in totals:
        assert viewer.get(f"/api/v1/hosts?state={each['state']}").json["total_count"] == each["hosts"]


def test_restarts_are_counted_by_their_reason(viewer: FlaskClient, fleet: Any) -> None:
    """With the sentence of one of the hosts."""
    [found] = viewer.get("/api/v1/dashboard").json["restarts"]

    assert (found["rule"], found["hosts"]) == ("kernel.newer", 1)
    assert found["example"].startswith("The host runs kernel")


def test_a_repository_that_nobody_looks_at_is_overdue(
    viewer: FlaskClient, database: Database, fleet: Any, fleet_seed: ModuleType
) -> None:
    """An hour after its time, unless it is being read."""
    late = repository.c.id == fleet.repositories[fleet_seed.MAIN.id]
    with database.transaction() as connection:
        connection.execute(update(repository).where(late).values(next_sync_at=func.now() - text("interval '2 h'")))

    [found] = viewer.get("/api/v1/repositories?overdue=true").json["items"]
    assert (found["name"], found["state"]) == (fleet_seed.MAIN.id, "ok")
    assert viewer.get("/api/v1/dashboard").json["repositories"]["overdue"] == 1


def test_the_dashboard_of_an_empty_fleet_is_all_zeros(viewer: FlaskClient) -> None:
    """The first start has no hosts."""
    answer = viewer.get("/api/v1/dashboard")

    assert set(answer.json["hosts"].values()) == {0}


def test_a_receipt_shows_what_became_of_a_report(viewer: FlaskClient, fleet: Any) -> None:
    """By the id that the host was given."""
    found = viewer.get(f"/api/v1/receipts/{fleet.receipt}").json

    assert (found["state"], found["hostname"], found["host_known"]) == ("evaluated", "web-01.example.com", True)


def test_receipts_name_hosts_none_of_whose_reports_was_stored(
    viewer: FlaskClient, database: Database, fleet: Any, fleet_seed: ModuleType
) -> None:
    """By the name that they enrolled with."""
    with database.transaction() as connection:
        connection.execute(
            insert(receipt).values(
                id=uuid4(), host_id=fleet_seed.WAITING, state="refused", received_at=fleet_seed.NOW
            )
        )

    [found, _] = viewer.get("/api/v1/receipts?state=refused").json["items"]
    assert (found["hostname"], found["host_known"]) == ("waiting.example.com", False)


def test_an_unchanged_read_is_a_304(viewer: FlaskClient, fleet: Any) -> None:
    """The ETag of one answer spares the next."""
    first = viewer.get("/api/v1/hosts")
    second = viewer.get("/api/v1/hosts", headers={"If-None-Match": first.headers["ETag"]})

    assert (second.status_code, second.data) == (304, b"")


def test_the_documentation_page_needs_nothing_from_elsewhere(stranger: FlaskClient) -> None:
    """It is drawn by the server, without scripts."""
    answer = stranger.get("/api/v1/docs")

    assert answer.status_code == 200
    assert b"list_hosts" in answer.data
    assert b"<script" not in answer.data
    assert b"//cdn" not in answer.data


def test_readiness_names_what_was_checked(stranger: FlaskClient) -> None:
    """The database answers."""
    assert stranger.get("/readyz").json == {"status": "ready", "checked": ["database"]}


def test_sign_in_page_of_the_document_is_open(stranger: FlaskClient) -> None:
    """The OpenAPI document needs no session."""
    assert stranger.get("/api/v1/openapi.json").json["openapi"] == "3.1.0"
