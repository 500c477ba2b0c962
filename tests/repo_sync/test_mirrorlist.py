"""Lists of mirrors, as the recorded ones and made ones give them."""

from pathlib import Path

import pytest
from patchbay_repo_sync import mirrorlist
from patchbay_shared.errors import InvalidInput

RFC_5854 = b"""<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <file name="repomd.xml">
    <size>7</size>
    <hash type="sha-256">%s</hash>
    <url priority="2">http://second.test/repo/repodata/repomd.xml</url>
    <url priority="1">http://first.test/repo/repodata/repomd.xml</url>
  </file>
</metalink>"""


def test_the_recorded_metalink_gives_web_mirrors_by_preference_and_the_newest_checksum_first(shared: Path) -> None:
    """ftp and rsync are left out; the alternate's checksum is that of an older repomd.xml."""
    found = mirrorlist.parse((shared / "feeds/repo-mirrors/metalink.xml").read_bytes())

    assert found.urls == [
        "http://ftp-stud.hs-esslingen.de/pub/fedora/linux/updates/13/x86_64",
        "http://mirror.eurid.eu/fedora/linux/updates/13/x86_64",
    ]
    assert [(each.algorithm, each.value[:8], each.size) for each in found.entries] == [
        ("sha512", "f43d747f", 4834),
        ("sha512", "78d2eff2", 4834),
    ]


def test_a_long_metalink_is_cut_to_its_best_mirrors(shared: Path) -> None:
    """The recorded one of Fedora 17 names more than a hundred."""
    found = mirrorlist.parse((shared / "feeds/repo-mirrors/metalink_good_01").read_bytes())

    assert len(found.urls) == mirrorlist.MAX_MIRRORS
    assert found.urls[0] == "http://mirror.pnl.gov/fedora/linux/releases/17/Everything/x86_64/os"


def test_the_priority_of_rfc_5854_counts_the_other_way_round() -> None:
    """1 is best there, where 100 is best in the older preference; its hash has no wrapper."""
    found = mirrorlist.parse(RFC_5854 % (b"0" * 64))

    assert found.urls == ["http://first.test/repo", "http://second.test/repo"]
    assert [(each.algorithm, each.size) for each in found.entries] == [("sha256", 7)]


def test_the_recorded_list_in_json_is_read_in_the_order_of_its_prio(shared: Path) -> None:
    """As openSUSE's MirrorCache answers zypper."""
    found = mirrorlist.parse((shared / "feeds/repo-mirrors/mirrorlist.json").read_bytes())

    assert found.urls[0] == "https://ftp.uni-erlangen.de/opensuse/tumbleweed/repo/non-oss"
    assert len(found.urls) == 16


def test_a_list_in_json_of_another_shape_is_refused() -> None:
    """It is not taken for a text list."""
    with pytest.raises(InvalidInput, match="JSON"):
        mirrorlist.parse(b'[{"href": "http://a.test/"}]')


def test_the_recorded_template_of_debian_mirrors_is_read_without_its_countries(shared: Path) -> None:
    """Lines that begin with # are passed over, `#LOC:AM` too."""
    found = mirrorlist.parse((shared / "feeds/repo-mirrors/Debian.mirrors").read_bytes())

    assert found.urls[:2] == ["http://ftp.am.debian.org/debian", "http://mirrors.asnet.am/debian"]


def test_apts_priorities_and_kinds_are_followed() -> None:
    """apt-transport-mirror(1): lower first, then those without; what has no indexes is no mirror for us."""
    found = mirrorlist.parse(
        b"# best last\nhttp://d.test/debian\nhttp://b.test/debian\tpriority:2  # near\n"
        b"http://a.test/debian type:index type:deb priority:1\nhttp://c.test/debian type:deb priority:1\n"
    )

    assert found.urls == ["http://a.test/debian", "http://b.test/debian", "http://d.test/debian"]
