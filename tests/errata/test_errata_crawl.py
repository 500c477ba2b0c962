"""Crawling a feed: over loopback, into a real database, with the message that follows."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from feed_site import SALSA, Room, Site
from patchbay_errata.feeds import known_feeds, wanted_feeds
from patchbay_errata.service import SERVICE
from patchbay_shared.db import Database
from patchbay_shared.errors import StartupError
from patchbay_shared.messages import ADVISORIES_CHANGED
from patchbay_shared.settings import settings_from

DSA = """[29 Mar 2023] DSA-5380-1 xorg-server - security update
\t{CVE-2023-1393}
\t[bullseye] - xorg-server 2:1.20.11-1+deb11u6
[28 Mar 2023] DSA-5379-1 bash - security update
\t[bullseye] - bash 5.1-2+deb11u2
\t[bookworm] - bash 5.2-2
"""
LIST = "/security-tracker-team/security-tracker/-/raw/master/data/DSA/list"


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


@pytest.fixture
def room(database_of: Callable[[str | None], Database], site: Site) -> Room:
    site.bodies[LIST] = DSA.encode()
    return Room(database_of, site)


def test_a_feed_is_stored_and_announced_by_its_packages(room: Room) -> None:
    """The message names exactly the packages, for each release."""
    room.crawl()

    assert room.rows("SELECT name, vendor, type FROM advisory ORDER BY name") == [
        ("DSA-5379-1", "debian", "security"),
        ("DSA-5380-1", "debian", "security"),
    ]
    assert room.rows("SELECT package, distro_release, evr FROM advisory_fix ORDER BY 1, 2") == [
        ("bash", "bookworm", "5.2-2"),
        ("bash", "bullseye", "5.1-2+deb11u2"),
        ("xorg-server", "bullseye", "2:1.20.11-1+deb11u6"),
    ]
    assert room.bus.sent[0][0] == ADVISORIES_CHANGED
    assert room.changes() == [("bookworm", ["bash"]), ("bullseye", ["bash", "xorg-server"])]


def test_an_unchanged_feed_costs_one_conditional_request(room: Room, site: Site) -> None:
    """Nothing is transferred, written or announced."""
    room.crawl()
    room.changes()
    before = room.rows("SELECT changed_at FROM errata_source WHERE name = 'debian-dsa'")
    site.requests.clear()

    room.crawl()

    assert site.requests == [(LIST, 304)]
    assert room.bus.sent == []
    assert room.rows("SELECT changed_at FROM errata_source WHERE name = 'debian-dsa'") == before


def test_a_change_names_only_what_changed(room: Room, site: Site) -> None:
    """One version of one release: the releases beside it in the same advisory are not named."""
    room.crawl()
    room.changes()
    site.bodies[LIST] = DSA.replace("5.1-2+deb11u2", "5.1-2+deb11u3").encode()

    room.crawl()

    assert room.changes() == [("bullseye", ["bash"])]
    assert room.rows("SELECT generation FROM advisory_release ORDER BY distro_release") == [(1,), (2,)]


def test_a_withdrawn_advisory_goes_with_its_fixes(room: Room, site: Site) -> None:
    """A few missing records are taken as withdrawn."""
    room.crawl()
    room.changes()
    site.bodies[LIST] = DSA.split("[28 Mar", maxsplit=1)[0].encode()

    room.crawl()

    assert room.rows("SELECT name FROM advisory") == [("DSA-5380-1",)]
    assert room.changes() == [("bookworm", ["bash"]), ("bullseye", ["bash"])]


def test_a_feed_that_shrinks_suddenly_deletes_nothing(room: Room, site: Site) -> None:
    """Most of a list gone at once is a fault on the way, and said so."""
    many = "".join(f"[01 Jan 2020] DSA-{n}-1 p{n} - security update\n\t[buster] - p{n} 1.0-1\n" for n in range(100))
    site.bodies[LIST] = many.encode()
    room.crawl()
    site.bodies[LIST] = many[: len(many) // 2].rsplit("[01", 1)[0].encode()

    room.crawl()

    assert room.rows("SELECT count(*) FROM advisory") == [(100,)]
    [(state, message)] = room.rows("SELECT state, message FROM errata_source WHERE name = 'debian-dsa'")
    assert state == "shrunk"
    assert "are kept until" in message


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b"", b"{"])
def test_what_is_no_feed_leaves_what_is_stored(room: Room, site: Site, body: bytes) -> None:
    """The operator reads why; the feed is tried again after a while."""
    room.crawl()
    site.bodies[LIST] = body

    room.crawl()

    assert room.rows("SELECT count(*) FROM advisory") == [(2,)]
    [(state, failures, later)] = room.rows(
        "SELECT state, failure_count, next_check_at > now() FROM errata_source WHERE name = 'debian-dsa'"
    )
    assert (state, failures, later) == ("failing", 1, True)


def test_a_bad_record_is_shown_with_its_reason(room: Room, site: Site) -> None:
    """The others of the feed are stored."""
    site.bodies[LIST] = (DSA + "[some day] DSA-1-1 x - y\n").encode()

    room.crawl()

    [(count, rejected)] = room.rows("SELECT rejected_count, rejected FROM errata_source WHERE name = 'debian-dsa'")
    assert (count, rejected) == (1, [["line 7", "'some day' is no date"]])
    assert room.rows("SELECT count(*) FROM advisory") == [(2,)]


def test_an_id_that_a_feed_repeats_keeps_both_records(room: Room, site: Site) -> None:
    """Ids are not keys: the packages of both count."""
    site.bodies[LIST] = (DSA + "[28 Mar 2023] DSA-5379-1 zsh - security update\n\t[bookworm] - zsh 5.9-4\n").encode()

    room.crawl()
    room.crawl()

    assert room.rows("SELECT name, part FROM advisory WHERE name = 'DSA-5379-1' ORDER BY part") == [
        ("DSA-5379-1", 1),
        ("DSA-5379-1", 2),
    ]


def test_pages_are_fetched_to_the_last(database_of: Callable[[str | None], Database], site: Site) -> None:
    """Rocky's list comes in pages; an unchanged first page costs one request."""
    pages = [
        {"name": f"RLSA-{n}", "kind": "Security", "severity": "Low", "synopsis": "x", "published_at": "2025-01-01"}
        for n in (1, 2, 3)
    ]
    for number, advisory in enumerate(pages, start=1):
        body = json.dumps({"advisories": [advisory], "total": 3, "size": 1}).encode()
        site.bodies[f"/api/v3/advisories/?page={number}&size=100"] = body
    room = Room(database_of, site, errata_sources="rocky", mirror_map=f"https://apollo.build.resf.org={site.url}")

    room.crawl("rocky-apollo")
    site.requests.clear()
    room.crawl("rocky-apollo")

    assert room.rows("SELECT name FROM advisory ORDER BY name") == [("RLSA-1",), ("RLSA-2",), ("RLSA-3",)]
    assert [status for _, status in site.requests] == [304]


def test_a_feed_can_come_from_another_address(database_of: Callable[[str | None], Database], site: Site) -> None:
    """PATCHBAY_ERRATA_URLS names it; the address policy still holds for it."""
    site.bodies["/dsa"] = DSA.encode()
    room = Room(
        database_of,
        site,
        mirror_map="",
        errata_urls=f"debian-dsa={site.url}/dsa",
        fetch_allowed_networks="127.0.0.0/8",
    )

    room.crawl()

    assert room.rows("SELECT count(*) FROM advisory") == [(2,)]


def test_only_named_groups_are_crawled() -> None:
    """CEFS and OSV are off unless the operator names them."""
    wanted = wanted_feeds(settings_from({}), 2026)

    assert {feed.group for feed, on in wanted.values() if not on} == {"centos", "osv", "oval", "suse", "cvelist"}
    assert all(not on for _, on in wanted_feeds(settings_from({}, errata_sources="none"), 2026).values())


@pytest.mark.parametrize(
    ("name", "value"),
    [("errata_sources", "debain"), ("errata_urls", "x=http://y/"), ("errata_urls", "debian-dsa=ftp")],
)
def test_a_feed_that_there_is_not_is_refused_at_the_start(name: str, value: str) -> None:
    """One line that names the variable."""
    with pytest.raises(StartupError, match=f"PATCHBAY_{name.upper()}"):
        wanted_feeds(settings_from({}, **{name: value}), 2026)


def test_feeds_have_names_of_their_own() -> None:
    """And https addresses."""
    feeds = known_feeds(2026)

    assert len({feed.name for feed in feeds}) == len(feeds)
    assert all(feed.url.startswith("https://") for feed in feeds)
    assert SERVICE.publishes == (ADVISORIES_CHANGED,)


RECORDED = {
    "https://salsa.debian.org/security-tracker-team/security-tracker/-/raw/master/data": "debian/data",
    "https://salsa.debian.org/debian/distro-info-data/-/raw/main": "lifecycle/distro-info-data",
    "https://security-tracker.debian.org/tracker/data/json": "debian/tracker-json/debian.json",
    "https://usn.ubuntu.com/usn-db/database-all.json.bz2": "ubuntu/usn-db/database-all.json",
    "https://security.archlinux.org/issues/all.json": "arch/all.json.xz",
    "https://apollo.build.resf.org/api/v3/advisories": "rocky/advisories-page1.json",
    "https://errata.almalinux.org/8/errata.full.json": "alma/errata.full.json",
    "https://gitweb.gentoo.org/data/glsa.git/snapshot/glsa-master.tar.gz": "gentoo/metadata-glsa.tar.xz",
    "https://nvd.nist.gov/feeds/json/cve/2.0": "nvd",
    "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json": (
        "kev/known_exploited_vulnerabilities.json.xz"
    ),
    "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz": "epss/epss_scores-current.csv",
}
COUNTS = {
    "debian-dsa": 3785,
    "debian-dla": 2349,
    "debian-tracker": 6,
    "ubuntu-usn": 2,
    "arch-issues": 1780,
    "rocky-apollo": 1,
    "alma-8": 1,
    "gentoo-glsa": 2515,
    "nvd-2021": 3,
    "nvd-modified": 2,
    "cisa-kev": 984,
    "first-epss": 70,
    "lifecycle-debian": 22,
    "lifecycle-ubuntu": 44,
}


def test_every_recorded_feed_is_crawled_from_a_folder(
    database_of: Callable[[str | None], Database], site: Site, shared: Path
) -> None:
    """The mirror map leads canonical addresses to files; what the folder lacks fails, and says so."""
    mapped = " ".join(f"{url}={shared / 'feeds' / path}" for url, path in RECORDED.items())
    mapped += f" https://={site.url}/nothing"
    room = Room(
        database_of,
        site,
        errata_sources="debian,ubuntu,arch,rocky,alma,gentoo,nvd,kev,epss,lifecycle",
        mirror_map=mapped,
    )

    while room.crawler.crawl_next():
        pass

    stored = dict(room.rows("SELECT name, record_count FROM errata_source WHERE state = 'ok'"))
    assert stored == COUNTS
    assert room.rows("SELECT DISTINCT state FROM errata_source WHERE enabled ORDER BY 1") == [("failing",), ("ok",)]
    assert room.rows("SELECT count(*) FROM advisory_fix WHERE distro_release = 'bookworm' AND evr_key IS NULL") == [
        (0,)
    ]
    [(message,)] = room.rows("SELECT message FROM errata_source WHERE name = 'rocky-apollo'")
    assert "repeats the one before" in message


def csaf(number: str, evr: str) -> bytes:
    product = f"SUSE Linux Enterprise Server 12 SP5:tool-{evr}.x86_64"
    tracking = {"id": number, "initial_release_date": "2024-01-01T00:00:00Z"}
    body = {
        "document": {"title": number, "category": "csaf_security_advisory", "tracking": tracking},
        "vulnerabilities": [{"cve": "CVE-2024-0001", "product_status": {"recommended": [product]}}],
    }
    return json.dumps(body).encode()


@pytest.fixture
def suse(database_of: Callable[[str | None], Database], site: Site) -> Room:
    site.bodies["/csaf/changes.csv"] = (
        b'"suse-su-2024_2-1.json","2024-01-02T00:00:00+00:00"\n"suse-su-2024_1-1.json","2024-01-01T00:00:00+00:00"\n'
    )
    site.bodies["/csaf/suse-su-2024_1-1.json"] = csaf("SUSE-SU-2024:1-1", "1.0-1.1")
    site.bodies["/csaf/suse-su-2024_2-1.json"] = csaf("SUSE-SU-2024:2-1", "1.0-2.1")
    urls = f"suse-csaf={site.url}/csaf/changes.csv cve-list={site.url}/cves/deltaLog.json"
    return Room(
        database_of,
        site,
        errata_sources="suse,cvelist",
        errata_urls=urls,
        mirror_map=f"{SALSA}={site.url} {site.url}={site.url}",
    )


def test_only_documents_that_the_list_says_changed_are_fetched(suse: Room, site: Site) -> None:
    """All at first; then one conditional request, or the list and what is new in it."""
    suse.crawl("suse-csaf")
    assert suse.rows("SELECT name, type FROM advisory ORDER BY 1") == [
        ("SUSE-SU-2024:1-1", "security"),
        ("SUSE-SU-2024:2-1", "security"),
    ]
    assert suse.rows("SELECT DISTINCT ecosystem, distro_release, package FROM advisory_fix") == [
        ("sles", "12.5", "tool")
    ]
    site.requests.clear()
    suse.crawl("suse-csaf")
    assert site.requests == [("/csaf/changes.csv", 304)]

    listed = site.bodies["/csaf/changes.csv"]
    site.bodies["/csaf/changes.csv"] = b'"suse-su-2024_1-1.json","2024-01-03T00:00:00+00:00"\n' + listed
    site.bodies["/csaf/suse-su-2024_1-1.json"] = csaf("SUSE-SU-2024:1-1", "1.0-9.1")
    site.requests.clear()
    suse.crawl("suse-csaf")

    assert site.requests == [("/csaf/changes.csv", 200), ("/csaf/suse-su-2024_1-1.json", 200)]
    assert suse.rows("SELECT evr FROM advisory_fix ORDER BY 1") == [("1.0-2.1",), ("1.0-9.1",)]


def test_a_document_that_the_list_no_longer_has_is_withdrawn(suse: Room, site: Site) -> None:
    """With its fixes, and the engine is told whose."""
    suse.crawl("suse-csaf")
    suse.changes()
    site.bodies["/csaf/changes.csv"] = b'"suse-su-2024_2-1.json","2024-01-02T00:00:00+00:00"\n'
    site.requests.clear()

    suse.crawl("suse-csaf")

    assert site.requests == [("/csaf/changes.csv", 200)]
    assert suse.rows("SELECT name FROM advisory") == [("SUSE-SU-2024:2-1",)]
    assert suse.changes() == [("12.5", ["tool"])]
    assert suse.rows("SELECT record_count, state FROM errata_source WHERE name = 'suse-csaf'") == [(1, "ok")]


def test_a_bad_or_missing_document_is_put_aside_and_the_others_stored(suse: Room, site: Site) -> None:
    """With its place and reason in the source's status; the list goes on behind it."""
    site.bodies["/csaf/suse-su-2024_1-1.json"] = b"<html>moved</html>"
    site.bodies["/csaf/changes.csv"] = (
        b'"suse-su-2024_3-1.json","2024-01-03T00:00:00Z"\n' + site.bodies["/csaf/changes.csv"]
    )

    suse.crawl("suse-csaf")

    assert suse.rows("SELECT name FROM advisory") == [("SUSE-SU-2024:2-1",)]
    [(state, count, rejected, cursor)] = suse.rows(
        "SELECT state, rejected_count, rejected, cursor FROM errata_source WHERE name = 'suse-csaf'"
    )
    assert (state, count, cursor) == ("ok", 2, "2024-01-03T00:00:00+00:00")
    assert "suse-su-2024_3-1.json" in str(rejected)


def test_a_list_that_leads_elsewhere_is_refused(suse: Room, site: Site) -> None:
    """Nothing is fetched outside of the list's folder."""
    site.bodies["/csaf/changes.csv"] = b'"../../etc/passwd.json","2024-01-01T00:00:00Z"\n'

    suse.crawl("suse-csaf")

    assert [path for path, _ in site.requests] == ["/csaf/changes.csv"]
    assert suse.rows("SELECT state FROM errata_source WHERE name = 'suse-csaf'") == [("failing",)]


def test_the_cve_list_is_followed_by_its_log_of_changes(suse: Room, site: Site, shared: Path) -> None:
    """Records are found by their ids, whatever link stands beside them."""
    [file] = (
        list((shared / "feeds/cve/cves").glob("*/*/CVE-2024-40946.json"))
        or list((shared / "feeds/cve/cves").glob("*/*/*.json"))[:1]
    )
    number = file.stem
    year, serial = number.split("-")[1:]
    site.bodies[f"/cves/{year}/{serial[:-3]}xxx/{number}.json"] = file.read_bytes()
    change = {
        "cveId": number,
        "githubLink": "https://elsewhere.example/x.json",
        "dateUpdated": "2024-01-02T00:00:00Z",
    }
    log = [{"fetchTime": "2024-01-02T00:00:01Z", "new": [change], "updated": [change], "error": []}]
    site.bodies["/cves/deltaLog.json"] = json.dumps(log).encode()

    suse.crawl("cve-list")

    assert suse.rows("SELECT id FROM cve") == [(number,)]
