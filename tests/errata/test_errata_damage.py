"""Every kind of source, damaged in every way that feeds are: refused, or read as far as it is good."""

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from damaged_feeds import FUTURE, SOURCES, Shape, Source
from feed_site import Room, Site
from patchbay_errata.advisory import Advisory
from patchbay_errata.feeds import known_feeds
from patchbay_errata.sources import cve
from patchbay_shared.db import Database
from patchbay_shared.errors import InvalidInput
from patchbay_shared.fetching.compression import open_decompressed
from sqlalchemy import text

MANY = 30
MARK = b"\xef\xbb\xbf"
HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><p>Sign in</p></body></html>\n"
BOMB = (
    b'<!DOCTYPE %(root)b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><%(root)b><x>&b;</x></%(root)b>'
)
TEXT = {name for name, source in SOURCES.items() if source.form == "text"}
WITHOUT_DATES = {"debian-dsa"}
"""Where the date is part of what makes a line an entry."""


def test_the_table_has_every_kind_of_feed_that_is_fetched_whole() -> None:
    """A new kind of source fails here until its damage is tested; lists of documents are below."""

    kinds = {feed.group for feed in known_feeds(2026) if feed.listed is None}
    groups = {feed.name: feed.group for feed in known_feeds(2026)}

    assert kinds == {groups[name] for name in SOURCES}


@pytest.fixture(params=list(SOURCES))
def source(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param]


def test_every_record_is_read(source: Source) -> None:
    """What the damage below starts from is whole."""
    found, rejected = source.read(source.build([Shape()] * MANY))

    assert (len(found), rejected.samples) == (MANY, [])


@pytest.mark.parametrize("body", [HTML, b"", b"\n", MARK, b"\0" * 1024, b"null", b"7"], ids=repr)
def test_another_document_in_its_place_is_refused(source: Source, body: bytes) -> None:
    """Never an empty success: that would delete what is stored."""
    with pytest.raises(InvalidInput):
        source.read(body)


def test_half_a_feed_is_refused_or_is_the_first_records(source: Source) -> None:
    """Only lines of text can end anywhere; what is there is read, and the crawler keeps what is missing."""
    whole = source.build([Shape()] * MANY)
    half = whole[: len(whole) // 2]
    if source.feed not in TEXT:
        with pytest.raises(InvalidInput):
            source.read(half)
        return
    found, rejected = source.read(half)

    assert 0 < len(found) + rejected.count < MANY


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress], ids=["gz", "xz", "bz2"])
def test_half_a_compressed_feed_is_refused(
    source: Source, compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """Whatever could be read of it."""
    packed = compress(source.build([Shape()] * MANY))
    file = tmp_path / "feed"
    file.write_bytes(packed[: len(packed) // 2])

    with (
        pytest.raises(InvalidInput, match="truncated"),
        open_decompressed(file, name=source.feed, limit_bytes=1 << 24) as stream,
    ):
        stream.read()


@pytest.mark.parametrize("name", [name for name, each in SOURCES.items() if each.form == "xml"])
def test_an_entity_bomb_is_refused(name: str) -> None:
    """Before it is expanded. Gentoo's, which are files of an archive, are put aside one by one."""
    root = {"centos-cefs": b"opt"}.get(name, b"oval_definitions")

    with pytest.raises(InvalidInput, match=r"(?i)entit|dtd"):
        SOURCES[name].read(BOMB % {b"root": root})


def test_a_byte_order_mark_changes_nothing(source: Source) -> None:
    """Editors and Windows servers put one before text; in an archive each file may have one."""
    if source.form in {"tar", "zip"}:
        records = [source.record(number, Shape()) for number in (1, 2)]
        marked = source.join([(name, MARK + data) for name, data in records])
    else:
        marked = MARK + source.build([Shape()] * 2)

    assert source.read(marked)[0] == source.read(source.build([Shape()] * 2))[0]


def test_line_ends_of_windows_change_nothing(source: Source) -> None:
    """Also in what ends a line."""
    if source.form in {"tar", "zip"}:
        records = [source.record(number, Shape()) for number in (1, 2)]
        turned = source.join([(name, data.replace(b"\n", b"\r\n")) for name, data in records])
    else:
        turned = source.build([Shape()] * 2).replace(b"\n", b"\r\n")

    assert source.read(turned)[0] == source.read(source.build([Shape()] * 2))[0]


def test_records_without_dates_keep_what_they_say(source: Source) -> None:
    """The fix, the rating, the exploitation; where the date makes the entry, it is put aside with that reason."""
    found, rejected = source.read(source.build([Shape(date=None), Shape()]))

    if source.feed in WITHOUT_DATES:
        assert (len(found), [reason for _, reason in rejected.samples]) == (1, ["'some day' is no date"])
        return
    assert (len(found), rejected.samples) == (2, [])


def test_packages_without_a_release_match_no_host(source: Source) -> None:
    """They are shown without a release, or the advisory is put aside; none becomes one for every release."""
    found, rejected = source.read(source.build([Shape(release=False), Shape()]))

    assert len(found) + rejected.count == 2
    if found and isinstance(found[0], Advisory) and source.feed != "arch-issues":
        first = found[0] if len(found) == 2 else None
        assert first is None or {fix.distro_release for fix in first.fixes} <= {"", "unknown"}


def test_optional_fields_may_be_missing(source: Source) -> None:
    """A record of nothing but what identifies it is a record."""
    found, rejected = source.read(source.build([Shape(bare=True), Shape()]))

    assert (len(found), rejected.samples) == (2, [])


def test_dates_in_the_future_hide_nothing(source: Source) -> None:
    """A publisher's clock, or ours, may be wrong."""
    found, rejected = source.read(source.build([Shape(date=FUTURE), Shape()]))

    assert (len(found), rejected.samples) == (2, [])


def test_an_unreadable_due_date_does_not_hide_that_a_cve_is_exploited() -> None:
    """It has none then, and the policy's days count."""
    whole = SOURCES["cisa-kev"].build([Shape()])

    [found], rejected = SOURCES["cisa-kev"].read(whole.replace(b'"dueDate": "2024-01-02"', b'"dueDate": "soon"'))

    assert (found.cve, found.due_on, rejected.count) == ("CVE-2024-1001", None, 0)


def test_a_changed_cve_without_a_readable_date_is_fetched_by_that_of_its_log() -> None:
    """It must not be passed over."""
    log = b'[{"fetchTime": "2024-01-02T00:00:00Z", "new": [{"cveId": "CVE-2024-1001", "dateUpdated": "soon"}]}]'

    [(path, at)] = cve.changes(MARK + log)

    assert (path, f"{at:%Y-%m-%d}") == ("2024/1xxx/CVE-2024-1001.json", "2024-01-02")


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


_TABLES = {"nvd-2024": "cve", "cisa-kev": "known_exploited", "first-epss": "exploit_score"}


@pytest.fixture
def room(source: Source, database_of: Callable[[str | None], Database], site: Site) -> Room:
    groups = "debian,ubuntu,arch,rocky,alma,gentoo,centos,oval,osv,nvd,kev,epss,lifecycle"
    path = "/feed?page=1&size=100" if source.feed == "rocky-apollo" else "/feed"
    site.bodies[path] = source.build([Shape()] * MANY + [Shape(bad=True)] + [Shape()] * MANY)
    return Room(
        database_of,
        site,
        errata_sources=groups,
        errata_urls=f"{source.feed}={site.url}/feed",
        mirror_map="",
        fetch_allowed_networks="127.0.0.0/8",
    )


def _stored(room: Room, feed: str) -> Any:
    if feed.startswith("lifecycle"):
        return room.rows("SELECT count(*) FROM lifecycle WHERE codename LIKE 'name%'")[0][0]
    return room.rows(f"SELECT count(*) FROM {_TABLES.get(feed, 'advisory')}")[0][0]


def test_one_bad_record_is_shown_and_no_damage_takes_the_others(source: Source, room: Room, site: Site) -> None:
    """With its reason in the source's status; what vanishes or breaks later leaves it all, and says since when."""
    room.crawl(source.feed)
    about = "SELECT state, record_count, rejected_count, jsonb_array_length(rejected) FROM errata_source"
    assert room.rows(f"{about} WHERE name = '{source.feed}'") == [("ok", 2 * MANY, 1, 1)]
    assert _stored(room, source.feed) == 2 * MANY
    [path] = site.bodies
    whole = site.bodies[path]

    for damage in (whole[: len(whole) // 2], source.build([]), HTML, b"", None):
        if damage is None:
            del site.bodies[path]
        else:
            site.bodies[path] = damage
        room.crawl(source.feed)
        assert _stored(room, source.feed) == 2 * MANY

    [(state, message, failures, aged)] = room.rows(
        "SELECT state, message, failure_count, checked_at >= changed_at FROM errata_source"
        f" WHERE name = '{source.feed}'"
    )
    assert (state, failures >= 1, aged) == ("failing", True, True)
    assert "404" in message


def test_a_feed_without_any_record_deletes_not_even_a_few(source: Source, room: Room, site: Site) -> None:
    """An empty list is a fault on the way, however short the list was."""
    [path] = site.bodies
    site.bodies[path] = source.build([Shape()] * 2)
    room.crawl(source.feed)
    site.bodies[path] = source.build([])

    room.crawl(source.feed)

    assert _stored(room, source.feed) == 2
    [(state,)] = room.rows(f"SELECT state FROM errata_source WHERE name = '{source.feed}'")
    assert state in {"failing", "shrunk"}


def test_a_date_ahead_of_the_clock_does_not_hide_what_is_published_until_then(
    database_of: Callable[[str | None], Database], site: Site
) -> None:
    """A list is followed by its dates: one of the year 2199 must not carry us past the others."""
    document = b'{"document": {"tracking": {"id": "SUSE-SU-2024:%b-1"}}}'
    site.bodies["/csaf/changes.csv"] = MARK + b'"suse-su-2024_1-1.json","2199-01-01T00:00:00Z"\r\n'
    site.bodies["/csaf/suse-su-2024_1-1.json"] = document % b"1"
    site.bodies["/csaf/suse-su-2024_2-1.json"] = MARK + document % b"2"
    room = Room(
        database_of,
        site,
        errata_sources="suse",
        errata_urls=f"suse-csaf={site.url}/csaf/changes.csv",
        mirror_map="",
        fetch_allowed_networks="127.0.0.0/8",
    )
    room.crawl("suse-csaf")
    room.changes()
    with room.owner.transaction() as connection:
        now = connection.scalar(text("SELECT to_char(now() + interval '1 minute', 'YYYY-MM-DD\"T\"HH24:MI:SSOF:00')"))
    site.bodies["/csaf/changes.csv"] += f'"suse-su-2024_2-1.json","{now}"\n'.encode()

    room.crawl("suse-csaf")

    assert room.rows("SELECT name FROM advisory ORDER BY 1") == [("SUSE-SU-2024:1-1",), ("SUSE-SU-2024:2-1",)]
    assert room.rows("SELECT cursor < '2199' FROM errata_source WHERE name = 'suse-csaf'") == [(True,)]


def test_a_last_modified_in_the_future_does_not_hide_the_next_version(
    database_of: Callable[[str | None], Database], site: Site
) -> None:
    """A server whose clock was wrong: asked since 2199 it would say "not modified" until then."""
    source = SOURCES["debian-dsa"]
    site.bodies["/feed"] = source.build([Shape()] * 2)
    room = Room(
        database_of,
        site,
        errata_urls=f"debian-dsa={site.url}/feed",
        mirror_map="",
        fetch_allowed_networks="127.0.0.0/8",
    )
    for dated, count in (("Tue, 01 Jan 2199 00:00:00 GMT", 2), ("Fri, 02 Jan 2026 00:00:00 GMT", 3)):
        site.last_modified = dated
        site.bodies["/feed"] = source.build([Shape()] * count)
        room.crawl()
    room.crawl()

    assert _stored(room, "debian-dsa") == 3
    assert [status for _, status in site.requests] == [200, 200, 304]
