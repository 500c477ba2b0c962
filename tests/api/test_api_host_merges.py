"""Two entries of one machine become one: what moves, what stays, who may."""

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import user_account
from patchbay_update_engine.handlers import Engine
from patchbay_update_engine.operated import operate
from sqlalchemy import text, update

Ask = Callable[[str], FlaskClient]


class Desk:
    """An operator with six hosts, and the engine that carries out what they ask for."""

    def __init__(
        self, operator: FlaskClient, database: Database, engine_database: Database, bus: Bus, hosts: Any
    ) -> None:
        self.operator, self.database = operator, database
        self.web, self.spare, self.mail, self.arm = (
            hosts[f"{name}.example.com"] for name in ("web-01", "web-02", "mail", "build-arm")
        )
        self.engine = Engine(settings_from({}), engine_database, bus)
        self.engine_database = engine_database
        self.sent: list[bytes] = []
        bus.publish = lambda _, body, *__, **___: self.sent.append(body)  # type: ignore[method-assign]  # looked at

    def merge(self, into: Any, other: Any, **more: Any) -> Any:
        return self.operator.post(f"/api/v1/hosts/{into}/merge", json={"host_id": str(other), **more})

    def work(self) -> None:
        while self.sent:
            operate(self.engine_database, self.sent.pop(0), self.engine.evaluate_hosts)

    def change(self, host: Any, **labels: Any) -> None:
        assert self.operator.patch(f"/api/v1/hosts/{host}", json=labels).status_code == 200

    def merged_into(self) -> list[Any]:
        with self.database.transaction() as connection:
            return list(connection.scalars(text("SELECT into_id FROM host_merge")))


@pytest.fixture
def desk(
    ask: Ask,
    database: Database,
    database_of: Callable[[str | None], Database],
    bus: Bus,
    fleet_seed: ModuleType,
) -> Desk:
    hosts = fleet_seed.seed_fleet(database, fleet_seed.HOSTS).hosts
    return Desk(ask("operator"), database, database_of("update-engine"), bus, hosts)


def test_what_operators_said_of_the_other_goes_to_the_host_that_stays(desk: Desk, ask: Ask) -> None:
    """Tags are added, notes appended, exceptions follow; its own group stays."""
    for name in ("lab", "dmz"):
        assert ask("admin").post("/api/v1/groups", json={"name": name}).status_code == 201
    desk.change(desk.web, group="lab", operator_tags=["pci"], notes="Rack 4.")
    desk.change(desk.spare, group="dmz", operator_tags=["old"], notes="Was installed again.")
    waived = {
        "kind": "package", "subject": "openssl", "scope": "host", "target": str(desk.spare), "owner": "kim",
        "reason": "x",
    }  # fmt: skip
    made = desk.operator.post("/api/v1/exceptions", json=waived)
    assert made.status_code == 201, made.text

    answer = desk.merge(desk.web, desk.spare)
    desk.work()

    found = desk.operator.get(f"/api/v1/hosts/{desk.web}").json
    assert (answer.status_code, answer.json["exception_count"]) == (202, 1)
    assert (found["group"], found["operator_tags"]) == ("lab", ["old", "pci"])
    assert found["notes"] == "Rack 4.\n\nWas installed again."
    assert desk.operator.get(f"/api/v1/hosts/{desk.spare}").status_code == 404
    assert {each["target"] for each in desk.operator.get("/api/v1/exceptions").json["items"]} == {str(desk.web)}
    job = desk.operator.get(f"/api/v1/jobs/{answer.json['job']['id']}").json
    assert (job["action"], job["state"], job["done_count"], job["failed_count"]) == ("merge", "done", 1, 0)


def test_a_dry_run_says_what_would_become_of_it(desk: Desk) -> None:
    """With what speaks against it; nothing is done."""
    desk.change(desk.arm, operator_tags=["old"])

    found = desk.merge(desk.web, desk.arm, dry_run=True).json

    assert (found["into"]["hostname"], found["other"]["hostname"]) == ("web-01.example.com", "build-arm.example.com")
    assert (found["tags"], found["job"], found["newer_report"]) == (["old"], None, str(desk.web))
    assert any("One is" in each for each in found["warnings"])
    assert (desk.merged_into(), desk.sent) == ([], [])


def test_a_merge_whose_message_is_lost_is_found_by_the_sweep(desk: Desk) -> None:
    """It is a row, the message only a nudge."""
    desk.merge(desk.web, desk.spare)

    desk.engine.merge_hosts(threading.Event())

    assert desk.operator.get(f"/api/v1/hosts/{desk.spare}").status_code == 404


def test_merges_one_after_the_other_end_at_the_last_host(desk: Desk) -> None:
    """Tokens of the first stand for the third."""
    desk.merge(desk.spare, desk.web)
    desk.work()
    desk.merge(desk.mail, desk.spare)

    assert desk.merged_into() == [desk.mail, desk.mail]


@pytest.mark.parametrize("again", ["merge", "remove"])
def test_a_host_on_its_way_out_is_not_merged(desk: Desk, again: str) -> None:
    """409: two decisions about one host."""
    if again == "merge":
        desk.merge(desk.web, desk.spare)
    else:
        desk.operator.delete(f"/api/v1/hosts/{desk.spare}")

    assert desk.merge(desk.mail, desk.spare).status_code == 409
    assert desk.merge(desk.spare, desk.mail).status_code == 409


def test_a_host_is_not_merged_into_itself(desk: Desk) -> None:
    """422 with the place."""
    answer = desk.merge(desk.web, desk.web)

    assert (answer.status_code, answer.json["pointer"]) == (422, "$.json.host_id")


def test_both_hosts_must_be_in_the_scope_of_who_merges(desk: Desk, ask: Ask) -> None:
    """Nobody pulls a host out of another's sight."""
    with desk.database.transaction() as connection:
        connection.execute(
            update(user_account).where(user_account.c.username == "operator").values(scope=["tag:web"])
        )
    desk.operator = ask("operator")

    refused = [desk.merge(desk.web, desk.mail).status_code, desk.merge(desk.mail, desk.web).status_code]

    assert (refused, desk.merged_into()) == ([404, 404], [])
    assert desk.merge(desk.web, desk.spare).status_code == 202
    assert desk.merged_into() == [desk.web]


def test_a_merge_is_recorded_in_the_audit(desk: Desk, ask: Ask) -> None:
    """Who, which into which."""
    desk.merge(desk.web, desk.spare)

    [event] = ask("admin").get("/api/v1/audit?action=merge_hosts").json["items"]
    assert (event["actor"], event["object_id"], event["outcome"]) == ("operator", str(desk.web), "done")
    assert event["after"]["asked"]["host_id"] == str(desk.spare)


def test_a_renamed_host_still_says_what_it_calls_itself(desk: Desk) -> None:
    """Beside the name that operators gave it."""
    desk.operator.post(f"/api/v1/hosts/{desk.web}/rename", json={"hostname": "frontdoor"})

    desk.work()

    found = desk.operator.get(f"/api/v1/hosts/{desk.web}").json
    assert (found["hostname"], found["reported_hostname"]) == ("frontdoor", "web-01.example.com")
