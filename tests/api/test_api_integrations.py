"""What other tools read: Ansible's inventory, Prometheus' targets, a calendar, MCP."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient
from icalendar import Calendar
from mcp import Client
from patchbay_shared.db import Database
from patchbay_shared.tables import host_exposure, lifecycle
from sqlalchemy import insert

from patchbay.mcp_server import decoded, make_server


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The six hosts of fleet_seed."""
    return fleet_seed.seed_fleet(database, fleet_seed.HOSTS)


def test_ansible_gets_hosts_in_groups_with_variables(viewer: FlaskClient, fleet: Any) -> None:
    """As an inventory script prints with --list; names are such that Ansible takes them."""
    found = viewer.get("/api/v1/inventory/ansible").json

    assert found["tag_web"]["hosts"] == ["web-01.example.com", "web-02.example.com"]
    assert found["os_rocky_linux_9_5_blue_onyx"]["hosts"] == ["mail.example.com"]
    assert found["restart_required"]["hosts"] == ["web-01.example.com"]
    assert found["_meta"]["hostvars"]["web-01.example.com"]["patchbay_security"] == 2
    assert set(found["all"]["children"]) == found.keys() - {"_meta", "all"}
    assert len(found["all"]["hosts"]) == 6


def test_an_inventory_takes_the_parameters_of_the_list_of_hosts(viewer: FlaskClient, fleet: Any) -> None:
    """Only what is asked for."""
    found = viewer.get("/api/v1/inventory/ansible?tag=web&reboot=true").json

    assert found["all"]["hosts"] == ["web-01.example.com"]


def test_prometheus_gets_targets_with_labels(viewer: FlaskClient, fleet: Any) -> None:
    """As http_sd_configs reads it."""
    found = viewer.get("/api/v1/inventory/prometheus?q=mail&port=9182").json

    assert found == [
        {
            "targets": ["mail.example.com:9182"],
            "labels": {
                "__meta_patchbay_id": str(fleet.hosts["mail.example.com"]),
                "__meta_patchbay_os": "Rocky Linux 9.5 (Blue Onyx)",
                "__meta_patchbay_arch": "x86_64",
                "__meta_patchbay_group": "",
                "__meta_patchbay_tags": ",production,",
            },
        }
    ]


def test_a_calendar_holds_due_dates_and_ends_of_releases(viewer: FlaskClient, fleet: Any, database: Database) -> None:
    """One entry a day, read by the library of others."""
    counts = dict.fromkeys(
        ("exposed_count", "fixable_count", "restart_count", "exploited_count", "overdue_count", "waived_count"), 1
    )
    with database.transaction() as connection:
        for name in ("web-01", "web-02"):
            connection.execute(
                insert(host_exposure).values(
                    host_id=fleet.hosts[f"{name}.example.com"], basis="x", next_due_on=date(2030, 5, 1),
                    worst_cve="CVE-2026-0001",
                    counted_at=datetime.now(UTC), **counts,
                )
            )  # fmt: skip
        connection.execute(
            insert(lifecycle).values(
                ecosystem="debian", version="12", codename="bookworm", name="Debian 12", source="x",
                ends_on=date(2028, 6, 30),
            )
        )  # fmt: skip

    answer = viewer.get("/api/v1/calendar")

    entries = {str(each["summary"]): each for each in Calendar.from_ical(answer.data).walk("VEVENT")}
    assert answer.content_type == "text/calendar; charset=utf-8"
    assert entries["Fixes due on 2 hosts"]["dtstart"].dt == date(2030, 5, 1)
    assert "web-02.example.com: CVE-2026-0001 first" in entries["Fixes due on 2 hosts"]["description"]
    assert entries["Debian 12: last day of security updates"]["dtstart"].dt == date(2028, 6, 30)


def test_an_api_token_may_be_the_password_of_a_read(ask: Callable[[str], FlaskClient], app: Any, fleet: Any) -> None:
    """Calendars know nothing but basic authentication; nothing is changed that way."""
    made = ask("admin").post("/api/v1/tokens", json={"name": "calendar"})
    assert made.status_code == 201, made.json
    client = app.test_client()

    read = client.get("/api/v1/calendar", auth=("any", made.json["token"]))
    write = client.post("/api/v1/os-groups", json={"name": "x"}, auth=("any", made.json["token"]))
    wrong = client.get("/api/v1/calendar", auth=("admin", "correct horse"))

    assert (read.status_code, write.status_code, wrong.status_code) == (200, 401, 401)


def _tool(client: FlaskClient, name: str, **arguments: Any) -> Any:
    """What an assistant gets from a tool, through the protocol."""

    def ask(path: str, parameters: dict[str, Any]) -> Any:
        answer = client.get(f"/api/v1{path}", query_string=parameters)
        return decoded(answer.status_code, answer.json)

    async def call() -> Any:
        async with Client(make_server(ask)) as assistant:
            return await assistant.call_tool(name, arguments)

    return asyncio.run(call())


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("fleet_summary", {}, '"needing_updates":4'),
        ("find_hosts", {"tag": "web", "security_outstanding": True}, '"hostname":"web-01.example.com"'),
        ("host_updates", {"hostname": "web-01.example.com", "security_only": True}, '"total_count":2'),
        ("package_versions", {"package": "openssl"}, '"host_count":6'),
        ("find_advisories", {"package": "openssl"}, '"total_count":0'),
        ("needs_attention", {}, '"silent-hosts"'),
    ],
)
def test_an_assistant_reads_the_fleet(
    viewer: FlaskClient, fleet: Any, tool: str, arguments: dict[str, Any], expected: str
) -> None:
    """Each tool gives what the API says."""
    answer = _tool(viewer, tool, **arguments)

    assert not answer.is_error
    assert expected in json.dumps(answer.structured_content, separators=(",", ":"))


def test_an_assistant_is_told_why_it_gets_nothing(viewer: FlaskClient, stranger: FlaskClient, fleet: Any) -> None:
    """The API's own words: what does not exist, and what the token may not see."""
    unknown = _tool(viewer, "package_versions", package="opnessl")
    refused = _tool(stranger, "fleet_summary")

    assert (unknown.is_error, refused.is_error) == (True, True)
    assert "opnessl" in unknown.content[0].text
    assert "Sign in" in refused.content[0].text
