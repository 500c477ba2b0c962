"""pacman's databases, with the package folders of the tar file as the reference."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import msgspec
import pytest
from patchbay_repo_sync.formats import pacman
from patchbay_shared.catalogue import AvailablePackage, Relations
from patchbay_shared.errors import InvalidInput
from patchbay_shared.fetching.compression import open_decompressed
from patchbay_shared.versions import evr_key

_HERE = Path(__file__).parent.parent
_SHARED = Path(os.environ.get("PATCHBAY_SHARED", _HERE.parent.parent / "shared"))
_FILES = [
    path
    for folder in (_HERE / "data" / "oracle" / "repos", _SHARED / "oracle" / "repos", _SHARED / "feeds")
    for path in sorted(folder.rglob("*.db"))
]

DESC = """\
%FILENAME%
acl-2.3.1-2-x86_64.pkg.tar.zst

%NAME%
acl

%BASE%
acl-base

%VERSION%
2.3.1-2

%DESC%
%VERSION%

%GROUPS%
base-devel

%ARCH%
x86_64

%REPLACES%
xfsacl<=2.0
oldacl

%PROVIDES%
xfsacl
libacl.so=1-64

%DEPENDS%
attr>=2.4
glibc
"""


def _database(**files: str | bytes) -> io.BytesIO:
    """A plain tar file; `__` in a name stands for a slash."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("path", _FILES, ids=lambda path: f"{path.parts[-5]}-{path.stem}")
def test_a_database_has_a_package_for_every_folder(path: Path) -> None:
    """A folder is called name-version, which is what libalpm goes by."""
    with open_decompressed(path, name=path.name, limit_bytes=1 << 28) as stream:
        found = [f"{each.name}-{each.evr}" for each in pacman.packages(stream)]

    listing = subprocess.run(["tar", "-tf", str(path)], capture_output=True, text=True, check=True).stdout
    assert found == [line.removesuffix("/desc") for line in listing.splitlines() if line.endswith("/desc")]


def test_every_field_of_a_package_is_read() -> None:
    """Relations get blanks around their operator; a description that looks like a field is none."""
    [package] = pacman.packages(_database(**{"acl-2.3.1-2__desc": DESC}))

    assert msgspec.structs.replace(package, digest=0, relations=None) == AvailablePackage(
        name="acl",
        arch="x86_64",
        evr="2.3.1-2",
        evr_key=evr_key("alpm", "2.3.1-2"),
        digest=0,
        source="acl-base",
        obsoletes=("xfsacl <= 2.0", "oldacl"),
    )
    assert msgspec.msgpack.decode(package.relations or b"", type=Relations) == Relations(
        provides=["xfsacl", "libacl.so = 1-64"], requires=["attr >= 2.4", "glibc"], groups=["base-devel"]
    )


def test_a_separate_file_of_dependencies_belongs_to_its_package() -> None:
    """Databases of pacman 3 and 4 kept relations apart."""
    desc, _, depends = DESC.partition("%REPLACES%")
    files = {"acl-2.3.1-2__desc": desc, "acl-2.3.1-2__depends": f"%REPLACES%{depends}", "b-1-1__desc": DESC}

    first, second = pacman.packages(_database(**files))

    assert (first.obsoletes, first.relations) == (second.obsoletes, second.relations)


def test_other_files_are_passed_over() -> None:
    """A database of files carries the same descriptions."""
    assert list(pacman.packages(_database(**{"acl-2.3.1-2__files": "%FILES%\n%NAME%\nx\n", "README": "x"}))) == []


@pytest.mark.parametrize(
    "desc",
    [
        DESC.replace("%NAME%\nacl\n", ""),
        DESC.replace("2.3.1-2\n\n%DESC", "\n%DESC"),
        DESC.replace("glibc", "gl\0ibc"),
    ],
    ids=["no-name", "no-version", "nul"],
)
def test_an_entry_without_identity_refuses_the_database(desc: str) -> None:
    """A repository is read whole or not at all."""
    with pytest.raises(InvalidInput, match=r"acl-2\.3\.1-2"):
        list(pacman.packages(_database(**{"acl-2.3.1-2__desc": desc})))


def test_text_that_is_not_utf8_does_not_stop_the_database() -> None:
    """libalpm does not look at the encoding."""
    assert len(list(pacman.packages(_database(**{"acl__desc": DESC.encode().replace(b"glibc", b"\xff")})))) == 1


def test_an_entry_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A description is a few kilobytes."""
    monkeypatch.setattr(pacman, "MAX_ENTRY_BYTES", 100)

    with pytest.raises(InvalidInput, match="more than 100 bytes"):
        list(pacman.packages(_database(**{"acl__desc": DESC})))


@pytest.mark.parametrize("data", [b"", b"<html></html>", b"\0" * 100, b"x" * 5000])
def test_what_is_no_tar_file_is_refused(data: bytes) -> None:
    """An error page must not become a repository without packages."""
    with pytest.raises(InvalidInput):
        list(pacman.packages(io.BytesIO(data)))


def test_a_truncated_database_is_refused() -> None:
    """The end of a tar file inside an entry is not the end of the repository."""
    data = _database(**{f"p{number}-1__desc": DESC for number in range(3)}).getvalue()

    with pytest.raises(InvalidInput):
        list(pacman.packages(io.BytesIO(data[: 512 * 4 + 700])))
