"""What an operator does in a browser with a whole Patchbay: add a host, sync, tag, save a view, replay."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import requests
from apt_mirror import host_report, write_suite
from playwright.sync_api import Page, expect, sync_playwright
from processes import Standalone, enrol, post_report, wait_for

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
PATIENCE_MS = 60_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]


@dataclass(frozen=True)
class Place:
    """A running Patchbay with one evaluated host, and the mirror that it reads."""

    up: Standalone
    mirror: Path
    host_id: str


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """One for all journeys: each leaves alone what the others look at."""
    folder = Path(tempfile.mkdtemp(prefix="patchbay-test-"))
    folder.chmod(0o755)
    write_suite(folder / "mirror", "stable", {"bash": "5.2-2", "zsh": "5.9-4"})
    up = Standalone(folder, PATCHBAY_MIRROR_MAP=f"http://mirror.example.org/debian={folder / 'mirror'}").start()
    host_id = report(up, up.enrolment_token, "web1.example.org", {"bash": "5.2-1"})
    api = up.sign_in()
    wait_for(lambda: api.get(f"/hosts/{host_id}")["updates"] == 1, what="the first evaluation")
    yield Place(up, folder / "mirror", host_id)
    up.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def page(place: Place) -> Iterator[Page]:
    """A window in which the administrator has signed in."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        windows = browser.new_context(base_url=place.up.url, viewport={"width": 1440, "height": 1000})
        opened = windows.new_page()
        opened.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        opened.goto("/sign-in")
        opened.fill("#username", "admin")
        opened.fill("#password", place.up.password)
        opened.get_by_role("button", name="Sign in").click()
        opened.wait_for_url(place.up.url + "/")
        yield opened
        browser.close()


def report(up: Standalone, token: str, name: str, packages: dict[str, str]) -> str:
    """Enrol a host and send its report; its id."""
    host_id, secret = enrol(up.url, token, name)
    answer = post_report(up.url, secret, host_report(name, packages, "stable"))
    assert answer.status_code == 202
    return host_id


def test_a_host_is_added_until_it_is_green(place: Place, page: Page) -> None:
    """The page gives the line, waits, and notices by itself that the first report is evaluated."""
    page.goto("/hosts/add")
    page.get_by_label("openSUSE, SLES").check()
    page.get_by_text("Name, tags, limits of the token").click()
    page.fill("#name", "rack 7")
    page.get_by_role("button", name="Show the line to paste").click()
    line = page.locator("#install-line").inner_text()
    assert line.startswith("sudo zypper --non-interactive install curl python3 && curl -fsS http")
    token = re.findall(r"--token (\S+)", line)[0]
    page.get_by_text("No host has used this token yet").wait_for()

    report(place.up, token, "new1.example.org", {"zsh": "5.9-3"})

    expect(page.get_by_text("Evaluated: 1 update.")).to_be_visible()
    page.get_by_role("link", name="new1.example.org").click()
    expect(page.get_by_role("heading", name="new1.example.org")).to_be_visible()


def test_a_sync_is_watched_and_an_open_host_page_hears_of_it(place: Place, page: Page) -> None:
    """Nobody reloads anything: the crawl's result appears, and the host's page says that there are new verdicts."""
    other = page.context.new_page()
    other.goto(f"/hosts/{place.host_id}")
    notice = other.get_by_text("It has been evaluated anew.")
    expect(notice).to_be_hidden()
    page.goto("/repositories")
    page.locator("table tbody a").first.click()
    page.get_by_role("heading", name="Last syncs").wait_for()
    write_suite(place.mirror, "stable", {"bash": "5.2-9", "zsh": "5.9-4", "nano": "7.2-1"})

    page.get_by_role("button", name="Sync now").click()

    expect(page.locator("tr", has_text="+2 −1")).to_be_visible()
    expect(page.get_by_text("begins in a moment")).to_be_hidden()
    other.bring_to_front()
    expect(notice).to_be_visible()
    other.get_by_role("link", name="Show the new verdicts").click()
    expect(other.locator("tr", has_text="5.2-9")).to_be_visible()
    expect(other.get_by_text("It has been evaluated anew.")).to_be_hidden()


def test_many_hosts_are_tagged_and_their_list_is_saved(place: Place, page: Page) -> None:
    """From the query to the question how many, to the job, to the view that shows them again."""
    page.goto("/hosts")
    page.fill("#query", "name:web")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("query="))
    page.get_by_role("link", name=re.compile("Act on 1 host")).click()
    page.select_option("#action", "tag")
    page.fill("#tags", "frontend")
    page.get_by_role("button", name="Show which hosts").click()
    page.get_by_role("button", name="Add tags: 1 host").click()
    expect(page.locator("#job .badge", has_text="Done")).to_be_visible()

    page.goto("/hosts?query=tag:frontend&columns=tags")
    page.get_by_text("Views", exact=True).click()
    page.fill("#view-name", "frontends")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("heading", name="frontends").wait_for()
    page.goto("/hosts")
    page.get_by_text("Views", exact=True).click()
    page.get_by_role("link", name="frontends").click()

    page.get_by_role("heading", name="frontends").wait_for()
    assert page.locator("table tbody tr").count() == 1
    assert page.locator("table tbody tr").get_by_text("frontend", exact=True).is_visible()


def test_a_dead_letter_is_replayed(place: Place, page: Page) -> None:
    """Looked at, confirmed, handled again, gone."""
    body = f'{{"host_ids": ["{place.host_id}"]}}'.encode()
    socket = (place.up.folder / "data" / "postgres" / "postmaster.pid").read_text().splitlines()[4]
    with psycopg.connect(f"postgresql://postgres@/patchbay?host={socket}") as connection:
        connection.execute(
            "INSERT INTO dead_letter (queue, routing_key, headers, body, error, attempts, first_at, last_at) VALUES"
            " ('update-engine.operator', 'evaluation.requested', '{}', %s, 'deadlock detected', 3, now(), now())",
            (body,),
        )

    page.goto("/dead-letters")
    page.get_by_role("link", name="deadlock detected").click()
    page.get_by_role("heading", name="What went wrong").wait_for()
    page.get_by_role("button", name="Replay").click()
    page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    page.get_by_text("1 message will be handled again").wait_for()

    def gone() -> bool:
        page.reload()
        return not page.get_by_text("evaluation.requested").count()

    wait_for(gone, what="the replay")
    answer = requests.get(f"{place.up.url}/healthz", timeout=10)
    assert answer.ok
