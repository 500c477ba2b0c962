"""Who did what: every write leaves an event, no event can be changed unseen."""

import json
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from patchbay_api.auditing import HIDDEN
from patchbay_api.store import audit as store
from patchbay_shared.db import Database
from patchbay_shared.tables import audit_event
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from patchbay.cli import commands

Ask = Callable[[str], FlaskClient]


@pytest.fixture
def admin(ask: Ask) -> FlaskClient:
    """A client signed in as the administrator."""
    return ask("admin")


def _events(admin: FlaskClient, **filters: str) -> list[dict[str, Any]]:
    answer = admin.get("/api/v1/audit", query_string=filters)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json["items"]
    return found


def test_a_change_is_recorded_with_what_differs(admin: FlaskClient) -> None:
    """Who, from where, by which means, what, before and after."""
    made = admin.post("/api/v1/users", json={"username": "kim", "role": "viewer"}).json

    admin.patch(f"/api/v1/users/{made['id']}", json={"role": "operator"})

    [event] = _events(admin, action="change_user")
    assert (event["actor"], event["credential"], event["address"]) == ("admin", "session", "127.0.0.1")
    assert (event["object_type"], event["object_id"], event["outcome"]) == ("users", str(made["id"]), "done")
    assert (event["before"], event["after"]) == ({"role": "viewer"}, {"role": "operator"})


def test_a_removed_thing_is_recorded_as_it_was(admin: FlaskClient) -> None:
    """What somebody deletes can be made again."""
    role = {"name": "helpdesk", "description": "x", "permissions": ["hosts.read"]}
    admin.post("/api/v1/roles", json=role)

    admin.delete("/api/v1/roles/helpdesk")

    [event] = _events(admin, action="delete_role")
    assert event["before"] | role == event["before"]
    assert event["after"] is None


def test_what_was_asked_and_answered_is_recorded_where_nothing_shows_the_thing(
    ask: Ask, admin: FlaskClient, database: Database, fleet_seed: ModuleType
) -> None:
    """An action that another service carries out."""
    fleet = fleet_seed.seed_fleet(database, fleet_seed.HOSTS)
    repository = next(iter(fleet.repositories.values()))

    ask("operator").post(f"/api/v1/repositories/{repository}/sync?force=true")

    [event] = _events(admin, action="sync_repository")
    assert (event["actor"], event["object_id"]) == ("operator", str(repository))
    assert event["after"]["query"] == {"force": "true"}
    assert event["after"]["answered"]["requested"] == "sync"


def test_no_secret_is_in_the_record(admin: FlaskClient, database: Database) -> None:
    """Neither one that was sent nor one that was made."""
    access = {"url": "https://u.example.org/", "username": "u", "password": "hunter2hunter2", "proxy": ""}
    access["proxy"] = "http://me:proxysecret@proxy.example.org:3128"
    secrets = [
        admin.post("/api/v1/users", json={"username": "kim", "role": "viewer"}).json["initial_password"],
        admin.post("/api/v1/tokens", json={"name": "nightly"}).json["token"],
        admin.post("/api/v1/enrolment-tokens", json={"name": "rack"}).json["token"],
        admin.post("/api/v1/sessions", json={"username": "admin", "password": "correct horse"}).json["token"],
        "correct horse",
        "hunter2hunter2",
        "proxysecret",
    ]
    admin.post("/api/v1/mirror-access", json=access)

    with database.transaction() as connection:
        everything = "".join(f"{row.before} {row.after}" for row in connection.execute(select(audit_event)))
    assert HIDDEN in everything
    assert [secret for secret in secrets if secret in everything] == []


def test_a_refusal_is_recorded(ask: Ask, admin: FlaskClient) -> None:
    """Who tried what they may not."""
    ask("viewer").post("/api/v1/enrolment-tokens", json={"name": "x"})

    [event] = _events(admin, outcome="denied")
    assert (event["actor"], event["action"]) == ("viewer", "create_enrolment_token")
    assert "enrolment.operate" in event["after"]["why"]


def test_signing_in_is_recorded_and_failing_to_as_well(stranger: FlaskClient, admin: FlaskClient) -> None:
    """With the name that was tried, which is not yet that of anybody known."""
    stranger.post("/api/v1/sessions", json={"username": "operator", "password": "wrong"})

    failed, succeeded = _events(admin, action="sign_in")
    assert (failed["outcome"], failed["actor"], failed["object_id"]) == ("denied", "", "operator")
    assert (succeeded["outcome"], succeeded["actor"], succeeded["credential"]) == ("done", "admin", "password")


def test_a_program_is_named_by_its_token(ask: Ask, admin: FlaskClient, app: Any) -> None:
    """The owner is answerable, the token says which program it was."""
    token = ask("operator").post("/api/v1/tokens", json={"name": "nightly"}).json["token"]

    app.test_client().post(
        "/api/v1/enrolment-tokens", json={"name": "x"}, headers={"Authorization": f"Bearer {token}"}
    )

    [event] = _events(admin, action="create_enrolment_token")
    assert (event["actor"], event["credential"]) == ("operator", "token nightly")


def test_the_record_is_for_administrators(ask: Ask) -> None:
    """It says what others do."""
    assert [ask(role).get("/api/v1/audit").status_code for role in ("viewer", "operator")] == [403, 403]


@pytest.mark.parametrize("statement", ["UPDATE audit_event SET actor = 'x'", "DELETE FROM audit_event"])
def test_the_api_itself_cannot_change_an_event(
    admin: FlaskClient, database_of: Callable[[str | None], Database], statement: str
) -> None:
    """Its role may only read and add."""
    with pytest.raises(DBAPIError, match="permission denied"), database_of("api").transaction() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_event SET actor = 'x'", "DELETE FROM audit_event", "TRUNCATE audit_event"]
)
def test_not_even_the_owner_changes_an_event_by_mistake(
    admin: FlaskClient, database: Database, statement: str
) -> None:
    """A trigger is in the way."""
    with pytest.raises(DBAPIError, match="append-only"), database.transaction() as connection:
        connection.execute(text(statement))


def test_events_of_many_writers_are_one_chain(database_of: Callable[[str | None], Database]) -> None:
    """Whoever comes second waits for the first: no number twice, none left out."""
    databases = [database_of("api") for _ in range(4)]
    start = threading.Barrier(4)

    def write(number: int) -> None:
        start.wait()
        for each in range(10):
            with databases[number].transaction() as connection:
                store.append(connection, store.Event(f"w{number}", "", "", f"a{each}", "", "", "done", None, "{}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with databases[0].transaction() as connection:
        found = store.verify(connection)
    assert (found.count, found.last_id, found.complaint) == (40, 40, "")


_TAMPERED = {
    "changed": ("UPDATE audit_event SET actor = 'eve' WHERE id = 2", "Event 2 was changed"),
    "removed": ("DELETE FROM audit_event WHERE id = 2", "Event 2 is missing"),
    "cut off at the front": ("DELETE FROM audit_event WHERE id = 1", "Event 1 is missing"),
    "moved": ("UPDATE audit_event SET at = at - interval '1 day' WHERE id = 3", "Event 3 was changed"),
}


@pytest.mark.parametrize("kind", _TAMPERED)
def test_who_tampers_behind_the_trigger_is_found_out(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """`patchbay audit verify` names the place and ends with 1."""
    statement, complaint = _TAMPERED[kind]
    monkeypatch.setenv("PATCHBAY_DATABASE_URL", database_url)
    with database.transaction() as connection:
        for each in ("a", "b", "c"):
            store.append(connection, store.Event("kim", "session", "", each, "", "", "done"))
    intact = CliRunner().invoke(commands, ["audit", "verify"])
    with database.transaction() as connection:
        connection.execute(text("ALTER TABLE audit_event DISABLE TRIGGER USER"))
        connection.execute(text(statement))

    broken = CliRunner().invoke(commands, ["audit", "verify"])

    assert (intact.exit_code, intact.output.startswith("3 events hold")) == (0, True)
    assert broken.exit_code == 1
    assert complaint in broken.output


def test_what_was_cut_off_at_the_end_is_missed_by_who_noted_it(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shorter chain holds by itself; an earlier run's last event is not in it."""
    monkeypatch.setenv("PATCHBAY_DATABASE_URL", database_url)
    with database.transaction() as connection:
        for each in ("a", "b", "c"):
            store.append(connection, store.Event("kim", "session", "", each, "", "", "done"))
    noted = CliRunner().invoke(commands, ["audit", "verify"]).output.split()[-1]
    with database.transaction() as connection:
        store.append(connection, store.Event("kim", "session", "", "d", "", "", "done"))
    later = CliRunner().invoke(commands, ["audit", "verify", "--known", noted])
    with database.transaction() as connection:
        connection.execute(text("ALTER TABLE audit_event DISABLE TRIGGER USER"))
        connection.execute(text("DELETE FROM audit_event WHERE id > 2"))

    found = [CliRunner().invoke(commands, ["audit", "verify", *more]) for more in ([], ["--known", noted])]

    assert later.exit_code == 0
    assert [each.exit_code for each in found] == [0, 1]
    assert "Event 3 is not the one that it was, or is gone" in found[1].output


def test_the_record_can_be_taken_away(admin: FlaskClient, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As NDJSON and as CSV, the oldest first; a spreadsheet finds no formula in it."""
    monkeypatch.setenv("PATCHBAY_DATABASE_URL", database_url)
    admin.post("/api/v1/sessions", json={"username": "=cmd()", "password": "x"})

    ndjson = CliRunner().invoke(commands, ["audit", "export"]).output
    table = CliRunner().invoke(commands, ["audit", "export", "--format", "csv"]).output

    assert [json.loads(line)["id"] for line in ndjson.splitlines()] == [1, 2]
    assert json.loads(ndjson.splitlines()[0])["actor"] == "admin"
    assert table.splitlines()[0].startswith("id,at,actor")
    assert ",'=cmd()," in table


def test_the_api_verifies_too(admin: FlaskClient) -> None:
    """For those who run everything in one process, and for the page."""
    answer = admin.get("/api/v1/audit/verification").json

    assert (answer["holds"], answer["count"], len(answer["last_hash"])) == (True, 1, 64)
