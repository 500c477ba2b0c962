"""Crawling apt repositories: what is fetched, what is stored, what is told."""

import bz2
import hashlib
import lzma
from pathlib import Path
from typing import Any

import pytest
import zstandard
from patchbay_shared.report import ReportRepository

MAIN = ("main", "amd64")


def test_a_first_sync_stores_every_package(world: Any, apt_mirror: Any) -> None:
    """The catalogue has what the index lists, and the repository is at its first generation."""
    world.refer(apt_mirror.source(), MAIN)

    world.sync()

    assert world.packages() == ["bash 5.2-1 amd64", "curl 8.1-1 amd64", "zlib 1.3-1 amd64"]
    assert (world.repository()["state"], world.repository()["generation"]) == ("ok", 1)
    assert world.last_change()["names"] is None


def test_an_unchanged_repository_fetches_no_index(world: Any, apt_mirror: Any) -> None:
    """No generation is counted and nothing is told either."""
    world.refer(apt_mirror.source(), MAIN)
    world.sync()
    world.server.requests.clear()

    world.sync()

    assert [path for path in world.server.requests if "Packages" in path] == []
    assert world.repository()["generation"] == 1
    assert len(world.bus.changes) == 1
    assert [row["result"] for row in world.rows("SELECT result FROM repository_sync ORDER BY id")] == [
        "changed",
        "unchanged",
    ]


def test_only_what_differs_is_written_and_told(world: Any, apt_mirror: Any) -> None:
    """One package updated, one gone: both names are told, the third row stays the very row it was."""
    world.refer(apt_mirror.source(), MAIN)
    world.sync()
    [before] = world.rows("SELECT ctid::text FROM available_package WHERE name = 'zlib'")
    apt_mirror.indexes[MAIN] = [apt_mirror.stanza("bash", "5.2-2"), apt_mirror.stanza("zlib", "1.3-1")]
    apt_mirror.publish()

    world.sync()

    assert world.packages() == ["bash 5.2-2 amd64", "zlib 1.3-1 amd64"]
    assert world.last_change()["names"] == ["bash", "curl"]
    assert world.repository()["generation"] == 2
    assert world.rows("SELECT ctid::text FROM available_package WHERE name = 'zlib'") == [before]


def test_a_release_with_a_new_date_only_is_no_new_generation(world: Any, apt_mirror: Any) -> None:
    """Archives sign their Release anew every few hours without changing a package."""
    world.refer(apt_mirror.source(), MAIN)
    world.sync()
    apt_mirror.fields["Date"] = "Thu, 19 Nov 2026 16:00:00 UTC"
    apt_mirror.publish()
    world.server.requests.clear()

    world.sync()

    assert world.repository()["generation"] == 1
    assert world.repository()["release"]["date"] == "Thu, 19 Nov 2026 16:00:00 UTC"
    assert [path for path in world.server.requests if "Packages" in path] == []


def test_a_renamed_suite_is_a_new_generation_of_everything(world: Any, apt_mirror: Any) -> None:
    """Pins may match the suite's name, so any verdict may change though no package did."""
    world.refer(apt_mirror.source(), MAIN)
    world.sync()
    apt_mirror.fields["Suite"] = "oldstable"
    apt_mirror.publish()

    world.sync()

    assert world.repository()["generation"] == 2
    assert world.last_change()["names"] is None


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".xz", lzma.compress),
        (".bz2", bz2.compress),
        (".zst", zstandard.ZstdCompressor().compress),
        (".lzma", lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE)),
    ],
)
def test_every_compression_is_read(world: Any, apt_mirror: Any, suffix: str, pack: Any) -> None:
    """Whatever form the Release file lists."""
    for path in [path for path in world.server.files if "Packages" in path]:
        del world.server.files[path]
    apt_mirror.compress = {suffix: pack}
    apt_mirror.publish()
    world.refer(apt_mirror.source(), MAIN)

    world.sync()

    assert len(world.packages()) == 3


def test_a_plain_index_is_read(world: Any, apt_mirror: Any) -> None:
    """Small repositories list the uncompressed file only."""
    apt_mirror.compress = {}
    apt_mirror.publish()
    world.refer(apt_mirror.source(), MAIN)

    world.sync()

    assert len(world.packages()) == 3


def test_an_index_is_fetched_by_its_hash_where_offered(world: Any, apt_mirror: Any) -> None:
    """A mirror that is being updated still serves the file that its Release lists."""
    world.server.files.clear()
    apt_mirror.by_hash = True
    apt_mirror.publish()
    world.refer(apt_mirror.source(), MAIN)

    world.sync()

    assert len(world.packages()) == 3


def test_components_and_architectures_are_indexes_of_their_own(world: Any, apt_mirror: Any) -> None:
    """A host that adds an architecture makes one more index due, and the others are not fetched again."""
    apt_mirror.indexes["contrib", "amd64"] = [apt_mirror.stanza("steam", "1")]
    apt_mirror.indexes["main", "i386"] = [apt_mirror.stanza("bash", "5.2-1", "i386")]
    apt_mirror.publish()
    world.refer(apt_mirror.source(), MAIN, ("contrib", "amd64"))
    world.sync()
    world.refer(apt_mirror.source(), ("main", "i386"))
    world.server.requests.clear()

    world.sync()

    assert "bash 5.2-1 i386" in world.packages()
    assert [path for path in world.server.requests if path.endswith("Packages.gz")] == [
        f"{apt_mirror.folder}/main/binary-i386/Packages.gz"
    ]
    assert world.last_change()["names"] == ["bash"]


def test_an_index_that_the_suite_does_not_have_is_no_failure(world: Any, apt_mirror: Any) -> None:
    """Debian's security archive once had no i386 index; hosts with that architecture are fine without."""
    world.refer(apt_mirror.source(), MAIN, ("main", "i386"))

    world.sync()

    assert world.repository()["state"] == "ok"
    rows = world.rows("SELECT architecture, present FROM repository_index ORDER BY 1")
    assert rows == [{"architecture": "amd64", "present": True}, {"architecture": "i386", "present": False}]


def test_an_index_that_vanishes_takes_its_packages_along(world: Any, apt_mirror: Any) -> None:
    """And their names are told."""
    apt_mirror.indexes["contrib", "amd64"] = [apt_mirror.stanza("steam", "1")]
    apt_mirror.publish()
    world.refer(apt_mirror.source(), MAIN, ("contrib", "amd64"))
    world.sync()
    del apt_mirror.indexes["contrib", "amd64"]
    apt_mirror.publish()

    world.sync()

    assert "steam 1 amd64" not in world.packages()
    assert world.last_change()["names"] == ["steam"]


def test_architecture_all_is_indexed_where_it_is_kept_apart(world: Any, apt_mirror: Any) -> None:
    """Some archives list architecture-independent packages in an index of their own only."""
    apt_mirror.indexes["main", "all"] = [apt_mirror.stanza("docs", "1", "all")]
    apt_mirror.publish()
    world.refer(apt_mirror.source(), MAIN)

    world.sync()

    assert "docs 1 all" in world.packages()


def test_architecture_all_is_not_read_twice(world: Any, apt_mirror: Any) -> None:
    """Debian lists `all` in every index and says so."""
    apt_mirror.indexes["main", "all"] = [apt_mirror.stanza("docs", "1", "all")]
    apt_mirror.fields["No-Support-for-Architecture-all"] = "Packages"
    apt_mirror.publish()
    world.refer(apt_mirror.source(), MAIN)

    world.sync()

    assert "docs 1 all" not in world.packages()


def test_a_flat_repository_is_read(world: Any) -> None:
    """No dists/, no components: the Release file stands beside the packages."""
    packages = b"Package: tool\nVersion: 1.0\nArchitecture: amd64\n"
    world.server.files["flat/Packages"] = packages
    world.server.files["flat/Release"] = (
        f"Origin: Acme\nDate: Thu, 19 Nov 2026 10:00:00 UTC\n"
        f"SHA256:\n {hashlib.sha256(packages).hexdigest()} {len(packages)} Packages\n"
    ).encode()
    world.refer(ReportRepository(id="flat", type="deb", urls=[f"{world.server.url}/flat"], suite="./"))

    world.sync()

    assert world.packages() == ["tool 1.0 amd64"]


@pytest.mark.parametrize(
    "field", [{"Label": "Debian-Security"}, {"Suite": "noble-security"}, {"Codename": "bookworm-security"}]
)
def test_a_suite_that_calls_itself_security_is_labelled(world: Any, apt_mirror: Any, field: dict[str, str]) -> None:
    """Its updates are security fixes, whatever the host says."""
    apt_mirror.fields |= field
    apt_mirror.publish()
    world.refer(apt_mirror.source(), MAIN)

    world.sync()

    assert world.repository()["security"] is True


def test_the_hosts_word_on_security_is_kept(world: Any, apt_mirror: Any) -> None:
    """What was said on purpose outranks what a label suggests."""
    apt_mirror.fields["Label"] = "Security tools"
    apt_mirror.publish()
    world.refer(apt_mirror.source(security=False), MAIN)

    world.sync()

    assert world.repository()["security"] is False


def test_the_recorded_security_suite_is_read_through_a_folder(world: Any, shared: Path) -> None:
    """The mirror map names a local folder; the suite's component is written `updates/main`."""
    world.configure(mirror_map=f"http://repos.test={shared / 'oracle' / 'repos'}")
    world.refer(
        ReportRepository(
            id="security", type="deb", urls=["http://repos.test/apt/debian-security"], suite="bookworm-security"
        ),
        MAIN,
    )

    world.sync()

    assert world.repository()["state"] == "ok"
    assert world.repository()["security"] is True
    assert len(world.packages()) > 1_000
