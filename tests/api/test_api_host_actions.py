"""What operators do with hosts: one, or all that a query finds; the jobs that follow; views; removed hosts."""

import json
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import zstandard
from flask.testing import FlaskClient
from kombu import Connection
from patchbay_shared.bus import Bus, Delivery
from patchbay_shared.db import Database
from patchbay_shared.messages import (
    HOSTS_OPERATED,
    MESSAGE_DEAD,
    OPERATOR,
    SYNC_NUDGES,
    QueueSpec,
    ReportReceived,
)
from patchbay_shared.report import Report, ReportPackage
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import (
    host,
    repository,
    user_account,
)
from patchbay_update_engine.handlers import Engine
from patchbay_update_engine.operated import operate
from sqlalchemy import func, insert, select, update


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The six hosts of fleet_seed."""
    return fleet_seed.seed_fleet(database, fleet_seed.HOSTS)


@pytest.fixture
def operator(ask: Callable[[str], FlaskClient]) -> FlaskClient:
    """A client signed in as an operator."""
    return ask("operator")


@pytest.fixture
def engine(database_of: Callable[[str | None], Database], bus: Bus) -> Engine:
    """An update-engine under its own database role."""
    return Engine(settings_from({}), database_of("update-engine"), bus)


@pytest.fixture
def work(engine: Engine, database_of: Callable[[str | None], Database], bus: Bus) -> Callable[[], int]:
    """Let the engine do what is in its operators' queue; how many messages that were."""
    own = database_of("update-engine")

    def done() -> int:
        bodies = _queued(bus, OPERATOR)
        for body in bodies:
            operate(own, body, engine.evaluate_hosts)
        return len(bodies)

    return done


def _queued(bus: Bus, queue: QueueSpec) -> list[bytes]:
    bodies = []
    with Connection(bus.url) as connection:
        while (message := connection.default_channel.basic_get(queue.name)) is not None:
            body = message.body
            bodies.append(body if isinstance(body, bytes) else str(body).encode())
            connection.default_channel.basic_ack(message.delivery_tag)
    return bodies


def _act(client: FlaskClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/hosts/actions", json=body)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json
    return found


def _tags(client: FlaskClient) -> dict[str, list[str]]:
    rows = client.get("/api/v1/hosts").json["items"]
    return {each["hostname"].split(".")[0]: each["operator_tags"] for each in rows if each["operator_tags"]}


def test_a_dry_run_says_how_many_and_which_and_does_nothing(operator: FlaskClient, fleet: Any) -> None:
    """Neither a tag nor a job."""
    found = _act(operator, action="tag", query="tag:web", tags=["pci"], dry_run=True)

    assert (found["matched_count"], found["job"]) == (2, None)
    assert [each["hostname"] for each in found["first"]] == ["web-01.example.com", "web-02.example.com"]
    assert _tags(operator) == {}
    assert operator.get("/api/v1/jobs").json["items"] == []


def test_tags_are_set_and_taken_on_all_that_a_query_finds(operator: FlaskClient, fleet: Any) -> None:
    """Other tags stay; the job is done at once and says by whom."""
    _act(operator, action="tag", query="os:debian db", tags=["db"])
    job = _act(operator, action="tag", query="tag:web or db", tags=["pci", "a"])["job"]
    _act(operator, action="untag", query="web-01", tags=["a"])

    assert _tags(operator) == {"db-01": ["a", "db", "pci"], "web-01": ["pci"], "web-02": ["a", "pci"]}
    assert (job["state"], job["total_count"], job["done_count"]) == ("done", 3, 3)
    assert (job["requested_by"], job["query"]) == ("operator", "tag:web or db")
    assert job["parameters"] == {"tags": ["pci", "a"]}


def test_there_is_no_limit_of_rows(operator: FlaskClient, fleet: Any, database: Database) -> None:
    """More hosts than any page has."""
    with database.transaction() as connection:
        columns = [c for c in host.c if c.name not in ("id", "hostname")]
        rows = select(
            func.gen_random_uuid(), "bulk-" + func.generate_series(1, 700).cast(host.c.hostname.type), *columns
        )
        connection.execute(
            insert(host).from_select(
                ["id", "hostname", *(c.name for c in columns)], rows.where(host.c.hostname == "db-01.example.com")
            )
        )

    assert _act(operator, action="tag", query="bulk-*", tags=["many"])["matched_count"] == 700
    assert operator.get("/api/v1/hosts?tag=many&limit=1").json["total_count"] == 700


def test_hosts_are_put_into_a_group_and_out_of_it(operator: FlaskClient, fleet: Any) -> None:
    """By the name of the group."""
    operator.post("/api/v1/groups", json={"name": "lab"})
    _act(operator, action="group", query="web", group="lab")
    assert operator.get("/api/v1/hosts?group=lab").json["total_count"] == 2
    _act(operator, action="group", query="web-01", group=None)

    assert operator.get("/api/v1/hosts?group=lab").json["total_count"] == 1


def test_an_evaluation_is_followed_part_by_part(
    operator: FlaskClient, fleet: Any, work: Callable[[], int], monkeypatch: pytest.MonkeyPatch, bus: Bus
) -> None:
    """The job runs until the engine has done all its parts; a part that comes twice counts once."""
    monkeypatch.setattr("patchbay_api.store.jobs.PART", 1)
    job = _act(operator, action="evaluate", query="web")["job"]
    assert (job["state"], job["total_count"], job["done_count"], job["finished_at"]) == ("running", 2, 0, None)

    bodies = _queued(bus, OPERATOR)
    for body in [bodies[0], *bodies]:
        bus.publish(HOSTS_OPERATED, body)
    assert work() == 3
    job = operator.get(f"/api/v1/jobs/{job['id']}").json
    assert (job["state"], job["done_count"], job["failed_count"]) == ("done", 2, 0)
    assert job["finished_at"]


def test_a_part_that_cannot_be_handled_ends_the_job_with_its_reason(
    operator: FlaskClient, fleet: Any, engine: Engine, bus: Bus
) -> None:
    """A job never runs for ever."""
    job = _act(operator, action="evaluate", query="web")["job"]
    [body] = _queued(bus, OPERATOR)
    headers = {"x-patchbay-routing-key": HOSTS_OPERATED, "x-patchbay-error": "KeyError: 'x'"}
    engine.message_died(Delivery(MESSAGE_DEAD, headers, body))

    job = operator.get(f"/api/v1/jobs/{job['id']}").json
    assert (job["state"], job["failed_count"], job["message"]) == ("done", 2, "KeyError: 'x'")


def test_a_job_leads_to_what_it_is_about(operator: FlaskClient, fleet: Any) -> None:
    """Its hosts, also once they fit its query no more, and the repositories that it asked for."""
    job = _act(operator, action="tag", query="web not tag:frontend", tags=["frontend"])["job"]
    crawl = _act(operator, action="refresh", query="db-01")["job"]

    hosts = operator.get("/api/v1/hosts", query_string={"query": f"job:{job['id']}"}).json
    repositories = operator.get(f"/api/v1/repositories?job={crawl['id']}").json

    assert [each["hostname"] for each in hosts["items"]] == ["web-01.example.com", "web-02.example.com"]
    assert repositories["total_count"] == crawl["total_count"] == 2
    answer = operator.get("/api/v1/hosts?query=job:mine")
    assert (answer.status_code, answer.json["position"]) == (422, 4)


def test_the_repositories_of_hosts_are_refreshed_and_followed(
    operator: FlaskClient, fleet: Any, bus: Bus, database: Database
) -> None:
    """Each once, however many hosts use it."""
    job = _act(operator, action="refresh", query="web")["job"]
    [nudge] = _queued(bus, SYNC_NUDGES)
    assert sorted(json.loads(nudge)["repository_ids"]) == sorted(str(each) for each in fleet.repositories.values())
    assert (job["total_count"], job["done_count"], job["state"]) == (3, 0, "running")

    with database.transaction() as connection:
        connection.execute(update(repository).values(checked_at=func.now()))
    job = operator.get(f"/api/v1/jobs/{job['id']}").json
    assert (job["done_count"], job["state"]) == (3, "done")


def test_hosts_are_removed_by_a_query_and_followed(
    operator: FlaskClient, fleet: Any, work: Callable[[], int]
) -> None:
    """As one alone is removed; the job says how many."""
    job = _act(operator, action="delete", query="web")["job"]
    assert (job["state"], job["total_count"]) == ("running", 2)

    assert work() == 1
    assert operator.get("/api/v1/hosts?q=web").json["total_count"] == 0
    job = operator.get(f"/api/v1/jobs/{job['id']}").json
    assert (job["state"], job["done_count"]) == ("done", 2)


def test_a_name_that_an_operator_gave_outlives_reports(
    operator: FlaskClient, fleet: Any, work: Callable[[], int], engine: Engine
) -> None:
    """And an empty one gives the host its own back."""
    number = fleet.hosts["db-01.example.com"]
    operator.post(f"/api/v1/hosts/{number}/rename", json={"hostname": "Primary"})
    work()
    _report(engine, number, hostname="db-01.example.com")
    assert operator.get(f"/api/v1/hosts/{number}").json["hostname"] == "primary"

    operator.post(f"/api/v1/hosts/{number}/rename", json={"hostname": ""})
    work()
    assert operator.get(f"/api/v1/hosts/{number}").json["hostname"] == "db-01.example.com"


def test_waiting_hosts_are_let_in_together(operator: FlaskClient, fleet: Any) -> None:
    """All, or those of a name; a dry run first."""
    asked = {"q": "waiting", "dry_run": True}
    assert operator.post("/api/v1/waiting-hosts/approve", json=asked).json["matched_count"] == 1
    assert operator.post("/api/v1/waiting-hosts/approve", json={"q": "other"}).json["matched_count"] == 0
    assert operator.post("/api/v1/waiting-hosts/approve", json={}).json["job"]["action"] == "approve"

    assert operator.get("/api/v1/waiting-hosts").json["items"] == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"action": "evaluate"}, "$.json.query"),
        ({"action": "tag", "query": ""}, "$.json.tags"),
        ({"action": "group", "query": "", "group": "nowhere"}, "$.json.group"),
        ({"action": "tag", "query": "", "tags": ["two words"]}, "$.json.tags[0]"),
        ({"action": "evaluate", "query": "colour:red"}, "$.json.query"),
        ({"action": "explode", "query": ""}, "$.json.action"),
    ],
)
def test_an_action_that_is_not_clear_is_refused(
    operator: FlaskClient, fleet: Any, body: dict[str, Any], pointer: str
) -> None:
    """No query at all is not every host: an empty one is."""
    answer = operator.post("/api/v1/hosts/actions", json=body)

    assert (answer.status_code, answer.json["pointer"]) == (422, pointer)


def test_somebody_with_a_scope_acts_on_their_hosts_only(
    ask: Callable[[str], FlaskClient], fleet: Any, database: Database
) -> None:
    """And sees no job of others."""
    _act(ask("admin"), action="tag", query="", tags=["all"])
    with database.transaction() as connection:
        connection.execute(
            update(user_account).where(user_account.c.username == "operator").values(scope=["tag:web"])
        )
    scoped = ask("operator")

    assert _act(scoped, action="tag", query="", tags=["mine"])["matched_count"] == 2
    assert [each["parameters"]["tags"] for each in scoped.get("/api/v1/jobs").json["items"]] == [["mine"]]
    other = fleet.hosts["db-01.example.com"]
    assert scoped.post(f"/api/v1/hosts/{other}/rename", json={"hostname": "x"}).status_code == 404


def test_views_are_ones_own_or_shared(ask: Callable[[str], FlaskClient]) -> None:
    """Others see what is shared, and only its owner changes it."""
    owner, other = ask("operator"), ask("viewer")
    mine = owner.post("/api/v1/views", json={"name": "mine", "query": "security>0"}).json
    shared = owner.post("/api/v1/views", json={"name": "shared", "query": "tag:web", "shared": True}).json

    assert [each["name"] for each in owner.get("/api/v1/views").json["items"]] == ["mine", "shared"]
    assert [(each["name"], each["mine"]) for each in other.get("/api/v1/views").json["items"]] == [("shared", False)]
    assert other.get(f"/api/v1/views/{mine['id']}").status_code == 404
    assert other.patch(f"/api/v1/views/{shared['id']}", json={"query": ""}).status_code == 403
    changed = owner.patch(f"/api/v1/views/{shared['id']}", json={"columns": ["hostname"], "name": "web"}).json
    assert (changed["columns"], changed["name"], changed["query"]) == (["hostname"], "web", "tag:web")
    assert owner.patch(f"/api/v1/views/{shared['id']}", json={"name": "mine"}).status_code == 422
    refused = owner.post("/api/v1/views", json={"name": "x", "query": "colour:red"})
    assert (refused.status_code, refused.json["pointer"]) == (422, "$.json.query")
    assert owner.delete(f"/api/v1/views/{mine['id']}").status_code == 204


def _report(engine: Engine, host_id: UUID, *, hostname: str = "web-01.example.com") -> None:
    report = Report(
        hostname=hostname,
        os="linux",
        arch="x86_64",
        package_manager="apt",
        packages=[ReportPackage(type="deb", name="bash", version="5.2", arch="amd64")],
        repos=[],
    )
    header = ReportReceived(uuid4(), host_id, time.time() + 60, "00", 10)
    engine.store_report(header, zstandard.compress(msgspec.msgpack.encode(report)))
