"""Advisories, CVEs, calendars, feeds: what the pages say of them, over a real API."""

import csv
import io
import re
import threading
from collections.abc import Callable
from html import unescape
from types import ModuleType
from typing import Any

from flask.testing import FlaskClient
from patchbay_errata.totals import Totals
from patchbay_shared.db import Database
from sqlalchemy import text

HOSTILE = "<script>alert(1)</script>"


def test_an_advisory_says_what_fixes_it_and_links_only_where_browsers_may_go(
    admin: FlaskClient, published: Database
) -> None:
    """Hostile titles are text, links with other schemes than HTTP are none."""
    page = admin.get("/advisories/debian-dsa/DSA-5764-1").text

    assert "3.0.17-1~deb12u2" in page
    assert "https://lists.example.org/1" in page
    assert HOSTILE not in page
    assert "javascript:" not in page


def test_an_advisory_is_found_by_its_id_alone(admin: FlaskClient, published: Database) -> None:
    """Verdicts name advisories without the feed that has them."""
    answer = admin.get("/advisories/find/DSA-5764-1")

    assert answer.headers["Location"] == "/advisories/debian-dsa/DSA-5764-1"


def test_an_unknown_advisory_leads_to_the_list(admin: FlaskClient, published: Database) -> None:
    """The list says that nothing matches, and how to see the others."""
    assert "No advisory matches" in admin.get("/advisories/find/DSA-1-1", follow_redirects=True).text


def test_advisories_are_narrowed_by_severity(admin: FlaskClient, published: Database) -> None:
    """Each chip is an address."""
    assert "DSA-5764-1" in admin.get("/advisories?show=all&severity=high").text
    assert "DSA-5764-1" not in admin.get("/advisories?show=all&severity=low").text
    assert admin.get("/advisories?severity=nonsense").status_code == 404


def test_a_cve_page_leads_to_its_advisories(admin: FlaskClient, published: Database) -> None:
    """And says honestly that no host is exposed, and that the severity is the advisory's: NVD has rated nothing."""
    page = admin.get("/cves/CVE-2026-1111").text

    assert "/advisories/find/DSA-5764-1" in page
    assert "No host is exposed" in page
    assert re.search(r"High.*by <a [^>]*>DSA-5764-1</a>", page)
    assert "CVSS" not in page


def test_an_end_of_life_in_the_past_is_said(admin: FlaskClient, published: Database) -> None:
    """With how long ago it was."""
    page = admin.get("/end-of-life").text

    assert "Debian 10" in page
    assert "y ago" in page


def test_a_failing_feed_says_why(admin: FlaskClient, published: Database) -> None:
    """The reason is the feed's own."""
    assert "503 from the mirror" in admin.get("/feeds").text
    assert "503 from the mirror" not in admin.get("/feeds?show=ok").text


def test_one_search_finds_hosts_and_advisories(admin: FlaskClient, fleet: Any, published: Database) -> None:
    """As a page, and as a short list for htmx."""
    page = admin.get("/search?q=web-0").text
    suggestions = admin.get("/search?q=DSA-57", headers={"HX-Request": "true"}).text

    assert "web-01.example.com" in page
    assert "DSA-5764-1" in suggestions
    assert "<html" not in suggestions


def test_a_mistake_about_mirror_access_is_said_and_nothing_kept(
    admin: FlaskClient, form_token: Callable[[FlaskClient, str], str]
) -> None:
    """The form keeps what is no secret."""
    given = {"url": "ftp://mirror.example.org/", "username": "patch", "password": "hush-hush"}

    answer = admin.post("/mirror-access", data={"csrf_token": form_token(admin, "/mirror-access"), **given})

    assert answer.status_code == 422
    assert "http or https" in answer.text
    assert "ftp://mirror.example.org/" in answer.text
    assert "hush-hush" not in answer.text


def test_a_viewer_is_not_offered_mirror_access(ask: Callable[[str], FlaskClient]) -> None:
    """The menu shows what the role may see."""
    page = ask("viewer").get("/").text

    assert "/mirror-access" not in page
    assert "/advisories" in page


def test_a_package_shows_its_versions_and_hosts(admin: FlaskClient, fleet: Any) -> None:
    """From the list to the version to the hosts that have it."""
    assert "/packages/openssl" in admin.get("/packages?q=open").text
    assert "3.0.15-1~deb12u1" in admin.get("/packages/openssl").text
    assert "web-01.example.com" in admin.get("/packages/openssl?tab=hosts").text


def test_two_hosts_are_compared(admin: FlaskClient, fleet: Any, fleet_seed: ModuleType) -> None:
    """A name that several hosts have is asked about, not guessed."""
    path = f"/hosts/{fleet.hosts['web-01.example.com']}?tab=compare"

    assert "give the whole name" in admin.get(path + "&host=example").text
    assert "No host has that in its name" in admin.get(path + "&host=zzz").text
    assert "only here" in admin.get(path + "&host=db-01.example.com").text
    assert "is known since" in admin.get(path + "&at=1999-01-01T00:00").text


def test_cves_open_with_what_touches_the_fleet(
    admin: FlaskClient, fleet: Any, published: Database, database_of: Callable[[str | None], Database]
) -> None:
    """Each number leads to the hosts in that state; nothing is good news once every host was counted."""
    assert "Not counted yet" in admin.get("/cves").text
    with published.transaction() as connection:
        connection.execute(
            text("INSERT INTO exposure_set VALUES (:id, '{CVE-2026-1111}', '{0}', '{3}')"), {"id": "0" * 32}
        )
        connection.execute(
            text("""
                INSERT INTO host_exposure (host_id, basis, exposed_count, fixable_count, restart_count,
                    exploited_count, overdue_count, waived_count, worst_cve, exposure_set_id, counted_at)
                SELECT id, '', 1, 1, 0, 0, 0, 0, '', :id, now() FROM host"""),
            {"id": "0" * 32},
        )
    Totals(database_of("errata")).run(threading.Event())
    page = admin.get("/cves").text

    assert "High" in page and "by DSA-5764-1" in page
    assert "/cves/CVE-2026-1111?state=exposed" in page and "/cves/CVE-2026-1111?state=fix-available" in page
    assert "None of these touches your hosts" in admin.get("/cves?severity=low").text
    assert admin.get("/cves/CVE-2026-1111?state=exposed").status_code == 200
    assert admin.get("/cves?severity=nonsense").status_code == 404
    with published.transaction() as connection:
        connection.execute(text("UPDATE host_exposure SET exposure_set_id = NULL, counted_at = now()"))
    Totals(database_of("errata")).run(threading.Event())
    assert "Nothing touches your hosts" in admin.get("/cves").text
    assert "CVE-2026-1111" in admin.get("/cves?show=all").text


def test_advisories_open_with_what_is_outstanding(
    admin: FlaskClient, fleet: Any, published: Database, database_of: Callable[[str | None], Database]
) -> None:
    """The number of hosts leads to them; nothing outstanding is good news once every host was judged."""

    def sum_up() -> None:
        Totals(database_of("errata")).run(threading.Event())

    assert "Not judged yet" in admin.get("/advisories").text
    with published.transaction() as connection:
        connection.execute(text("DELETE FROM host WHERE evaluation_id IS NULL"))
    assert "No advisory is known for what is outstanding" in admin.get("/advisories").text
    sum_up()
    page = admin.get("/advisories").text
    [count] = re.findall(r'<a href="/hosts\?query=advisory:DSA-5764-1">(\d+) hosts</a>', page)
    shown = admin.get("/hosts?query=advisory:DSA-5764-1").text
    assert f"{count} hosts" in shown and "web-01.example.com" in shown
    assert f">{count} hosts</a>" in admin.get("/advisories/debian-dsa/DSA-5764-1").text
    assert "None of these is outstanding on your hosts" in admin.get("/advisories?severity=low").text
    with published.transaction() as connection:
        connection.execute(text("DELETE FROM host WHERE evaluation_id IN (SELECT evaluation_id FROM verdict)"))
    sum_up()
    assert "Nothing is outstanding" in admin.get("/advisories").text
    assert "DSA-5764-1" not in admin.get("/advisories").text
    assert "DSA-5764-1" in admin.get("/advisories?show=all").text
    assert "DSA-5764-1" in admin.get("/advisories?q=DSA-57").text


def test_what_a_list_shows_is_exported_as_csv(
    admin: FlaskClient, fleet: Any, published: Database, database_of: Callable[[str | None], Database]
) -> None:
    """The link keeps the filter and has every page."""
    Totals(database_of("errata")).run(threading.Event())
    for page, other, name in (
        ("/advisories?severity=high", "/advisories?show=all&severity=low", "DSA-5764-1"),
        ("/cves?show=all&q=2026-1111", "/cves?show=exploited", "CVE-2026-1111"),
    ):
        [link] = re.findall(r'href="(/\w+\.csv[^"]*)"', admin.get(page).text)
        assert "cursor" not in link
        answer = admin.get(unescape(link))
        assert (answer.status_code, answer.mimetype) == (200, "text/csv")
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{link[1:].partition("?")[0]}"'
        [row] = csv.DictReader(io.StringIO(answer.text))
        assert (row.get("name") or row["id"], row["severity"], row["known_exploited"]) == (name, "high", "false")
        path, _, filters = other.partition("?")
        assert len(admin.get(f"{path}.csv?{filters}").text.splitlines()) == 1
    assert admin.get("/cves.csv?severity=nonsense").status_code == 404
    assert admin.get("/advisories.csv?severity=nonsense").status_code == 404


def test_a_parameter_that_builds_addresses_is_no_filter(admin: FlaskClient, published: Database) -> None:
    """Links of a page are made of its parameters: those that mean something to the maker of links are left out."""
    page = admin.get("/advisories?show=all&_method=POST&_scheme=javascript&_anchor=elsewhere&endpoint=users.index")

    assert page.status_code == 200
    assert not re.search(r'href="[^"]*(javascript|_method|#elsewhere)', page.text)


def test_advisories_of_exploited_cves_are_marked_and_listed(
    admin: FlaskClient, fleet: Any, published: Database, database_of: Callable[[str | None], Database]
) -> None:
    """On the list and on the page; the chip keeps those that are outstanding."""
    Totals(database_of("errata")).run(threading.Event())
    assert "None of these is outstanding on your hosts" in admin.get("/advisories?show=exploited").text
    assert ">Exploited</span>" not in admin.get("/advisories").text
    with published.transaction() as connection:
        connection.execute(
            text("INSERT INTO known_exploited VALUES ('CVE-2026-1111', current_date, current_date, false, '', '')")
        )

    for path in ("/advisories", "/advisories?show=exploited", "/advisories/debian-dsa/DSA-5764-1"):
        page = admin.get(path).text
        assert "DSA-5764-1" in page and ">Exploited</span>" in page


def test_a_severity_that_no_vendor_gave_says_so(
    admin: FlaskClient, published: Database, database_of: Callable[[str | None], Database]
) -> None:
    """The badge is that of the worst CVE; NVD is called by its name on the pages of CVEs."""
    with published.transaction() as connection:
        connection.execute(text("UPDATE advisory SET severity = ''"))
        connection.execute(
            text("""
                INSERT INTO cve (id, source, digest, state, description, score, severity, vector, cvss_version,
                    provider, metrics, cwes)
                VALUES ('CVE-2026-1111', 'debian-dsa', 0, 'published', '', 9.8, 'critical', '', '3.1', 'nvd@nist.gov',
                    '[]', '{}')""")
        )
    Totals(database_of("errata")).run(threading.Event())

    for path in (
        "/advisories?show=all",
        "/advisories?show=all&severity=critical",
        "/advisories/debian-dsa/DSA-5764-1",
    ):
        page = admin.get(path).text
        assert re.search(r'title="The vendor does not rate it.">Critical<', page)
        assert re.search(r'by <a [^>]*href="/cves/CVE-2026-1111"[^>]*>CVE-2026-1111</a>', page)
    assert "No advisory matches" in admin.get("/advisories?show=all&severity=high").text
    for page in (admin.get("/cves?show=all").text, admin.get("/cves/CVE-2026-1111").text):
        assert "by NVD" in page
        assert "nist.gov" not in page
