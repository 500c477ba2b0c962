"""apt's Release and Packages files, with python-debian as the reference."""

import bz2
import importlib.util
import io
import lzma
import os
from pathlib import Path

import msgspec
import pytest
from debian.deb822 import Packages as DebianPackages
from debian.deb822 import Release as DebianRelease
from patchbay_repo_sync.formats import apt
from patchbay_shared.catalogue import AvailablePackage, Relations
from patchbay_shared.errors import InvalidInput
from patchbay_shared.fetching.compression import open_decompressed
from patchbay_shared.versions import evr_key

_HERE = Path(__file__).parent.parent
_SHARED = Path(os.environ.get("PATCHBAY_SHARED", _HERE.parent.parent / "shared"))
_FOLDERS = (
    _HERE / "data" / "oracle" / "repos" / "apt",
    _SHARED / "oracle" / "repos" / "apt",
    _SHARED / "feeds" / "repo-apt",
)
_INDEXES = [path for folder in _FOLDERS for path in sorted(folder.rglob("Packages*")) if path.is_file()]
_RELEASES = [path for folder in _FOLDERS for path in sorted(folder.rglob("*Release"))]

STANZA = """\
Package: libpatch1
Source: patch (2.7-1)
Version: 1:2.7.6-7+b1
Architecture: amd64
Multi-Arch: same
Installed-Size: 231
Depends: libc6 (>= 2.34), libattr1 (>= 1:2.4.44),
 debconf (<< 3) | debconf-2.0
Pre-Depends: dpkg (>= 1.17)
Breaks: patch (<< 2.7)
Replaces: patch (<< 2.7)
Conflicts: oldpatch
Provides: patch-abi (= 1)
Phased-Update-Percentage: 30
Description: apply a diff
 Long text with a field-like line:
 Version: 9.9
"""


def _packages(text: str | bytes) -> list[AvailablePackage]:
    return list(apt.packages(io.BytesIO(text.encode() if isinstance(text, str) else text)))


def _name(path: Path) -> str:
    return "-".join(path.parts[-5:])


@pytest.mark.parametrize("path", _INDEXES, ids=_name)
def test_an_index_reads_as_python_debian_reads_it(path: Path) -> None:
    """Same packages in the same order, for every index at hand; complete ones are compared in part."""
    with open_decompressed(path, name=path.name, limit_bytes=1 << 30) as stream:
        data = stream.read()

    found = [(each.name, each.evr, each.arch) for each in apt.packages(io.BytesIO(data))]

    head = data[:3_000_000].rpartition(b"\n\n")[0] if len(data) > 3_000_000 else data
    reference = [
        (each["Package"], each["Version"], each["Architecture"])
        for each in DebianPackages.iter_paragraphs(head, use_apt_pkg=False)
    ]
    assert found[: len(reference)] == reference
    assert len(found) == data.count(b"\nPackage: ") + data.startswith(b"Package: ")


@pytest.mark.parametrize("path", _RELEASES, ids=_name)
def test_a_release_file_reads_as_python_debian_reads_it(path: Path) -> None:
    """Fields and checksums agree, signed or not."""
    data = path.read_bytes()

    release = apt.parse_release(data)

    reference = DebianRelease(data)
    assert release.info.codename == reference.get("Codename", "")
    assert release.info.components == reference.get("Components", "").split()
    wanted = {each["name"]: (each["sha256"], int(each["size"])) for each in reference["SHA256"]}
    assert {path: (each.value, each.size) for path, each in release.checksums.items()} == wanted


def test_every_field_of_a_stanza_is_read() -> None:
    """Folded fields are joined, and text of the description is not taken for a field."""
    [package] = _packages(STANZA)

    assert msgspec.structs.replace(package, digest=0, content=None, relations=None) == AvailablePackage(
        name="libpatch1",
        arch="amd64",
        evr="1:2.7.6-7+b1",
        evr_key=evr_key("deb", "1:2.7.6-7+b1"),
        digest=0,
        source="patch",
        source_version="2.7-1",
        phased_percentage=30,
    )
    assert msgspec.msgpack.decode(package.relations or b"", type=Relations) == Relations(
        provides=["patch-abi (= 1)"],
        requires=["libc6 (>= 2.34)", "libattr1 (>= 1:2.4.44)", "debconf (<< 3) | debconf-2.0"],
        pre_requires=["dpkg (>= 1.17)"],
        conflicts=["oldpatch"],
        breaks=["patch (<< 2.7)"],
        replaces=["patch (<< 2.7)"],
        multi_arch="same",
    )


def test_a_changed_byte_changes_the_digest_and_only_of_its_stanza() -> None:
    """An incremental sync reads again only what has another digest."""
    other = STANZA.replace("libpatch1", "other")
    before = [digest for digest, _ in apt.records(io.BytesIO(f"{STANZA}\n{other}".encode()))]
    after = [digest for digest, _ in apt.records(io.BytesIO(f"{STANZA}\n{other.replace('231', '232')}".encode()))]

    assert before[0] == after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_stanzas_do_not_depend_on_how_the_stream_is_cut(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A separator may lie across two reads; line ends may be those of DOS."""
    text = f"\n\n{STANZA}\n\n\n{STANZA.replace('libpatch1', 'other')}"
    whole = list(apt.records(io.BytesIO(text.encode())))
    monkeypatch.setattr(apt, "_CHUNK_BYTES", chunk)

    assert list(apt.records(io.BytesIO(text.encode()))) == whole
    assert list(apt.records(io.BytesIO(text.replace("\n", "\r\n").encode()))) == whole
    assert len(whole) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Installed-Size: 231", "Installed-Size: 232"),
        ("(>= 2.34)", "(>= 2.35)"),
        ("Multi-Arch: same", "Multi-Arch: foreign"),
    ],
)
def test_content_differs_where_apt_sees_another_build(field: str, value: str) -> None:
    """apt offers a package of the same version if one of these fields differs."""
    assert _packages(STANZA)[0].content != _packages(STANZA.replace(field, value))[0].content


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("libc6 (>= 2.34), ", "libc6(>=2.34),"),
        ("Conflicts: oldpatch", "Conflicts: OldPatch"),
        ("Phased-Update-Percentage: 30", "Phased-Update-Percentage: 40"),
        ("(>= 2.34)", "(> 2.34)"),
    ],
)
def test_content_is_the_same_where_apt_sees_the_same_build(field: str, value: str) -> None:
    """Blanks, case, `>` for `>=` and other fields do not matter."""
    assert _packages(STANZA)[0].content == _packages(STANZA.replace(field, value))[0].content


def test_an_absent_multi_arch_is_no() -> None:
    """dpkg's status file leaves out what an index may spell out."""
    plain = STANZA.replace("Multi-Arch: same\n", "")

    assert _packages(plain)[0].content == _packages(STANZA.replace("same", "no"))[0].content


def test_the_agent_digests_the_content_of_an_installed_package_alike() -> None:
    """The digest is compared between dpkg's status file, which the agent reads, and the index."""
    spec = importlib.util.spec_from_file_location("patchbay_agent", _HERE.parent / "agent" / "patchbay_agent.py")
    assert spec is not None
    assert spec.loader is not None
    agent = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(agent)
    fields = {key.lower(): value for key, value in DebianPackages(STANZA).items()}

    assert agent.deb_content(fields) == _packages(STANZA)[0].content


def test_text_that_is_not_utf8_does_not_stop_the_index() -> None:
    """apt does not look at the encoding either."""
    [package] = _packages(STANZA.encode().replace(b"oldpatch", b"old\xffpatch"))

    assert package.name == "libpatch1"


def test_a_version_that_cannot_be_ordered_is_left_out() -> None:
    """One odd package must not hide the updates of all others."""
    packages = _packages(f"{STANZA.replace('1:2.7.6-7+b1', 'x:1')}\n{STANZA}")

    assert [package.evr for package in packages] == ["1:2.7.6-7+b1"]


@pytest.mark.parametrize("missing", ["Package: libpatch1\n", "Version: 1:2.7.6-7+b1\n", "Architecture: amd64\n"])
def test_a_stanza_without_its_identity_refuses_the_index(missing: str) -> None:
    """apt refuses such an index; half of one must never be stored."""
    with pytest.raises(InvalidInput, match="without package, version or architecture"):
        _packages(STANZA.replace(missing, "", 1))


def test_a_stanza_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded however long a stanza goes on."""
    monkeypatch.setattr(apt, "MAX_STANZA_BYTES", 10_000)
    monkeypatch.setattr(apt, "_CHUNK_BYTES", 4_096)

    with pytest.raises(InvalidInput, match="more than 10000 bytes"):
        _packages(STANZA.rstrip() + "\n " + "x" * 20_000)


def test_nul_bytes_are_refused() -> None:
    """No text column can hold them."""
    with pytest.raises(InvalidInput, match="NUL"):
        _packages(STANZA.replace("patch", "pa\0tch"))


RELEASE = """\
Origin: Acme
Suite: stable
Codename: coyote
Date: Thu, 19 Nov 2026 02:12:54 UTC
NotAutomatic: yes
Architectures: all amd64
Components: main extra
Acquire-By-Hash: yes
MD5Sum:
 d41d8cd98f00b204e9800998ecf8427e 0 main/binary-amd64/Packages
SHA256:
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/binary-amd64/Packages
"""


def test_the_best_checksum_of_a_file_is_kept() -> None:
    """MD5 counts only where nothing better is listed."""
    release = apt.parse_release(RELEASE.encode())

    assert release.checksums["main/binary-amd64/Packages"].algorithm == "sha256"
    assert release.info.not_automatic
    assert not release.info.but_automatic_upgrades
    assert release.info.acquire_by_hash


@pytest.mark.parametrize(("extra", "separate"), [("", True), ("No-Support-for-Architecture-all: Packages\n", False)])
def test_a_release_says_whether_arch_all_has_indexes_of_its_own(extra: str, *, separate: bool) -> None:
    """Debian lists `all` among the architectures but repeats those packages in every index."""
    assert apt.parse_release((extra + RELEASE).encode()).all_is_separate is separate


def test_a_clear_signed_release_is_read_without_its_armour() -> None:
    """Dash-escaped lines get their text back."""
    signed = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
        + RELEASE.replace("Origin: Acme", "- Origin: Acme")
        + "-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
    )

    assert apt.parse_release(signed.encode()) == apt.parse_release(RELEASE.encode())


@pytest.mark.parametrize(
    "text",
    [
        "<html><body>Please log in</body></html>",
        "Suite: evil\n\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + RELEASE,
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + RELEASE,
        RELEASE.replace("main/binary", "../../etc/binary"),
        RELEASE.replace("main/binary", "main/%2e%2e/binary"),
        RELEASE.replace("main/binary", "http://evil.test/binary"),
        RELEASE.replace("main/binary", "/etc/binary"),
        RELEASE.replace(" 0 main", " -1 main"),
        RELEASE.replace("e3b0", "zzzz"),
    ],
)
def test_a_release_file_that_cannot_be_trusted_to_mean_something_is_refused(text: str) -> None:
    """Pages of captive portals, text around the signed part, paths out of the suite, checksums that are none."""
    with pytest.raises(InvalidInput):
        apt.parse_release(text.encode())


def test_compressions_of_an_index_read_the_same() -> None:
    """Which one a mirror serves does not matter."""
    data = STANZA.encode()

    for packed in (data, lzma.compress(data), bz2.compress(data)):
        stream = open_decompressed(io.BytesIO(packed), name="Packages", limit_bytes=10_000)
        assert list(apt.packages(stream)) == _packages(STANZA)
