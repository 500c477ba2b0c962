"""Every recorded repository, synced over HTTP through the mirror map, counted by other people's readers."""

import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from uuid import UUID

import createrepo_c
import pytest
from debian.deb822 import Packages
from patchbay_shared.fetching.compression import open_decompressed
from patchbay_shared.report import ReportRepository

World = Any  # conftest's; it cannot be imported under importlib

ORACLE_KEY = "oracle/repos/keys/oracle-archive.asc"
_LIMIT = 10**9


@pytest.fixture
def recorded(world: World, shared: Path) -> World:
    """The recordings served on loopback in place of http://recorded.test/; the archive's key is the only one."""
    world.server.folder = shared
    keyring = shared / ORACLE_KEY
    world.configure(
        mirror_map=f"http://recorded.test/={world.server.url}",
        keyring_dir=str(keyring.parent),
        fetch_allowed_networks="",
    )
    return world


def _url(shared: Path, folder: Path) -> str:
    return f"http://recorded.test/{folder.relative_to(shared)}"


def _counts(world: World) -> dict[UUID, int]:
    rows = world.rows("SELECT repository_id, sum(package_count)::int AS n FROM repository_index GROUP BY 1")
    return {row["repository_id"]: row["n"] for row in rows}


def _failures(world: World) -> list[str]:
    rows = world.rows("SELECT name, state, message FROM repository WHERE state <> 'ok' ORDER BY name")
    return [f"{row['name']}: {row['state']}: {row['message']}" for row in rows]


def _deb_count(files: Iterable[Path]) -> int:
    """python-debian's count. A stanza that is listed twice is one package."""
    found: set[str] = set()
    for file in files:
        with open_decompressed(file, name=file.name, limit_bytes=_LIMIT) as stream:
            fields = ["Package", "Version", "Architecture", "Filename", "SHA256"]
            found.update(
                f"{file}{each}" for each in Packages.iter_paragraphs(stream, fields=fields, use_apt_pkg=False)
            )
    return len(found)


def test_every_recorded_apt_suite_is_stored_as_python_debian_counts_it(recorded: World, shared: Path) -> None:
    """With dists/ and flat, real and made; each stored generation was signed by the archive's key."""
    wanted: dict[UUID, int] = {}
    for release in sorted((shared / "oracle/repos/apt").glob("*/dists/*/Release")):
        if release.parts[-4] == "broken":
            continue
        suite, base = release.parent, release.parents[2]
        files = sorted(suite.glob("*/binary-*/Packages.*"))
        keys = [(file.parts[-3], file.parts[-2].removeprefix("binary-")) for file in files]
        source = ReportRepository(id=suite.name, type="deb", urls=[_url(shared, base)], suite=suite.name)
        wanted[recorded.refer(source, *keys)] = _deb_count(files)
    flat = shared / "oracle/repos/apt/flat"
    number = recorded.refer(ReportRepository(id="flat", type="deb", urls=[_url(shared, flat)], suite="./"))
    wanted[number] = _deb_count([flat / "Packages.xz"])

    recorded.sync()

    assert _failures(recorded) == []
    assert _counts(recorded) == wanted
    unsigned = recorded.rows("SELECT name FROM repository WHERE verified_by = ''")
    assert [row["name"] for row in unsigned] == ["flat"]


BROKEN = {
    "good": ("ok", ""),
    "tampered-release": ("untrusted", "does not hold"),
    "tampered-index": ("untrusted", "has more than the 308 bytes"),
    "wrong-key": ("untrusted", "No key that signed it is known"),
    "expired": ("untrusted", "expired on 2026-03-01"),
    "missing-index": ("failing", "does not have it in any form"),
    "unsigned": ("untrusted", "It is not signed"),
}


@pytest.mark.parametrize("suite", BROKEN)
def test_broken_suites_are_refused_as_apt_refuses_them(
    recorded: World, shared: Path, tmp_path: Path, suite: str
) -> None:
    """apt accepts `good` and refuses the other six, given the archive's key."""
    (tmp_path / "archive.asc").write_bytes((shared / ORACLE_KEY).read_bytes())
    recorded.configure(keyring_dir=str(tmp_path), require_signatures=True)
    base = shared / "oracle/repos/apt/broken"
    source = ReportRepository(id=suite, type="deb", urls=[_url(shared, base)], suite=suite, components=["main"])
    recorded.refer(source, ("main", "amd64"))

    recorded.sync()

    state, words = BROKEN[suite]
    repository = recorded.repository()
    assert (repository["state"], words in repository["message"]) == (state, True), repository["message"]
    assert bool(recorded.packages()) is (suite == "good")


def _rpm_count(folder: Path) -> int:
    """createrepo_c's count of binary packages."""
    repomd = createrepo_c.Repomd(str(folder / "repodata/repomd.xml"))
    [location] = [each.location_href for each in repomd.records if each.type == "primary"]
    found: list[createrepo_c.Package] = []
    createrepo_c.xml_parse_primary(str(folder / location), pkgcb=found.append, do_files=False)
    return sum(each.arch not in {"src", "nosrc"} for each in found)


def _rpm_repositories(shared: Path) -> Iterator[tuple[ReportRepository, Path]]:
    root = shared / "oracle/repos/rpm"
    for repomd in sorted(root.glob("*/repodata/repomd.xml")):
        folder = repomd.parents[1]
        yield ReportRepository(id=folder.name, type="rpm-md", urls=[_url(shared, folder)]), folder
    for mirrorlist in sorted((root / "mirrorlists").iterdir()):
        source = ReportRepository(
            id=f"{mirrorlist.name}-listed", type="rpm", mirrorlist=_url(shared, mirrorlist), arch="x86_64"
        )
        yield source, root / mirrorlist.name


def test_every_recorded_rpm_repository_is_stored_as_createrepo_counts_it(recorded: World, shared: Path) -> None:
    """gzip, bzip2 and xz, SHA-1 and SHA-256, mirror lists, an empty repository, nineteen years of openSUSE."""
    map_of_lists = f"http://repos.test/={recorded.server.url}/oracle/repos"
    recorded.configure(mirror_map=f"{recorded.settings.mirror_map} {map_of_lists}")
    wanted = {recorded.refer(source): _rpm_count(folder) for source, folder in _rpm_repositories(shared)}

    recorded.sync()

    assert _failures(recorded) == []
    assert _counts(recorded) == wanted


def test_a_repomd_whose_files_are_missing_is_refused_with_their_name(recorded: World, shared: Path) -> None:
    """Three recordings are of repomd.xml alone, and one has no updateinfo; nothing of them may be stored."""
    for repomd in sorted((shared / "feeds/repo-rpmmd").glob("*/repodata/repomd.xml")):
        source = ReportRepository(id=repomd.parts[-3], type="rpm-md", urls=[_url(shared, repomd.parents[1])])
        recorded.refer(source)

    recorded.sync()

    rows = recorded.rows("SELECT state, message, generation FROM repository")
    assert len(rows) == 4
    assert {(row["state"], row["generation"]) for row in rows} == {("failing", 0)}
    assert all(re.search(r"(primary|updateinfo)\.xml\.\w+ does not exist", row["message"]) for row in rows), rows
    assert recorded.packages() == []


LIBSOLV_COUNT = 3_453
"""What `susetags2solv | dumpsolv` of libsolv-tools 0.7.23 says of either recording."""


def test_recorded_susetags_are_stored_as_libsolv_counts_them(recorded: World, shared: Path) -> None:
    """The YaST2 repository of openSUSE 11.1, from the oracle and from the feeds."""
    folders = [shared / "oracle/repos/susetags/openSUSE-11.1", shared / "feeds/repo-susetags/openSUSE-11.1"]
    sources = [ReportRepository(id=f.parts[-3], type="yast2", urls=[_url(shared, f)]) for f in folders]
    numbers = [recorded.refer(each) for each in sources]

    recorded.sync()

    assert _failures(recorded) == []
    assert [_counts(recorded)[each] for each in numbers] == [LIBSOLV_COUNT, LIBSOLV_COUNT]


def _pacman_count(database: Path) -> int:
    with (
        open_decompressed(database, name=database.name, limit_bytes=_LIMIT) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        return sum(member.name.endswith("/desc") for member in archive)


def test_every_recorded_pacman_database_is_stored_whole(recorded: World, shared: Path) -> None:
    """Arch's own of 2019 and 2022, and small made ones; one package a folder of the tar file."""
    databases = [*(shared / "oracle/repos/pacman").rglob("*.db"), *(shared / "feeds/repo-arch").glob("*.db")]
    wanted = {
        recorded.refer(ReportRepository(id=each.stem, type="arch", urls=[_url(shared, each.parent)])): _pacman_count(
            each
        )
        for each in sorted(databases)
    }

    recorded.sync()

    assert len(wanted) == 10
    assert _failures(recorded) == []
    assert _counts(recorded) == wanted


def test_the_recorded_suite_of_the_debian_archive_is_stored_and_excerpts_are_not(
    recorded: World, shared: Path
) -> None:
    """Of the three recordings one is whole; what does not match its Release file is not believed."""
    root = shared / "feeds/repo-apt"
    for release in sorted([*root.glob("*/dists/*/InRelease"), *root.glob("*/dists/*/Release")]):
        source = ReportRepository(
            id=release.parts[-2], type="deb", urls=[_url(shared, release.parents[2])], suite=release.parts[-2]
        )
        recorded.refer(source, ("main", "amd64"))
    recorded.now = datetime(2026, 11, 20, tzinfo=UTC)

    recorded.sync()

    rows = recorded.rows("SELECT name, state FROM repository ORDER BY name")
    assert {row["name"]: row["state"] for row in rows} == {
        "bookworm": "untrusted",
        "bookworm-security": "untrusted",  # its Release file is of 2023 and says until when it was valid
        "bookworm-updates": "ok",
    }
    [counted] = [n for n in _counts(recorded).values() if n]
    assert counted == _deb_count([root / "debian/dists/bookworm-updates/main/binary-amd64/Packages"])


ENTRIES = ("InRelease", "Release", "repomd.xml", "content", "*.db", "*md5-cache*", "*repomd__*.xml")
"""Names of what a repository begins with."""
SYNCED = {
    "oracle/repos/apt/*/dists/*/*Release": "apt",
    "oracle/repos/apt/flat/Release": "flat",
    "oracle/repos/rpm/*/repodata/repomd.xml": "rpm-md",
    "oracle/repos/susetags/openSUSE-11.1/content": "susetags",
    "oracle/repos/pacman/*/os/x86_64/*.db": "pacman",
    "feeds/repo-apt/*/dists/*/*Release": "apt, excerpts refused",
    "feeds/repo-rpmmd/*/repodata/repomd.xml": "rpm-md whose files are missing",
    "feeds/repo-susetags/openSUSE-11.1/content": "susetags",
    "feeds/repo-arch/*.db": "pacman",
    "feeds/repo-gentoo/metadata-md5-cache.tar.xz": "gentoo",
    "feeds/repo-rpmmd/rocky-8.7/*repomd__*.xml": "a repomd.xml under another name: test_formats_rpmmd.py",
}
"""Each by the test above that syncs it, or the reason why none can."""


def test_every_recorded_repository_is_synced_or_said_why_not(shared: Path) -> None:
    """A new recording fails here until somebody syncs it."""
    found = {
        str(file.relative_to(shared))
        for folder in (shared / "oracle/repos", *(shared / "feeds").glob("repo-*"))
        for name in ENTRIES
        for file in folder.rglob(name)
        if file.is_file()
    }

    assert found
    assert sorted(each for each in found if not any(fnmatch(each, pattern) for pattern in SYNCED)) == []
    assert [pattern for pattern in SYNCED if not any(fnmatch(each, pattern) for each in found)] == []


def test_the_recorded_gentoo_cache_is_stored_as_tar_counts_it(recorded: World, shared: Path) -> None:
    """One package an ebuild, but the live ones, which say so by their version or in words."""
    archive = shared / "feeds/repo-gentoo/metadata-md5-cache.tar.xz"
    with tarfile.open(archive) as tar:
        ebuilds = {member.name: (tar.extractfile(member) or io.BytesIO()).read() for member in tar if member.isfile()}
    live = [
        name for name, text in ebuilds.items()
        if re.search(r"[-.]9{4,}(-r\d+)?$", name) or re.search(rb"^PROPERTIES=.*\blive\b", text, re.M)
    ]  # fmt: skip
    number = recorded.refer(ReportRepository(id="gentoo", type="gentoo", urls=[_url(shared, archive)]))

    recorded.sync()

    assert _failures(recorded) == []
    assert (len(ebuilds), len(live)) == (1_243, 69)
    assert _counts(recorded) == {number: len(ebuilds) - len(live)}
