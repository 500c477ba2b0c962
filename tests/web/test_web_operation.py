"""The dashboard's cards, figures over time, attention, queues, settings, exceptions and due dates."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.tables import fleet_snapshot
from sqlalchemy import insert, text

FormToken = Callable[[FlaskClient, str], str]


@pytest.fixture
def figures(database: Database) -> None:
    """Two hours of figures of the fleet, and of two operating systems."""
    now = datetime.now(UTC)
    rows = []
    for hours, security in ((2, 5), (1, 3)):
        at = now - timedelta(hours=hours)
        rows.append({"at": at, "dimension": "fleet", "value": "", "figures": {"hosts": 7, "security": security}})
        rows += [
            {"at": at, "dimension": "os", "value": name, "figures": {"needing_updates": count}}
            for name, count in (("Debian", 4), ("Rocky", 1))
        ]
    with database.transaction() as connection:
        connection.execute(insert(fleet_snapshot), rows)


def test_cards_are_moved_hidden_and_shown_again(admin: FlaskClient, fleet: Any, form_token: FormToken) -> None:
    """Each action moves, hides or shows one; all can be as at first."""

    def order() -> list[str]:
        return re.findall(r'id="card-(\w+)"', admin.get("/").text)

    def move(what: str) -> None:
        token = form_token(admin, "/?arrange=1")
        assert admin.post("/cards", data={"csrf_token": token, "move": what}).status_code == 303

    first, second, *_ = before = order()
    move(f"{second} earlier")
    assert order()[:2] == [second, first]
    move(f"{second} hide")
    assert second not in order()
    move(f"{second} show")
    assert set(order()) == set(before)
    move("reset ")
    assert order() == before


def test_what_somebody_prefers_is_the_same_in_another_browser(
    ask: Callable[[str], FlaskClient], fleet: Any, form_token: FormToken
) -> None:
    """Cards and columns belong to the account; others keep the usual ones."""
    desk, phone, other = ask("admin"), ask("admin"), ask("viewer")
    token = form_token(desk, "/?arrange=1")

    desk.post("/cards", data={"csrf_token": token, "move": "trend hide"})
    desk.post("/hosts/columns", data={"csrf_token": token, "column": ["kernel"], "back": "/hosts?sort=os"})

    assert 'id="card-trend"' not in phone.get("/").text
    assert 'id="card-trend"' in other.get("/").text
    assert ">Kernel</th>" in phone.get("/hosts").text
    assert ">Kernel</th>" not in other.get("/hosts").text


def test_an_unknown_card_is_refused(admin: FlaskClient, fleet: Any, form_token: FormToken) -> None:
    """Nothing that a form could not have sent is remembered."""
    token = form_token(admin, "/?arrange=1")

    assert admin.post("/cards", data={"csrf_token": token, "move": "nonsense hide"}).status_code == 400


@pytest.mark.usefixtures("figures")
def test_figures_are_a_chart_and_a_table(admin: FlaskClient) -> None:
    """Who cannot see the lines reads the numbers."""
    page = admin.get("/trends?span=1d").text

    assert "data-chart" in page
    assert re.findall(r'<td class="text-end pb-number">(\d)</td>', page)[0] == "3"
    assert "Debian" in admin.get("/trends?by=os&span=7d").text
    assert admin.get("/trends?span=forever").status_code == 404


def test_what_needs_attention_leads_to_it(admin: FlaskClient, fleet: Any) -> None:
    """Each kind to its list, each example to its page."""
    page = admin.get("/attention").text
    short = admin.get("/attention", headers={"HX-Request": "true"}).text

    assert "1 silent host<" in re.sub(r"<svg.*?</svg>", "", page)
    assert f"/hosts/{fleet.hosts['build-arm.example.com']}" in page
    assert "show=silent" in short
    assert "<html" not in short


def test_a_host_with_another_name_in_reverse_dns_leads_to_its_page(
    admin: FlaskClient, fleet: Any, database: Database
) -> None:
    """What a name server says is shown as text."""
    host_id = fleet.hosts["build-arm.example.com"]
    with database.transaction() as connection:
        connection.execute(text("UPDATE host SET peer_address = '192.0.2.1', last_report_at = now()"))
        connection.execute(
            text("""
                INSERT INTO reverse_name (host_id, address, state, names, checked_at, due_at)
                VALUES (:id, '192.0.2.1', 'named', ARRAY['<b>old.example.com'], now(), now())
            """),
            {"id": host_id},
        )

    page = admin.get("/attention").text

    assert "1 host with another name in reverse DNS" in re.sub(r"<svg.*?</svg>", "", page)
    assert f'href="/hosts/{host_id}"' in page
    assert "192.0.2.1 is &lt;b&gt;old.example.com" in page


def test_queues_and_settings_are_listed_without_secrets(admin: FlaskClient) -> None:
    """As the API gives them."""
    assert "update-engine.reports" in admin.get("/queues").text
    page = admin.get("/settings").text
    assert "PATCHBAY_SECRET_KEY" in page
    assert "k" * 32 not in page


def test_something_is_waived_and_counts_again(admin: FlaskClient, fleet: Any, form_token: FormToken) -> None:
    """With a reason and somebody who answers for it; the host is named, not numbered."""
    data = {
        "csrf_token": form_token(admin, "/exceptions"),
        "kind": "cve",
        "subject": "CVE-2026-1111",
        "scope": "host",
        "target": "web-01.example.com",
        "reason": "not reachable",
        "owner": "ada",
        "expires_on": "2099-01-31",
    }

    page = admin.post("/exceptions", data=data, follow_redirects=True).text
    assert "CVE-2026-1111" in page
    assert "not reachable" in page
    [number] = re.findall(r"/exceptions/(\d+)/end", page)
    admin.post(f"/exceptions/{number}/end", data={"csrf_token": data["csrf_token"]})
    assert f"/exceptions/{number}/end" not in admin.get("/exceptions?state=all").text


def test_due_dates_are_set_for_a_tag(admin: FlaskClient, form_token: FormToken) -> None:
    """What is left empty follows the fleet."""
    data = {"csrf_token": form_token(admin, "/due-dates"), "target": "dmz", "critical": "3"}

    page = admin.post("/due-dates", data=data, follow_redirects=True).text

    assert "tag dmz" in page
    assert "3 days" in page
