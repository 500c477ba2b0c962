"""A host's token is followed by another: no moment at which a crash locks the host out."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.ingest.conftest import FLEET_TOKEN, Ingest
from tests.ingest.test_bad_input import bearer, enrol, report, revoke
from tests.ingest.test_sections import Machine

DAY = 86_400.0


@pytest.fixture(autouse=True)
def ask_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patchbay_ingest.identity.RECHECK_SECONDS", 0.0)


def rotate(ingest: Ingest, token: str) -> Any:
    return ingest.client.post("/api/v1/enrol/rotate", headers=bearer(token))


def status(ingest: Ingest, token: str) -> int:
    return int(report(ingest, token).status_code)


def test_the_former_token_ends_with_the_first_use_of_the_new_one(ingest: Ingest) -> None:
    """Until then both are valid; both speak for the same host."""
    host = enrol(ingest)
    answer = rotate(ingest, host["token"])

    assert (answer.status_code, answer.json["host_id"]) == (201, host["host_id"])
    fresh = answer.json["token"]
    assert fresh != host["token"]
    assert status(ingest, host["token"]) == 202
    assert status(ingest, fresh) == 202
    assert status(ingest, host["token"]) == 401
    assert status(ingest, fresh) == 202
    assert {str(each.host_id) for each in ingest.queue.headers} == {host["host_id"]}


def test_a_token_whose_successor_is_never_used_ends_in_time(ingest: Ingest) -> None:
    """A host that rotated and was put away may come back within 30 days."""
    host = enrol(ingest)
    fresh = rotate(ingest, host["token"]).json["token"]

    def pass_days(days: int) -> None:
        with ingest.owner.transaction() as connection:
            connection.execute(
                text("UPDATE host_credential SET expires_at = expires_at - make_interval(days => :days)"),
                {"days": days},
            )

    pass_days(29)
    assert status(ingest, host["token"]) == 202
    pass_days(2)
    assert status(ingest, host["token"]) == 401
    assert rotate(ingest, host["token"]).status_code == 401
    assert status(ingest, fresh) == 202


def test_a_host_that_lost_the_answer_asks_again(ingest: Ingest) -> None:
    """The token that nobody got is void."""
    host = enrol(ingest)
    lost, fresh = (rotate(ingest, host["token"]).json["token"] for _ in range(2))

    assert status(ingest, lost) == 401
    assert status(ingest, host["token"]) == 202
    assert status(ingest, fresh) == 202
    assert status(ingest, host["token"]) == 401


def test_a_revoked_host_gets_no_new_token(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even while an ingest process still remembers its token; a revocation voids both tokens of a rotation."""
    host = enrol(ingest)
    fresh = rotate(ingest, host["token"]).json["token"]
    revoke(ingest, host["host_id"])
    assert [status(ingest, each) for each in (host["token"], fresh)] == [401, 401]

    other = enrol(ingest, "h2.example.org", "m2")
    monkeypatch.setattr("patchbay_ingest.identity.RECHECK_SECONDS", 60.0)
    assert report(ingest, other["token"]).status_code == 202
    revoke(ingest, other["host_id"])
    assert rotate(ingest, other["token"]).status_code == 401


def test_only_a_host_s_own_token_is_rotated(ingest: Ingest) -> None:
    """An enrolment token is the operator's."""
    assert rotate(ingest, FLEET_TOKEN).status_code == 401
    assert rotate(ingest, "nobody's").status_code == 401
    assert ingest.client.post("/api/v1/enrol/rotate").status_code == 401


def test_enrolling_anew_ends_both_tokens(ingest: Ingest) -> None:
    """A machine that is set up again has one token."""
    host = enrol(ingest)
    fresh = rotate(ingest, host["token"]).json["token"]
    again = enrol(ingest)

    assert again["host_id"] == host["host_id"]
    assert [status(ingest, each) for each in (host["token"], fresh, again["token"])] == [401, 401, 202]


@pytest.fixture
def machine(ingest_with: Callable[..., Ingest], tmp_path: Path) -> Iterator[Machine]:
    made = Machine(ingest_with(engine=True), tmp_path)
    made.agent("enrol", "--token", FLEET_TOKEN)
    yield made
    made.stop()


def age(machine: Machine, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(machine.home / "token", (then, then))


def token(machine: Machine) -> str:
    return (machine.home / "token").read_text().strip()


def test_the_agent_rotates_by_itself_after_ninety_days(machine: Machine) -> None:
    """Beside a delivered report; its next one is the first use, and the host stays one."""
    before = token(machine)
    age(machine, 89)
    assert machine.report() == [202]
    assert token(machine) == before

    age(machine, 91)
    assert machine.report() == [202]
    assert token(machine) != before
    assert status(machine.ingest, before) == 202
    assert machine.report() == [202]
    assert status(machine.ingest, before) == 401
    assert machine.rows("SELECT count(*) FROM host") == [(1,)]


@pytest.mark.parametrize(("days", "rotated"), [("0", False), ("7", True)])
def test_the_settings_say_how_often(machine: Machine, days: str, rotated: bool) -> None:
    """0 for never."""
    with (machine.home / "agent.conf").open("a") as settings:
        settings.write(f"rotate_days = {days}\n")
    before = token(machine)
    age(machine, 400 if days == "0" else 8)

    assert machine.report() == [202]

    assert (token(machine) != before) is rotated


def test_a_crash_between_the_answer_and_the_file_locks_no_host_out(machine: Machine) -> None:
    """The server has given a token that the agent never wrote down."""
    before = token(machine)
    assert rotate(machine.ingest, before).status_code == 201

    assert machine.report() == [202]
    machine.agent("rotate")
    assert token(machine) != before
    assert (machine.home / "token").stat().st_mode & 0o777 == 0o600
    assert machine.report() == [202]
    assert status(machine.ingest, before) == 401
