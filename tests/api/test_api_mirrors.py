"""Mirrors, links, labels and crawls of repositories, and access to mirrors."""

import json
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from patchbay_api.app import make_app
from patchbay_shared.bus import Bus, Delivery, Subscription
from patchbay_shared.db import Database
from patchbay_shared.messages import SYNC_NUDGES, RepositoryOperated
from patchbay_shared.mirror_access import AccessTable
from patchbay_shared.service import Context
from patchbay_shared.settings import settings_from
from sqlalchemy import text

KEY = "a key of the test"
PASSWORD = "hunter2-in-the-clear"


@pytest.fixture
def app(database: Database, database_of: Callable[[str | None], Database], bus: Bus) -> Flask:
    """The API with a secret key."""
    return make_app(Context(settings_from({}, secret_key=KEY), database_of("api"), bus))


def add_repository(database: Database, name: str, origin: str = "Debian", linked_to: UUID | None = None) -> UUID:
    """A crawled apt repository at its own address."""
    number = uuid4()
    release = {"origin": origin, "label": "Debian", "suite": "stable", "codename": "bookworm", "date": name}
    with database.transaction() as connection:
        connection.execute(
            text("""
                INSERT INTO repository (id, type, name, url, suite, release, state, linked_to)
                VALUES (:id, 'deb', :name, :url, 'bookworm', CAST(:release AS jsonb), 'ok', :linked)
            """),
            {
                "id": number,
                "name": name,
                "url": f"http://{name}.test/debian",
                "release": json.dumps(release),
                "linked": linked_to,
            },
        )
        connection.execute(
            text("INSERT INTO mirror (repository_id, url, rank, state) VALUES (:id, :url, 0, 'lagging')"),
            {"id": number, "url": f"http://{name}.test/debian"},
        )
    return number


@pytest.fixture
def decision(bus: Bus) -> Callable[[], RepositoryOperated]:
    """Wait for what was published."""

    def receive() -> RepositoryOperated:
        stop = threading.Event()
        received: list[Delivery] = []

        def handle(delivery: Delivery) -> None:
            received.append(delivery)
            stop.set()

        watchdog = threading.Timer(20, stop.set)
        watchdog.start()
        bus.consume(Subscription(SYNC_NUDGES, handle), stop)
        watchdog.cancel()
        return msgspec.json.decode(received[0].body, type=RepositoryOperated)

    return receive


@pytest.mark.parametrize("body", [{"security": True}, {"security": None}, {"enabled": False, "security": False}])
def test_a_decision_says_only_what_it_changes(
    ask: Callable[[str], FlaskClient], database: Database, decision: Callable[[], Any], body: dict[str, Any]
) -> None:
    """null is a word of its own: the operator takes the label back."""
    number = add_repository(database, "one")

    answer = ask("operator").patch(f"/api/v1/repositories/{number}", json=body)

    assert answer.status_code == 202
    assert decision() == RepositoryOperated(number, **body)


def test_a_decision_needs_an_operator_and_a_repository(ask: Callable[[str], FlaskClient], database: Database) -> None:
    """403, 404, and 422 for an empty body."""
    number = add_repository(database, "one")

    assert ask("viewer").patch(f"/api/v1/repositories/{number}", json={"enabled": False}).status_code == 403
    assert ask("operator").patch(f"/api/v1/repositories/{uuid4()}", json={"enabled": False}).status_code == 404
    assert ask("operator").patch(f"/api/v1/repositories/{number}", json={}).status_code == 422


def test_addresses_of_one_archive_are_proposed_for_linking(viewer: FlaskClient, database: Database) -> None:
    """The Date may differ: one of them is behind."""
    numbers = {str(add_repository(database, "one")), str(add_repository(database, "two"))}
    add_repository(database, "other", origin="Vendor")
    add_repository(database, "nameless", origin="")
    add_repository(database, "nameless2", origin="")

    [proposal] = viewer.get("/api/v1/repositories/link-proposals").json["items"]

    assert {each["id"] for each in proposal["repositories"]} == numbers
    assert (proposal["origin"], proposal["codename"]) == ("Debian", "bookworm")


def test_what_is_linked_is_not_proposed_again(viewer: FlaskClient, database: Database) -> None:
    """And the mirrors say who serves whom."""
    leader = add_repository(database, "one")
    follower = add_repository(database, "two", linked_to=leader)

    assert viewer.get("/api/v1/repositories/link-proposals").json["items"] == []
    assert viewer.get(f"/api/v1/repositories/{follower}/mirrors").json["linked_to"] == str(leader)
    found = viewer.get(f"/api/v1/repositories/{leader}/mirrors").json
    assert found["serves"] == [str(follower)]
    served = viewer.get(f"/api/v1/repositories?linked_to={leader}").json
    assert [each["id"] for each in served["items"]] == [str(follower)]
    assert [(each["url"], each["state"]) for each in found["items"]] == [("http://one.test/debian", "lagging")]


def test_linking_asks_the_crawler(
    ask: Callable[[str], FlaskClient], database: Database, decision: Callable[[], Any]
) -> None:
    """Its tables are its own."""
    leader, follower = add_repository(database, "one"), add_repository(database, "two")

    answer = ask("operator").post(f"/api/v1/repositories/{follower}/mirrors/link", json={"leader_id": str(leader)})

    assert answer.status_code == 202
    assert decision() == RepositoryOperated(follower, linked_to=leader)


def test_unlinking_asks_the_crawler(
    ask: Callable[[str], FlaskClient], database: Database, decision: Callable[[], Any]
) -> None:
    """null, not silence."""
    leader = add_repository(database, "one")
    follower = add_repository(database, "two", linked_to=leader)

    assert ask("operator").post(f"/api/v1/repositories/{follower}/mirrors/unlink").status_code == 202
    assert decision() == RepositoryOperated(follower, linked_to=None)


def test_only_addresses_of_one_archive_can_be_linked(ask: Callable[[str], FlaskClient], database: Database) -> None:
    """Not itself, not another archive, not one that is linked already."""
    one, other = add_repository(database, "one"), add_repository(database, "other", origin="Vendor")
    follower = add_repository(database, "two", linked_to=one)
    third = add_repository(database, "three")
    client = ask("operator")

    for number, leader in ((one, one), (one, other), (third, follower), (one, third)):
        answer = client.post(f"/api/v1/repositories/{number}/mirrors/link", json={"leader_id": str(leader)})
        assert answer.status_code == 422, (number, leader)


def test_the_history_shows_duration_change_and_progress(viewer: FlaskClient, database: Database) -> None:
    """The newest first; the running one says how far it is."""
    number = add_repository(database, "one")
    with database.transaction() as connection:
        connection.execute(
            text("""
                INSERT INTO repository_sync (repository_id, started_at, finished_at, result, phase, transferred_bytes,
                    read_count, added_count)
                VALUES (:id, now() - interval '1 hour', now() - interval '59 minutes', 'changed', '', 1000, 0, 7),
                       (:id, now() - interval '2 seconds', NULL, 'running', 'storing', 500, 1200, 0)
            """),
            {"id": number},
        )

    running, done = viewer.get(f"/api/v1/repositories/{number}/syncs").json["items"]

    assert (running["result"], running["phase"], running["read_count"]) == ("running", "storing", 1200)
    assert running["duration_seconds"] >= 2
    assert (done["duration_seconds"], done["added_count"], done["transferred_bytes"]) == (60.0, 7, 1000)


def test_what_is_being_crawled_is_listed(viewer: FlaskClient, database: Database) -> None:
    """As many as the pipeline says run; a lease that has run out is no crawl."""
    running, _, dead = (add_repository(database, name) for name in ("one", "two", "three"))
    with database.transaction() as connection:
        lease = text("UPDATE repository SET leased_until = now() + CAST(:left AS interval) WHERE id = :id")
        connection.execute(lease, [{"id": running, "left": "1 hour"}, {"id": dead, "left": "-1 hour"}])

    found = viewer.get("/api/v1/repositories?syncing=true").json

    assert [each["id"] for each in found["items"]] == [str(running)]
    assert viewer.get("/api/v1/repositories?syncing=false").json["total_count"] == 2
    assert viewer.get("/api/v1/pipeline").json["running_syncs"] == 1


def test_secrets_of_mirrors_are_encrypted_and_never_shown_again(
    ask: Callable[[str], FlaskClient], database: Database
) -> None:
    """Neither an answer nor a copy of the database holds them."""
    client = ask("admin")
    body = {"url": "https://cdn.test/repo/", "username": "fleet", "password": PASSWORD}

    answer = client.post("/api/v1/mirror-access", json=body)

    assert answer.status_code == 200
    assert answer.json["kinds"] == ["basic"]
    listed = client.get("/api/v1/mirror-access")
    assert listed.json["items"][0]["url"] == "https://cdn.test/repo"
    assert PASSWORD not in answer.text + listed.text
    with database.transaction() as connection:
        row = connection.execute(text("SELECT url, sealed, mirror_access::text AS whole FROM mirror_access")).one()
    assert PASSWORD not in row.whole
    assert PASSWORD.encode() not in bytes(row.sealed)
    found = AccessTable([(row.url, bytes(row.sealed))], secret_key=KEY).find("https://cdn.test/repo/x")
    assert found is not None
    assert (found.username, found.password) == ("fleet", PASSWORD)


def test_access_is_replaced_and_dropped(ask: Callable[[str], FlaskClient]) -> None:
    """One entry a URL; 404 for one that is not there."""
    client = ask("admin")
    first = client.post("/api/v1/mirror-access", json={"url": "https://cdn.test", "username": "u"}).json
    second = client.post("/api/v1/mirror-access", json={"url": "https://cdn.test/", "token": "t"}).json
    assert (first["id"], second["kinds"]) == (second["id"], ["bearer"])

    assert client.delete(f"/api/v1/mirror-access/{first['id']}").status_code == 204
    assert client.delete(f"/api/v1/mirror-access/{first['id']}").status_code == 404
    assert client.get("/api/v1/mirror-access").json["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"url": "ftp://cdn.test", "username": "u"},
        {"url": "https://user:secret@cdn.test", "username": "u"},
        {"url": "https://cdn.test"},
        {"url": "https://cdn.test", "username": "u", "token": "t"},
        {"url": "https://cdn.test", "client_certificate": "x"},
        {"url": "https://cdn.test", "authorities": "no certificate"},
        {"url": "https://cdn.test", "proxy": "file:///etc/passwd"},
    ],
)
def test_access_that_could_never_work_is_refused(ask: Callable[[str], FlaskClient], body: dict[str, str]) -> None:
    """Where the mistake is, not at the next crawl."""
    assert ask("admin").post("/api/v1/mirror-access", json=body).status_code == 422


def test_only_administrators_set_access(ask: Callable[[str], FlaskClient]) -> None:
    """Operators see which mirrors have one."""
    body = {"url": "https://cdn.test", "token": "t"}

    assert ask("operator").post("/api/v1/mirror-access", json=body).status_code == 403
    assert ask("operator").get("/api/v1/mirror-access").status_code == 200
    assert ask("viewer").get("/api/v1/mirror-access").status_code == 403


def test_without_a_key_nothing_secret_is_kept(
    database: Database, database_of: Callable[[str | None], Database], bus: Bus
) -> None:
    """503 with the name of the setting, instead of a secret in the clear."""
    client = make_app(Context(settings_from({}), database_of("api"), bus)).test_client()
    token = client.post("/api/v1/sessions", json={"username": "admin", "password": "correct horse"}).json["token"]

    answer = client.post(
        "/api/v1/mirror-access",
        json={"url": "https://cdn.test", "token": "t"},
        headers={"Authorization": f"Bearer {token}"},
    )

    assert answer.status_code == 503
    assert "PATCHBAY_SECRET_KEY" in answer.json["detail"]
