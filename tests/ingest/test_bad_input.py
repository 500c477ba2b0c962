"""What broken, hostile and displaced clients send in Patchbay's own form: each is refused or does no harm."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from patchbay_shared.errors import Unavailable
from patchbay_shared.report import FAMILY_OF_MANAGER
from sqlalchemy import text

from tests.ingest.conftest import FLEET_TOKEN, Ingest

IngestWith = Callable[..., Ingest]


def enrol(ingest: Ingest, hostname: str = "h1.example.org", machine_id: str = "m1") -> dict[str, Any]:
    answer = ingest.client.post(
        "/api/v1/enrol", json={"hostname": hostname, "machine_id": machine_id}, headers=bearer(FLEET_TOKEN)
    )
    assert answer.status_code == 201
    return dict(answer.json)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def report(ingest: Ingest, token: str, document: Any = None, **changes: Any) -> Any:
    if document is None:
        document = {
            "hostname": "h1.example.org",
            "package_manager": "apt",
            "packages": packages(3),
            "repos": [],
            **changes,
        }
    return ingest.client.post("/api/v1/reports", json=document, headers=bearer(token))


def packages(count: int) -> list[dict[str, Any]]:
    return [{"name": f"p{number}", "version": "1", "type": "deb", "arch": "all"} for number in range(count)]


def changed(position: int, **values: Any) -> list[dict[str, Any]]:
    found = packages(20)
    found[position] |= values
    return found


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"packages": changed(17, version=5)}, "$.packages[17].version"),
        ({"packages": changed(17, groups=["a", 5])}, "$.packages[17].groups[1]"),
        ({"packages": changed(17, installed_at="today")}, "$.packages[17].installed_at"),
        ({"packages": changed(17, name="n" * 300)}, "$.packages[17].name"),
        ({"packages": changed(17, name="a\x1bb")}, "$.packages[17].name"),
        ({"packages": changed(17, version="1\x072")}, "$.packages[17].version"),
        ({"packages": changed(17, arch="a\tb")}, "$.packages[17].arch"),
        ({"packages": changed(17, source="a\x00b")}, "$.packages[17].source"),
        ({"packages": {"p": "1"}}, "$.packages"),
        ({"hostname": "h" * 300}, "$.hostname"),
        ({"hostname": "a\x1b[31mb"}, "$.hostname"),
        ({"os_release": {"ID": ["debian"]}}, "$.os_release.ID"),
        ({"package_manager": "brew"}, "$.package_manager"),
        ({"package_manager": "apt "}, "$.package_manager"),
        ({"collected_at": "noon"}, "$.collected_at"),
        ({"digests": {"packages": 5}}, "$.digests[...]"),
    ],
)
def test_a_fault_deep_inside_is_named_by_its_place(ingest: Ingest, changes: dict[str, Any], pointer: str) -> None:
    """400 with the pointer; nothing is queued, and the host's receipts say why."""
    host = enrol(ingest)

    answer = report(ingest, host["token"], **changes)

    assert (answer.status_code, answer.json["pointer"]) == (400, pointer)
    assert ingest.queue.headers == []
    assert [str(each.host_id) for each in ingest.refusals(1)] == [host["host_id"]]


def test_200_000_packages_are_too_many(ingest: Ingest) -> None:
    """No host has them; the limit is named."""
    host = enrol(ingest)
    body = gzip.compress(json.dumps({"hostname": "h", "packages": packages(200_000), "repos": []}).encode(), 1)

    answer = ingest.client.post(
        "/api/v1/reports",
        data=body,
        headers={**bearer(host["token"]), "Content-Encoding": "gzip"},
        content_type="application/json",
    )

    assert (answer.status_code, answer.json["pointer"]) == (400, "$.packages")
    assert "100000" in answer.json["detail"]
    assert ingest.queue.headers == []


def test_a_token_speaks_for_its_host_only(ingest: Ingest) -> None:
    """Whatever name and machine-id a report has, it is a report of the host whose token it comes with."""
    first, second = enrol(ingest), enrol(ingest, "h2.example.org", "m2")

    assert report(ingest, second["token"], hostname="h1.example.org", machine_id="m1").status_code == 202

    assert [str(each.host_id) for each in ingest.queue.headers] == [second["host_id"]]
    assert second["host_id"] != first["host_id"]


@pytest.mark.parametrize("collected_at", [-1.0, -1e12, 1.8e12, 1e30])
def test_a_time_that_no_calendar_has_is_passed_over(ingest_with: IngestWith, collected_at: float) -> None:
    """Milliseconds for seconds are the usual reason: the report counts, and its receipt says so."""
    ingest = ingest_with(engine=True)
    host = enrol(ingest)

    assert report(ingest, host["token"], collected_at=collected_at).status_code == 202

    with ingest.owner.transaction() as connection:
        [row] = connection.execute(
            text("SELECT h.collected_at, r.state, r.reason FROM host h JOIN receipt r ON r.host_id = h.id")
        )
    assert (row.collected_at, row.state, "collected_at" in row.reason) == (None, "evaluated", True)


def revoke(ingest: Ingest, host_id: str) -> None:
    """What the API does."""
    with ingest.owner.transaction() as connection:
        connection.execute(
            text("INSERT INTO host_token_revocation (host_id, revoked_by) VALUES (:id, 'op')"), {"id": host_id}
        )


def test_a_host_whose_token_is_revoked_enrols_anew_and_stays_the_same_host(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """401 for the old token, for ever; the machine keeps its history."""
    monkeypatch.setattr("patchbay_ingest.identity.RECHECK_SECONDS", 0.0)
    before, other = enrol(ingest), enrol(ingest, "h2.example.org", "m2")
    assert report(ingest, before["token"]).status_code == 202
    revoke(ingest, before["host_id"])

    refused = report(ingest, before["token"])
    assert refused.status_code == 401
    assert "revoked" in refused.json["detail"]
    assert report(ingest, other["token"]).status_code == 202

    again = enrol(ingest)
    assert again["host_id"] == before["host_id"]
    assert report(ingest, again["token"]).status_code == 202
    assert report(ingest, before["token"]).status_code == 401


def test_a_revoked_token_is_forgotten_within_the_memorys_half_minute(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that remembers the token asks again then, and a failing database does not bring it back."""
    moments = [0.0]
    monkeypatch.setattr("patchbay_ingest.identity.time.monotonic", lambda: moments[0])
    host = enrol(ingest)
    assert report(ingest, host["token"]).status_code == 202
    revoke(ingest, host["host_id"])

    moments[0] = 31.0
    assert report(ingest, host["token"]).status_code == 401

    def away(*_: Any, **__: Any) -> None:
        raise Unavailable("PostgreSQL is away")

    monkeypatch.setattr("patchbay_ingest.store.credentials", away)
    assert report(ingest, host["token"]).status_code == 503


def test_a_client_of_a_shared_token_can_be_shut_out(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One name of a fleet, not the fleet; it comes in again by enrolling with the agent."""
    monkeypatch.setattr("patchbay_ingest.identity.RECHECK_SECONDS", 0.0)
    form = {"arch": "x86_64", "kernel": "6", "os": "Debian 12.11", "report": "false",
            "packages": "'bash' '' '5' '1' 'amd64' 'deb'"}  # fmt: skip

    def upload(name: str) -> int:
        return int(ingest.client.post(f"/t/{FLEET_TOKEN}/reports/upload/", data={**form, "host": name}).status_code)

    assert (upload("h1.example.org"), upload("h2.example.org")) == (204, 204)
    first = str(ingest.queue.headers[0].host_id)
    revoke(ingest, first)

    assert (upload("h1.example.org"), upload("h2.example.org")) == (403, 204)
    assert enrol(ingest)["host_id"] == first


def test_an_unknown_package_manager_is_told_the_known_ones(ingest: Ingest) -> None:
    """Also by a client that was refused for the same before."""
    host = enrol(ingest)

    for _ in range(2):
        answer = report(ingest, host["token"], package_manager="brew")
        assert answer.status_code == 400
        assert "'brew'" in answer.json["detail"]
        assert all(name in answer.json["detail"] for name in FAMILY_OF_MANAGER)


@pytest.mark.parametrize("manager", FAMILY_OF_MANAGER)
def test_what_ingest_lets_in_the_engine_can_judge(ingest_with: IngestWith, manager: str) -> None:
    """One list says which package managers there are."""
    ingest = ingest_with(engine=True)
    host = enrol(ingest)

    assert report(ingest, host["token"], package_manager=manager).status_code == 202
    assert receipts(ingest) == [("evaluated", "")]


def receipts(ingest: Ingest) -> list[tuple[str, str]]:
    with ingest.owner.transaction() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT state, reason FROM receipt"))]


@pytest.mark.parametrize(
    ("manager", "kind", "bad"),
    [
        ("apt", "deb", {"version": "1.0é"}),
        ("apt", "deb", {"epoch": "x"}),
        ("dnf", "rpm", {"version": "1:2:3"}),
        ("dnf", "rpm", {"epoch": "9" * 20}),
        ("zypper", "rpm", {"version": "1:2:3"}),
        ("pacman", "pacman", {"version": "1:2:3"}),
    ],
)
def test_one_version_without_an_order_loses_no_report(
    ingest_with: IngestWith, manager: str, kind: str, bad: dict[str, str]
) -> None:
    """All 1,500 packages are stored; the receipt and the package's own verdict say what cannot be judged."""
    ingest = ingest_with(engine=True)
    host = enrol(ingest)
    installed = [{"name": f"p{n}", "version": "1", "release": "1", "type": kind, "arch": "x"} for n in range(1_500)]
    installed[17] |= bad

    answer = report(ingest, host["token"], packages=installed, package_manager=manager, kernel="a:b:c")

    assert answer.status_code == 202
    [(state, reason)] = receipts(ingest)
    assert (state, "no order" in reason, "p17" in reason) == ("evaluated", True, True)
    with ingest.owner.transaction() as connection:
        stored = connection.scalar(text("SELECT cardinality(package_ids) FROM package_set"))
        judged = connection.execute(text("SELECT name, listed, rule FROM verdict WHERE state = 'unordered'")).all()
    assert stored == 1_500
    assert [tuple(each) for each in judged] == [("p17", False, "version.unordered")]
