#!/usr/bin/env python3
"""Draw the pages of a running Patchbay with Debian's chromium, light and dark, at a desk and on a phone.

    make run & patchbay demo --hosts 200
    make screenshots SCREENSHOTS_ARGS="--password … [--all]"

The few that the handbook shows are written to docs/images as JPEG; with --all every page goes to build/screenshots.
"""

import argparse
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
IMAGES = HERE / "images"
EVERYTHING = HERE.parent / "build" / "screenshots"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run"]
SHOWN = {("dashboard", "light"), ("dashboard", "dark"), ("dashboard", "phone"), ("host", "light")}
"""Page and window of those in the handbook."""
PAGES = {
    "dashboard": "/",
    "hosts": "/hosts?sort=-security",
    "host": "{host}",
    "cve": "{cve}",
    "host-cves": "{host}?tab=cves",
    "host-packages": "{host}?tab=packages",
    "host-timeline": "{host}?tab=timeline",
    "host-repositories": "{host}?tab=repositories",
    "trends": "/trends",
    "attention": "/attention",
    "add-host": "/hosts/add",
    "views": "/views",
    "groups": "/groups",
    "releases": "/releases",
    "packages": "/packages",
    "package": "/packages/openssl",
    "advisories": "/advisories",
    "cves": "/cves",
    "exceptions": "/exceptions",
    "due-dates": "/due-dates",
    "end-of-life": "/end-of-life",
    "repositories": "/repositories",
    "feeds": "/feeds",
    "mirror-access": "/mirror-access",
    "queues": "/queues",
    "reports": "/reports",
    "dead-letters": "/dead-letters",
    "notification-rules": "/notification-rules",
    "notification-rule": "/notification-rules/new",
    "notification-channels": "/notification-channels",
    "notifications": "/notifications",
    "users": "/users",
    "roles": "/roles",
    "tokens": "/tokens",
    "audit": "/audit",
    "settings": "/settings",
    "help": "/help",
    "help-verdicts": "/help/verdicts",
}
WINDOWS = {"light": ("light", 1440, 900), "dark": ("dark", 1440, 900), "phone": ("dark", 390, 844)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--username", default="admin")
    parser.add_argument("--password", required=True)
    parser.add_argument("--all", action="store_true", help="every page, into build/screenshots")
    given = parser.parse_args()
    target = EVERYTHING if given.all else IMAGES
    target.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        for window, (scheme, width, height) in WINDOWS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            sign_in(page, given.url, given.username, given.password)
            places = {"host": first(page, given.url, "/hosts?sort=-security"), "cve": first_cve(page, given.url)}
            for name, path in PAGES.items():
                if not given.all and (name, window) not in SHOWN:
                    continue
                page.goto(given.url + path.format(**places), wait_until="networkidle")
                page.screenshot(path=target / f"{name}-{window}.jpg", type="jpeg", quality=72)
            page.close()
        browser.close()
    sys.stdout.write(f"{len(list(target.glob('*.jpg')))} pictures in {target}\n")
    return 0


def sign_in(page: Page, url: str, username: str, password: str) -> None:
    page.goto(url + "/sign-in")
    page.fill("#username", username)
    page.fill("#password", password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(url + "/")


def first(page: Page, url: str, path: str) -> str:
    """The address of the first thing of a list."""
    page.goto(url + path)
    link = page.locator("table tbody a").first
    return urlsplit(link.get_attribute("href") or "/").path


def first_cve(page: Page, url: str) -> str:
    """The worst CVE of the host that is shown, or of all."""
    page.goto(url + first(page, url, "/hosts?sort=-security") + "?tab=cves")
    links = page.locator("table tbody a[href^='/cves/']")
    return str(links.first.get_attribute("href")) if links.count() else first(page, url, "/cves")


if __name__ == "__main__":
    sys.exit(main())
