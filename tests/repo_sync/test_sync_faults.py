"""Bad input of every kind: the stored generation stays, the state and its sentence say why."""

import gzip
import hashlib
import lzma
from typing import Any
from uuid import uuid4

import pytest
from patchbay_repo_sync import swap as swapping
from patchbay_shared.report import ReportRepository

MAIN = ("main", "amd64")
OLD = ["bash 5.2-1 amd64", "curl 8.1-1 amd64", "zlib 1.3-1 amd64"]


@pytest.fixture
def stored(world: Any, apt_mirror: Any) -> Any:
    """A synced repository whose mirror is about to publish something newer."""
    world.refer(apt_mirror.source(), MAIN)
    world.sync()
    apt_mirror.indexes[MAIN] = [apt_mirror.stanza("bash", "5.3-1"), apt_mirror.stanza("curl", "8.1-1")]
    apt_mirror.fields["Date"] = "Fri, 20 Nov 2026 10:00:00 UTC"
    apt_mirror.publish()
    return apt_mirror


def index(mirror: Any) -> str:
    return f"{mirror.folder}/main/binary-amd64/Packages.gz"


def assert_old_generation(world: Any, state: str, *words: str) -> None:
    row = world.repository()
    assert world.packages() == OLD
    assert (row["generation"], row["state"]) == (1, state)
    assert len(world.bus.changes) == 1
    for word in words:
        assert word in row["message"]


def test_an_altered_index_is_untrusted(world: Any, stored: Any) -> None:
    """Same length, other bytes: the checksum of the Release file catches it."""
    data = bytearray(world.server.files[index(stored)])
    data[-1] ^= 1
    world.server.files[index(stored)] = bytes(data)

    world.sync()

    assert_old_generation(world, "untrusted", "Packages.gz", "SHA256 checksum")


def test_a_truncated_index_is_untrusted(world: Any, stored: Any) -> None:
    """Fewer bytes than listed."""
    world.server.files[index(stored)] = world.server.files[index(stored)][:-5]

    world.sync()

    assert_old_generation(world, "untrusted", "bytes where", "truncated")


def test_a_dropped_connection_is_failing(world: Any, stored: Any) -> None:
    """The mirror promised more bytes than it sent."""
    world.server.cut[index(stored)] = 10

    world.sync()

    assert_old_generation(world, "failing", "could not be read")


def test_an_index_longer_than_listed_is_untrusted(world: Any, stored: Any) -> None:
    """Reading stops there, however long it would go on."""
    world.server.files[index(stored)] += b"\0" * 100_000

    world.sync()

    assert_old_generation(world, "untrusted", "more than the")


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>Sign in</html>", b"\n<html><body>welcome</body></html>"])
def test_a_web_page_instead_of_metadata_is_named_so(world: Any, stored: Any, page: bytes) -> None:
    """Captive portals answer 200 to everything."""
    world.server.files[f"{stored.folder}/Release"] = page

    world.sync()

    assert_old_generation(world, "failing", "web page instead")


def test_a_bomb_is_cut_off(world: Any, stored: Any) -> None:
    """A small file that grows without end, correctly listed by its publisher."""
    stored.indexes[MAIN] = [b"Package: x\n" + b" " * 50_000_000]
    stored.compress = {".xz": lzma.compress}
    stored.publish()
    world.configure(fetch_max_expanded_bytes=1_000_000)

    world.sync()

    assert_old_generation(world, "failing", "more than 1000000 bytes when decompressed")


def test_a_file_larger_than_allowed_is_not_fetched(world: Any, stored: Any) -> None:
    """Its listed size is enough to know."""
    stored.indexes[MAIN] = [stored.stanza(f"package-{n}", hashlib.sha256(b"%d" % n).hexdigest()) for n in range(100)]
    stored.publish()
    world.configure(fetch_max_bytes=2_000)

    world.sync()

    assert_old_generation(world, "failing", "PATCHBAY_FETCH_MAX_BYTES allows 2000")


def test_an_unreadable_index_is_failing(world: Any, stored: Any) -> None:
    """Its checksum holds, but it is no Packages file."""
    stored.indexes[MAIN] = [b"this is no index\n\n"]
    stored.publish()

    world.sync()

    assert_old_generation(world, "failing", "without package, version or architecture")


def test_a_broken_compression_is_failing(world: Any, stored: Any) -> None:
    """The publisher's own file ends early, its checksum included."""
    stored.compress = {".gz": lambda data: gzip.compress(data)[:-12]}
    stored.publish()

    world.sync()

    assert_old_generation(world, "failing", "truncated")


def test_a_listed_index_that_is_missing_is_failing(world: Any, stored: Any) -> None:
    """A mirror in the middle of its update."""
    del world.server.files[index(stored)]

    world.sync()

    assert_old_generation(world, "failing", "listed in the Release file")


@pytest.mark.parametrize("status", [403, 500, 503])
def test_an_error_of_the_server_is_failing(world: Any, stored: Any, status: int) -> None:
    """And its number is in the sentence."""
    world.server.status |= {f"{stored.folder}/{name}": status for name in ("InRelease", "Release")}

    world.sync()

    assert_old_generation(world, "failing", str(status))


def test_a_vanished_repository_is_failing(world: Any, stored: Any) -> None:
    """Neither InRelease nor Release."""
    del world.server.files[f"{stored.folder}/Release"]

    world.sync()

    assert_old_generation(world, "failing", "neither an InRelease nor a Release")


def test_an_expired_release_is_untrusted(world: Any, stored: Any) -> None:
    """apt refuses it, so hosts cannot install from it either; somebody may be holding updates back."""
    stored.fields["Valid-Until"] = "Fri, 20 Nov 2026 11:00:00 UTC"
    stored.publish()

    world.sync()

    assert_old_generation(world, "untrusted", "expired on 2026-11-20 11:00")


@pytest.mark.parametrize(("refused", "state"), [(False, "ok"), (True, "untrusted")])
def test_hosts_may_read_what_expired_and_the_operator_may_refuse_it(
    world: Any, apt_mirror: Any, refused: bool, state: str
) -> None:
    """check-valid-until=no, as snapshots of old archives need it."""
    world.configure(refuse_unchecked_sources=refused)
    apt_mirror.fields["Valid-Until"] = "Fri, 20 Nov 2026 11:00:00 UTC"
    apt_mirror.publish()
    world.refer(apt_mirror.source(check_valid_until=False), MAIN)

    world.sync()
    world.sync()

    row = world.repository()
    assert (row["state"], bool(world.packages())) == (state, not refused)
    assert "expired on 2026-11-20 11:00" in row["message"]


def test_one_host_alone_does_not_end_the_expiry(world: Any, apt_mirror: Any) -> None:
    """Whoever owns it could hold updates back from all others."""
    apt_mirror.fields["Valid-Until"] = "Fri, 20 Nov 2026 11:00:00 UTC"
    apt_mirror.publish()
    world.refer(apt_mirror.source(check_valid_until=False), MAIN)
    world.refer(apt_mirror.source(), ("main", "i386"))

    world.sync()

    assert (world.repository()["state"], world.packages()) == ("untrusted", [])


def test_a_release_that_expires_while_unchanged_is_untrusted(world: Any, stored: Any) -> None:
    """A mirror that nobody updates any more answers "not modified" for ever."""
    stored.fields["Valid-Until"] = "Fri, 27 Nov 2026 11:00:00 UTC"
    stored.publish()
    world.sync()
    world.now = world.now.replace(month=12)

    world.sync()

    assert (world.repository()["state"], world.repository()["generation"]) == ("untrusted", 2)


def test_a_mirror_that_is_behind_does_not_take_updates_away(world: Any, stored: Any) -> None:
    """An older Release than the stored one is a stale mirror, or a replay."""
    stored.fields["Date"] = "Wed, 18 Nov 2026 10:00:00 UTC"
    stored.publish()

    world.sync()

    assert_old_generation(world, "failing", "older than the stored", "behind")


def test_a_forced_sync_takes_an_older_release(world: Any, stored: Any) -> None:
    """The operator knows that the archive was rolled back."""
    stored.fields["Date"] = "Wed, 18 Nov 2026 10:00:00 UTC"
    stored.publish()

    world.sync(force=True)

    assert world.packages() == ["bash 5.3-1 amd64", "curl 8.1-1 amd64"]


def test_a_list_of_forgeable_checksums_is_untrusted(world: Any, stored: Any) -> None:
    """MD5 and SHA-1 can be made to match."""
    data = world.server.files[f"{stored.folder}/Release"].decode()
    head = data.partition("SHA256:")[0]
    md5 = hashlib.md5(world.server.files[index(stored)], usedforsecurity=False).hexdigest()
    world.server.files[f"{stored.folder}/Release"] = (
        f"{head}MD5Sum:\n {md5} 10 main/binary-amd64/Packages.gz\n".encode()
    )

    world.sync()

    assert_old_generation(world, "untrusted", "can be forged")


def test_a_path_that_leaves_the_repository_is_refused(world: Any, stored: Any) -> None:
    """Paths come from a stranger; with a mapped folder they would reach any file."""
    world.server.files[f"{stored.folder}/Release"] += f" {'0' * 64} 10 ../../../etc/passwd\n".encode()

    world.sync()

    assert_old_generation(world, "failing", "outside the repository")


def test_an_impossibly_long_name_is_refused(world: Any, stored: Any) -> None:
    """PostgreSQL's index could not hold it."""
    stored.indexes[MAIN] = [stored.stanza("x" * 5_000, "1")]
    stored.publish()

    world.sync()

    assert_old_generation(world, "failing", "impossibly long")


def test_an_index_of_endless_packages_is_refused(world: Any, stored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger's repository must not fill the database."""
    monkeypatch.setattr(swapping, "MAX_PACKAGES", 2)
    stored.indexes[MAIN] = [stored.stanza(f"package-{n}", "1") for n in range(3)]
    stored.publish()

    world.sync()

    assert_old_generation(world, "failing", "more than 2 packages")


def test_a_text_that_postgresql_refuses_is_failing(world: Any, stored: Any) -> None:
    """A NUL character in a field of the Release file."""
    stored.fields["Origin"] = "Te\0st"
    stored.publish()

    world.sync()

    assert_old_generation(world, "failing", "cannot be stored")


def test_the_next_mirror_serves_when_one_fails(world: Any, apt_mirror: Any) -> None:
    """The failing one says so, the repository is fine."""
    world.refer(apt_mirror.source(urls=[f"{world.server.url}/gone", apt_mirror.url]), MAIN)

    world.sync()

    assert world.packages() == OLD
    assert world.repository()["state"] == "ok"
    assert world.rows("SELECT state FROM mirror ORDER BY rank") == [{"state": "failing"}, {"state": "ok"}]


def test_a_failed_mirror_is_tried_last_for_a_while(world: Any, apt_mirror: Any) -> None:
    """A dead mirror costs its timeout once, not with every sync."""
    world.refer(apt_mirror.source(urls=[f"{world.server.url}/gone", apt_mirror.url]), MAIN)
    world.sync()
    world.server.requests.clear()

    world.sync()

    assert [path for path in world.server.requests if path.startswith("gone")] == []


def test_failures_back_off_and_success_forgives(world: Any, stored: Any) -> None:
    """The pause doubles from one minute up to the interval."""
    world.server.status[f"{stored.folder}/InRelease"] = 500
    pauses = []
    for _ in range(8):
        world.sync()
        [row] = world.rows("SELECT extract(epoch FROM next_sync_at - now())::float AS pause FROM repository")
        pauses.append(row["pause"])
    world.server.status.clear()
    world.sync()

    assert 50 < pauses[0] < 70
    assert 100 < pauses[1] < 140
    assert 3_000 < pauses[7] < 4_200
    assert world.repository()["failure_count"] == 0


def test_a_crash_in_the_middle_of_the_swap_keeps_the_old_generation(
    world: Any, stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages are written, then the process dies before the repository's row is."""

    def die(*_args: Any, **_named: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(swapping, "_update_repository", die)
        with pytest.raises(KeyboardInterrupt):
            world.sync()
    assert world.packages() == OLD
    [row] = world.rows("SELECT generation, lease_owner IS NOT NULL AS held FROM repository")
    assert row == {"generation": 1, "held": True}

    with world.owner.transaction() as connection:
        connection.exec_driver_sql("UPDATE repository SET leased_until = now() - interval '1 second'")
    world.sync()

    assert world.packages() == ["bash 5.3-1 amd64", "curl 8.1-1 amd64"]
    history = world.rows("SELECT result, message FROM repository_sync ORDER BY id")
    assert [row["result"] for row in history] == ["changed", "failed", "changed"]


def test_a_mistake_of_ours_is_a_failing_repository_not_a_loop(
    world: Any, stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody thought of is backed off like any other."""
    monkeypatch.setattr(swapping, "_replace_packages", lambda *_: 1 / 0)

    world.sync()

    assert_old_generation(world, "failing", "ZeroDivisionError")


@pytest.mark.parametrize("url", ["ftp://mirror.test/debian", "file:///etc", "cdrom://disc", "rsync://mirror.test/x"])
def test_only_http_is_fetched(world: Any, apt_mirror: Any, url: str) -> None:
    """Other schemes are a local matter of the host, or a way into the server."""
    world.refer(apt_mirror.source(urls=[url]), MAIN)

    world.sync()

    assert world.repository()["state"] == "failing"
    assert "only http and https" in world.repository()["message"]


def test_a_repository_without_an_address_says_so(world: Any) -> None:
    """Older clients report sources that name no URL."""
    world.refer(ReportRepository(id="x", type="rpm", name="x"))

    world.sync()

    assert "No host named an address" in world.repository()["message"]


def test_what_expired_is_taken_as_long_as_every_host_takes_it(world: Any, apt_mirror: Any) -> None:
    """What hosts report now counts, not what the first one said: one that checks again is enough to refuse it."""
    apt_mirror.fields["Valid-Until"] = "Fri, 20 Nov 2026 11:00:00 UTC"
    apt_mirror.publish()
    number = world.refer(apt_mirror.source(), MAIN)
    takes = {"repository_ids": [number], "unexpiring_ids": [number]}
    checks = {"repository_ids": [number]}
    elsewhere = {"repository_ids": [uuid4()]}
    states = []

    for hosts in ([checks], [takes], [takes, elsewhere], [takes, checks], [takes, takes], []):
        world.used(*hosts)
        world.sync()
        states.append(world.repository()["state"])

    assert states == ["untrusted", "ok", "ok", "untrusted", "ok", "untrusted"]


def test_a_set_that_was_not_looked_at_yet_leaves_it_to_what_is_known(world: Any, apt_mirror: Any) -> None:
    """After an upgrade, until the sweep has noted what hosts read unchecked."""
    apt_mirror.fields["Valid-Until"] = "Fri, 20 Nov 2026 11:00:00 UTC"
    apt_mirror.publish()
    number = world.refer(apt_mirror.source(check_valid_until=False), MAIN)
    world.used({"repository_ids": [number], "unexpiring_ids": None})

    world.sync()

    assert world.repository()["state"] == "ok"
