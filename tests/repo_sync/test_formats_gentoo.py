"""Gentoo's metadata cache: names, versions, slots, and crawls of snapshots."""

import io
import itertools
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from patchbay_repo_sync.formats import gentoo
from patchbay_shared.catalogue import AvailablePackage, Relations
from patchbay_shared.errors import InvalidInput, InvalidVersion
from patchbay_shared.fetching.compression import open_decompressed
from patchbay_shared.report import ReportRepository
from patchbay_shared.versions import compare, evr_key

RECORDED = "feeds/repo-gentoo/metadata-md5-cache.tar.xz"


def snapshot(*entries: tuple[str, str], folder: str = "gentoo-20261120/metadata/md5-cache") -> bytes:
    """A tree's tar file with these `category/name-version` and contents."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in entries:
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))
    return packed.getvalue()


def read(data: bytes) -> list[AvailablePackage]:
    with open_decompressed(io.BytesIO(data), name="snapshot", limit_bytes=10**9) as stream:
        return list(gentoo.packages(stream))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("emacs-common-gentoo-1.5", ("emacs-common-gentoo", "1.5")),
        ("font-adobe-100dpi-1.0.3-r1", ("font-adobe-100dpi", "1.0.3-r1")),
        ("cdrtools-3.01_alpha17", ("cdrtools", "3.01_alpha17")),
        ("openssl-1.0.2t-r1", ("openssl", "1.0.2t-r1")),
        ("gtk+-2.24.32-r1", ("gtk+", "2.24.32-r1")),
    ],
)
def test_the_version_begins_where_portage_says(text: str, wanted: tuple[str, str]) -> None:
    """Hyphens and digits may be part of a name."""
    assert gentoo.split(text) == wanted


@pytest.mark.parametrize("text", ["bash", "-1.0", "bash-", "bash-1.0-r", "bash 1"])
def test_a_file_name_without_a_version_is_refused(text: str) -> None:
    """Nothing of such a cache may be used."""
    with pytest.raises(InvalidInput):
        gentoo.split(text)


def test_versions_are_ordered_as_the_specification_says() -> None:
    """PMS 3.3: fractions after a leading zero, letters, suffixes below and above nothing, revisions."""
    ordered = "1 1.0 1.01 1.05 1.1_alpha 1.1_alpha2 1.1_beta 1.1_pre 1.1_rc9 1.1 1.1-r1 1.1-r10 1.1_p 1.1_p1 1.1a "
    versions = (ordered + "1.1b 1.1.0 1.2 1.10 2 10").split()

    assert sorted(versions, key=lambda each: evr_key("portage", each)) == versions
    assert all(compare("portage", a, b) == -1 for a, b in itertools.pairwise(versions))
    assert compare("portage", "1.10", "1.010") == 1
    assert compare("portage", "1.0-r0", "1.0") == compare("portage", "01.0", "1.0") == 0
    with pytest.raises(InvalidVersion):
        evr_key("portage", "1.0:2")


def test_the_slot_is_kept_apart_from_the_subslot() -> None:
    """`SLOT=0/1.1`: packages of other slots are installed beside each other, those of other sub-slots are not."""
    [package] = read(snapshot(("dev-libs/openssl-1.1.1g", "EAPI=7\nKEYWORDS=amd64 ~arm\nSLOT=0/1.1\n_md5_=0\n")))

    assert (package.name, package.evr) == ("dev-libs/openssl", "1.1.1g")
    assert msgspec.msgpack.decode(package.relations or b"", type=Relations) == Relations(
        slot="0", subslot="1.1", keywords=["amd64", "~arm"]
    )


def test_live_ebuilds_are_no_versions() -> None:
    """9999 would hide every update that there is; live may also be said in words."""
    entries = [
        ("a/b-9999", "SLOT=0"),
        ("a/b-1.9999", "SLOT=0"),
        ("a/b-2", "SLOT=0\nPROPERTIES=live"),
        ("a/b-1", "SLOT=0"),
    ]

    assert [each.evr for each in read(snapshot(*entries))] == ["1"]


@pytest.mark.parametrize(
    "data",
    [
        snapshot(("a/b-1", "EAPI=7\n")),
        snapshot(("a/b-1", "SLOT=0"), folder="elsewhere"),
        snapshot(("a/b-1", "SLOT=0" + "x" * gentoo.MAX_ENTRY_BYTES)),
        b"no tar file",
        snapshot(("a/b-1", "SLOT=0"))[:60],
    ],
    ids=["no slot", "no cache", "a bomb", "no tar", "cut"],
)
def test_a_damaged_snapshot_is_refused(data: bytes) -> None:
    """Nothing of it may be used."""
    with pytest.raises(InvalidInput):
        read(data)


def test_the_recorded_cache_is_read_whole(shared: Path) -> None:
    """1,243 ebuilds of 2020, 69 of them live."""
    found = read((shared / RECORDED).read_bytes())

    assert len(found) == 1_174
    assert len({each.digest for each in found}) == 1_174


def test_a_tree_configured_with_rsync_is_read_from_the_mapped_snapshots(world: Any) -> None:
    """Hosts use rsync; the operator says on which web server the snapshots of the same tree lie."""
    world.server.files["gentoo/snapshots/gentoo-latest.tar.xz"] = snapshot(
        ("app-shells/bash-5.2_p37", "SLOT=0"), ("app-shells/bash-5.3", "SLOT=0")
    )
    world.configure(mirror_map=f"rsync://rsync.test/gentoo-portage={world.server.url}/gentoo")
    world.refer(ReportRepository(id="gentoo", type="gentoo", urls=["rsync://rsync.test/gentoo-portage"]))

    world.sync()
    world.sync()

    assert world.repository()["state"] == "ok"
    assert world.packages() == ["app-shells/bash 5.2_p37 ", "app-shells/bash 5.3 "]
    results = [row["result"] for row in world.rows("SELECT result FROM repository_sync ORDER BY id")]
    assert results == ["changed", "unchanged"]


@pytest.mark.parametrize("url", ["rsync://rsync.test/gentoo-portage", "git://git.test/gentoo.git"])
def test_a_tree_that_cannot_be_fetched_says_so_and_what_to_do(world: Any, url: str) -> None:
    """It must not look as if it were merely slow."""
    world.refer(ReportRepository(id="gentoo", type="gentoo", urls=[url]))

    world.sync()

    repository = world.repository()
    assert repository["state"] == "failing"
    assert "is not fetched" in repository["message"]
    assert "PATCHBAY_MIRROR_MAP" in repository["message"]


def test_a_source_may_name_the_snapshot_itself(world: Any) -> None:
    """webrsync's address, or one's own server."""
    world.server.files["tree.tar.gz"] = snapshot(("a/b-1", "SLOT=0"))
    world.refer(ReportRepository(id="gentoo", type="gentoo", urls=[f"{world.server.url}/tree.tar.gz"]))

    world.sync()

    assert world.packages() == ["a/b 1 "]


def test_a_tree_in_a_folder_is_read_from_its_cache(world: Any, tmp_path: Path) -> None:
    """What emerge --sync keeps up to date beside Patchbay; links out of it are not followed."""
    cache = tmp_path / "tree/metadata/md5-cache"
    (cache / "app-shells").mkdir(parents=True)
    (cache / "app-shells/bash-5.3").write_text("SLOT=0\n")
    (cache / "app-shells/Manifest.gz").write_bytes(b"x")
    (cache / "Manifest.files.gz").write_bytes(b"x")
    (cache / "app-shells/zsh-5.9").symlink_to("/etc/hostname")
    world.configure(mirror_map=f"rsync://rsync.test/gentoo-portage={tmp_path}/tree")
    world.refer(ReportRepository(id="gentoo", type="gentoo", urls=["rsync://rsync.test/gentoo-portage"]))

    world.sync()
    world.sync()
    (cache / "app-shells/bash-5.3").rename(cache / "app-shells/bash-5.4")
    world.sync()

    assert world.packages() == ["app-shells/bash 5.4 "]
    assert "not signed" in world.repository()["message"]
    results = [row["result"] for row in world.rows("SELECT result FROM repository_sync ORDER BY id")]
    assert results == ["changed", "unchanged", "changed"]


def test_the_recorded_cache_reads_the_same_from_a_folder(shared: Path, tmp_path: Path) -> None:
    """As from the snapshot that it was unpacked from."""
    with tarfile.open(shared / RECORDED) as archive:
        archive.extractall(tmp_path, filter="data")
    [cache] = tmp_path.rglob("md5-cache")

    found = list(gentoo.packages_in(cache))

    assert {each.digest for each in found} == {each.digest for each in read((shared / RECORDED).read_bytes())}


def test_a_cache_with_an_impossible_entry_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of it may be used."""
    monkeypatch.setattr(gentoo, "MAX_ENTRY_BYTES", 10)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b-1").write_text("SLOT=0\nDESCRIPTION=long\n")

    with pytest.raises(InvalidInput, match="more than 10 bytes"):
        list(gentoo.packages_in(tmp_path))
