"""What each parser makes of its feed. Texts of Debian, Arch, Rocky, CEFS and Gentoo are invented in their format."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from patchbay_errata.advisory import Fix, Rejected, level
from patchbay_errata.lifecycle import codename_of, distro_info, repository_table, small_table
from patchbay_errata.sources import alma, arch, centos, csaf, cve, debian, exploits, gentoo, osv, rocky, ubuntu
from patchbay_errata.sources.cvss_metric import best
from patchbay_shared.errors import InvalidInput

DATA = Path(__file__).parents[1] / "data" / "feeds"

DSA = b"""[29 Mar 2023] DSA-5380-1 xorg-server - security update
\t{CVE-2023-1393 CAN-2005-2626 CVE-2023-XXXX }
\t[bullseye] - xorg-server 2:1.20.11-1+deb11u6
        [bookworm] -  xwayland <not-affected> (fixed before)
\tNOTE: free text
[01 Mar 2023] DSA-5379-1 old package
\t[bullseye] - old 1.0-1 (high)
"""
TRACKER: dict[str, Any] = {
    "bash": {
        "CVE-2024-0001": {
            "description": "A flaw.",
            "releases": {
                "bookworm": {"status": "resolved", "fixed_version": "5.2-2", "urgency": "high**"},
                "bullseye": {"status": "resolved", "fixed_version": "0", "urgency": "high**"},
                "sid": {"status": "open", "urgency": "high**", "nodsa": "Minor issue"},
            },
        },
        "TEMP-0000000-0CA7E3": {"releases": {}},
        "CVE-2024-0002": [],
    },
}
AVG = {
    "name": "AVG-1",
    "packages": ["lib", "lib-docs"],
    "status": "Fixed",
    "severity": "Medium",
    "type": "denial of service",
    "affected": "1:1.0-1",
    "fixed": "1:1.0-2",
    "ticket": None,
    "issues": ["CVE-2020-0001"],
    "advisories": ["ASA-202001-1"],
}
GLSA = """<?xml version="1.0"?><!DOCTYPE glsa SYSTEM "http://www.gentoo.org/dtd/glsa.dtd">
<glsa id="202001-01"><title>Tool: hole</title><synopsis>Bad.</synopsis><announced>2020-01-02</announced>
<affected><package name="app/tool" auto="yes" arch="amd64 x86">
<unaffected range="rge" slot="8">1.2-r3</unaffected><vulnerable range="lt">1.3</vulnerable></package></affected>
<impact type="normal"><p>x</p></impact><references><uri link="x">CVE-2020-0003</uri></references></glsa>"""


def taken(records: Iterator[Any]) -> list[Any]:
    return list(records)


def test_a_debian_list_gives_source_fixes_for_each_release() -> None:
    """Two releases, epochs and trailing remarks; not-affected is no fix, and a placeholder no CVE."""
    first, second = debian.advisory_list(DSA, Rejected())

    assert first.fixes == (Fix("debian", "bullseye", "xorg-server", "source", "2:1.20.11-1+deb11u6"),)
    assert first.cves == ("CVE-2023-1393", "CVE-2005-2626")
    assert first.issued_at == datetime(2023, 3, 29, tzinfo=UTC)
    assert second.fixes == (Fix("debian", "bullseye", "old", "source", "1.0-1"),)


def test_a_debian_entry_without_a_date_is_put_aside_alone() -> None:
    """The others of the list are not affected."""
    rejected = Rejected()

    found = taken(debian.advisory_list(DSA + b"[some day] DSA-1-1 x - y\n", rejected))

    assert (len(found), rejected.samples) == (2, [("line 8", "'some day' is no date")])


def test_a_version_of_zero_means_never_affected() -> None:
    """The tracker's "0" makes no fix and is said so; open without an advisory planned is said so."""
    rejected = Rejected()

    [found] = debian.tracker(json.dumps(TRACKER).encode(), rejected)

    assert [(each.distro_release, each.evr, each.state) for each in found.fixes] == [
        ("bookworm", "5.2-2", "fixed"),
        ("bullseye", "", "not-affected"),
        ("sid", "", "no-fix-planned"),
    ]
    assert (found.severity, found.vendor_severity, found.cves) == ("high", "high**", ("CVE-2024-0001",))
    assert [place for place, _ in rejected.samples] == ["bash CVE-2024-0002"]


def test_ubuntu_names_sources_and_binaries() -> None:
    """Both are kept, with the release's codename."""
    first, second = ubuntu.notices((DATA / "usn.json").read_bytes(), Rejected())

    assert (first.id, first.cves) == ("USN-4011-1", ("CVE-2016-10745", "CVE-2019-10906"))
    assert Fix("ubuntu", "xenial", "jinja2", "source", "2.8-1ubuntu0.1") in first.fixes
    assert Fix("ubuntu", "xenial", "python3-jinja2", "binary", "2.8-1ubuntu0.1") in first.fixes
    assert second.id == "USN-2274-1"


def test_an_esm_pocket_is_kept_with_the_fix() -> None:
    """What needs Ubuntu Pro is told apart from what everybody gets."""
    each = {"version": "1-1", "pocket": "esm-infra"}
    notice: dict[str, Any] = {
        "title": "x",
        "timestamp": 1,
        "releases": {"xenial": {"sources": {"s": {"version": "1-1"}}}},
    }
    notice["releases"]["xenial"]["allbinaries"] = {"b": each}

    [found] = ubuntu.notices(json.dumps({"1-1": notice}).encode(), Rejected())

    assert {fix.pocket for fix in found.fixes} == {"esm-infra"}


def test_arch_fixes_every_package_of_the_group() -> None:
    """Split packages are listed one by one; only "Fixed" has a fixed version."""
    pending = AVG | {"name": "AVG-2", "status": "Vulnerable"}

    first, second = arch.issues(json.dumps([AVG, pending]).encode(), Rejected())

    assert [(each.package, each.evr) for each in first.fixes] == [("lib", "1:1.0-2"), ("lib-docs", "1:1.0-2")]
    assert {(each.evr, each.state) for each in second.fixes} == {("", "open")}
    assert second.status == "pending"


def test_rocky_packages_keep_epoch_arch_and_module() -> None:
    """Sources are left out, and a package that stands in several repositories counts once."""
    package: dict[str, Any] = {
        "nevra": "ruby-libs-1:2.6.9-1.module+el8.4.0+1.x86_64.rpm",
        "product_name": "Rocky Linux 8.4 x86_64",
    }
    package |= {"module_name": "ruby", "module_stream": "2.6"}
    source = package | {"nevra": "ruby-1:2.6.9-1.src.rpm"}
    advisory: dict[str, Any] = {"name": "RLSA-1", "kind": "Security", "severity": "None", "synopsis": "x"}
    advisory |= {"published_at": "2025-01-01T00:00:00+00:00", "packages": [package, package, source]}
    page = {"advisories": [advisory], "total": 1, "size": 1}

    [found] = rocky.advisories(json.dumps(page).encode(), Rejected())

    assert found.fixes == (
        Fix("rocky", "8", "ruby-libs", "binary", "1:2.6.9-1.module+el8.4.0+1", arch="x86_64", module="ruby:2.6"),
    )
    assert (found.severity, found.vendor_severity) == ("", "None")


def test_alma_reads_its_old_and_its_new_form() -> None:
    """A list with dates in milliseconds, or an object with dates in seconds."""
    package = {"name": "a", "epoch": "2", "version": "1", "release": "3.el9", "arch": "noarch"}
    new = {"id": "ALSA-1", "issued_date": 86_400, "type": "security", "title": "t", "packages": [package]}
    old = {**new, "issued_date": {"$date": 86_400_000}}

    [first] = alma.errata(json.dumps({"data": [new]}).encode(), Rejected(), major="9")
    [second] = alma.errata(json.dumps([old]).encode(), Rejected(), major="9")

    assert first == second
    assert first.issued_at == datetime(1970, 1, 2, tzinfo=UTC)
    assert first.fixes == (Fix("almalinux", "9", "a", "binary", "2:1-3.el9"),)


def test_suse_products_become_releases() -> None:
    """Blanks in product names, no epoch; what is no release keeps its product's name."""
    [found] = csaf.document((DATA / "suse-su-403.json").read_bytes(), Rejected())

    assert found.id == "SUSE-SU-403"
    assert Fix("sled", "12.1", "libqt4", "binary", "4.8.6-7.1", arch="x86_64") in found.fixes
    assert csaf.suse_release("SUSE Linux Enterprise Server 12 SP1-LTSS")[1] == ""


def test_gentoo_keeps_revision_ranges_and_slots_as_text() -> None:
    """They need portage's order to be matched, and a person to be read."""
    [found] = gentoo.document(GLSA.encode())

    assert found.fixes[0].note == "unaffected rge 1.2-r3 in slot 8; vulnerable lt 1.3"
    assert (found.severity, found.cves, found.fixes[0].evr) == ("medium", ("CVE-2020-0003",), "1.2-r3")


def test_an_entity_bomb_among_gentoos_files_is_put_aside() -> None:
    """The other files of the archive are read."""
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><glsa id="1"><title>&b;</title></glsa>'
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in (("glsa/glsa-1.xml", bomb), ("glsa/glsa-2.xml", GLSA.encode())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    rejected = Rejected()

    found = taken(gentoo.archive(io.BytesIO(buffer.getvalue()), rejected))

    assert [each.id for each in found] == ["GLSA 202001-01"]
    assert rejected.samples[0][0] == "glsa-1.xml"


def test_a_record_with_a_nul_is_put_aside() -> None:
    """PostgreSQL could not hold it, and the whole feed would fail; the text \\u0000 itself is harmless."""
    bad = AVG | {"name": "AVG-2", "packages": ["a\0b"]}
    harmless = AVG | {"name": "AVG-3", "type": "a literal \\u0000"}
    rejected = Rejected()

    found = taken(arch.issues(json.dumps([AVG, bad, harmless]).encode(), rejected))

    assert [each.id for each in found] == ["AVG-1", "AVG-3"]
    assert rejected.samples == [("$[1]", "it holds a NUL character")]


def test_cefs_ids_are_element_names() -> None:
    """Two hyphens stand for the colon; an element without content is passed over, sources are left out."""
    xml = b"""<opt><CESA-2012--0370 type="Security Advisory" severity="Important" issue_date="2012-03-07 23:16:09"
    references="https://a https://b"><os_release>5</os_release><packages>xen-3.0.3-135.el5_8.2.i386.rpm</packages>
    <packages>xen-3.0.3-135.el5_8.2.src.rpm</packages></CESA-2012--0370><CEEA-1--1 subject="x"/><meta/></opt>"""

    [found] = centos.errata(io.BytesIO(xml), Rejected())

    assert (found.id, found.severity) == ("CESA-2012:0370", "high")
    assert found.fixes == (Fix("centos", "5", "xen", "binary", "3.0.3-135.el5_8.2", arch="i386"),)
    assert found.fixes[0].key() is None


def test_an_osv_record_of_almalinux_names_binaries() -> None:
    """Its CVEs are in `related`; the major release is part of the ecosystem."""
    [found] = osv.document((DATA / "osv-alma.json").read_bytes())

    assert found.fixes == (Fix("almalinux", "10", "tar", "binary", "2:1.35-9.el10_1"),)
    assert found.cves == ("CVE-2025-45582",)


def test_nvd_ratings_are_worked_out_from_their_vectors() -> None:
    """The score is the CVSS library's; NVD's own rating is shown before the CNA's."""
    first, _ = cve.nvd((DATA / "nvd.json").read_bytes(), Rejected())

    shown = best(first.metrics)

    assert shown is not None
    assert (shown.provider, shown.version, shown.score, shown.severity) == ("nvd@nist.gov", "3.1", 7.5, "high")
    assert first.cwes == ("CWE-400",)


def test_a_rejected_cve_has_no_rating() -> None:
    """CVE JSON 5 gives the reason where the description would be."""
    about = {"cveId": "CVE-2024-40946", "state": "REJECTED"}
    cna = {"rejectedReasons": [{"lang": "en", "value": "Withdrawn."}]}

    found = cve.record(json.dumps({"cveMetadata": about, "containers": {"cna": cna}}).encode())

    assert (found.state, found.description, found.metrics) == ("rejected", "Withdrawn.", ())


def test_known_exploited_entries_have_due_dates() -> None:
    """Dates are dates, and blanks around values do not matter."""
    first, *_ = exploits.known_exploited((DATA / "kev.json").read_bytes(), Rejected())

    assert (first.cve, first.added_on, first.due_on) == ("CVE-2025-48384", date(2025, 8, 25), date(2025, 9, 15))


def test_epss_scores_carry_their_model_and_day() -> None:
    """Scores of different models are not comparable."""
    first, *rest = exploits.exploit_scores(io.BytesIO((DATA / "epss.csv").read_bytes()), Rejected())

    assert (first.cve, first.score, first.model, first.scored_on) == (
        "CVE-1999-0001",
        0.03351,
        "v2026.06.15",
        date(2026, 9, 29),
    )
    assert len(rest) == 3


def test_epss_of_2021_has_neither_model_nor_percentile() -> None:
    """Old files begin with the columns; a line that is no score is put aside."""
    rejected = Rejected()

    [found] = exploits.exploit_scores(io.BytesIO(b"cve,epss\nCVE-2020-5902,0.65117\nCVE-2020-1,x\n"), rejected)

    assert (found.percentile, found.model, rejected.count) == (None, "", 1)


def test_release_calendars_give_the_end_of_free_support() -> None:
    """distro-info-data: `eol`, and behind it LTS or ESM."""
    calendar = {each.codename: each for each in distro_info(_calendar("debian"), Rejected(), ecosystem="debian")}

    assert (calendar["bookworm"].version, calendar["bookworm"].ends_on) == ("12", date(2026, 7, 11))
    assert calendar["bookworm"].extended_ends_on == date(2028, 6, 30)
    assert calendar["sid"].version == "sid"


def test_the_small_table_says_where_each_row_is_from() -> None:
    """Every row names its source, and numbered releases their codenames."""
    assert all(each.source for each in small_table())
    assert all(each.source.startswith("https://") and each.ends_on for each in repository_table())
    assert (codename_of("debian", "6.0"), codename_of("ubuntu", "22.04")) == ("squeeze", "jammy")


@pytest.mark.parametrize(
    ("word", "expected"), [("Moderate", "medium"), ("important", "high"), ("None", ""), ("high**", "high")]
)
def test_severities_come_to_one_scale(word: str, expected: str) -> None:
    """Moderate and medium are the same; the text None is no severity."""
    assert level(word) == expected


PARSERS: dict[str, Callable[[bytes], Iterator[Any]]] = {
    "dsa": lambda data: debian.advisory_list(data, Rejected()),
    "tracker": lambda data: debian.tracker(data, Rejected()),
    "ubuntu": lambda data: ubuntu.notices(data, Rejected()),
    "arch": lambda data: arch.issues(data, Rejected()),
    "rocky": lambda data: rocky.advisories(data, Rejected()),
    "alma": lambda data: alma.errata(data, Rejected(), major="9"),
    "suse": lambda data: csaf.document(data, Rejected()),
    "gentoo": lambda data: gentoo.archive(io.BytesIO(data), Rejected()),
    "centos": lambda data: centos.errata(io.BytesIO(data), Rejected()),
    "osv": lambda data: osv.archive(data, Rejected()),
    "nvd": lambda data: cve.nvd(data, Rejected()),
    "kev": lambda data: exploits.known_exploited(data, Rejected()),
    "epss": lambda data: exploits.exploit_scores(io.BytesIO(data), Rejected()),
    "calendar": lambda data: distro_info(data, Rejected(), ecosystem="debian"),
}
DAMAGED = {
    "a web page": b"<!DOCTYPE html><html><body>Sign in</body></html>",
    "truncated JSON": b'{"data": [{"id": "ALSA-1", "iss',
    "nothing": b"",
    "nested arrays": b"[" * 100_000,
    "an entity bomb": b'<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><opt><a>&b;</a></opt>',
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("feed", PARSERS)
def test_what_is_no_feed_is_refused_as_a_whole(feed: str, damage: str) -> None:
    """InvalidInput, never another error and never an empty success."""
    with pytest.raises(InvalidInput):
        taken(PARSERS[feed](DAMAGED[damage]))


def _calendar(ecosystem: str) -> bytes:
    return (DATA / f"distro-info-{ecosystem}.csv").read_bytes()
