"""How often a host may report, who may report at all, and what a client is told that waits."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from patchbay_ingest.limits import Limits, RateLimited
from patchbay_shared.rate_limit import TokenBuckets
from patchbay_shared.settings import settings_from
from sqlalchemy import text

from tests.ingest.conftest import FLEET_TOKEN, Ingest

IngestWith = Callable[..., Ingest]


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def enrol(ingest: Ingest, token: str = FLEET_TOKEN, *, peer: str = "127.0.0.1", **body: str) -> Any:
    return ingest.client.post(
        "/api/v1/enrol", json={"hostname": "web1", "machine_id": "m1", **body},
        headers={"Authorization": f"Bearer {token}"}, environ_overrides={"REMOTE_ADDR": peer},
    )  # fmt: skip


def report(ingest: Ingest, token: str, *, query: str = "", **changes: Any) -> Any:
    package = {"name": "bash", "version": "5.2.15", "release": "2", "arch": "amd64", "type": "deb"}
    document = {"hostname": "web1", "package_manager": "apt", "packages": [package], "repos": [], **changes}
    return ingest.client.post(f"/api/v1/reports{query}", json=document, headers={"Authorization": f"Bearer {token}"})


def test_a_bucket_lets_a_burst_through_and_then_a_steady_stream() -> None:
    """60 in a minute: 60 at once, then one a second."""
    clock = Clock()
    buckets: TokenBuckets[str] = TokenBuckets(60, 60, clock=clock)

    assert [buckets.take("a")[0] for _ in range(60)] == [0.0] * 60
    assert buckets.take("a") == (1.0, True)
    assert buckets.take("a") == (1.0, False)
    clock.now = 1.0
    assert buckets.take("a") == (0.0, False)
    assert buckets.take("b") == (0.0, False)


def test_a_limit_of_zero_is_none() -> None:
    """PATCHBAY_HOST_REPORTS_PER_MINUTE=0."""
    buckets: TokenBuckets[str] = TokenBuckets(0, 60)

    assert {buckets.take("a") for _ in range(10_000)} == {(0.0, False)}


def test_all_hosts_together_are_limited() -> None:
    """PATCHBAY_REPORTS_PER_SECOND."""
    limits = Limits(settings_from({}, reports_per_second=2), clock=Clock())
    limits.require(uuid.uuid4())
    limits.require(uuid.uuid4())

    with pytest.raises(RateLimited, match="PATCHBAY_REPORTS_PER_SECOND"):
        limits.require(uuid.uuid4())


def test_a_host_that_reports_too_often_is_told_when_to_come_again(ingest_with: IngestWith) -> None:
    """429 with Retry-After; one receipt, not one for each."""
    ingest = ingest_with(host_reports_per_minute=2)
    token = enrol(ingest).json["token"]
    answers = [report(ingest, token) for _ in range(5)]

    assert [each.status_code for each in answers] == [202, 202, 429, 429, 429]
    assert 0 < int(answers[2].headers["Retry-After"]) <= 60
    assert len(ingest.refusals(1)) == 1


def test_a_client_that_waits_is_told_the_verdict(ingest_with: IngestWith) -> None:
    """200 with the receipt and the outstanding updates, instead of 202."""
    ingest = ingest_with(engine=True)
    answer = report(ingest, enrol(ingest).json["token"], query="?wait=30")

    assert answer.status_code == 200
    assert (answer.json["state"], answer.json["unchanged"], answer.json["updates"]) == ("evaluated", False, [])


def test_a_verdict_that_does_not_come_in_time_is_202(ingest: Ingest) -> None:
    """The report is safe; nobody handles it here."""
    assert report(ingest, enrol(ingest).json["token"], query="?wait=1").status_code == 202


@pytest.mark.parametrize("wait", ["-1", "soon", "1e9"])
def test_a_wait_that_is_no_number_is_refused(ingest: Ingest, wait: str) -> None:
    """400, before anything is queued."""
    assert report(ingest, enrol(ingest).json["token"], query=f"?wait={wait}").status_code == 400
    assert ingest.queue.headers == []


def test_protocol_1_is_told_the_verdict_with_its_echo(ingest_with: IngestWith) -> None:
    """report=true."""
    form = {"host": "h", "arch": "x86_64", "kernel": "6", "os": "Debian 12.11", "report": "true",
            "packages": "'bash' '' '5' '1' 'amd64' 'deb'"}  # fmt: skip
    answer = ingest_with(engine=True).client.post(f"/t/{FLEET_TOKEN}/reports/upload/", data=form)

    assert "Outstanding updates: 0, of which security fixes: 0." in answer.text


def remove(ingest: Ingest, host_id: str) -> None:
    """What the API does."""
    with ingest.owner.transaction() as connection:
        connection.execute(text("INSERT INTO host_removal (host_id, removed_by) VALUES (:id, 'op')"), {"id": host_id})


def test_a_removed_hosts_token_ends_and_it_enrols_as_another_host(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """401; the machine may come back, but not as what was removed."""
    monkeypatch.setattr("patchbay_ingest.identity.RECHECK_SECONDS", 0.0)
    before = enrol(ingest).json
    assert report(ingest, before["token"]).status_code == 202
    remove(ingest, before["host_id"])

    assert report(ingest, before["token"]).status_code == 401
    again = enrol(ingest).json
    assert again["host_id"] != before["host_id"]
    assert report(ingest, again["token"]).status_code == 202


def test_a_merged_hosts_tokens_stand_for_the_host_that_stays(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the machine enrols again; until the host that stays is removed."""
    monkeypatch.setattr("patchbay_ingest.identity.RECHECK_SECONDS", 0.0)
    other = enrol(ingest).json
    into = enrol(ingest, hostname="b.example.org", machine_id="f" * 32).json
    with ingest.owner.transaction() as connection:
        connection.execute(
            text("INSERT INTO host_merge (host_id, into_id, merged_by) VALUES (:other, :into, 'op')"),
            {"other": other["host_id"], "into": into["host_id"]},
        )

    assert report(ingest, other["token"]).status_code == 202
    assert report(ingest, into["token"]).status_code == 202
    assert {str(each.host_id) for each in ingest.queue.headers} == {into["host_id"]}
    again = enrol(ingest).json
    assert again["host_id"] == into["host_id"]
    assert report(ingest, other["token"]).status_code == 401  # a machine that enrols again has one token

    remove(ingest, into["host_id"])
    assert report(ingest, again["token"]).status_code == 401


def test_a_removed_host_of_a_shared_token_comes_back_as_another_host(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A patchman-client cannot enrol: it is its name, and a new host once the old one was removed."""
    monkeypatch.setattr("patchbay_ingest.identity.RECHECK_SECONDS", 0.0)
    form = {"host": "h", "arch": "x86_64", "kernel": "6", "os": "Debian 12.11", "report": "false",
            "packages": "'bash' '' '5' '1' 'amd64' 'deb'"}  # fmt: skip

    def upload() -> str:
        assert ingest.client.post(f"/t/{FLEET_TOKEN}/reports/upload/", data=form).status_code == 204
        return str(ingest.queue.headers[-1].host_id)

    first = upload()
    remove(ingest, first)
    second = upload()

    assert upload() == second != first


def test_a_token_lets_in_only_so_many_hosts(ingest: Ingest) -> None:
    """use_limit; a host that enrols again does not count twice, a client's host counts too."""
    token = ingest.add_token("pbe_two-hosts", use_limit=2)

    assert [enrol(ingest, token, hostname=name).status_code for name in ("a", "a", "b", "c")] == [201, 201, 201, 403]
    answer = ingest.client.post(
        "/api/report/", headers={"Authorization": f"Api-Key {token}"},
        json={"protocol": 2, "hostname": "d", "arch": "x", "kernel": "6", "os": "Debian 12"},
    )  # fmt: skip
    assert answer.status_code == 403
    assert "2 hosts" in answer.json["detail"]


def test_a_token_is_good_in_its_networks_only(ingest: Ingest) -> None:
    """networks."""
    token = ingest.add_token("pbe_branch-office", networks=["10.0.0.0/8"])

    assert enrol(ingest, token, peer="10.1.1.1").status_code == 201
    assert enrol(ingest, token, peer="192.0.2.1").status_code == 403


def test_a_tokens_tags_are_its_hosts_tags(ingest: Ingest) -> None:
    """They travel beside the report, and change its digest: the engine adds them to those that the host sends."""
    token = ingest.add_token("pbe_tagged", tags=["branch", "own"])
    host_token = enrol(ingest, token).json["token"]
    report(ingest, host_token, tags=["own", "web"])
    report(ingest, enrol(ingest, hostname="web2").json["token"], tags=["own", "web"])

    tagged, plain = ingest.queue.headers
    assert (tagged.tags, plain.tags) == (["branch", "own"], [])
    assert tagged.content_digest != plain.content_digest


def test_a_new_host_waits_for_approval_where_it_is_wanted(
    ingest_with: IngestWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PATCHBAY_APPROVE_HOSTS: 403 and a receipt until an operator has approved it."""
    monkeypatch.setattr("patchbay_ingest.identity.RECHECK_SECONDS", 0.0)
    ingest = ingest_with(approve_hosts=True)
    enrolled = enrol(ingest).json

    assert enrolled["pending"] is True
    assert report(ingest, enrolled["token"]).status_code == 403
    assert "approval" in ingest.refusals(1)[0].reason
    with ingest.owner.transaction() as connection:
        connection.execute(
            text("INSERT INTO host_approval (host_id, approved_by) VALUES (:id, 'op')"), {"id": enrolled["host_id"]}
        )
    assert report(ingest, enrolled["token"]).status_code == 202


def test_hosts_that_reported_before_approval_was_wanted_go_on(
    ingest_with: IngestWith,
) -> None:
    """Turning the setting on does not silence a fleet."""
    first = ingest_with()
    token = enrol(first).json["token"]
    first.stop()
    other = ingest_with(approve_hosts=True)

    assert report(other, token).status_code == 202
