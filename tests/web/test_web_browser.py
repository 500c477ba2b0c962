"""One journey in a real browser: sign in, find the host, read why."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Page, sync_playwright

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]


@pytest.fixture(params=[(1440, 1000), (390, 844)], ids=["wide", "phone"])
def page(request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh browser window of a desk and of a phone, in a dark system."""
    width, height = request.param
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser.new_page(viewport={"width": width, "height": height}, color_scheme="dark")
        browser.close()


def test_somebody_finds_out_why_a_package_is_outstanding(
    page: Page, web: Flask, fleet: Any, serve: Callable[[Any], str]
) -> None:
    """Sign in, hosts, host, Why? - without an error in the console or a page that is too wide."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(serve(web) + "/hosts")

    page.fill("#username", "admin")
    page.fill("#password", "correct horse")
    page.get_by_role("button", name="Sign in").click()
    page.fill("input[type=search]", "web-01")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="web-01.example.com").click()
    row = page.locator("tr", has_text="openssl").filter(has_text="Why?").last
    row.get_by_text("Why?").click()

    assert row.get_by_text("bookworm-security offers").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"
    assert complaints == []


def test_the_chosen_theme_is_remembered(page: Page, web: Flask, fleet: Any, serve: Callable[[Any], str]) -> None:
    """The button outlives the page, against the system's preference."""
    url = serve(web)
    page.goto(url + "/sign-in")
    page.fill("#username", "admin")
    page.fill("#password", "correct horse")
    page.get_by_role("button", name="Sign in").click()

    page.get_by_role("button", name="Light or dark").click()
    page.goto(url + "/hosts")

    assert page.locator("html").get_attribute("data-bs-theme") == "light"
