"""What mirrors in the wild do that no specification asks for, and what hosts are configured with."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from patchbay_shared.report import ReportRepository

MAIN = ("main", "amd64")
TOOL = b"Package: tool\nVersion: 1.0\nArchitecture: amd64\n"


@pytest.fixture
def lab(shared: Path) -> dict[str, bytes]:
    """The files of a small recorded rpm-md repository, by their path below it."""
    root = shared / "oracle/repos/rpm/lab-extra"
    return {str(file.relative_to(root)): file.read_bytes() for file in sorted((root / "repodata").iterdir())}


def publish(world: Any, files: dict[str, bytes], below: str) -> ReportRepository:
    world.server.files |= {f"{below}/{path}": data for path, data in files.items()}
    return ReportRepository(id="wild", type="rpm-md", urls=[f"{world.server.url}/{below}"])


def test_an_object_store_answers_403_for_what_it_does_not_have(world: Any, lab: dict[str, bytes]) -> None:
    """Whoever may not list a bucket is not told what is missing: the signature is one that need not be there."""
    world.refer(publish(world, lab, "bucket"))
    world.server.status["bucket/repodata/repomd.xml.asc"] = 403

    world.sync()

    assert (world.repository()["state"], "not signed" in world.repository()["message"]) == ("ok", True)
    assert world.packages()


def test_apt_from_an_object_store_goes_from_inrelease_to_release_and_from_hashes_to_names(
    world: Any, apt_mirror: Any
) -> None:
    """As apt itself goes on after a 403."""
    apt_mirror.fields["Acquire-By-Hash"] = "yes"
    apt_mirror.publish()
    names = ("InRelease", "Release.gpg", "main/binary-amd64/by-hash/SHA256")
    served = world.server.answer

    def answer(request: Any) -> None:
        refused = any(f"/{name}" in request.path for name in names)
        world.server.status = {request.path.lstrip("/"): 403} if refused else {}
        served(request)

    world.server.answer = answer
    world.refer(apt_mirror.source(), MAIN)

    world.sync()

    assert (world.repository()["state"], len(world.packages())) == ("ok", 3)


def test_a_site_that_answers_everything_with_a_page_has_no_signature(world: Any, lab: dict[str, bytes]) -> None:
    """One that is no signature must not cost the repository; one that was signed before is another matter."""
    world.refer(publish(world, lab, "site"))
    world.server.files["site/repodata/repomd.xml.asc"] = b"<!DOCTYPE html><html>Not here</html>"

    world.sync()

    assert world.repository()["state"] == "ok"


@pytest.mark.parametrize("kind", ["rpm-md", "yast2"])
def test_metadata_below_suse_is_found(world: Any, lab: dict[str, bytes], kind: str) -> None:
    """openSUSE's older media; whatever zypper was told of the type."""
    source = publish(world, lab, "distribution/repo/oss/suse")
    url = source.urls[0].removesuffix("/suse")
    world.refer(ReportRepository(id="oss", type=kind, urls=[url]))

    world.sync()
    world.sync()

    assert (world.repository()["state"], world.repository()["generation"]) == ("ok", 1)
    assert world.packages()


def test_files_may_lie_on_another_base(world: Any, lab: dict[str, bytes]) -> None:
    """xml:base in repomd.xml, as librepo follows it; the address policy counts there too."""
    elsewhere = {path: data for path, data in lab.items() if not path.endswith("repomd.xml")}
    publish(world, elsewhere, "cdn")
    repomd = lab["repodata/repomd.xml"].replace(
        b'<location href="', b'<location xml:base="%s/cdn/" href="' % world.server.url.encode()
    )
    world.refer(publish(world, {"repodata/repomd.xml": repomd}, "entry"))

    world.sync()

    assert world.repository()["state"] == "ok", world.repository()["message"]
    assert world.packages()


def test_a_token_after_the_address_stays_behind_the_path(world: Any, lab: dict[str, bytes]) -> None:
    """SUSE's servers want it there; it is no part of what the repository is."""
    asked: list[str] = []
    served = world.server.answer

    def answer(request: Any) -> None:
        asked.append(request.path)
        served(request)

    world.server.answer = answer
    source = publish(world, lab, "product")
    number = world.refer(ReportRepository(id="sle", type="rpm-md", urls=[f"{source.urls[0]}/?s3cret"]))

    world.sync()

    assert world.repository()["state"] == "ok"
    assert asked[0] == "/product/repodata/repomd.xml?s3cret"
    assert world.repository()["url"] == source.urls[0]
    assert number == world.refer(ReportRepository(id="sle", type="rpm-md", urls=[f"{source.urls[0]}?0ther"]))


def test_a_document_that_was_packed_on_the_way_is_read(world: Any, lab: dict[str, bytes]) -> None:
    """Some servers compress although identity was asked for, and say so."""
    served = world.server.answer

    def answer(request: Any) -> None:
        if not request.path.endswith("repomd.xml"):
            served(request)
            return
        body = gzip.compress(lab["repodata/repomd.xml"])
        request.send_response(200)
        request.send_header("Content-Encoding", "gzip")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    world.server.answer = answer
    world.refer(publish(world, lab, "eager"))

    world.sync()

    assert (world.repository()["state"], bool(world.packages())) == ("ok", True)


def release(**checksums: str) -> bytes:
    return b"".join(f"{name}:\n {line} Packages\n".encode() for name, line in checksums.items())


def flat(world: Any, release_file: bytes | None, **fields: Any) -> None:
    world.server.files["flat/Packages"] = TOOL
    if release_file is not None:
        world.server.files["flat/Release"] = release_file
    world.refer(ReportRepository(id="f", type="deb", urls=[f"{world.server.url}/flat"], suite="./", **fields))
    world.sync()


@pytest.mark.parametrize(
    "release_file",
    [
        release(SHA512=f"{hashlib.sha512(TOOL).hexdigest()} {len(TOOL)}"),
        b"Origin: Acme\n"
        + release(MD5Sum=f"{'0' * 32} 1", SHA256=f"{hashlib.sha256(TOOL).hexdigest()} {len(TOOL)}")
        + b"\nThis is another paragraph, which apt does not read.\n",
        release(SHA256=f"{hashlib.sha256(TOOL).hexdigest().upper()} {len(TOOL)}").replace(b"\n", b"\r\n"),
        b"SHA256:\n  %s\t      %d   ./Packages\n" % (hashlib.sha256(TOOL).hexdigest().encode(), len(TOOL)),
    ],
    ids=["SHA512 only", "a second paragraph", "line ends of another system", "blanks as columns"],
)
def test_release_files_of_small_publishers_are_read(world: Any, release_file: bytes) -> None:
    """None of them names a date, an origin or a suite that could be relied on."""
    flat(world, release_file)

    assert (world.repository()["state"], world.packages()) == ("ok", ["tool 1.0 amd64"])


def test_a_flat_repository_without_a_release_file_is_read_where_hosts_trust_it(world: Any) -> None:
    """dpkg-scanpackages alone, with trusted=yes: stored, marked as not verified, and compared the next time."""
    flat(world, None, trusted=True)
    first = dict(world.repository())
    world.sync()
    unchanged = world.repository()["generation"]
    world.server.files["flat/Packages"] = TOOL.replace(b"1.0", b"1.1")
    world.sync()

    assert (first["state"], "not verified" in first["message"], unchanged) == ("ok", True, 1)
    assert world.packages() == ["tool 1.1 amd64"]


@pytest.mark.parametrize("policy", ["untrusting host", "operator"])
def test_without_a_release_file_nothing_is_read_where_somebody_wants_one(world: Any, policy: str) -> None:
    """As apt refuses it without trusted=yes; and the operator may refuse what hosts trust."""
    world.configure(refuse_unchecked_sources=policy == "operator")

    flat(world, None, trusted=policy == "operator" or None)

    assert (world.repository()["state"], world.packages()) == ("failing", [])


def test_a_release_file_that_vanished_is_not_done_without(world: Any) -> None:
    """It may have been taken away on the way, to put another Packages file there."""
    flat(world, release(SHA256=f"{hashlib.sha256(TOOL).hexdigest()} {len(TOOL)}"), trusted=True)
    del world.server.files["flat/Release"]
    world.server.files["flat/Packages"] = TOOL.replace(b"1.0", b"6.6")

    world.sync()

    assert (world.repository()["state"], world.packages()) == ("failing", ["tool 1.0 amd64"])


def test_an_index_packed_with_a_long_window_is_read(world: Any, apt_mirror: Any) -> None:
    """zstd --long=27 needs 128 MB to read, as much as its own tool allows unasked."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)

    def packed(plain: bytes) -> bytes:
        packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        return packer.compress(plain) + packer.flush()

    for path in [path for path in world.server.files if "Packages" in path]:
        del world.server.files[path]
    apt_mirror.compress = {".zst": packed}
    apt_mirror.publish()
    world.refer(apt_mirror.source(), MAIN)

    world.sync()

    assert len(world.packages()) == 3


def _tar(packed: Callable[[bytes], bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in ("./bash-5.2-1", "./zsh-5.9-1"):
            name, version = folder.removeprefix("./").split("-", 1)
            files = {"desc": f"%NAME%\n{name}\n\n%VERSION%\n{version}\n\n%ARCH%\nany\n\n", "files": "%FILES%\nbin/\n"}
            for file, text in files.items():
                entry = tarfile.TarInfo(f"{folder}/{file}")
                entry.size = len(text)
                entry.pax_headers = {"SCHILY.dev": "1"}
                archive.addfile(entry, io.BytesIO(text.encode()))
    return packed(buffer.getvalue())


@pytest.mark.parametrize(
    "packed", [gzip.compress, zstandard.ZstdCompressor().compress, bytes], ids=["gz", "zst", "plain"]
)
def test_a_pacman_database_is_read_however_it_is_packed(world: Any, packed: Callable[[bytes], bytes]) -> None:
    """Its name says nothing of it; one with lists of files has what the plain one has."""
    world.server.files["repo/lab.db"] = _tar(packed)
    world.refer(ReportRepository(id="lab", type="arch", urls=[f"{world.server.url}/repo"]))

    world.sync()

    assert world.packages() == ["bash 5.2-1 any", "zsh 5.9-1 any"]


def test_a_list_of_mirrors_in_a_file_of_the_host_is_read_through_the_map(
    world: Any, apt_mirror: Any, tmp_path: Path
) -> None:
    """Where an older agent names the file only: the operator says where it lies for the server."""
    (tmp_path / "debian.list").write_text(
        f"# ours\nhttp://dead.invalid/debian priority:2\n{apt_mirror.url} priority:1\n"
    )
    source = apt_mirror.source(urls=["mirror+file:/etc/apt/mirrors/debian.list"])
    world.configure(mirror_map=f"file:///etc/apt/mirrors={tmp_path}")
    world.refer(source, MAIN)

    world.sync()

    assert (world.repository()["state"], len(world.packages())) == ("ok", 3)


@pytest.mark.parametrize(
    "url", ["file:///srv/mirror", "cdrom:[Debian 12]/", "plugin:/susecloud?path=/repo", "mirror+file:/etc/apt/m.list"]
)
def test_what_only_the_host_can_read_is_failing_with_its_reason(world: Any, url: str) -> None:
    """A folder, a disc, a cloud's plugin."""
    world.refer(ReportRepository(id="local", type="deb", urls=[url], suite="stable"), MAIN)

    world.sync()

    assert world.repository()["state"] == "failing"
    assert "only http and https" in world.repository()["message"]


def test_trusting_follows_the_hosts(world: Any) -> None:
    """A flat repository without a Release file is read only while every host that uses it trusts it."""
    flat(world, None)
    [row] = world.rows("SELECT id FROM repository")
    trusting = {"repository_ids": [row["id"]], "unchecked_ids": [row["id"]]}
    states = []

    for hosts in ([trusting], [trusting, {"repository_ids": [row["id"]]}]):
        world.used(*hosts)
        world.server.files["flat/Packages"] = TOOL.replace(b"1.0", f"1.{len(states) + 1}".encode())
        world.sync()
        states.append((world.repository()["state"], world.packages()))

    assert states == [("ok", ["tool 1.1 amd64"]), ("failing", ["tool 1.1 amd64"])]
