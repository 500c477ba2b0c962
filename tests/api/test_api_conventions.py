"""What all operations have in common: exports, chosen fields, repeated writes, limits, origins, compression."""

import csv
import gzip
import io
import json
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient
from patchbay_api.app import make_app, openapi_document
from patchbay_api.conventions import export
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.errors import StartupError
from patchbay_shared.service import Context
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import host, host_group, kept_answer, user_account
from sqlalchemy import event, func, select, update


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The six hosts of fleet_seed."""
    return fleet_seed.seed_fleet(database, fleet_seed.HOSTS)


@pytest.fixture
def operator(ask: Callable[[str], FlaskClient]) -> FlaskClient:
    """A client signed in as an operator."""
    return ask("operator")


def _csv(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))


def test_a_list_is_exported_whole_as_csv(viewer: FlaskClient, fleet: Any) -> None:
    """Filters and order hold, pages do not."""
    chosen = "sort=-security&security=true&limit=1&fields=hostname,security,tags"
    answer = viewer.get(f"/api/v1/hosts?format=csv&{chosen}")

    assert (answer.mimetype, answer.headers["Content-Disposition"]) == (
        "text/csv",
        'attachment; filename="hosts.csv"',
    )
    assert [list(each.values()) for each in _csv(answer)] == [
        ["mail.example.com", "2", "production"],
        ["web-01.example.com", "2", "production, web"],
        ["web-02.example.com", "2", "production, web"],
        ["build-arm.example.com", "1", "production"],
    ]


def test_the_header_accept_asks_for_an_export_as_well(viewer: FlaskClient, fleet: Any) -> None:
    """NDJSON has the rows of the pages, one a line."""
    answer = viewer.get("/api/v1/hosts", headers={"Accept": "application/x-ndjson"})

    rows = [json.loads(line) for line in answer.get_data().splitlines()]
    assert rows == viewer.get("/api/v1/hosts").json["items"]


@pytest.mark.parametrize("batch", [1, 2, 6, 500])
def test_an_export_has_every_row_once_whatever_the_batches(
    viewer: FlaskClient, fleet: Any, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Also where the last batch is full."""
    monkeypatch.setattr(export, "BATCH", batch)
    answer = viewer.get("/api/v1/hosts?format=ndjson&fields=hostname")

    assert len({*answer.get_data().splitlines()}) == len(answer.get_data().splitlines()) == 6


def test_an_export_shows_one_moment(
    viewer: FlaskClient, fleet: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes while it runs is not in it."""
    monkeypatch.setattr(export, "BATCH", 1)
    answer = viewer.get("/api/v1/hosts?format=ndjson&fields=kernel")
    chunks = iter(answer.response)
    next(chunks)
    with database.transaction() as connection:
        connection.execute(update(host).values(kernel="changed"))

    assert b"changed" not in b"".join(chunks)


def test_an_export_opens_one_cursor_and_counts_nothing(
    viewer: FlaskClient, fleet: Any, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list itself is asked for once."""
    monkeypatch.setattr(export, "BATCH", 2)
    statements: list[str] = []
    engine = app.extensions["patchbay"].database.engine
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    viewer.get("/api/v1/hosts?format=csv").get_data()

    assert len([each for each in statements if "ORDER BY host.hostname" in each]) == 1
    assert not [each for each in statements if "count(*) AS count" in each and "host" in each.split("WHERE")[0]]


def test_an_export_has_only_the_hosts_that_somebody_sees(
    ask: Callable[[str], FlaskClient], fleet: Any, database: Database
) -> None:
    """A scope narrows exports and queries as it narrows pages."""
    with database.transaction() as connection:
        connection.execute(update(user_account).where(user_account.c.username == "viewer").values(scope=["tag:web"]))
    viewer = ask("viewer")

    exported = viewer.get("/api/v1/hosts?format=csv&fields=hostname&query=package:openssl", buffered=True)
    assert [each["hostname"] for each in _csv(exported)] == ["web-01.example.com", "web-02.example.com"]
    offered = viewer.get("/api/v1/query/complete?text=name:").json["items"]
    assert [each["text"] for each in offered] == ["web-01.example.com", "web-02.example.com"]


def test_no_more_exports_than_the_process_can_bear(
    viewer: FlaskClient, fleet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is told to come again, and the place is free when one has ended."""
    monkeypatch.setattr(export, "_running", threading.BoundedSemaphore(1))
    first = viewer.get("/api/v1/hosts?format=csv", buffered=False)

    refused = viewer.get("/api/v1/hosts?format=csv")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
    first.close()
    assert viewer.get("/api/v1/hosts?format=csv").status_code == 200


def test_nothing_that_a_host_says_becomes_a_formula(viewer: FlaskClient, fleet: Any, database: Database) -> None:
    """Spreadsheets compute cells that begin with an equals sign."""
    with database.transaction() as connection:
        connection.execute(update(host).values(kernel="=HYPERLINK(1)"))

    [row] = _csv(viewer.get("/api/v1/hosts?format=csv&q=db-01"))
    assert row["kernel"] == "'=HYPERLINK(1)"


def test_every_list_can_be_exported(ask: Callable[[str], FlaskClient], fleet: Any) -> None:
    """A list that is new can be as well: the document is asked which there are."""
    admin = ask("admin")
    lists = [
        path
        for path, operations in openapi_document()["paths"].items()
        if "text/csv" in operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
    ]
    assert len(lists) > 10
    for path in lists:
        address = path.replace("{host_id}", str(fleet.hosts["web-01.example.com"]))
        if "{" not in address and admin.get(address).status_code == 200:
            answer = admin.get(address, query_string={"format": "csv"}, buffered=True)
            assert (answer.status_code, answer.mimetype) == (200, "text/csv"), answer.text


def test_a_page_has_only_the_fields_that_are_asked_for(viewer: FlaskClient, fleet: Any) -> None:
    """And says which; an unknown one is named."""
    answer = viewer.get("/api/v1/hosts?fields=security,hostname&limit=1")

    assert answer.json["items"] == [{"hostname": "build-arm.example.com", "security": 1}]
    assert answer.json["fields"] == ["security", "hostname"]
    refused = viewer.get("/api/v1/hosts?fields=hostname,colour")
    assert (refused.status_code, refused.json["pointer"]) == (422, "$.query.fields")


def test_answers_are_compressed_where_that_is_wanted(viewer: FlaskClient, fleet: Any) -> None:
    """The content is the same, and so is its tag."""
    plain = viewer.get("/api/v1/hosts")
    packed = viewer.get("/api/v1/hosts", headers={"Accept-Encoding": "gzip"})
    exported = viewer.get("/api/v1/hosts?format=csv", headers={"Accept-Encoding": "gzip"})

    assert packed.headers["Content-Encoding"] == exported.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.get_data()) == plain.get_data()
    assert gzip.decompress(exported.get_data()) == viewer.get("/api/v1/hosts?format=csv").get_data()
    again = viewer.get("/api/v1/hosts", headers={"If-None-Match": packed.headers["ETag"]})
    assert again.status_code == 304


def test_a_repeated_write_is_done_once(operator: FlaskClient, database: Database) -> None:
    """The second answer is the first one."""
    headers = {"Idempotency-Key": "a1"}
    first, second = (operator.post("/api/v1/groups", json={"name": "lab"}, headers=headers) for _ in range(2))

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json == second.json
    assert ("Idempotency-Replayed" in first.headers, "Idempotency-Replayed" in second.headers) == (False, True)
    with database.transaction() as connection:
        assert connection.scalar(select(func.count()).select_from(host_group)) == 1
        assert b"lab" not in connection.scalar(select(kept_answer.c.sealed))


def test_a_key_is_for_one_request_of_one_person(operator: FlaskClient, ask: Callable[[str], FlaskClient]) -> None:
    """Another body is refused; another person's key is another key."""
    headers = {"Idempotency-Key": "a1"}
    operator.post("/api/v1/groups", json={"name": "lab"}, headers=headers)

    refused = operator.post("/api/v1/groups", json={"name": "office"}, headers=headers)
    assert (refused.status_code, refused.json["pointer"]) == (422, "$.headers.Idempotency-Key")
    assert ask("admin").post("/api/v1/groups", json={"name": "office"}, headers=headers).status_code == 201


def test_a_refused_write_may_be_tried_again(operator: FlaskClient) -> None:
    """Only what was done is kept."""
    headers = {"Idempotency-Key": "a1"}
    number = operator.post("/api/v1/groups", json={"name": "lab"}).json["id"]
    assert operator.post("/api/v1/groups", json={"name": "lab"}, headers=headers).status_code == 422
    operator.delete(f"/api/v1/groups/{number}")

    assert operator.post("/api/v1/groups", json={"name": "lab"}, headers=headers).status_code == 201


def test_a_key_whose_request_is_at_work_is_told_to_wait(operator: FlaskClient, database: Database) -> None:
    """Two at once must not both do it; a process that died frees its keys in time."""
    headers = {"Idempotency-Key": "a1"}
    operator.post("/api/v1/groups", json={"name": "lab"}, headers=headers)
    with database.transaction() as connection:
        connection.execute(update(kept_answer).values(status=None))
    assert operator.post("/api/v1/groups", json={"name": "lab"}, headers=headers).status_code == 409

    with database.transaction() as connection:
        connection.execute(update(kept_answer).values(created_at=func.now() - func.make_interval(0, 0, 0, 0, 1)))
    assert operator.post("/api/v1/groups", json={"name": "lab"}, headers=headers).status_code == 422


def test_one_person_asks_only_so_often(database_of: Callable[[str | None], Database], database: Database) -> None:
    """Each has a limit of their own, and is told how long to wait."""
    app = make_app(Context(settings_from({}, api_requests_per_minute=3), database_of("api"), Bus("memory://")))

    def signed_in(name: str) -> FlaskClient:
        client = app.test_client()
        answer = client.post("/api/v1/sessions", json={"username": name, "password": "correct horse"})
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {answer.json['token']}"
        return client

    viewer = signed_in("viewer")
    answers = [viewer.get("/api/v1/me") for _ in range(4)]

    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 20
    assert signed_in("admin").get("/api/v1/me").status_code == 200


def test_pages_of_other_origins_are_let_in_by_name_only(
    viewer: FlaskClient, database_of: Callable[[str | None], Database]
) -> None:
    """Off unless it is set; never for everybody."""
    asked = {"Origin": "https://tool.example.org", "Access-Control-Request-Method": "GET"}
    assert "Access-Control-Allow-Origin" not in viewer.get("/api/v1/me", headers=asked).headers

    settings = settings_from({"PATCHBAY_CORS_ORIGINS": "https://tool.example.org"})
    client = make_app(Context(settings, database_of("api"), Bus("memory://"))).test_client()
    allowed = client.options("/api/v1/hosts", headers=asked)
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://tool.example.org"
    assert "Authorization" in allowed.headers["Access-Control-Allow-Headers"]
    other = client.options("/api/v1/hosts", headers={**asked, "Origin": "https://evil.example.org"})
    assert "Access-Control-Allow-Origin" not in other.headers
    with pytest.raises(StartupError, match="CORS_ORIGINS"):
        settings_from({"PATCHBAY_CORS_ORIGINS": "*"})
