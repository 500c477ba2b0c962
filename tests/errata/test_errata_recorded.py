"""Every recorded feed gives exactly the records that its provenance counts."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from patchbay_errata.advisory import Rejected
from patchbay_errata.lifecycle import distro_info
from patchbay_errata.sources import alma, arch, csaf, cve, debian, exploits, gentoo, osv, oval, rocky, ubuntu
from patchbay_errata.updateinfo import repository_advisory
from patchbay_repo_sync.formats.updateinfo import advisories as updateinfo_of

Read = Callable[[bytes, Rejected], Iterable[Any]]


def read_oval(data: bytes, rejected: Rejected) -> Iterable[Any]:
    return oval.definitions(io.BytesIO(data), rejected)


WHOLE: list[tuple[str, Read, int]] = [
    ("debian/data/DSA/list", debian.advisory_list, 3785),
    ("debian/data/DLA/list", debian.advisory_list, 2349),
    ("debian/data/DTSA/list", debian.advisory_list, 208),
    ("debian/salsa-excerpt/data/DSA/list", debian.advisory_list, 3),
    ("debian/salsa-excerpt/data/DLA/list", debian.advisory_list, 2),
    # Of 4 entries one is a TEMP- placeholder.
    ("debian/tracker-json/advisory.json", debian.tracker, 3),
    ("debian/tracker-json/debian.json", debian.tracker, 6),
    ("ubuntu/usn-db/database-all.json", ubuntu.notices, 2),
    ("arch/all.json.xz", arch.issues, 1780),
    ("rocky/advisories-page1.json", rocky.advisories, 1),
    ("alma/errata.full.json", lambda data, rejected: alma.errata(data, rejected, major="8"), 1),
    ("suse/csaf/opensuse-su-2016_1623-1.json.xz", csaf.document, 1),
    ("suse/csaf/suse-su-403.json.xz", csaf.document, 1),
    ("suse/csaf/changes.csv.xz", lambda data, _: csaf.changes(data), 17018),
    ("suse/csaf-vex/cve-1999-0003.json", csaf.document, 1),
    ("redhat/csaf/advisories/2003/rhsa-2003_315.json", csaf.document, 1),
    ("redhat/csaf/advisories/2023/rhsa-2023_7434.json.xz", csaf.document, 1),
    ("redhat/csaf/advisories/2023/rhsa-2023_7438.json", csaf.document, 1),
    ("redhat/csaf/advisories/2023/rhsa-2023_7464.json.xz", csaf.document, 1),
    ("redhat/csaf/advisories/2024/rhsa-2024_0811.json.xz", csaf.document, 1),
    ("redhat/csaf/advisories/2024/rhsa-2024_4546.json", csaf.document, 1),
    ("redhat/csaf/advisories/2025/rhba-2025_0409.json", csaf.document, 1),
    ("redhat/csaf/advisories/2025/rhsa-2025_0002.json.xz", csaf.document, 1),
    # PROVENANCE.md takes the first row for a header.
    ("redhat/csaf/advisories/changes.csv", lambda data, _: csaf.changes(data), 3),
    ("redhat/csaf/vex/2023/cve-2023-6228.json.xz", csaf.document, 1),
    ("redhat/csaf/vex/2023/cve-2023-6238.json", csaf.document, 1),
    ("redhat/csaf/vex/2023/cve-2023-6240.json.xz", csaf.document, 1),
    ("alma/oval/org.almalinux.alsa-9.xml.bz2", read_oval, 2),
    ("debian/oval/oval-definitions-bullseye.xml.bz2", read_oval, 4),
    ("oracle/com.oracle.elsa-all.xml.bz2", read_oval, 2),
    ("redhat/oval/v1/com.redhat.rhsa-20231659.xml", read_oval, 1),
    ("redhat/oval/v2/RHEL9/rhel-9-including-unpatched.oval.xml.bz2", read_oval, 4),
    ("suse/oval/opensuse.10.2.xml.gz", read_oval, 1),
    ("suse/oval/opensuse.13.2.xml.gz", read_oval, 1),
    ("suse/oval/opensuse.leap.15.2.xml.gz", read_oval, 1),
    ("suse/oval/opensuse.tumbleweed.xml.gz", read_oval, 1),
    ("suse/oval/suse.linux.enterprise.12-affected.xml.gz", read_oval, 2),
    ("suse/oval/suse.linux.enterprise.15-affected.xml.gz", read_oval, 2),
    ("suse/oval/suse.linux.enterprise.16-affected.xml.gz", read_oval, 2),
    ("suse/oval/suse.linux.enterprise.micro.5-affected.xml.gz", read_oval, 2),
    ("suse/oval/suse.linux.enterprise.server.10.xml.gz", read_oval, 1),
    ("suse/oval/suse.linux.micro.6-affected.xml.gz", read_oval, 1),
    ("ubuntu/oval/oci.com.ubuntu.jammy.cve.oval.xml.bz2", read_oval, 1),
    ("ubuntu/oval/oci.com.ubuntu.jammy.pkg.oval.xml.bz2", read_oval, 2),
    ("ubuntu/oval/oci.com.ubuntu.jammy.usn.oval.xml.bz2", read_oval, 1),
    ("gentoo/metadata-glsa.tar.xz", lambda data, rejected: gentoo.archive(io.BytesIO(data), rejected), 2515),
    ("nvd/full-page.json.xz", cve.nvd, 38),
    ("nvd/moddate-0-3.json", cve.nvd, 8),
    ("nvd/nvdcve-2.0-2021.json.gz", cve.nvd, 3),
    ("nvd/nvdcve-2.0-modified.json.gz", cve.nvd, 2),
    ("nvd/real_nvd_feed.json.xz", cve.nvd, 53),
    ("nvd/rejected_nvd.json", cve.nvd, 1),
    ("nvd/ssvc_affected-0-3.json.xz", cve.nvd, 1),
    ("kev/known_exploited_vulnerabilities.json.xz", exploits.known_exploited, 984),
    ("epss/epss_scores-2021-04-14.csv.gz", lambda d, r: exploits.exploit_scores(io.BytesIO(d), r), 2),
    ("epss/epss_scores-2021-09-01.csv.gz", lambda d, r: exploits.exploit_scores(io.BytesIO(d), r), 2),
    ("epss/epss_scores-2023-03-07.csv.gz", lambda d, r: exploits.exploit_scores(io.BytesIO(d), r), 2),
    ("epss/epss_scores-current.csv", lambda d, r: exploits.exploit_scores(io.BytesIO(d), r), 70),
    ("lifecycle/distro-info-data/debian.csv", lambda d, r: distro_info(d, r, ecosystem="debian"), 22),
    ("lifecycle/distro-info-data/ubuntu.csv", lambda d, r: distro_info(d, r, ecosystem="ubuntu"), 44),
]


@pytest.mark.parametrize(("path", "read", "count"), WHOLE, ids=[path for path, _, _ in WHOLE])
def test_a_recorded_feed_is_read_whole(shared: Path, path: str, read: Read, count: int) -> None:
    """As many records as PROVENANCE.md counts, and none put aside."""
    rejected = Rejected()

    found = list(read(_plain(shared / "feeds" / path), rejected))

    assert (len(found), rejected.samples) == (count, [])


def test_every_advisory_of_almalinux_osv_is_read(shared: Path) -> None:
    """4 054 files; each has at least one fixed binary package of its major release."""
    with tarfile.open(shared / "feeds" / "osv" / "AlmaLinux" / "advisories.tar.xz") as tar:
        files = [file.read() for member in tar if member.isfile() and (file := tar.extractfile(member))]

    found = [each for data in files for each in osv.document(data)]

    assert len(found) == 4054
    assert all(fix.ecosystem == "almalinux" and fix.kind == "binary" for each in found for fix in each.fixes)


@pytest.mark.parametrize("ecosystem", ["Debian", "Red Hat", "Rocky Linux", "SUSE"])
def test_other_osv_records_are_read(shared: Path, ecosystem: str) -> None:
    """One advisory a file, also where `affected` is empty or an id holds a blank."""
    files = sorted((shared / "feeds" / "osv" / ecosystem).glob("*-*.json"))

    assert files
    assert all(len(list(osv.document(file.read_bytes()))) == 1 for file in files)


def test_every_recorded_cve_document_is_read(shared: Path) -> None:
    """CVE JSON 5.0 to 5.2, with and without ratings; one is rejected."""
    files = [*(shared / "feeds/cve/cves").glob("*/*/*.json"), *(shared / "feeds/cve/vulnrichment").glob("*.json")]

    found = [cve.record(file.read_bytes()) for file in files]

    assert len(found) == 22
    assert [each.id for each in found if each.state == "rejected"] == ["CVE-2024-40946"]


UPDATEINFO = {
    "updateinfo-alma": 1, "updateinfo-amazon": 4, "updateinfo-epel": 297, "updateinfo-fedora": 706,
    "updateinfo-opensuse": 116, "updateinfo-rocky": 7,
}  # fmt: skip


@pytest.mark.parametrize("folder", list(UPDATEINFO))
def test_every_recorded_updateinfo_is_read_into_the_one_model(shared: Path, folder: str) -> None:
    """Each with a date, whatever way the distribution writes it; PROVENANCE.md has the sums."""
    files = [
        file
        for file in sorted((shared / "feeds" / folder).rglob("*updateinfo*.xml*"))
        if file.is_file() and "10.2" not in str(file)
    ]
    found = [repository_advisory(each, "0") for file in files for each in updateinfo_of(io.BytesIO(_plain(file)))]

    assert len(found) == UPDATEINFO[folder]
    assert [each.id for each in found if each.issued_at is None] == []
    assert all(fix.key() is not None for each in found for fix in each.fixes)


READ_TOGETHER = (
    "updateinfo-*/*updateinfo*.xml*", "osv/AlmaLinux/advisories.tar.xz", "osv/*/*-*.json", "cve/cves/*/*/*.json",
    "cve/vulnrichment/*.json", "ubuntu/osv/*/*.json*",
)  # fmt: skip
"""What the tests above read a folder at a time, and the one below."""
NOT_READ = {
    "*.md": "text about the recordings",
    "suse/csaf/LICENSE": "a licence",
    "repo-*": "repositories: tests/repo_sync/test_sync_recorded.py and the tests of the formats",
    "cve/cves/delta*.json*": "logs of changes: test_errata_crawl.py follows one",
    "debian/dsa.rdf": "headlines of what the DSA list has whole",
    "debian/salsa-excerpt/data/C*/list": "the tracker's own input; its JSON says the same",
    "debian/salsa-excerpt/data/DTSA/list": "an excerpt of the list of Debian's testing security, ended in 2008",
    "epss/redistributed/*": "columns of a redistributor, without the model's version",
    "gentoo/metadata/glsa/*": "some of the files that are in the archive",
    "kev/known_exploited_vulnerabilities.csv": "what the JSON has",
    "kev/known_exploited_vulnerabilities_schema.json": "a schema",
    "lifecycle/debian-security-support/*": "packages, not releases",
    "lifecycle/endoflife.date/*": "third hand: `lifecycle.csv` names the publishers' own pages",
    "lifecycle/osinfo-db/*": "third hand",
    "osv/SUSE/all.json": "a list of ids",
    "redhat/csaf/advisories/archive_latest.txt": "the name of an archive",
    "redhat/csaf/advisories/deletions.csv": "Red Hat's CSAF is not crawled",
    "redhat/hydra/*": "the Security Data API says what CSAF says",
    "redhat/repository-to-cpe.json.xz": "a map of CPE names, which nothing is matched by",
    "rocky/supported_products_rpm_repomds.csv": "a list of repositories, each of which hosts name",
    "suse/csaf/index.txt.xz": "paths that changes.csv has with times",
    "suse/cvrf1.2/*": "the form before CSAF",
    "ubuntu/api/*": "pages of the notice database",
    "ubuntu/cve-tracker/*": "the source of the notices",
    "ubuntu/vex/*": "says what the notices say",
    "updateinfo-amazon/extras-catalog.json.xz": "topics of Amazon Linux 2, each a repository of its own",
    "updateinfo-amazon/mirrors_linux1.txt": "a mirror list",
    "updateinfo-opensuse/10.2-updates-subset/*": "patches.xml, given up in 2007 for updateinfo",
}


def test_every_recorded_file_is_read_or_said_why_not(shared: Path) -> None:
    """A new recording fails here until somebody reads it; an excuse without a file is one too many."""
    root = shared / "feeds"
    files = {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()}
    read = {path for path, _, _ in WHOLE}
    patterns = [*READ_TOGETHER, *NOT_READ]

    unlisted = [each for each in files - read if not any(fnmatch(each, pattern) for pattern in patterns)]
    useless = [pattern for pattern in patterns if not any(fnmatch(each, pattern) for each in files)]

    assert (sorted(unlisted), useless, sorted(read - files)) == ([], [], [])


def test_ubuntus_osv_records_are_read(shared: Path) -> None:
    """Of CVEs and of notices."""
    files = sorted((shared / "feeds/ubuntu/osv").rglob("*.json*"))

    assert [len(list(osv.document(_plain(file)))) for file in files] == [1, 1, 1]


def _plain(path: Path) -> bytes:
    data = path.read_bytes()
    for magic, decompress in (
        (b"\x1f\x8b", gzip.decompress),
        (b"BZh", bz2.decompress),
        (b"\xfd7zXZ", lzma.decompress),
    ):
        if data.startswith(magic):
            return decompress(data)
    return data
