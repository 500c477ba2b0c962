"""What changes is told as it changes, to a bounded number of listeners, within what each may see."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import BoundedSemaphore
from types import ModuleType
from typing import Any
from uuid import uuid4

import jsonschema
import pytest
from flask import Flask
from flask.testing import FlaskClient
from patchbay_api.app import openapi_document
from patchbay_shared.db import Database
from patchbay_shared.tables import receipt, repository, user_account
from sqlalchemy import func, insert, text, update

EACH_EVENT = openapi_document()["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"][
    "schema"
]


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The six hosts of fleet_seed, all of whose changes are long ago."""
    fleet = fleet_seed.seed_fleet(database, fleet_seed.HOSTS)
    with database.transaction() as connection:
        connection.execute(update(receipt).values(noted_at=datetime.now(UTC) - timedelta(hours=1)))
        connection.execute(text("UPDATE evaluation SET evaluated_at = now() - interval '1 hour'"))
    return fleet


def _change_everything(database: Database, fleet: Any) -> None:
    with database.transaction() as connection:
        for name in ("web-01.example.com", "db-01.example.com"):
            connection.execute(
                insert(receipt).values(id=uuid4(), host_id=fleet.hosts[name], state="refused", received_at=func.now())
            )
        connection.execute(
            text("""
                UPDATE evaluation SET evaluated_at = now()
                WHERE id IN (SELECT evaluation_id FROM host
                             WHERE hostname IN ('web-01.example.com', 'mail.example.com'))
            """)
        )
        mine = fleet.repositories["download.docker.com bookworm stable"]
        connection.execute(update(repository).where(repository.c.id == mine).values(changed_at=func.now()))


def _told(client: FlaskClient, **headers: str) -> list[tuple[str, dict[str, Any]]]:
    answer = client.get("/api/v1/events", headers=headers, buffered=True)
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
    told = []
    for block in answer.get_data(as_text=True).split("\n\n"):
        lines = dict(line.partition(": ")[::2] for line in block.splitlines() if not line.startswith(":"))
        if "event" in lines:
            jsonschema.validate(lines, EACH_EVENT, format_checker=jsonschema.FormatChecker())
            told.append((lines["event"], json.loads(lines["data"])))
    return told


def test_each_kind_of_change_is_told(ask: Callable[[str], FlaskClient], fleet: Any, database: Database) -> None:
    """Evaluations with their counts, receipts, repositories and jobs."""
    operator = ask("operator")
    assert _told(operator) == []
    _change_everything(database, fleet)
    job = operator.post("/api/v1/hosts/actions", json={"action": "tag", "query": "web", "tags": ["a"]}).json["job"]

    told = _told(operator)
    assert sorted(kind for kind, _ in told) == [
        "host.evaluated", "host.evaluated", "job", "receipt", "receipt", "repository.changed",
    ]  # fmt: skip
    by_kind = dict(told)
    assert by_kind["job"]["job_id"] == job["id"]
    assert by_kind["receipt"]["state"] == "refused"
    hosts = {each["hostname"]: each["security"] for kind, each in told if kind == "host.evaluated"}
    assert hosts == {"web-01.example.com": 2, "mail.example.com": 2}


def test_only_what_somebody_may_see_is_told(
    ask: Callable[[str], FlaskClient], fleet: Any, database: Database
) -> None:
    """The scope that narrows lists narrows events as well."""
    admin = ask("admin")
    with database.transaction() as connection:
        connection.execute(update(user_account).where(user_account.c.username == "viewer").values(scope=["tag:web"]))
    viewer = ask("viewer")
    _change_everything(database, fleet)
    admin.post("/api/v1/hosts/actions", json={"action": "tag", "query": "", "tags": ["a"]})

    told = _told(viewer)
    web = str(fleet.hosts["web-01.example.com"])
    assert {each["host_id"] for _, each in told if "host_id" in each} == {web}
    assert "job" not in dict(told)


def test_a_client_that_comes_again_is_told_what_it_missed(
    viewer: FlaskClient, fleet: Any, database: Database
) -> None:
    """From the last event that it saw, as browsers do by themselves."""
    with database.transaction() as connection:
        connection.execute(
            insert(receipt).values(
                id=uuid4(), host_id=fleet.hosts["web-01.example.com"], state="stored", received_at=func.now(),
                noted_at=func.now() - timedelta(minutes=5),
            )
        )  # fmt: skip

    assert _told(viewer) == []
    before = (datetime.now(UTC) - timedelta(minutes=6)).isoformat()
    assert [kind for kind, _ in _told(viewer, **{"Last-Event-ID": before})] == ["receipt"]


def test_recent_events_can_be_asked_for(viewer: FlaskClient, fleet: Any, database: Database) -> None:
    """For who cannot hold a stream open; the answer says from when on to ask next."""
    first = viewer.get("/api/v1/events/recent").json
    _change_everything(database, fleet)
    asked = {"after": first["until"], "kinds": "receipt,job"}
    then = viewer.get("/api/v1/events/recent", query_string=asked).json

    assert (first["items"], [each["kind"] for each in then["items"]]) == ([], ["receipt", "receipt"])
    refused = viewer.get("/api/v1/events/recent?kinds=receipt,weather")
    assert (refused.status_code, refused.json["pointer"]) == (422, "$.query.kinds")


def test_more_changes_than_can_be_told_are_told_as_such(
    viewer: FlaskClient, fleet: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fleet that is judged anew does not become ten thousand events."""
    monkeypatch.setattr("patchbay_api.store.changes.MOST", 1)
    _change_everything(database, fleet)

    kinds = [kind for kind, _ in _told(viewer)]
    assert kinds[0] == "overflow"
    assert kinds.count("receipt") == 1


def test_no_more_listeners_than_the_process_has_places_for(viewer: FlaskClient, fleet: Any, app: Flask) -> None:
    """So that request threads remain; a place is free when a stream has ended."""
    app.extensions["patchbay_event_places"] = BoundedSemaphore(1)
    held = viewer.get("/api/v1/events", buffered=False)

    refused = viewer.get("/api/v1/events")
    assert (refused.status_code, "Retry-After" in refused.headers) == (503, True)
    held.close()
    assert viewer.get("/api/v1/events", buffered=True).status_code == 200
