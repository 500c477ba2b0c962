"""What the pages show, over a real API."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.tables import lifecycle, opinion
from patchbay_web.pages.enrolment import install_line
from patchbay_web.presentation import STATES, ago, host_pills
from sqlalchemy import insert, update

FormToken = Callable[[FlaskClient, str], str]
HOSTILE = "<script>alert(1)</script>"


def _host(fleet: Any, name: str, query: str = "") -> str:
    return f"/hosts/{fleet.hosts[name]}{query}"


def test_the_dashboard_counts_and_names_what_to_look_at(admin: FlaskClient, fleet: Any) -> None:
    """Totals, urgent hosts, repositories in trouble."""
    page = admin.get("/").text

    assert "7 hosts" in page
    assert "web-01.example.com" in page
    assert "503 Service Unavailable" in page


def test_an_empty_fleet_says_how_to_begin(admin: FlaskClient) -> None:
    """The first page after the installation leads on."""
    page = admin.get("/").text

    assert "No host has reported yet" in page
    assert 'href="/hosts/add"' in page


@pytest.mark.parametrize(
    "path", ["/", "/hosts", "host", "host?tab=facts", "host?tab=packages", "host?tab=repositories"]
)
def test_a_hostile_host_name_stays_text(admin: FlaskClient, fleet: Any, path: str) -> None:
    """What a host says of itself is never markup."""
    page = admin.get(_host(fleet, HOSTILE, path.removeprefix("host")) if path.startswith("host") else path).text

    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_hosts_are_filtered_and_searched(admin: FlaskClient, fleet: Any) -> None:
    """The chips and the search are the API's filters."""
    page = admin.get("/hosts?show=security&q=web").text

    assert re.findall(r">(web-\d+|db-\d+|mail)\.", page) == ["web-01", "web-02"]


def test_a_search_without_a_match_says_so(admin: FlaskClient, fleet: Any) -> None:
    """An empty list is explained."""
    assert "No host matches" in admin.get("/hosts?q=zzz").text


def test_the_next_page_keeps_the_filter(admin: FlaskClient, fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paging stays within what was searched for."""
    monkeypatch.setattr("patchbay_web.pages.hosts.PAGE_LENGTH", 1)
    page = admin.get("/hosts?q=web&sort=hostname").text

    [target] = re.findall(r'rel="next" href="([^"]+)"', page)
    following = admin.get(target.replace("&amp;", "&")).text
    assert ">web-02.example.com<" in following
    assert 'rel="next"' not in following


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web-01.example.com", ["Fresh", "2 security fixes", "Restart needed", "Incomplete", "Two opinions"]),
        ("db-01.example.com", ["Fresh", "No updates", "No restart", "Complete"]),
        ("build-arm.example.com", ["Silent", "1 security fix", "Restart unknown", "Incomplete"]),
        ("new.example.com", ["Fresh", "Not evaluated", "No restart", "Complete"]),
    ],
)
def test_a_host_is_described_honestly(admin: FlaskClient, fleet: Any, name: str, expected: list[str]) -> None:
    """What is not known is not called fine."""
    page = admin.get(_host(fleet, name)).text

    assert re.findall(r'pb-pill is-\w+"><strong>([^<]+)', page) == expected


@pytest.mark.parametrize(
    ("exploited", "overdue", "first"),
    [
        (2, 36, ("2 exploited CVEs", "Attacks are known: fix these first. 36 CVEs past the due date.")),
        (1, 0, ("1 exploited CVE", "Attacks are known: fix these first.")),
        (0, 3, ("3 CVEs overdue", "Past the due date that their severity has.")),
        (0, 0, ("Fresh", "Last report just now.")),
        (None, None, ("Fresh", "Last report just now.")),
    ],
)
def test_what_is_urgent_of_a_host_is_said_first(
    exploited: int | None, overdue: int | None, first: tuple[str, str]
) -> None:
    """Who looks at three in the morning reads from the left."""
    host: dict[str, Any] = {
        "cves_exploited": exploited, "cves_overdue": overdue, "last_report_at": datetime.now(UTC).isoformat(),
        "silent": False, "updates": 0, "security": 0, "states": {}, "reboot_required": None, "reboot_why": "",
        "repository_count": 1, "repository_problem_count": 0, "difference_count": None,
    }  # fmt: skip

    assert host_pills(host)[0][1:3] == first


def test_a_release_that_gets_no_more_updates_is_said(admin: FlaskClient, fleet: Any, database: Database) -> None:
    """No outstanding update means little on such a host."""
    with database.transaction() as connection:
        connection.execute(
            insert(lifecycle).values(
                ecosystem="debian",
                version="12",
                codename="bookworm",
                name="Debian 12",
                ends_on=date(2020, 6, 10),
                source="test",
            )
        )

    page = admin.get(_host(fleet, "db-01.example.com")).text
    assert "End of life" in page
    assert "Debian 12 got its last free security updates on 2020-06-10." in page


def test_updates_stand_most_urgent_first_until_a_column_is_chosen(admin: FlaskClient, fleet: Any) -> None:
    """Security fixes stand above what fixes nothing; the heads sort, and lead back."""
    order = re.compile(r'<td><a class="pb-break fw-bold" href="/packages/([a-z0-9-]+)"')
    page = admin.get(_host(fleet, "web-01.example.com")).text
    assert order.findall(page) == ["libssl3", "openssl", "curl"]

    [by_name] = re.findall(r'<a href="(/hosts/[^"]+sort=name)">Package', page)
    page = admin.get(by_name).text
    assert order.findall(page) == ["curl", "libssl3", "openssl"]
    assert 'aria-sort="ascending"' in page
    assert "Most urgent first" in page


def test_every_head_of_a_hosts_updates_sorts_but_the_versions(admin: FlaskClient, fleet: Any) -> None:
    """Each is a link; what it leads to says so with an arrow, and its link with the other direction."""
    path = _host(fleet, "web-01.example.com")
    heads = dict(re.findall(r'<th class=""(?: aria-sort="\w+")?><a href="([^"]+)">(\w+)', admin.get(path).text))

    assert [*heads.values()] == ["Package", "Repository", "Advisories", "CVEs", "Severity", "Age", "Due", "State"]
    for target, words in heads.items():
        page = admin.get(target).text
        arrow = "↓" if "sort=-" in target else "↑"
        other = target.replace("sort=-", "sort=") if arrow == "↓" else target.replace("sort=", "sort=-")
        assert f'<a href="{other}">{words} {arrow}</a>' in page
        assert 'href="/packages/openssl"' in page


def test_an_update_shows_versions_origin_advisories_and_why(admin: FlaskClient, fleet: Any) -> None:
    """Everything about one update is on one row."""
    page = admin.get(_host(fleet, "web-01.example.com", "?q=openssl")).text

    for text in (
        "3.0.15-1~deb12u1",
        "3.0.17-1~deb12u2",
        "DSA-5901-1",
        "security.debian.org",
        "bookworm-security offers",
    ):
        assert text in page
    assert "<summary>Why?</summary>" in page


def test_held_packages_are_one_click_away(admin: FlaskClient, fleet: Any) -> None:
    """Each state that the host has is a filter with its count."""
    host = _host(fleet, "web-01.example.com")

    assert "show=held" in admin.get(host).text
    assert "dpkg&#39;s selections" in admin.get(host + "?show=held").text


def test_a_disabled_repository_of_a_host_is_shown_as_such(admin: FlaskClient, fleet: Any) -> None:
    """Its state is not the host's concern."""
    page = admin.get(_host(fleet, "web-01.example.com", "?tab=repositories")).text

    assert "Disabled on the host" in page
    assert "503 Service Unavailable" in page


def test_sync_now_is_a_form_that_comes_back_with_a_message(
    admin: FlaskClient, fleet: Any, fleet_seed: ModuleType, form_token: FormToken
) -> None:
    """Post, redirect, get."""
    path = f"/repositories/{fleet.repositories[fleet_seed.VENDOR.id]}"

    answer = admin.post(f"{path}/sync", data={"csrf_token": form_token(admin, path)}, follow_redirects=True)

    assert answer.request.path == path
    assert "A sync was asked for" in answer.text


def test_a_viewer_is_offered_no_actions(
    ask: Callable[[str], FlaskClient], fleet: Any, fleet_seed: ModuleType
) -> None:
    """And is refused by the API if one is sent all the same."""
    browser = ask("viewer")
    path = f"/repositories/{fleet.repositories[fleet_seed.VENDOR.id]}"
    page = browser.get(path).text
    token = re.findall(r'name="csrf_token" value="([^"]+)"', page)[0]

    assert "Sync now" not in page
    assert browser.post(f"{path}/sync", data={"csrf_token": token}).status_code == 403


def test_adding_a_host_shows_the_line_to_paste_once(admin: FlaskClient, form_token: FormToken) -> None:
    """With the public address and a fresh token."""
    data = {"csrf_token": form_token(admin, "/hosts/add"), "name": "rack 7", "lifetime": "3600"}

    page = admin.post("/hosts/add", data=data).text

    assert "curl -fsS https://patch.example.org/agent/install.sh | sudo sh -s -- --server" in page
    [token] = set(re.findall(r"--token (pbe_[\w-]+)", page))
    assert token not in admin.get("/hosts/add").text
    assert "rack 7" in admin.get("/hosts/add").text


@pytest.mark.parametrize(
    ("distribution", "beginning"),
    [
        ("debian", "sudo apt-get install -y curl python3 &amp;&amp; curl"),
        ("rhel", "sudo dnf install -y python3 &amp;&amp; curl"),
        ("el7", "sudo yum install -y python3 &amp;&amp; curl"),
        ("arch", "sudo pacman -S --needed --noconfirm curl python &amp;&amp; curl"),
        ("any", "curl -fsS"),
        ("plan9", "curl -fsS"),
    ],
)
def test_the_line_brings_what_the_chosen_distribution_may_lack(
    admin: FlaskClient, form_token: FormToken, distribution: str, beginning: str
) -> None:
    """A bare host of that distribution needs nothing typed before."""
    data = {"csrf_token": form_token(admin, "/hosts/add"), "distribution": distribution}

    page = admin.post("/hosts/add", data=data).text

    [shown] = re.findall(r'id="install-line"[^>]*>([^<]*)<', page)
    assert shown.startswith(beginning)


def test_the_install_line_is_safe_to_paste() -> None:
    """Whatever the operator set as the address, the shell sees one word."""
    assert "'https://x/;rm -rf'" in install_line("https://x/;rm -rf", "pbe_t")


def test_the_terms_of_a_token_can_be_typed(admin: FlaskClient, form_token: FormToken) -> None:
    """Commas and spaces both separate."""
    terms = {"use_limit": "40", "networks": "10.20.0.0/16, 2001:db8::/48", "tags": "web production"}

    admin.post("/hosts/add", data={"csrf_token": form_token(admin, "/hosts/add"), "name": "rack 7", **terms})

    page = " ".join(admin.get("/hosts/add").text.split())
    assert "at most 40 hosts from 10.20.0.0/16, 2001:db8::/48 tagged web, production" in page


def test_a_mistyped_network_is_said_and_the_form_kept(admin: FlaskClient, form_token: FormToken) -> None:
    """Nothing has to be typed twice."""
    data = {"csrf_token": form_token(admin, "/hosts/add"), "name": "rack 7", "networks": "10.20.0.0/99"}

    answer = admin.post("/hosts/add", data=data)

    assert answer.status_code == 422
    assert "Not a network such as" in answer.text
    assert 'value="rack 7"' in answer.text


def test_a_waiting_host_is_approved_with_one_click(admin: FlaskClient, fleet: Any, form_token: FormToken) -> None:
    """The dashboard says that it waits, the page of hosts to add lets it in."""
    assert ">1 host</a> enrolled and waits for approval" in admin.get("/").text
    [action] = re.findall(r'action="(/hosts/add/[0-9a-f-]+/approve)"', admin.get("/hosts/add").text)

    answer = admin.post(action, data={"csrf_token": form_token(admin, "/hosts/add")}, follow_redirects=True)

    assert "The host was approved" in answer.text
    assert "waiting.example.com" not in answer.text


def test_two_opinions_are_shown_side_by_side(admin: FlaskClient, fleet: Any) -> None:
    """What only one side lists is named, with the side."""
    page = admin.get(_host(fleet, "web-01.example.com")).text

    assert "1 update that only its package manager or only Patchbay lists." in page
    assert "Only Patchbay" in page
    assert "Only apt" not in page


def test_differing_opinions_are_a_number_on_the_dashboard_that_leads_to_the_hosts(
    admin: FlaskClient, fleet: Any
) -> None:
    """One click from the number to the list behind it."""
    page = admin.get("/").text

    assert "with two opinions, 1 update apart" in page
    assert _listed(admin.get("/hosts?show=differs").text) == ["web-01"]
    assert "/hosts?show=differs" in page


def test_agreement_is_said_quietly(admin: FlaskClient, fleet: Any, database: Database) -> None:
    """No number to worry about, but it was compared."""
    with database.transaction() as connection:
        connection.execute(update(opinion).values(difference_count=0, only_server=[]))
    page = admin.get("/").text

    assert "The one compared host agrees with its package manager" in " ".join(page.split())
    assert "with two opinions" not in page


@pytest.mark.parametrize("target", ["/hosts?state=held", "/hosts?show=reboot&rule=kernel.newer"])
def test_states_and_reasons_on_the_dashboard_lead_to_their_hosts(admin: FlaskClient, fleet: Any, target: str) -> None:
    """Held packages and newer kernels are counted apart, not buried in a sum."""
    assert target.replace("&", "&amp;") in admin.get("/").text
    assert "web-01" in _listed(admin.get(target).text)
    assert "✕" in admin.get(target).text


def _listed(page: str) -> list[str]:
    return re.findall(r">([a-z]+(?:-\w+)?)\.example\.com</a>", page)


def test_a_token_is_revoked_from_the_list(admin: FlaskClient, form_token: FormToken) -> None:
    """It stays in the list, as revoked."""
    page = admin.post("/hosts/add", data={"csrf_token": form_token(admin, "/hosts/add"), "name": "x"}).text
    [action] = re.findall(r'action="(/hosts/add/\d+/revoke)"', page)

    answer = admin.post(action, data={"csrf_token": form_token(admin, "/hosts/add")}, follow_redirects=True)

    assert "Revoked" in answer.text


@pytest.mark.parametrize("path", ["/nope", "/hosts/7f0c2c54-4a54-4e4f-8f5e-6c3f8f1d0001", "/hosts?show=nonsense"])
def test_what_is_not_there_is_a_designed_404(admin: FlaskClient, path: str) -> None:
    """With the header, so that one can go on."""
    answer = admin.get(path)

    assert answer.status_code == 404
    assert "To the dashboard" in answer.text


def test_a_stale_cursor_is_a_page_with_words(admin: FlaskClient, fleet: Any) -> None:
    """An old bookmark must not break."""
    answer = admin.get("/hosts?cursor=old")

    assert answer.status_code == 422
    assert "start again without it" in answer.text


def test_pages_above_the_bound_are_refused_at_once(web: Flask) -> None:
    """Pages wait for the API; where both share the threads, all of them waiting would be a deadlock."""
    answers: list[int] = []

    @web.get("/nested/<int:depth>")
    def nested(depth: int) -> str:
        answers.append(web.test_client().get(f"/nested/{depth - 1}").status_code if depth else 200)
        return ""

    web.test_client().get("/nested/20")

    assert 503 in answers


def test_times_are_relative_with_the_exact_one_on_hover(admin: FlaskClient, fleet: Any) -> None:
    """Without JavaScript in UTC; with it in the viewer's zone."""
    page = admin.get("/hosts").text

    assert re.search(r'<time datetime="[^"]+" title="[\d-]+ [\d:]+ UTC">\d+ (min|h|d) ago</time>', page)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-11-20T11:59:30+00:00", "just now"),
        ("2026-11-20T09:00:00+00:00", "3 h ago"),
        ("2026-11-20T12:05:00+00:00", "in 5 min"),
        (None, "never"),
    ],
)
def test_a_moment_is_told_as_a_person_would(text: str | None, words: str) -> None:
    """Coarse, and right in both directions."""
    assert ago(text, datetime(2026, 11, 20, 12, tzinfo=UTC)) == words


def test_every_state_of_the_engine_has_words() -> None:
    """A new state must not appear as a code."""
    from patchbay_api.host_updates import STATES as KNOWN_TO_THE_API
    from patchbay_update_engine.evaluate.verdict import State

    assert [*STATES] == KNOWN_TO_THE_API == [each.value for each in State]


def test_no_page_asks_another_site_for_anything(admin: FlaskClient, fleet: Any) -> None:
    """Assets are served from here; links to advisories are only links."""
    page = admin.get(_host(fleet, "web-01.example.com")).text

    assert not re.findall(r'(?:src|link [^>]*href)="https?://', page)
    assert "style=" not in page
