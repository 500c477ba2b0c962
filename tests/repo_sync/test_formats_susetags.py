"""susetags repositories: the content file and the index of packages."""

import io
import os
from pathlib import Path

import msgspec
import pytest
from patchbay_repo_sync.formats import susetags
from patchbay_shared.catalogue import AvailablePackage, Relations
from patchbay_shared.errors import InvalidInput
from patchbay_shared.fetching.checksum import verify
from patchbay_shared.fetching.compression import open_decompressed
from patchbay_shared.versions import evr_key

_SHARED = Path(os.environ.get("PATCHBAY_SHARED", Path(__file__).parent.parent.parent.parent / "shared"))

CONTENT = f"""\
CONTENTSTYLE 11
NAME openSUSE
VENDOR SUSE LINUX Products GmbH, Nuernberg, Germany
DESCRDIR suse/setup/descr
BASEARCHS x86_64 i586
DATADIR suse
META SHA1 {"ab" * 20}  packages.gz
META SHA256 {"cd" * 32}  packages.en.gz
HASH SHA1 {"ef" * 20}  media.1/info.txt
"""

PACKAGES = """\
=Ver: 2.0
##----------------------------------------
=Pkg: acx-kmp-pae 0:20080210_2.6.27_7.2 2.8 i586
=Cks: SHA1 abb74f6a4f0a134f98746870843f0abcdc2b3da2
+Req:
rpmlib(VersionedDependencies) <= 3.0.3-1
coreutils
coreutils
kernel(pae:vmlinux) = 0:385-1
-Req:
+Prq:
/bin/sh
-Prq:
+Prv:
acx-kmp = 20080210_2.6.27_7.2
-Prv:
+Obs:
wlan-kmp-pae
wlan-old < 2.0
-Obs:
+Con:
other
-Con:
=Src: acx 20080210 2.8 src
##----------------------------------------
=Pkg: acx 20080210 2.8 src
=Cks: SHA1 abb74f6a4f0a134f98746870843f0abcdc2b3da2
##----------------------------------------
=Pkg: plain 1 1 noarch
=Vnd: obs://build.opensuse.org/home
"""


def _packages(text: str, vendor: str = "SUSE") -> list[AvailablePackage]:
    return list(susetags.packages(io.BytesIO(text.encode()), default_vendor=vendor))


def test_a_recorded_repository_reads_whole() -> None:
    """openSUSE 11.1: the index is what the content file lists, and has a package for every =Pkg line."""
    folder = _SHARED / "oracle" / "repos" / "susetags" / "openSUSE-11.1"
    if not folder.is_dir():
        pytest.skip(f"no recordings at {_SHARED}; set PATCHBAY_SHARED")
    content = susetags.parse_content((folder / "content").read_bytes())
    path = folder / content.packages_path
    verify(path.read_bytes(), content.checksums[content.packages_path], name=path.name)

    with open_decompressed(path, name=path.name, limit_bytes=1 << 28) as stream:
        data = stream.read()

    found = _packages(data.decode(), content.vendor)
    lines = [line.split()[1:] for line in data.decode().splitlines() if line.startswith("=Pkg:")]
    assert [(each.name, each.evr, each.arch) for each in found] == [
        (name, f"{version}-{release}", arch) for name, version, release, arch in lines if arch != "src"
    ]
    assert {each.vendor for each in found} == {"SUSE LINUX Products GmbH, Nuernberg, Germany"}


def test_the_content_file_says_where_the_index_is() -> None:
    """META checksums are of files in the folder of descriptions, HASH ones of files anywhere."""
    content = susetags.parse_content(CONTENT.encode())

    assert content.packages_path == "suse/setup/descr/packages.gz"
    assert content.base_architectures == ["x86_64", "i586"]
    assert {path: each.algorithm for path, each in content.checksums.items()} == {
        "suse/setup/descr/packages.gz": "sha1",
        "suse/setup/descr/packages.en.gz": "sha256",
        "media.1/info.txt": "sha1",
    }


def test_every_field_of_a_package_is_read() -> None:
    """Source packages are left out, a vendor of its own outweighs that of the repository."""
    first, second = _packages(PACKAGES)

    assert msgspec.structs.replace(first, digest=0, relations=None) == AvailablePackage(
        name="acx-kmp-pae",
        arch="i586",
        evr="20080210_2.6.27_7.2-2.8",
        evr_key=evr_key("rpm", "20080210_2.6.27_7.2-2.8"),
        digest=0,
        source="acx",
        vendor="SUSE",
        obsoletes=("wlan-kmp-pae", "wlan-old < 2.0"),
    )
    assert msgspec.msgpack.decode(first.relations or b"", type=Relations) == Relations(
        provides=["acx-kmp = 20080210_2.6.27_7.2"],
        requires=["/bin/sh", "coreutils", "kernel(pae:vmlinux) = 385-1"],
        conflicts=["other"],
    )
    assert (second.name, second.vendor) == ("plain", "obs://build.opensuse.org/home")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html></html>",
        PACKAGES.replace("=Ver: 2.0\n", ""),
        PACKAGES.replace("=Pkg: plain 1 1 noarch", "=Pkg: plain 1 1"),
        PACKAGES[: PACKAGES.index("-Con:")],
        PACKAGES.replace("coreutils", "core\0utils"),
    ],
    ids=["empty", "web-page", "no-version", "short-line", "truncated", "nul"],
)
def test_what_is_no_index_is_refused(text: str) -> None:
    """The message says what is wrong; half of an index is never used."""
    with pytest.raises(InvalidInput, match="packages file"):
        _packages(text)


def test_a_line_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded however long a line goes on."""
    monkeypatch.setattr(susetags, "MAX_LINE_BYTES", 100)

    with pytest.raises(InvalidInput, match="more than 100 bytes"):
        _packages(PACKAGES + "=Sum: " + "x" * 200)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html></html>",
        CONTENT.replace("suse/setup/descr", "../descr"),
        CONTENT.replace("media.1/info.txt", "../../etc/passwd"),
        CONTENT.replace("ab" * 20, "ab"),
        CONTENT.replace("META SHA1", "META CRC32"),
    ],
)
def test_what_is_no_content_file_is_refused(text: str) -> None:
    """Nor is one whose paths leave the repository or whose checksums are none."""
    with pytest.raises(InvalidInput):
        susetags.parse_content(text.encode())
