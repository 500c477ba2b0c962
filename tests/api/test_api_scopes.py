"""Somebody who may see some hosts only sees nothing of the others, wherever they look."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from patchbay_api.app import openapi_document
from patchbay_shared.db import Database
from patchbay_shared.tables import host_group, host_label, metadata, user_account
from sqlalchemy import insert, text, update

Ask = Callable[[str], FlaskClient]
WEB = {"web-01.example.com", "web-02.example.com"}


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The six hosts of fleet_seed, of which two are tagged web."""
    return fleet_seed.seed_fleet(database, fleet_seed.HOSTS)


@pytest.fixture
def confine(database: Database, ask: Ask) -> Callable[..., FlaskClient]:
    """Sign in as the person of a role who may see these hosts only."""

    def confined(role: str, *scope: str) -> FlaskClient:
        with database.transaction() as connection:
            connection.execute(
                update(user_account).where(user_account.c.username == role).values(scope=list(scope) or None)
            )
        return ask(role)

    return confined


def _names(client: FlaskClient, path: str = "/api/v1/hosts?limit=500") -> set[str]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return {each["hostname"] for each in answer.json["items"]}


def test_a_tag_confines_lists_and_counts(confine: Callable[..., FlaskClient], fleet: Any) -> None:
    """The list, its total, its search, and every figure of the dashboard."""
    client = confine("viewer", "tag:web")

    totals = client.get("/api/v1/dashboard").json

    assert _names(client) == WEB
    assert client.get("/api/v1/hosts?q=db-01").json["total_count"] == 0
    assert totals["hosts"]["hosts"] == 2
    assert sum(each["hosts"] for each in totals["operating_systems"]) == 2
    assert totals["waiting_host_count"] == 0


def test_tags_that_operators_set_count_as_those_that_hosts_report(
    confine: Callable[..., FlaskClient], fleet: Any, database: Database
) -> None:
    """A scope does not ask who said it."""
    with database.transaction() as connection:
        connection.execute(
            insert(host_label).values(host_id=fleet.hosts["db-01.example.com"], tags=["web"], changed_by="x")
        )

    assert _names(confine("viewer", "tag:web")) == WEB | {"db-01.example.com"}


def test_a_group_confines_as_well(confine: Callable[..., FlaskClient], fleet: Any, database: Database) -> None:
    """Terms add up: a host needs one of them."""
    with database.transaction() as connection:
        [group] = connection.execute(insert(host_group).values(name="lab").returning(host_group.c.id)).one()
        connection.execute(
            insert(host_label).values(host_id=fleet.hosts["mail.example.com"], group_id=group, changed_by="x")
        )

    assert _names(confine("viewer", "group:lab")) == {"mail.example.com"}
    assert _names(confine("viewer", "group:lab", "tag:web")) == WEB | {"mail.example.com"}
    assert _names(confine("viewer", "group:gone")) == set()


def test_a_token_narrows_further_and_never_widens(
    app: Flask, confine: Callable[..., FlaskClient], fleet: Any
) -> None:
    """A host must be in the scope of the owner and in that of the token."""
    owner = confine("viewer", "tag:web")
    seen = []
    for scope in (["tag:production"], ["tag:nothing"], None):
        made = owner.post("/api/v1/tokens", json={"name": "x", "scope": scope}).json
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {made['token']}"
        seen.append(_names(client))

    assert seen == [WEB, set(), WEB]


def test_the_next_request_on_the_same_connection_is_not_confined(
    app: Flask, confine: Callable[..., FlaskClient], ask: Ask, fleet: Any
) -> None:
    """The scope ends with its transaction."""
    narrow, wide = confine("viewer", "tag:web"), ask("operator")

    seen = [len(_names(client)) for client in (narrow, wide, narrow, wide) * 4]

    assert seen == [2, 6, 2, 6] * 4


def test_every_table_of_hosts_is_confined(database: Database) -> None:
    """Also those that somebody adds later: a column host_id is enough, and a count of the fleet has to say so."""
    with database.transaction() as connection:
        views = set(connection.scalars(text("SELECT viewname FROM pg_views WHERE schemaname = 'patchbay_scoped'")))
    of_hosts = {table.name for table in metadata.sorted_tables if "host_id" in table.c}
    of_fleet = {table.name for table in metadata.sorted_tables if table.info.get("whole_fleet")}

    assert views == of_hosts | of_fleet | {"host", "host_group", "risk_exception"}


def _paths(parameters: dict[str, Any], *, method: str) -> list[str]:
    """Every operation of a method, its parameters filled in."""
    found = []
    for path, operations in sorted(openapi_document()["paths"].items()):
        if method not in operations:
            continue
        filled = path
        for name, value in parameters.items():
            filled = filled.replace(f"{{{name}}}", str(value))
        if "{" not in filled:
            found.append(filled)
    return found


def _parameters(fleet: Any, host: str) -> dict[str, Any]:
    return {
        "host_id": fleet.hosts[host],
        "receipt_id": fleet.receipt,
        "repository_id": next(iter(fleet.repositories.values())),
        "cve_id": "CVE-2024-0001",
        "name": "openssl",
    }


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_no_read_shows_anything_of_a_host_out_of_scope(
    confine: Callable[..., FlaskClient], fleet: Any, role: str
) -> None:
    """Every GET of the document is asked; neither a name nor an id of another host is in any answer."""
    client = confine(role, "tag:mail-only")
    hidden = {*fleet.hosts, *map(str, fleet.hosts.values())}
    paths = _paths(_parameters(fleet, "web-01.example.com"), method="get")

    shown = {}
    for path in paths:
        answer = client.get(path)
        assert answer.status_code < 500, path
        if answer.status_code == 200 and (found := {each for each in hidden if each in answer.text}):
            shown[path] = found

    assert len(paths) > 30
    assert shown == {}


@pytest.mark.parametrize("method", ["get", "post", "patch", "delete"])
def test_an_address_below_a_host_out_of_scope_does_not_exist(
    confine: Callable[..., FlaskClient], ask: Ask, fleet: Any, method: str
) -> None:
    """404 as for a host that never was, or a refusal of the role or the body: never a success (IDOR)."""
    client = confine("operator", "tag:web")
    theirs = _parameters(fleet, "db-01.example.com")
    paths = [path for path in _paths(theirs, method=method) if str(theirs["host_id"]) in path]

    answers = {path: client.open(path, method=method.upper(), json=_body(method)).status_code for path in paths}

    allowed = {403, 404, 422} if method != "get" else {404, 422}
    assert {
        path: status for path, status in answers.items() if status not in allowed and "receipts" not in path
    } == {}


def _body(method: str) -> dict[str, Any] | None:
    return {} if method in {"post", "patch"} else None


def test_receipts_and_reports_of_other_hosts_do_not_exist(confine: Callable[..., FlaskClient], fleet: Any) -> None:
    """Neither in the list nor by their ids."""
    inside, outside = confine("operator", "tag:web"), confine("admin", "tag:db")
    receipt: UUID = fleet.receipt

    assert inside.get(f"/api/v1/receipts/{receipt}").status_code == 200
    assert outside.get(f"/api/v1/receipts/{receipt}").status_code == 404
    assert outside.get(f"/api/v1/receipts/{receipt}/report").status_code == 404
    assert outside.post(f"/api/v1/receipts/{receipt}/reprocess").status_code == 404
    assert outside.get("/api/v1/receipts").json["total_count"] == 0


def test_repositories_count_the_hosts_in_scope(confine: Callable[..., FlaskClient], fleet: Any) -> None:
    """The catalogue is everybody's, the number of hosts is not."""
    wide = confine("viewer").get("/api/v1/repositories").json["items"]
    narrow = confine("viewer", "tag:web").get("/api/v1/repositories").json["items"]

    assert [each["name"] for each in narrow] == [each["name"] for each in wide]
    assert max(each["host_count"] for each in wide) == 6
    assert max(each["host_count"] for each in narrow) == 2


def test_a_host_in_scope_can_be_labelled(confine: Callable[..., FlaskClient], fleet: Any) -> None:
    """Writes go through the same views."""
    client = confine("operator", "tag:web")

    answer = client.patch(f"/api/v1/hosts/{fleet.hosts['web-01.example.com']}", json={"notes": "behind the balancer"})

    assert answer.status_code == 200, json.dumps(answer.json)
    assert answer.json["notes"] == "behind the balancer"
