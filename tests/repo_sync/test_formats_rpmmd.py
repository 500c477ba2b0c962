"""repomd.xml and primary.xml, with createrepo_c's own whole-file reader as the reference."""

import io
import os
from pathlib import Path

import createrepo_c
import msgspec
import pytest
from patchbay_repo_sync.formats import rpmmd
from patchbay_shared.catalogue import AvailablePackage, Relations
from patchbay_shared.errors import InvalidInput
from patchbay_shared.fetching.checksum import verify
from patchbay_shared.fetching.compression import open_decompressed
from patchbay_shared.versions import evr_key

_HERE = Path(__file__).parent.parent
_SHARED = Path(os.environ.get("PATCHBAY_SHARED", _HERE.parent.parent / "shared"))
_FOLDERS = (
    _HERE / "data" / "oracle" / "repos" / "rpm",
    _SHARED / "oracle" / "repos" / "rpm",
    _SHARED / "feeds" / "repo-rpmmd",
)
_REPOMDS = [path for folder in _FOLDERS for path in sorted(folder.rglob("repomd.xml"))]

PACKAGE = """\
<package type="rpm">
  <name>nginx</name><arch>{arch}</arch><version epoch="{epoch}" ver="1.24.0" rel="4.el9"/>
  <checksum type="sha256" pkgid="YES">875d635d1b0ab1519cf88ac3447c064f829d3671821b1e7b94ffbafc18c41db7</checksum>
  <summary>s</summary><description>d</description><packager></packager><url></url>
  <time file="1" build="1"/><size package="1" installed="1" archive="1"/><location href="nginx.rpm"/>
  <format>
    <rpm:license>BSD</rpm:license><rpm:vendor>Acme</rpm:vendor><rpm:group>g</rpm:group>
    <rpm:buildhost>b</rpm:buildhost><rpm:sourcerpm>nginx-core-1.24.0-4.el9.src.rpm</rpm:sourcerpm>
    <rpm:header-range start="1" end="2"/>
    <rpm:provides>
      <rpm:entry name="webserver"/>
      <rpm:entry name="nginx" flags="EQ" epoch="1" ver="1.24.0" rel="4.el9"/>
    </rpm:provides>
    <rpm:requires>
      <rpm:entry name="rpmlib(CompressedFileNames)" flags="LE" epoch="0" ver="3.0.4" rel="1"/>
      <rpm:entry name="/bin/sh" pre="1"/><rpm:entry name="/bin/sh"/>
      <rpm:entry name="openssl-libs" flags="GE" epoch="0" ver="3.0"/>
    </rpm:requires>
    <rpm:conflicts><rpm:entry name="httpd" flags="LT" epoch="0" ver="2.4" rel="1"/></rpm:conflicts>
    <rpm:obsoletes>
      <rpm:entry name="nginx-all" flags="LE" epoch="2" ver="1.20" rel="1"/><rpm:entry name="nginx-old"/>
    </rpm:obsoletes>
    <file>/usr/sbin/nginx</file>
  </format>
</package>"""


def _primary(*bodies: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<metadata xmlns="http://linux.duke.edu/metadata/common" '
        f'xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="{len(bodies)}">{"".join(bodies)}</metadata>'
    ).encode()


def _packages(data: bytes, *, relations: bool = True) -> list[AvailablePackage]:
    return list(rpmmd.packages(io.BytesIO(data), relations=relations))


def _repomd(location: str = "repodata/primary.xml.gz", kind: str = "primary") -> bytes:
    return (
        '<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>7</revision>'
        f'<data type="{kind}"><checksum type="sha256">{"ab" * 32}</checksum><location href="{location}"/>'
        "<size>10</size><open-size>20</open-size></data></repomd>"
    ).encode()


@pytest.mark.parametrize("path", _REPOMDS, ids=lambda path: "-".join(path.parts[-4:-2]))
def test_a_repository_reads_as_createrepo_c_reads_it(path: Path) -> None:
    """The files are where repomd.xml says, with their checksums; the packages are those of the reference."""
    repomd = rpmmd.parse_repomd(path.read_bytes())
    primary = path.parent.parent / repomd.primary.location
    if not primary.is_file():
        reference = createrepo_c.Repomd(str(path))
        assert set(repomd.files) == {
            each.type for each in reference.records if not each.type.endswith(("_db", "_zck"))
        }
        return
    verify(primary.read_bytes(), repomd.primary.expected, name="primary")

    with open_decompressed(primary, name=primary.name, limit_bytes=1 << 30) as stream:
        found = [(each.name, each.evr, each.arch) for each in rpmmd.packages(stream)]

    reference_packages: list[createrepo_c.Package] = []
    createrepo_c.xml_parse_primary(str(primary), pkgcb=reference_packages.append, do_files=False)
    assert found == [
        (each.name, f"{each.epoch}:{each.version}-{each.release}".removeprefix("0:"), each.arch)
        for each in reference_packages
        if each.arch not in {"src", "nosrc"}
    ]


def test_every_field_of_a_package_is_read() -> None:
    """Epochs of zero and rpm's own features disappear, file paths count as provided."""
    [package] = _packages(_primary(PACKAGE.format(arch="x86_64", epoch="1")))

    assert msgspec.structs.replace(package, digest=0, relations=None) == AvailablePackage(
        name="nginx",
        arch="x86_64",
        evr="1:1.24.0-4.el9",
        evr_key=evr_key("rpm", "1:1.24.0-4.el9"),
        digest=0,
        source="nginx-core",
        vendor="Acme",
        obsoletes=("nginx-all <= 2:1.20-1", "nginx-old"),
    )
    assert msgspec.msgpack.decode(package.relations or b"", type=Relations) == Relations(
        provides=["webserver", "nginx = 1:1.24.0-4.el9", "/usr/sbin/nginx"],
        requires=["/bin/sh", "openssl-libs >= 3.0"],
        conflicts=["httpd < 2.4-1"],
    )


@pytest.mark.parametrize("epoch", ["0", ""])
def test_an_epoch_of_zero_is_not_written(epoch: str) -> None:
    """dnf prints versions so, and equal packages must have equal text."""
    [package] = _packages(_primary(PACKAGE.format(arch="x86_64", epoch=epoch)))

    assert package.evr == "1.24.0-4.el9"


@pytest.mark.parametrize("arch", ["src", "nosrc"])
def test_source_packages_are_left_out(arch: str) -> None:
    """Nobody has them installed."""
    assert _packages(_primary(PACKAGE.format(arch=arch, epoch="0"))) == []


def test_relations_can_be_left_out_without_another_digest() -> None:
    """Only zypper's rules read them all; dnf's need the other names that a package provides, for its modules."""
    data = _primary(PACKAGE.format(arch="x86_64", epoch="0"))
    [lean], [full] = _packages(data, relations=False), _packages(data)

    assert lean.relations is not None
    assert msgspec.msgpack.decode(lean.relations, type=Relations) == Relations(provides=["webserver"])
    assert lean.digest == full.digest
    assert lean.obsoletes == full.obsoletes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html><body>Please log in</body></html>",
        _primary(PACKAGE.format(arch="x86_64", epoch="0"))[:700],
        _primary(PACKAGE.format(arch="x86_64", epoch="0")).replace(b"<name>nginx</name>", b""),
        _primary(PACKAGE.format(arch="x86_64", epoch="0")).replace(b"Acme", b"\xff\xfe"),
        _primary(PACKAGE.format(arch="&bomb;", epoch="0")).replace(
            b"<metadata", b'<!DOCTYPE m [<!ENTITY a "ha"><!ENTITY bomb "&a;&a;&a;">]><metadata', 1
        ),
    ],
    ids=["empty", "web-page", "truncated", "nameless", "not-utf8", "entities"],
)
def test_what_is_no_primary_is_refused(data: bytes) -> None:
    """A repository is read whole or not at all."""
    with pytest.raises(InvalidInput):
        _packages(data)


def test_a_primary_that_is_compressed_once_more_is_refused() -> None:
    """createrepo_c would expand it without a limit if it were let to."""
    import gzip

    with pytest.raises(InvalidInput):
        _packages(gzip.compress(_primary(PACKAGE.format(arch="x86_64", epoch="0"))))


def test_databases_and_zchunk_twins_are_passed_over() -> None:
    """They repeat what the plain files say."""
    both = _repomd().replace(b"</repomd>", _repomd(kind="primary_zck").partition(b"</revision>")[2])

    assert set(rpmmd.parse_repomd(both).files) == {"primary"}


def test_a_repository_without_plain_primary_is_refused() -> None:
    """A zchunk file alone cannot be read, and that is said."""
    with pytest.raises(InvalidInput, match="no primary metadata"):
        rpmmd.parse_repomd(_repomd(kind="primary_zck"))


@pytest.mark.parametrize(
    "location",
    [
        "../../../etc/passwd",
        "repodata/%2e%2e/%2e%2e/x",
        "/etc/passwd",
        "http://evil.test/x",
        "file:///etc/passwd",
        "",
        "a\\b",
    ],
)
def test_a_location_outside_of_the_repository_is_refused(location: str) -> None:
    """Neither a local folder nor another server may be read on the word of a mirror."""
    with pytest.raises(InvalidInput, match="outside the repository"):
        rpmmd.parse_repomd(_repomd(location))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html/>",
        b"<repomd><data type='primary'/></repomd>",
        b'<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><repomd><revision>&b;</revision></repomd>',
        _repomd().replace(b"<size>10", b"<size>-1"),
        b'<?xml version="1.0" encoding="TF-8"?>' + _repomd(),
    ],
    ids=["empty", "web-page", "no-location", "entities", "negative-size", "unknown-encoding"],
)
def test_what_is_no_repomd_is_refused(data: bytes) -> None:
    """The message says which document and why."""
    with pytest.raises(InvalidInput, match=r"repomd\.xml"):
        rpmmd.parse_repomd(data)


def test_the_old_name_of_sha1_is_understood() -> None:
    """Repositories of 2008 call it sha."""
    data = _repomd().replace(b'"sha256"', b'"sha"').replace(b"ab" * 32, b"ab" * 20)

    assert rpmmd.parse_repomd(data).primary.expected.algorithm == "sha1"


def _document(*names: str, between: str = "\n", head: str = "", tail: str = "</metadata>") -> bytes:
    text = PACKAGE.format(arch="x86_64", epoch="0")
    packages = between.join(text.replace("<name>nginx</name>", f"<name>{name}</name>") for name in names)
    start = '<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm">'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}{start}\n{packages}\n{tail}\n'.encode()


def test_known_packages_are_not_parsed_again() -> None:
    """An incremental sync costs what differs."""
    before = dict(rpmmd.records(io.BytesIO(_document("a", "b"))))
    found = list(rpmmd.records(io.BytesIO(_document("a", "c", "b")), before.keys()))

    assert sorted(digest for digest, package in found if package is None) == sorted(before)
    assert [package.name for _, package in found if package is not None] == ["c"]


@pytest.mark.parametrize(
    ("between", "head"),
    [
        ("<!-- </package><package> -->", ""),
        ("<!--x-->", ""),
        ("<?what </package> ?>", ""),
        ("\n", "<!-- made by hand -->"),
    ],
)
def test_a_document_that_could_hide_a_tag_is_parsed_whole(between: str, head: str) -> None:
    """What looks like an element may be a comment's text; its digests are the same the next time."""
    data = _document("a", "b", between=between, head=head)

    first = [(digest, package.name) for digest, package in rpmmd.records(io.BytesIO(data)) if package]
    second = [digest for digest, _ in rpmmd.records(io.BytesIO(data))]

    assert [name for _, name in first] == ["a", "b"]
    assert [digest for digest, _ in first] == second


@pytest.mark.parametrize(
    ("between", "tail"), [("\n", ""), ("\n", "</metadat"), ("\n", "<package"), ("text", "</metadata>")]
)
def test_what_stands_around_the_packages_is_looked_at(between: str, tail: str) -> None:
    """Even where every package of it is known."""
    known = dict(rpmmd.records(io.BytesIO(_document("a", "b")))).keys()

    with pytest.raises(InvalidInput, match=r"truncated|between"):
        list(rpmmd.records(io.BytesIO(_document("a", "b", between=between, tail=tail)), known))


def test_another_encoding_is_read_by_the_parser() -> None:
    """The bytes of an element mean something else there."""
    data = _document("a").replace(b"UTF-8", b"ISO-8859-1").replace(b"Acme", b"Andr\xe9")

    [package] = _packages(data)

    assert package.vendor == "Andr\xe9"
