"""What an operator can ask for, and what then travels on the bus."""

import threading
import uuid
from collections.abc import Callable
from types import ModuleType
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient
from patchbay_shared.bus import Bus, Delivery, Subscription
from patchbay_shared.db import Database
from patchbay_shared.messages import (
    OPERATOR,
    SYNC_NUDGES,
    EvaluationRequested,
    HostRemoved,
    QueueSpec,
    RepositoryNudge,
)
from sqlalchemy import text


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The six hosts of fleet_seed."""
    return fleet_seed.seed_fleet(database, fleet_seed.HOSTS)


@pytest.fixture
def next_message(bus: Bus) -> Callable[[QueueSpec], Delivery]:
    """Wait for one message of a queue."""

    def receive(queue: QueueSpec) -> Delivery:
        stop = threading.Event()
        received: list[Delivery] = []

        def handle(delivery: Delivery) -> None:
            received.append(delivery)
            stop.set()

        watchdog = threading.Timer(20, stop.set)
        watchdog.start()
        bus.consume(Subscription(queue, handle), stop)
        watchdog.cancel()
        [delivery] = received
        return delivery

    return receive


def test_sync_now_nudges_the_crawler(
    ask: Callable[[str], FlaskClient], fleet: Any, next_message: Callable[[QueueSpec], Delivery]
) -> None:
    """202, and the repository's id is on the queue."""
    repository_id = next(iter(fleet.repositories.values()))

    answer = ask("operator").post(f"/api/v1/repositories/{repository_id}/sync")

    assert answer.status_code == 202
    nudge = msgspec.json.decode(next_message(SYNC_NUDGES).body, type=RepositoryNudge)
    assert nudge == RepositoryNudge(repository_ids=[repository_id], force=False)


def test_a_forced_sync_fetches_everything_anew(
    ask: Callable[[str], FlaskClient], fleet: Any, next_message: Callable[[QueueSpec], Delivery]
) -> None:
    """`?force=true` ignores what is known of the mirrors' files."""
    repository_id = next(iter(fleet.repositories.values()))

    ask("operator").post(f"/api/v1/repositories/{repository_id}/sync?force=true")

    assert msgspec.json.decode(next_message(SYNC_NUDGES).body, type=RepositoryNudge).force is True


def test_evaluate_nudges_the_engine(
    ask: Callable[[str], FlaskClient], fleet: Any, next_message: Callable[[QueueSpec], Delivery]
) -> None:
    """202, and the host's id is on the queue."""
    host_id = fleet.hosts["db-01.example.com"]

    answer = ask("operator").post(f"/api/v1/hosts/{host_id}/evaluate")

    assert answer.status_code == 202
    assert msgspec.json.decode(next_message(OPERATOR).body, type=EvaluationRequested).host_ids == [host_id]


def test_removing_a_host_ends_it(
    ask: Callable[[str], FlaskClient],
    fleet: Any,
    next_message: Callable[[QueueSpec], Delivery],
    database: Database,
) -> None:
    """204; who removed it is noted, and the engine is told."""
    host_id = fleet.hosts["db-01.example.com"]

    assert ask("viewer").delete(f"/api/v1/hosts/{host_id}").status_code == 403
    assert ask("operator").delete(f"/api/v1/hosts/{host_id}").status_code == 204
    assert msgspec.json.decode(next_message(OPERATOR).body, type=HostRemoved).host_id == host_id
    with database.transaction() as connection:
        assert connection.execute(text("SELECT host_id, removed_by FROM host_removal")).all() == [
            (host_id, "operator")
        ]
    assert ask("operator").delete(f"/api/v1/hosts/{uuid.uuid4()}").status_code == 404


def test_a_hosts_token_is_revoked_and_the_host_stays(
    ask: Callable[[str], FlaskClient], fleet: Any, database: Database
) -> None:
    """200 with who and when; a later revocation voids what the host has got since."""
    host_id = fleet.hosts["db-01.example.com"]
    path = f"/api/v1/hosts/{host_id}/revoke-token"
    insert = text(
        "INSERT INTO host_credential (token_hash, host_id, hostname, machine_id, revoked_at) "
        "VALUES (:hash, :id, 'db-01', :machine, CASE WHEN :old THEN now() END)"
    )
    with database.transaction() as connection:
        connection.execute(insert, {"hash": b"1", "id": host_id, "machine": "m0", "old": True})
    with database.transaction() as connection:
        connection.execute(insert, {"hash": b"2", "id": host_id, "machine": "m1", "old": False})

    def states() -> list[tuple[str, str]]:
        answer = ask("viewer").get(f"/api/v1/hosts/{host_id}/enrolments").json
        return [(each["machine_id"], each["state"]) for each in answer["items"] if each["machine_id"] in ("m0", "m1")]

    assert states() == [("m1", "valid"), ("m0", "replaced")]
    assert ask("viewer").post(path).status_code == 403
    first = ask("operator").post(path)
    assert (first.status_code, first.json["host_id"], first.json["revoked_by"]) == (200, str(host_id), "operator")
    assert states() == [("m1", "revoked"), ("m0", "replaced")]
    assert ask("viewer").get(f"/api/v1/hosts/{host_id}").status_code == 200

    second = ask("admin").post(path)
    assert second.json["revoked_by"] == "admin"
    assert second.json["revoked_at"] > first.json["revoked_at"]
    assert ask("operator").post(f"/api/v1/hosts/{uuid.uuid4()}/revoke-token").status_code == 404
    assert ask("viewer").get(f"/api/v1/hosts/{uuid.uuid4()}/enrolments").status_code == 404


def test_a_new_enrolment_token_is_shown_once(ask: Callable[[str], FlaskClient]) -> None:
    """The list names it without its text."""
    operator = ask("operator")

    made = operator.post("/api/v1/enrolment-tokens", json={"name": "rack 7", "expires_in_seconds": 3600})

    assert made.status_code == 201
    [listed] = operator.get("/api/v1/enrolment-tokens").json["items"]
    assert (listed["name"], "token" in listed) == ("rack 7", False)
    assert made.json["token"].startswith("pbe_")


def test_a_revoked_token_is_listed_as_revoked(ask: Callable[[str], FlaskClient]) -> None:
    """And revoking it twice is no error."""
    operator = ask("operator")
    made = operator.post("/api/v1/enrolment-tokens", json={"name": "x"}).json

    statuses = [operator.delete(f"/api/v1/enrolment-tokens/{made['id']}").status_code for _ in range(2)]

    assert statuses == [204, 204]
    assert operator.get("/api/v1/enrolment-tokens").json["items"][0]["revoked_at"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": ""}, "$.json.name[0]"),
        ({"name": "a\x00b"}, "$.json.name[0]"),
        ({"name": "x", "expires_in_seconds": 1}, "$.json.expires_in_seconds[0]"),
        ({"name": "x", "nmae": 1}, "$.json.nmae[0]"),
        ({"name": "x", "networks": ["10.0.0.0/8", "10.0.0.1/8"]}, "$.json.networks[1]"),
        ({"name": "x", "use_limit": 0}, "$.json.use_limit[0]"),
    ],
)
def test_an_invalid_body_is_refused_with_the_place(
    ask: Callable[[str], FlaskClient], body: dict[str, Any], pointer: str
) -> None:
    """The pointer says which field."""
    answer = ask("operator").post("/api/v1/enrolment-tokens", json=body)

    assert answer.status_code == 422
    assert pointer.startswith(answer.json["pointer"])


def test_the_terms_of_a_token_are_kept(ask: Callable[[str], FlaskClient]) -> None:
    """How many hosts it lets in, from where, and how they are tagged."""
    operator = ask("operator")
    terms = {"use_limit": 40, "networks": ["10.20.0.0/16", "2001:db8::/48"], "tags": ["rack-7"]}

    operator.post("/api/v1/enrolment-tokens", json={"name": "rack 7", **terms})

    [listed] = operator.get("/api/v1/enrolment-tokens").json["items"]
    assert {name: listed[name] for name in terms} == terms


def test_an_approved_host_waits_no_longer(
    ask: Callable[[str], FlaskClient], fleet: Any, fleet_seed: ModuleType
) -> None:
    """The approval names who gave it, and stays with the first."""
    operator = ask("operator")
    [waiting] = operator.get("/api/v1/waiting-hosts").json["items"]

    answers = [who.post(f"/api/v1/waiting-hosts/{waiting['host_id']}/approve") for who in (operator, ask("admin"))]

    assert waiting["host_id"] == str(fleet_seed.WAITING)
    assert [answer.json["approved_by"] for answer in answers] == ["operator", "operator"]
    assert operator.get("/api/v1/waiting-hosts").json["items"] == []


def test_a_host_that_never_enrolled_cannot_be_approved(ask: Callable[[str], FlaskClient]) -> None:
    """An approval is for somebody who knocked."""
    answer = ask("operator").post("/api/v1/waiting-hosts/7f0c2c54-4a54-4e4f-8f5e-6c3f8f1d0001/approve")

    assert answer.status_code == 404
