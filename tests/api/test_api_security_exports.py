"""The lists of CVEs and of advisories as CSV and NDJSON: what the pages show, all of it, and nothing else."""

import csv
import io
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient
from patchbay_api.conventions import export
from patchbay_shared.db import Database
from patchbay_shared.tables import user_account
from sqlalchemy import text, update
from vulnerable_fleet import NOW, Seed

CVES = [
    ("/cves", "sort=-id", 6),
    ("/cves", "exposed=true&sort=-urgency", 3),
    ("/cves", "severity=critical", 2),
    ("/cves", "known_exploited=true&sort=-epss", 1),
    ("/cves", "q=0003&sort=-score", 1),
]
ADVISORIES = [
    ("/advisories", "sort=-issued_at", 5),
    ("/advisories", "outstanding=true&sort=-urgency", 2),
    ("/advisories", "severity=critical&sort=name", 2),
    ("/advisories", "known_exploited=true&sort=-hosts", 1),
    ("/advisories", "vendor=debian&type=security&package=bash", 3),
    ("/advisories", "q=5901", 1),
    ("/advisories", "cve=CVE-2024-0001", 2),
]
"""List, parameters, and how many rows they leave."""


@pytest.fixture
def fleet(seed: Any, database: Database, fleet_seed: ModuleType, count: Callable[[], None]) -> None:
    """Hosts of which some have bash, and advisories that are outstanding and that touch, or do not."""
    fleet_seed.seed_fleet(database, fleet_seed.HOSTS)

    def write(made: Seed) -> None:
        made.advisory("DSA-5764-1", "CVE-2024-0001", "bookworm openssl 3.0.17", severity="low")
        made.advisory("DSA-5901-1", "CVE-2024-0002", "bookworm openssl 3.0.17", severity="", days_ago=9)
        made.names("DSA-5901-1", "CVE-2024-0003", "CVE-2024-0006")
        made.advisory("DSA-1-1", "CVE-2024-0004", "bookworm bash 5.2-9", severity="critical", days_ago=5)
        made.advisory("DSA-2-1", "CVE-2024-0005", "bookworm bash 5.2-9", severity="", days_ago=30)
        made.advisory("DSA-3-1", "CVE-2024-0001", "bookworm bash 5.2-9", severity="medium", days_ago=1)
        made.score("CVE-2024-0003", 9.5, epss=0.5)
        made.exploited("CVE-2024-0003", due_on=NOW.date())
        made.host("old-1", "bookworm", "bash 5.2-1", tags=["web"])
        made.host("old-2", "bookworm", "bash 5.2-1", tags=["lab"])

    seed(write)
    count()


def pages(client: FlaskClient, path: str, query: str) -> list[dict[str, Any]]:
    """The whole list, by pages of two."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while cursor is not None:
        page = client.get(f"/api/v1{path}?{query}&limit=2" + (f"&cursor={cursor}" if cursor else "")).json
        found += page["items"]
        cursor = page["next_cursor"]
    assert page["total_count"] == len(found)
    return found


def whole(client: FlaskClient, path: str, query: str, format_: str) -> str:
    answer = client.get(f"/api/v1{path}?{query}&format={format_}&limit=1", buffered=True)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{path[1:]}.{format_}"'
    return str(answer.get_data(as_text=True))


def table(written: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(written)))


def in_a_cell(value: Any) -> str:
    """How the table writes what the list has."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    if isinstance(value, list | dict):
        return json.dumps(value, separators=(",", ":"))
    return "" if value is None else str(value)


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("batch", [2, 500])
def test_an_export_is_the_list_in_its_order_and_with_its_filters(
    viewer: FlaskClient, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every field of every row, whatever the batches and whatever `limit` says."""
    monkeypatch.setattr(export, "BATCH", batch)
    for path, query, count in (*CVES, *ADVISORIES):
        rows = pages(viewer, path, query)
        assert (path, query, len(rows)) == (path, query, count)

        assert [json.loads(line) for line in whole(viewer, path, query, "ndjson").splitlines()] == rows
        cells = [{name: in_a_cell(value) for name, value in row.items()} for row in rows]
        assert table(whole(viewer, path, query, "csv")) == cells


@pytest.mark.usefixtures("fleet")
def test_an_export_has_the_fields_that_are_asked_for(viewer: FlaskClient) -> None:
    """In the order in which they are named; an empty list still has its head."""
    assert (
        whole(viewer, "/advisories", "fields=host_count,name&q=5901", "csv") == "host_count,name\r\n4,DSA-5901-1\r\n"
    )
    assert whole(viewer, "/cves", "fields=id,severity_by&q=0004", "ndjson") == (
        '{"id":"CVE-2024-0004","severity_by":"DSA-1-1"}\n'
    )
    assert whole(viewer, "/cves", "fields=id,severity&q=no-such", "csv") == "id,severity\r\n"
    assert whole(viewer, "/advisories", "q=no-such", "ndjson") == ""


@pytest.mark.usefixtures("fleet")
def test_nothing_that_a_vendor_says_becomes_a_formula(viewer: FlaskClient, database: Database) -> None:
    """Neither a title nor an id nor who rated; the list of lines has it unchanged."""
    with database.transaction() as connection:
        connection.execute(
            text("UPDATE advisory SET title = '=HYPERLINK(1)', vendor_severity = '@x' WHERE name = 'DSA-2-1'")
        )
        connection.execute(text("UPDATE advisory_cve SET cve = '+CVE-1' WHERE cve = 'CVE-2024-0005'"))
        connection.execute(text("UPDATE cve SET provider = E'\\tnobody', vector = '-1+1'"))

    [row] = table(whole(viewer, "/advisories", "q=DSA-2-1", "csv"))
    assert (row["title"], row["vendor_severity"], row["cves"]) == ("'=HYPERLINK(1)", "'@x", "'+CVE-1")
    [row] = table(whole(viewer, "/cves", "q=0003", "csv"))
    assert (row["provider"], row["severity_by"], row["vector"]) == ("'\tnobody", "'\tnobody", "'-1+1")
    [line] = whole(viewer, "/advisories", "q=DSA-2-1", "ndjson").splitlines()
    assert json.loads(line)["title"] == "=HYPERLINK(1)"


@pytest.mark.usefixtures("fleet")
def test_an_export_counts_only_the_hosts_that_somebody_sees(
    database: Database, ask: Callable[[str], FlaskClient]
) -> None:
    """In a scope: its hosts' numbers and its hosts' rows, as in the pages."""
    with database.transaction() as connection:
        connection.execute(update(user_account).where(user_account.c.username == "viewer").values(scope=["tag:lab"]))
    client = ask("viewer")

    for path, query, _ in (*CVES, *ADVISORIES):
        found = [json.loads(line) for line in whole(client, path, query, "ndjson").splitlines()]
        assert found == pages(client, path, query)
    assert whole(client, "/advisories", "outstanding=true&fields=name", "csv") == "name\r\n"
    touched = table(whole(client, "/cves", "exposed=true&sort=-urgency&fields=id,host_count", "csv"))
    assert [each["host_count"] for each in touched] == ["1", "1", "1"]
    assert "2" in {each["host_count"] for each in table(whole(ask("admin"), "/cves", "exposed=true", "csv"))}
