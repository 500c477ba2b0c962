"""Signatures of repositories, against the recorded good and broken suites."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from patchbay_repo_sync.signature import Verifier, keyring_of
from patchbay_shared.errors import Untrusted
from patchbay_shared.report import ReportRepository

MAIN = ("main", "amd64")


@pytest.fixture
def keyring_dir(shared: Path, tmp_path: Path) -> Path:
    """A folder with the key that signed the recorded archives, and only that."""
    folder = tmp_path / "keyrings"
    folder.mkdir()
    shutil.copy(shared / "oracle/repos/keys/oracle-archive.asc", folder)
    return folder


def broken(shared: Path, suite: str) -> Path:
    return shared / "oracle/repos/apt/broken/dists" / suite


def crawl(world: Any, shared: Path, suite: str, keyring_dir: Path, **settings: Any) -> dict[str, Any]:
    """The repository's row after a sync of one of the broken suites."""
    world.configure(mirror_map=f"http://repos.test={shared}/oracle/repos", keyring_dir=str(keyring_dir), **settings)
    world.refer(ReportRepository(id=suite, type="deb", urls=["http://repos.test/apt/broken"], suite=suite), MAIN)
    world.sync()
    row: dict[str, Any] = world.repository()
    return row


def test_a_good_signature_is_verified(world: Any, shared: Path, keyring_dir: Path) -> None:
    """The key's fingerprint is kept."""
    row = crawl(world, shared, "good", keyring_dir)

    assert (row["state"], row["message"]) == ("ok", "")
    assert row["verified_by"] == "fe847fc358ea27c047aa91e50d5bea948c800d81"


@pytest.mark.parametrize(
    ("suite", "state"),
    [
        ("tampered-release", "untrusted"),
        ("tampered-index", "untrusted"),
        ("expired", "untrusted"),
        ("missing-index", "failing"),
    ],
)
def test_a_broken_suite_is_refused(world: Any, shared: Path, keyring_dir: Path, suite: str, state: str) -> None:
    """As apt refuses it."""
    row = crawl(world, shared, suite, keyring_dir)

    assert (row["state"], row["generation"], world.packages()) == (state, 0, [])


@pytest.mark.parametrize("suite", ["unsigned", "wrong-key"])
def test_what_nobody_can_verify_is_noted(world: Any, shared: Path, keyring_dir: Path, suite: str) -> None:
    """Accepted, and the operator sees that nobody vouched for it."""
    row = crawl(world, shared, suite, keyring_dir)

    assert (row["state"], row["verified_by"]) == ("ok", "")
    assert "not verified" in row["message"]


@pytest.mark.parametrize("suite", ["unsigned", "wrong-key"])
def test_what_nobody_can_verify_is_refused_on_request(
    world: Any, shared: Path, keyring_dir: Path, suite: str
) -> None:
    """As apt does."""
    row = crawl(world, shared, suite, keyring_dir, require_signatures=True)

    assert (row["state"], row["generation"]) == ("untrusted", 0)
    assert "PATCHBAY_REQUIRE_SIGNATURES" in row["message"]


def test_a_detached_signature_is_verified(shared: Path, keyring_dir: Path) -> None:
    """Release with Release.gpg."""
    folder = shared / "oracle/repos/apt/debian/dists/bookworm"
    verifier = Verifier(str(keyring_dir), required=True, system_folders=[])

    outcome = verifier.check((folder / "Release").read_bytes(), (folder / "Release.gpg").read_bytes())

    assert outcome.fingerprint == "fe847fc358ea27c047aa91e50d5bea948c800d81"


def test_a_detached_signature_of_something_else_does_not_hold(shared: Path, keyring_dir: Path) -> None:
    """One byte more is enough."""
    folder = shared / "oracle/repos/apt/debian/dists/bookworm"
    verifier = Verifier(str(keyring_dir), required=False, system_folders=[])

    with pytest.raises(Untrusted, match="does not hold"):
        verifier.check((folder / "Release").read_bytes() + b"\n", (folder / "Release.gpg").read_bytes())


def test_only_the_signed_text_of_an_inrelease_is_used(shared: Path, keyring_dir: Path) -> None:
    """What stands outside of the signature was written by nobody in particular."""
    data = (broken(shared, "good") / "InRelease").read_bytes()
    verifier = Verifier(str(keyring_dir), required=True, system_folders=[])

    outcome = verifier.check(data + b"\nLabel: Mine\n", None, clear_signed=True)

    assert b"Mine" not in outcome.data
    assert b"PGP" not in outcome.data


def test_a_stripped_signature_is_untrusted(shared: Path, keyring_dir: Path) -> None:
    """A repository that was verified does not become an unsigned one."""
    verifier = Verifier(str(keyring_dir), required=False, system_folders=[])
    release = (broken(shared, "unsigned") / "Release").read_bytes()

    with pytest.raises(Untrusted, match="was signed by the known key"):
        verifier.check(release, None, verified_by="fe847fc358ea27c047aa91e50d5bea948c800d81")


def test_a_key_that_only_a_host_names_vouches_for_nobody(shared: Path) -> None:
    """Otherwise whoever owns one host could vouch for what every host is told."""
    key = (shared / "oracle/repos/keys/oracle-archive.asc").read_text()
    source = ReportRepository(id="x", type="deb", signed_by=key)
    data = (broken(shared, "good") / "InRelease").read_bytes()

    outcome = Verifier("", required=False, system_folders=[]).check(data, None, clear_signed=True, definition=source)

    assert outcome.fingerprint == ""
    assert "Only a host names the key" in outcome.note
    with pytest.raises(Untrusted, match="PATCHBAY_REQUIRE_SIGNATURES"):
        Verifier("", required=True, system_folders=[]).check(data, None, clear_signed=True, definition=source)


def test_a_key_that_only_a_host_names_still_shows_alterations(shared: Path) -> None:
    """The publisher's key is the publisher's key, whoever brings it."""
    key = (shared / "oracle/repos/keys/oracle-archive.asc").read_text()
    source = ReportRepository(id="x", type="deb", signed_by=key.replace("\n\n", "\n.\n", 1))
    data = (broken(shared, "tampered-release") / "InRelease").read_bytes()

    with pytest.raises(Untrusted, match="does not hold"):
        Verifier("", required=False, system_folders=[]).check(data, None, clear_signed=True, definition=source)


def test_the_operators_key_counts_whatever_a_host_names(shared: Path, keyring_dir: Path) -> None:
    """A host cannot take the verification away by naming another key."""
    source = ReportRepository(id="x", type="deb", signed_by=(shared / "oracle/repos/keys/unrelated.asc").read_text())
    data = (broken(shared, "good") / "InRelease").read_bytes()
    verifier = Verifier(str(keyring_dir), required=True, system_folders=[])

    assert verifier.check(data, None, clear_signed=True, definition=source).fingerprint != ""


def test_rubbish_is_no_signature(keyring_dir: Path) -> None:
    """A damaged Release.gpg is not the same as none."""
    verifier = Verifier(str(keyring_dir), required=False, system_folders=[])

    with pytest.raises(Untrusted, match="cannot be read"):
        verifier.check(b"Suite: x\n", b"this is no signature")


def test_an_unreadable_keyring_hides_no_other(keyring_dir: Path) -> None:
    """It is logged and left out."""
    (keyring_dir / "broken.gpg").write_bytes(b"no key")

    assert keyring_of([keyring_dir]).fingerprints == ["fe847fc358ea27c047aa91e50d5bea948c800d81"]


def test_a_signature_of_an_outdated_kind_vouches_for_nobody(world: Any, shared: Path) -> None:
    """openSUSE 11 signed with version 3 signatures, which no current library accepts."""
    world.configure(mirror_map=f"http://repos.test={shared}/oracle/repos")
    world.refer(ReportRepository(id="update", type="rpm-md", urls=["http://repos.test/rpm/suse-11.0-update"]))

    world.sync()

    assert world.repository()["state"] == "ok"
    assert "no longer accepted" in world.repository()["message"]
