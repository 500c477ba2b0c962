"""updateinfo.xml, with createrepo_c as the reference."""

import io
import os
from pathlib import Path

import createrepo_c
import pytest
from patchbay_repo_sync.formats.updateinfo import advisories
from patchbay_shared.catalogue import AdvisoryPackage, RepositoryAdvisory
from patchbay_shared.errors import InvalidInput
from patchbay_shared.fetching.compression import open_decompressed

_HERE = Path(__file__).parent.parent
_SHARED = Path(os.environ.get("PATCHBAY_SHARED", _HERE.parent.parent / "shared"))
_FOLDERS = (_HERE / "data" / "oracle" / "repos", _SHARED / "oracle" / "repos", _SHARED / "feeds")
_FILES = [path for folder in _FOLDERS for path in sorted(folder.rglob("*updateinfo*.xml*")) if path.is_file()]

MODULE_UPDATE = """\
<?xml version="1.0" encoding="UTF-8"?>
<updates>
  <update from="releng@rockylinux.org" status="final" type="security" version="2">
    <id>RLSA-2022:6447</id><title>Moderate: ruby:2.6 update, see CVE-2020-0001</title>
    <issued date="2022-09-13 07:30:00"/><severity>Moderate</severity>
    <references>
      <reference href="https://cve.test/CVE-2021-41817" id="CVE-2021-41817" type="cve" title="CVE-2021-41817"/>
      <reference href="https://bugs.test/1" id="1" type="bugzilla" title="CVE-2021-99999 something"/>
    </references>
    <pkglist><collection short="el8"><name>el8</name>
      <module name="ruby" stream="2.6" version="8060020220628150300" context="d63f516d" arch="x86_64"/>
      <package name="ruby" epoch="0" version="2.6.10" release="109.el8" arch="x86_64">
        <filename>r.rpm</filename></package>
      <package name="ruby" epoch="0" version="2.6.10" release="109.el8" arch="src">
        <filename>r.src.rpm</filename></package>
      <package name="rubygem-abrt" epoch="1" version="0.4.0" release="1.el8" arch="noarch"/>
    </collection></pkglist>
  </update>
</updates>"""

SUSE_UPDATE = """\
<updates xmlns="http://novell.com/package/metadata/suse/updateinfo">
<update status="stable" from="maint-coord@suse.de" type="recommended" version="36">
  <id>opera</id><title>Fix</title><issued date="1213630432"/>
  <description>fixes CVE-2008-2360 and cve-2008-2361, not CVE-20</description>
  <pkglist><collection>
    <package name="opera" arch="i586" version="9.5" release="1.1">
      <filename>opera-9.5-1.1.i586.rpm</filename></package>
    <package name="opera" arch="i586" version="9.5" release="1.1">
      <filename>opera-9.5-1.1.i586.rpm</filename></package>
    <package name="opera" arch="noarch" version="9.5" release="1.1">
      <filename>opera-9.5-1.1.src.rpm</filename></package>
  </collection></pkglist>
</update></updates>"""


def _advisories(text: str | bytes) -> list[RepositoryAdvisory]:
    return list(advisories(io.BytesIO(text.encode() if isinstance(text, str) else text)))


@pytest.mark.parametrize("path", _FILES, ids=lambda path: f"{path.parts[-2]}-{path.name[-30:]}")
def test_a_file_reads_as_createrepo_c_reads_it(path: Path) -> None:
    """Same advisories in the same order, with the same packages, for every vendor's dialect at hand."""
    with open_decompressed(path, name=path.name, limit_bytes=1 << 28) as stream:
        found = list(advisories(stream))

    reference = createrepo_c.UpdateInfo(str(path)).updates
    assert [(each.id, each.type, each.version) for each in found] == [
        (each.id, (each.type or "").lower(), each.version or "") for each in reference
    ]
    for ours, theirs in zip(found, reference, strict=True):
        names = {
            (each.name, each.arch)
            for collection in theirs.collections
            for each in collection.packages
            if each.arch != "src" and not (each.filename or "").endswith(".src.rpm")
        }
        assert {(each.name, each.arch) for each in ours.packages} == names


def test_a_module_advisory_names_its_stream() -> None:
    """Without it, hosts of another stream would look as if they needed it; typed CVEs outweigh those in texts."""
    [advisory] = _advisories(MODULE_UPDATE)

    assert advisory == RepositoryAdvisory(
        id="RLSA-2022:6447",
        type="security",
        severity="Moderate",
        title="Moderate: ruby:2.6 update, see CVE-2020-0001",
        status="final",
        version="2",
        issued_at="2022-09-13 07:30:00",
        cves=["CVE-2021-41817"],
        packages=[
            AdvisoryPackage("ruby", "x86_64", "2.6.10-109.el8", "ruby:2.6"),
            AdvisoryPackage("rubygem-abrt", "noarch", "1:0.4.0-1.el8", "ruby:2.6"),
        ],
    )


def test_suses_old_dialect_is_read() -> None:
    """Another namespace, no epochs, CVEs only in the text, a source package that calls itself noarch."""
    [advisory] = _advisories(SUSE_UPDATE)

    assert (advisory.id, advisory.version, advisory.issued_at) == ("opera", "36", "1213630432")
    assert advisory.cves == ["CVE-2008-2360", "CVE-2008-2361"]
    assert advisory.packages == [AdvisoryPackage("opera", "i586", "9.5-1.1")]


def test_an_advisory_without_packages_is_kept() -> None:
    """Fedora's modular ones name none; they can be shown all the same."""
    [advisory] = _advisories(
        "<updates><update type='security'><id>F</id><pkglist><collection/></pkglist></update></updates>"
    )

    assert advisory.packages == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        MODULE_UPDATE[:900],
        '<!DOCTYPE u [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><updates><update><id>&b;</id></update></updates>',
        '<!DOCTYPE u [<!ENTITY x SYSTEM "file:///etc/passwd">]><updates><update><id>&x;</id></update></updates>',
        "<updates><update type='security'/></updates>",
        "<a>" * 100,
        MODULE_UPDATE.replace("UTF-8", "TF-8"),
    ],
    ids=["empty", "truncated", "entity-bomb", "external-entity", "no-id", "deep", "unknown-encoding"],
)
def test_what_is_no_updateinfo_is_refused(text: str) -> None:
    """Bombs, files of the server and halves of files never become advisories."""
    with pytest.raises(InvalidInput, match=r"updateinfo\.xml"):
        _advisories(text)
