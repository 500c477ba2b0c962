"""Journeys in a real browser, and every page at a desk and on a phone: no complaint, nothing too wide, accessible."""

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import requests
from flask import Flask
from patchbay_shared.db import Database
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
AXE = Path(__file__).parents[2] / "services" / "web" / "test_assets" / "axe.min.js"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
SIZES = {"wide": (1440, 1000), "phone": (390, 844)}
PASSWORD = "correct horse"
HOSTILE = "<script>alert(1)</script>"
HOST_TABS = (
    "updates",
    "cves",
    "packages",
    "timeline",
    "compare",
    "repositories",
    "modules",
    "labels",
    "reports",
    "facts",
)
PAGES = (
    "/",
    "/?arrange=1",
    "/trends",
    "/attention",
    "/attention/packages-in-no-repository",
    "/hosts",
    "/hosts?show=security",
    "/hosts?q=nothing",
    "/hosts/add",
    *(f"{{host}}?tab={tab}" for tab in HOST_TABS),
    "{hostile}",
    "/account",
    "/hosts/act?query=name:web",
    "{enrolled}",
    "{view}",
    "{job}",
    "/views",
    "/groups",
    "/releases",
    "/releases?tab=systems",
    "/releases?tab=groups",
    "/releases?tab=domains",
    "{os_group}",
    "/packages",
    "/packages/openssl",
    "/packages/openssl?tab=hosts",
    "/advisories",
    "{advisory}",
    "/cves",
    "{cve}",
    "/exceptions",
    "/due-dates",
    "/end-of-life",
    "/repositories",
    "{repository}",
    "{repository}/packages",
    "{repository}/syncs",
    "/mirror-access",
    "/feeds",
    "/queues",
    "/jobs",
    "/reports",
    "{report}",
    "/dead-letters",
    "{dead_letter}",
    "/notifications",
    "/notification-channels",
    "/notification-channels?type=email",
    "/notification-rules",
    "/notification-rules/new",
    "{rule}",
    "/users",
    "{user}",
    "{user}?tab=tokens",
    "/roles",
    "/tokens",
    "/settings",
    "/audit",
    "/audit/verification",
    "/search?q=web",
    "/help",
    "/help/verdicts",
    "/help?q=mirror",
)
"""Every page that a menu or another page leads to."""
NO_PAGES = {
    "account.from_provider",
    "account.sign_in",
    "account.to_provider",
    "advisories.export",
    "advisories.find",
    "cves.export",
    "favicon",
    "healthz",
    "host_acts.export",
    "hosts.complete",
    "hosts.facets",
    "live.recent",
    "live.stream",
    "readyz",
    "static",
}
"""What answers a GET with something else than a page, or only to strangers."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A browser."""
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield made
        made.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """A fresh window of a desk or a phone, in a light or dark system; further options as playwright has them."""
    pages: list[Page] = []

    def opened(size: str = "wide", scheme: Any = "dark", **options: Any) -> Page:
        width, height = SIZES[size]
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, **options)
        page.set_default_timeout(120_000)
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()


@pytest.fixture
def addresses(fleet: Any, published: Database, fleet_seed: ModuleType, api_url: str) -> dict[str, str]:
    """The pages of things that the seeded fleet has, or that were made for it."""
    api = requests.Session()
    api.headers["Authorization"] = (
        f"Bearer {_post(api, api_url, 'sessions', username='admin', password=PASSWORD)['token']}"
    )
    job = _post(api, api_url, "hosts/actions", action="tag", query="name:web", tags=["frontend"])["job"]
    channel = _post(
        api, api_url, "notification-channels", name="ops", type="webhook", url="https://hooks.example.org/x"
    )
    rule = _post(
        api,
        api_url,
        "notification-rules",
        name="web",
        kinds=["overdue"],
        query="tag:web",
        channel_ids=[channel["id"]],
    )
    _post(api, api_url, f"notification-channels/{channel['id']}/test")
    return {
        "host": f"/hosts/{fleet.hosts['web-01.example.com']}",
        "hostile": f"/hosts/{fleet.hosts[HOSTILE]}",
        "repository": f"/repositories/{fleet.repositories[fleet_seed.VENDOR.id]}",
        "enrolled": f"/hosts/add/{_post(api, api_url, 'enrolment-tokens', name='rack 7')['id']}",
        "view": f"/views/{_post(api, api_url, 'views', name='web servers', query='name:web', columns=['os'])['id']}",
        "job": f"/jobs/{job['id']}",
        "advisory": "/advisories/debian-dsa/DSA-5764-1",
        "cve": "/cves/CVE-2026-1111",
        "os_group": f"/releases/groups/{_post(api, api_url, 'os-groups', name='Debian 12')['id']}",
        "report": f"/reports/{fleet.receipt}",
        "dead_letter": f"/dead-letters/{fleet_seed.seed_dead_letters(published)[0]}",
        "user": f"/users/{api.get(f'{api_url}/api/v1/users').json()['items'][0]['id']}",
        "rule": f"/notification-rules/{rule['id']}",
    }


def _post(api: requests.Session, api_url: str, path: str, **body: Any) -> Any:
    answer = api.post(f"{api_url}/api/v1/{path}", json=body)
    assert answer.ok, answer.text
    return answer.json()


def sign_in(page: Page, url: str) -> None:
    page.goto(url + "/sign-in")
    page.fill("#username", "admin")
    page.fill("#password", PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(url + "/")


@pytest.mark.parametrize("size", list(SIZES))
def test_somebody_finds_out_why_a_package_is_outstanding(
    size: str, open_page: Callable[..., Page], web: Flask, fleet: Any, serve: Callable[[Any], str]
) -> None:
    """Sign in, dashboard, filtered hosts, host, Why?"""
    page, url = open_page(size), serve(web)
    sign_in(page, url)

    page.locator("a.pb-tile", has_text="security fixes").click()
    page.wait_for_url(re.compile("show=security"))
    page.fill("[data-page-search]", "web-01")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="web-01.example.com").click()
    row = page.locator("tr", has_text="openssl").filter(has_text="Why?").last
    row.get_by_text("Why?").click()

    assert row.get_by_text("bookworm-security offers").is_visible()


def test_the_chosen_theme_is_remembered(
    open_page: Callable[..., Page], web: Flask, fleet: Any, serve: Callable[[Any], str]
) -> None:
    """The button outlives the page, against the system's preference."""
    page, url = open_page("wide", "dark"), serve(web)
    sign_in(page, url)
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"

    page.get_by_role("button", name="Light or dark").click()
    page.goto(url + "/hosts")

    assert page.locator("html").get_attribute("data-bs-theme") == "light"


def test_everything_is_a_few_keys_away(
    open_page: Callable[..., Page], web: Flask, fleet: Any, serve: Callable[[Any], str]
) -> None:
    """Ctrl K, some letters, arrow down, enter: at the host. A question mark: at the handbook."""
    page, url = open_page(), serve(web)
    sign_in(page, url)

    page.keyboard.press("Control+k")
    page.keyboard.type("db-01")
    page.locator("#suggestions a", has_text="db-01.example.com").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="db-01.example.com").wait_for()
    page.keyboard.press("?")
    page.wait_for_url(re.compile("/help$"))
    page.keyboard.type("phased")

    assert page.locator("#hits a").first.text_content()


def test_times_are_in_the_viewers_zone(
    open_page: Callable[..., Page], web: Flask, fleet: Any, serve: Callable[[Any], str]
) -> None:
    """In Tokyo a token that is good until 20:00 UTC is good until five in the morning; on hover the exact time."""
    page, url = open_page(timezone_id="Asia/Tokyo"), serve(web)
    sign_in(page, url)
    page.goto(url + "/hosts/add")
    page.get_by_role("button", name="Show the line to paste").click()

    shown = page.locator("time[data-instant]").first
    moment = datetime.fromisoformat(shown.get_attribute("datetime") or "")

    assert shown.inner_text() == (moment + timedelta(hours=9)).strftime("%Y-%m-%d %H:%M")
    assert "GMT+9" in (shown.get_attribute("title") or "")


def test_a_line_is_copied_also_where_the_browser_gives_no_clipboard(
    open_page: Callable[..., Page], web: Flask, fleet: Any, serve: Callable[[Any], str]
) -> None:
    """Over plain http from another machine, which is how a first try looks."""
    page, url = open_page(), serve(web)
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    sign_in(page, url)
    page.goto(url + "/hosts/add")
    page.get_by_role("button", name="Show the line to paste").click()

    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    page.focus("#find")
    page.keyboard.press("Control+v")

    assert "sudo apt-get install -y curl python3 && curl" in page.input_value("#find")


def test_what_cannot_be_undone_is_asked_about_first(
    open_page: Callable[..., Page], web: Flask, fleet: Any, serve: Callable[[Any], str]
) -> None:
    """Cancelled, nothing happens; confirmed, it does."""
    page, url = open_page(), serve(web)
    sign_in(page, url)
    page.goto(url + "/groups")
    page.fill("#name", "lab")
    page.get_by_role("button", name="Add group").click()

    for answer in ("Cancel", "Remove"):
        page.get_by_text("Change", exact=True).click()
        page.get_by_role("button", name="Remove").click()
        page.get_by_role("dialog").get_by_role("button", name=answer).click()
        if answer == "Cancel":
            page.reload()
            assert page.get_by_role("link", name="lab", exact=True).is_visible()

    page.get_by_text("The group is gone").wait_for()


def test_what_is_refused_is_said_at_its_field(
    open_page: Callable[..., Page], web: Flask, fleet: Any, serve: Callable[[Any], str]
) -> None:
    """By the form and by the API; what was typed stays."""
    page, url = open_page(), serve(web)
    sign_in(page, url)
    page.goto(url + "/exceptions")
    for name, value in (("subject", "openssl"), ("target", "nowhere.example.com"), ("reason", "rebuilt")):
        page.fill(f"#{name}", value)
    page.select_option("#scope", "host")
    page.get_by_role("button", name="Add exception").click()

    expect(page.locator("#target.is-invalid")).to_be_focused()
    assert page.input_value("#target") == "nowhere.example.com"
    assert page.text_content("#target + .invalid-feedback") == "No host is called nowhere.example.com."
    page.goto(url + "/hosts/act?query=name:web")
    page.get_by_role("button", name="Show which hosts").click()
    assert page.text_content("#tags + .invalid-feedback") == "Name at least one tag."
    page.goto(url + "/due-dates")
    page.fill("#critical", "3")
    page.fill("#target", "nobody")
    page.select_option("#scope", "group")
    page.get_by_role("button", name="Save days").click()
    assert page.text_content("#target + .invalid-feedback") == "No group is called nobody."


def test_every_page_is_looked_at(web: Flask, addresses: dict[str, str]) -> None:
    """A page that is missing in PAGES would fit and be accessible by chance only."""
    known = web.url_map.bind("patch.example.org")
    looked_at = {known.match(path.format(**addresses).split("?")[0])[0] for path in PAGES}

    pages = {rule.endpoint for rule in web.url_map.iter_rules() if "GET" in (rule.methods or ())}
    assert pages - NO_PAGES == looked_at


@pytest.mark.parametrize(("size", "scheme"), [("wide", "light"), ("phone", "dark")])
def test_every_page_fits_and_is_accessible(
    size: str,
    scheme: str,
    open_page: Callable[..., Page],
    web: Flask,
    addresses: dict[str, str],
    serve: Callable[[Any], str],
) -> None:
    """No error in the console, nothing wider than the window, no violation by axe-core, no script of a host."""
    if not AXE.is_file():
        pytest.skip("axe-core was not fetched: make test-assets")
    axe = AXE.read_text()
    page, url = open_page(size, scheme), serve(web)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    sign_in(page, url)

    faults: dict[str, list[str]] = {}
    for path in PAGES:
        answer = page.goto(url + path.format(**addresses), wait_until="load")
        expect(page.locator(".htmx-request")).to_have_count(0)
        found = [*complaints]
        complaints.clear()
        if answer is None or answer.status != 200:
            found.append(f"answered {answer.status if answer else 'nothing'}")
        if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
            found.append("wider than the window")
        page.evaluate(axe)
        found += page.evaluate(
            "axe.run({resultTypes: ['violations']}).then(r => r.violations.map("
            "v => v.id + ': ' + v.nodes.slice(0, 2)"
            ".map(n => n.target.join(' ') + ' ' + n.failureSummary).join(' | ')))"
        )
        if found:
            faults[path] = found
    assert not faults, "\n".join(f"{path}: {each}" for path, found in faults.items() for each in found)
