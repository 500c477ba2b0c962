"""A change and its event are one: neither is ever without the other, whatever dies between."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.errors import Unavailable
from patchbay_shared.tables import audit_event, enrolment_token, host_group, user_account
from sqlalchemy import func, select, text

from patchbay.cli import commands

Ask = Callable[[str], FlaskClient]

_BROKEN = {
    "refused": ("RAISE EXCEPTION 'no space left';", 500),
    "cut off": ("PERFORM pg_terminate_backend(pg_backend_pid());", 503),
}


def _trigger(database: Database, table: str, action: str, *, when: str = "BEFORE INSERT") -> None:
    kind = "CONSTRAINT TRIGGER" if "DEFERRABLE" in when else "TRIGGER"
    moment, _, deferrable = when.partition(" DEFERRABLE")
    with database.transaction() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION interrupt() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
                f" $$ BEGIN {action} RETURN NEW; END $$"
            )
        )
        connection.execute(
            text(
                f"CREATE {kind} interrupt {moment} ON {table}"
                f"{' DEFERRABLE' + deferrable if deferrable else ''} FOR EACH ROW EXECUTE FUNCTION interrupt()"
            )
        )


def _verify(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PATCHBAY_DATABASE_URL", database_url)
    return CliRunner().invoke(commands, ["audit", "verify"]).output


@pytest.mark.parametrize("how", _BROKEN)
def test_a_change_whose_event_cannot_be_written_is_not_made(
    ask: Ask, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Also if the connection is killed between the two."""
    action, status = _BROKEN[how]
    admin = ask("admin")
    _trigger(database, "audit_event", action)
    admin.application.config["PROPAGATE_EXCEPTIONS"] = False

    answer = admin.post("/api/v1/groups", json={"name": "lab"})

    with database.transaction() as connection:
        made = connection.scalar(select(func.count()).select_from(host_group))
    assert (answer.status_code, made) == (status, 0)
    assert _verify(database_url, monkeypatch).startswith("1 events hold")  # the signing in before


@pytest.mark.parametrize("how", _BROKEN)
def test_a_change_that_fails_while_it_is_committed_leaves_no_event(
    ask: Ask, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The event was written already, and goes with it; nor is there a gap in the chain."""
    action, status = _BROKEN[how]
    admin = ask("admin")
    _trigger(database, "host_group", action, when="AFTER INSERT DEFERRABLE INITIALLY DEFERRED")
    admin.application.config["PROPAGATE_EXCEPTIONS"] = False

    answer = admin.post("/api/v1/groups", json={"name": "lab"})
    admin.post("/api/v1/users", json={"username": "kim", "role": "viewer"})

    with database.transaction() as connection:
        actions = list(connection.scalars(select(audit_event.c.action).order_by(audit_event.c.id)))
    assert (answer.status_code, actions) == (status, ["sign_in", "create_user"])
    assert _verify(database_url, monkeypatch).startswith("2 events hold")


def test_many_who_change_at_the_same_time_leave_one_event_each(
    ask: Ask, app: Flask, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same thing and different things: nobody fails, each "before" is the "after" of the one before."""
    client = ask("admin")
    shared = client.post("/api/v1/groups", json={"name": "shared"}).json["id"]
    statuses: list[int] = []
    start = threading.Barrier(6)

    def write(number: int) -> None:
        mine = app.test_client()
        mine.environ_base["HTTP_AUTHORIZATION"] = client.environ_base["HTTP_AUTHORIZATION"]
        start.wait()
        for each in range(5):
            name = f"w{number}-{each}"
            statuses.append(mine.patch(f"/api/v1/groups/{shared}", json={"description": name}).status_code)
            statuses.append(mine.post("/api/v1/groups", json={"name": name}).status_code)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [200] * 30 + [201] * 30
    events = client.get("/api/v1/audit?action=change_group&limit=100").json["items"][::-1]
    chain = [(event["before"].get("description"), event["after"].get("description")) for event in events]
    assert [before for before, _ in chain] == ["", *(after for _, after in chain[:-1])]
    assert _verify(database_url, monkeypatch).startswith("62 events hold")


def test_what_the_broker_does_not_take_is_recorded_as_failed(
    ask: Ask, app: Flask, bus: Bus, monkeypatch: pytest.MonkeyPatch, database: Database, fleet_seed: Any
) -> None:
    """It was decided and recorded; that it was not handed on is an event of its own."""
    fleet = fleet_seed.seed_fleet(database, fleet_seed.HOSTS)
    repository = next(iter(fleet.repositories.values()))
    operator = ask("operator")

    def refuse(*_: Any, **__: Any) -> None:
        raise Unavailable("no broker")

    monkeypatch.setattr(bus, "publish", refuse)

    answer = operator.post(f"/api/v1/repositories/{repository}/sync")

    with database.transaction() as connection:
        events = connection.execute(
            select(audit_event.c.outcome, audit_event.c.after)
            .where(audit_event.c.action == "sync_repository")
            .order_by(audit_event.c.id)
        ).all()
    assert answer.status_code == 503
    assert [event.outcome for event in events] == ["done", "failed"]
    assert "no broker" in events[1].after


def test_nobody_is_told_of_a_change_before_it_is_committed(
    ask: Ask, bus: Bus, monkeypatch: pytest.MonkeyPatch, database: Database, fleet_seed: Any
) -> None:
    """A message that came first would find nothing to do."""
    fleet = fleet_seed.seed_fleet(database, fleet_seed.HOSTS)
    host = next(iter(fleet.hosts.values()))
    found: list[int | None] = []

    def look(*_: Any, **__: Any) -> None:
        with database.transaction() as connection:
            found.append(connection.scalar(text("SELECT count(*) FROM host_removal")))

    monkeypatch.setattr(bus, "publish", look)

    ask("operator").delete(f"/api/v1/hosts/{host}")

    assert found == [1]


def test_an_attempt_counts_though_the_request_is_refused(ask: Ask, stranger: FlaskClient, database: Database) -> None:
    """Signing in is one unit too, and counting who guesses is not part of it."""
    admin = ask("admin")

    stranger.post("/api/v1/sessions", json={"username": "viewer", "password": "wrong"})
    admin.post("/api/v1/me/password", json={"current_password": "wrong", "new_password": "a much longer sentence"})

    with database.transaction() as connection:
        rows = connection.execute(select(user_account.c.username, user_account.c.failed_sign_in_count))
        counts = {row.username: row.failed_sign_in_count for row in rows}
    assert counts == {"viewer": 1, "operator": 0, "admin": 1}


def test_what_the_command_line_changes_is_recorded_too(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token with which hosts may enrol."""
    monkeypatch.setenv("PATCHBAY_DATABASE_URL", database_url)

    CliRunner().invoke(commands, ["create-enrolment-token", "rack"], catch_exceptions=False)

    with database.transaction() as connection:
        token = connection.scalar(select(enrolment_token.c.id))
        event = connection.execute(select(audit_event)).one()
    assert (event.action, event.credential, event.object_id) == ("create_enrolment_token", "command line", str(token))
