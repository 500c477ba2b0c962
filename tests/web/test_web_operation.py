"""The dashboard's cards, figures over time, attention, queues, settings, exceptions and due dates."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.tables import fleet_snapshot
from patchbay_web.dashboard_cards import placed
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


def test_every_number_of_the_dashboard_is_that_of_the_list_it_links_to(
    admin: FlaskClient, fleet: Any, database: Database
) -> None:
    """Tiles, severities, ages and systems: who follows one finds as many hosts."""
    with database.transaction() as connection:
        connection.execute(
            text("""
                INSERT INTO outstanding_security (evaluation_id, basis, severity, issued_at)
                SELECT id, '', (ARRAY['critical', 'low'])[1 + row_number() OVER (ORDER BY id) % 2],
                       now() - row_number() OVER (ORDER BY id) * interval '20 days'
                FROM evaluation WHERE security_count > 0 AND id > (SELECT min(id) FROM evaluation)
            """)
        )
        connection.execute(
            text("""
                INSERT INTO host_exposure (host_id, basis, exposed_count, fixable_count, restart_count,
                    exploited_count, overdue_count, waived_count, worst_cve, counted_at)
                SELECT id, '', 3, 1, 0, 1, 2, 0, 'CVE-2026-1', now() FROM host WHERE hostname LIKE 'web%'
            """)
        )
        connection.execute(
            text("""
                UPDATE repository_set SET document = document || '{"policy": {"os_release":
                    {"ID": "debian", "VERSION_ID": "10"}}}' WHERE id = (SELECT max(id) FROM repository_set);
                INSERT INTO lifecycle (ecosystem, version, codename, name, ends_on, source)
                VALUES ('debian', '10', 'buster', 'Debian 10', '2022-09-10', 'test')
            """)
        )
    page = admin.get("/").text
    without_pictures = re.sub(r"<svg.*?</svg>", "", page, flags=re.S)
    tiles = re.findall(r'<a class="card pb-tile[^"]*" href="([^"]+)">\s*<span><strong class="pb-number">(\d+)<',
                       without_pictures)  # fmt: skip
    cells = re.findall(r'<td class="text-end pb-number"><a class="text-reset" href="(/hosts[^"]*)">(\d+)<', page)

    assert len(tiles) == 8
    assert ("/hosts?show=end-of-life", "3") in tiles
    assert 'href="/hosts?show=end-of-life"><strong class="pb-number">3<' in admin.get("/end-of-life").text
    assert {"severity:critical", "severity:low", "severity:unknown"} <= {
        unquote(target).partition("query=")[2] for target, _ in cells
    }
    for target, number in tiles + cells:
        listed = admin.get(target.replace("&amp;", "&")).text
        found = re.search(r'<span class="pb-sub">(\d+) hosts?</span>', listed)
        assert (found[1] if found else "0") == number, target


def test_the_most_urgent_hosts_lead_to_what_makes_them_urgent(
    admin: FlaskClient, fleet: Any, database: Database
) -> None:
    """An exploited CVE comes before any number of security fixes."""
    with database.transaction() as connection:
        connection.execute(
            text("""
                INSERT INTO host_exposure (host_id, basis, exposed_count, fixable_count, restart_count,
                    exploited_count, overdue_count, waived_count, worst_cve, counted_at)
                SELECT id, '', 3, 1, 0, 1, 2, 0, 'CVE-2026-1', now() FROM host WHERE hostname = 'new.example.com'
            """)
        )
    page = admin.get("/").text
    card = page[page.index('id="card-urgent"') :].partition("</section>")[0]
    path = f"/hosts/{fleet.hosts['new.example.com']}"

    assert re.findall(r">([a-z0-9-]+)\.example\.com<", card)[0] == "new"
    assert f'href="{path}?tab=cves&amp;state=exposed&amp;only=exploited"' in card
    assert f'href="{path}?tab=cves&amp;only=overdue"' in card
    assert 'href="/hosts?sort=-urgency"' in card
    assert admin.get(f"{path}?tab=cves&only=exploited").status_code == 200
    assert admin.get(f"{path}?tab=cves&only=nonsense").status_code == 404


@pytest.mark.usefixtures("figures")
def test_the_span_of_the_trend_is_in_the_address(admin: FlaskClient, fleet: Any) -> None:
    """As a page of its own, and as the card alone when the pill is pressed; more figures are of the same span."""
    page = admin.get("/?span=90d").text
    card = admin.get("/?span=1d", headers={"HX-Request": "true", "HX-Target": "trend"}).text

    assert 'href="/?span=90d" title="90 days" aria-current="true"' in page
    assert "/trends?span=90d" in page
    assert "/trends?span=1d" in card
    assert "data-chart" in card
    assert "<html" not in card
    assert admin.get("/?span=forever").status_code == 404


def test_what_waits_in_the_queues_is_said_in_the_pipeline_card(admin: FlaskClient, fleet: Any) -> None:
    """Asked of the broker when the card is there: a slow broker delays no page."""
    depth = admin.get("/queues", headers={"HX-Request": "true", "HX-Target": "queue-depth"}).text

    assert 'id="queue-depth"' in admin.get("/").text
    assert "nothing waits" in depth
    assert "<html" not in depth


def test_cards_fill_the_shorter_column() -> None:
    """In the order that was chosen."""
    heights = {"a": 500, "b": 200, "c": 200, "d": 200, "e": 100}

    found = placed(list(heights), heights)

    assert found == [("a", "start"), ("b", "end"), ("c", "end"), ("d", "end"), ("e", "start")]


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
    assert re.search(r'href="/hosts/[0-9a-f-]+\?tab=cves">web-01.example.com<', page)
    [number] = re.findall(r"/exceptions/(\d+)/end", page)
    admin.post(f"/exceptions/{number}/end", data={"csrf_token": data["csrf_token"]})
    assert f"/exceptions/{number}/end" not in admin.get("/exceptions?state=all").text


def test_a_group_is_waived_for_and_given_days_by_its_name(
    admin: FlaskClient, database: Database, form_token: FormToken
) -> None:
    """Nobody knows the number of a group; the days hold by it."""
    csrf = form_token(admin, "/groups")
    admin.post("/groups", data={"csrf_token": csrf, "name": "lab"})
    waived = {"kind": "package", "subject": "openssl", "reason": "rebuilt nightly", "owner": "ada"}
    named = {"csrf_token": csrf, "scope": "group", "target": "lab"}

    page = admin.post("/exceptions", data=named | waived, follow_redirects=True).text
    assert 'href="/hosts?group=lab">group lab<' in page
    page = admin.post("/due-dates", data=named | {"critical": "3"}, follow_redirects=True).text
    assert "group lab" in page
    assert "as the fleet" in page
    with database.transaction() as connection:
        number = connection.scalar(text("SELECT id::text FROM host_group WHERE name = 'lab'"))
        assert connection.scalar(text("SELECT target FROM remediation_policy")) == number
        connection.execute(text("DELETE FROM host_group"))
    assert "a group that is gone" in admin.get("/due-dates").text
    refused = admin.post("/due-dates", data=named | {"target": "nobody", "critical": "3"})
    assert (refused.status_code, "No group is called nobody." in refused.text) == (422, True)


def test_due_dates_are_set_for_a_tag(admin: FlaskClient, form_token: FormToken) -> None:
    """What is left empty follows the fleet."""
    data = {"csrf_token": form_token(admin, "/due-dates"), "target": "dmz", "critical": "3"}

    page = admin.post("/due-dates", data=data, follow_redirects=True).text

    assert "tag dmz" in page
    assert "3 days" in page
