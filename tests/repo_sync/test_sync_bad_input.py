"""The list of bad input, each through a whole sync: the old generation stands, a sentence says what happened, and the
next repository is served.
"""

import gzip
import hashlib
import http.server
import lzma
import threading
from collections.abc import Callable
from typing import Any

import pytest
import zstandard
from patchbay_shared.report import ReportRepository

MAIN = ("main", "amd64")
OLD = ["bash 5.2-1 amd64", "curl 8.1-1 amd64", "zlib 1.3-1 amd64"]
ENTITIES = """<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>"""


@pytest.fixture
def apt(world: Any, apt_mirror: Any) -> Any:
    """A synced apt repository that is about to publish something newer."""
    world.refer(apt_mirror.source(), MAIN)
    world.sync()
    apt_mirror.indexes[MAIN] = [apt_mirror.stanza("bash", "5.3-1")]
    apt_mirror.fields["Date"] = "Fri, 20 Nov 2026 10:00:00 UTC"
    apt_mirror.publish()
    return apt_mirror


def differing(world: Any, state: str, *words: str, old: list[str] = OLD) -> dict[str, Any]:
    """What is not as it should be, by name: the old generation, the state, the sentence with all `words`, the mirror
    with the same, and a second repository that was due with it and is stored.
    """
    [row] = world.rows("SELECT * FROM repository WHERE name <> 'beside'")
    kept = world.rows("""
        SELECT p.name, p.evr, p.arch FROM available_package p JOIN repository_index i ON i.id = p.index_id
        JOIN repository r ON r.id = i.repository_id WHERE r.name <> 'beside' ORDER BY 1
    """)
    [mirror] = world.rows("SELECT state, message FROM mirror WHERE repository_id = :id", id=row["id"])
    [beside] = world.rows("SELECT state, generation FROM repository WHERE name = 'beside'")
    seen = {
        "packages": ([" ".join(each.values()) for each in kept], old),
        "generation": (row["generation"], 1),
        "state": (row["state"], state),
        "message": (row["message"] if not all(word in row["message"] for word in words) else words, words),
        "mirror": ((mirror["state"], mirror["message"]), (state, row["message"])),
        "beside": ((beside["state"], beside["generation"]), ("ok", 1)),
    }
    return {name: each for name, (each, wanted) in seen.items() if each != wanted}


@pytest.fixture
def beside(world: Any) -> Callable[[], None]:
    """Sync, with another repository due after the bad one."""

    def sync() -> None:
        packages = b"Package: tool\nVersion: 1.0\nArchitecture: amd64\n"
        world.server.files["beside/Packages"] = packages
        line = f"{hashlib.sha256(packages).hexdigest()} {len(packages)} Packages"
        world.server.files["beside/Release"] = f"Origin: Acme\nSHA256:\n {line}\n".encode()
        world.refer(
            ReportRepository(id="x", name="beside", type="deb", urls=[f"{world.server.url}/beside"], suite="./")
        )
        world.sync()

    return sync


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_an_index_that_ends_early_with_its_checksum_is_refused(
    world: Any, apt: Any, beside: Callable[[], None], suffix: str
) -> None:
    """The publisher's own file is cut: only decompression shows it."""
    packages = [apt.stanza(f"p{n}", hashlib.sha256(b"%d" % n).hexdigest()) for n in range(3_000)]
    apt.indexes[MAIN] = packages
    apt.compress = {suffix: lambda data: PACKERS[suffix](data)[:-20_000]}
    apt.publish()

    beside()

    assert differing(world, "failing", f"Packages{suffix}", "truncated") == {}


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_gigabyte_from_a_megabyte_is_cut_off(world: Any, apt: Any, beside: Callable[[], None], suffix: str) -> None:
    """Long before it is expanded: 64 members of 16 MB each."""
    part = PACKERS[suffix](apt.stanza("p", "1", Description="x" * 1_000_000) * 16)
    apt.compress = {suffix: lambda _: part * 64}
    apt.publish()
    world.configure(fetch_max_expanded_bytes=20_000_000)

    beside()

    assert differing(world, "failing", "more than 20000000 bytes when decompressed") == {}


@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/meta-data", "file:///etc/passwd"])
def test_a_redirect_to_where_nobody_may_look_is_refused(
    world: Any, apt: Any, beside: Callable[[], None], target: str
) -> None:
    """The cloud's credentials, and the server's own files."""
    for name in ("InRelease", "Release"):
        world.server.redirects[f"{apt.folder}/{name}"] = target

    beside()

    assert differing(world, "failing", "169.254.169.254" if "169" in target else "only http and https") == {}


def test_a_server_that_sends_a_byte_at_a_time_is_left(world: Any, apt: Any, beside: Callable[[], None]) -> None:
    """Each byte comes within the pause that is allowed, the whole never does."""
    done = threading.Event()
    answer = world.server.answer

    def drip(request: http.server.BaseHTTPRequestHandler) -> None:
        if not request.path.endswith("InRelease") or apt.root not in request.path:
            answer(request)
            return
        request.send_response(200)
        request.send_header("Content-Length", "100000")
        request.end_headers()
        while not done.wait(0.05):
            request.wfile.write(b"a")
            request.wfile.flush()

    world.server.answer = drip
    world.configure(fetch_total_seconds=0.5)
    try:
        beside()
    finally:
        done.set()

    assert differing(world, "failing", "longer than 0.5 seconds") == {}


def test_a_field_of_ten_megabytes_is_refused(world: Any, apt: Any, beside: Callable[[], None]) -> None:
    """No publisher's description is of that size."""
    apt.indexes[MAIN] = [apt.stanza("bash", "5.3-1", Description="x" * 10_000_000)]
    apt.publish()

    beside()

    assert differing(world, "failing", "stanza of more than") == {}


def test_stanzas_that_stand_twice_are_one_package(world: Any, apt: Any) -> None:
    """Equal ones are stored once; two of one version that differ are two builds, as apt sees them."""
    twice = apt.stanza("bash", "5.3-1")
    apt.indexes[MAIN] = [twice, apt.stanza("bash", "5.3-1", Depends="libc6"), twice]
    apt.publish()

    world.sync()

    assert world.repository()["state"] == "ok"
    assert world.packages() == ["bash 5.3-1 amd64", "bash 5.3-1 amd64"]


def test_text_that_is_not_utf8_is_stored_with_a_mark(world: Any, apt: Any) -> None:
    """An old maintainer's name must not cost the archive; in a version it cannot be ordered and is left out."""
    apt.indexes[MAIN] = [
        b"Package: bash\nVersion: 5.3-1\nArchitecture: amd64\nDescription: Andr\xe9\nProvides: sh\xe9ll\n\n",
        b"Package: b\xe9sh\nVersion: 1-1\nArchitecture: amd64\n\n",
        b"Package: zsh\nVersion: 5\xe9-1\nArchitecture: amd64\n\n",
    ]
    apt.publish()

    world.sync()

    assert world.packages() == ["bash 5.3-1 amd64", "b\ufffdsh 1-1 amd64"]


class Rpm:
    """An rpm-md repository whose documents are given as they are."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.documents = {"primary": primary("bash"), "updateinfo": "<updates/>"}
        self.location = "repodata/{}.xml.gz"
        self.head = ""

    def publish(self) -> None:
        entries = ""
        for kind, document in self.documents.items():
            data = gzip.compress(document.encode("utf-8", "surrogateescape"), mtime=0)
            self.world.server.files[f"el9/repodata/{kind}.xml.gz"] = data
            entries += (
                f'<data type="{kind}"><checksum type="sha256">{hashlib.sha256(data).hexdigest()}</checksum>'
                f'<location href="{self.location.format(kind)}"/></data>'
            )
        repomd = f'{self.head}<repomd xmlns="http://linux.duke.edu/metadata/repo">{entries}</repomd>'
        self.world.server.files["el9/repodata/repomd.xml"] = repomd.encode()


def primary(name: str) -> str:
    return (
        '<?xml version="1.0"?><metadata xmlns="http://linux.duke.edu/metadata/common"'
        ' xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="1">'
        f'<package type="rpm"><name>{name}</name><arch>x86_64</arch><version epoch="0" ver="1" rel="1"/>'
        f'<checksum type="sha256" pkgid="YES">{"0" * 64}</checksum><location href="a.rpm"/><format/></package>'
        "</metadata>"
    )


@pytest.fixture
def rpm(world: Any) -> Rpm:
    """A synced rpm-md repository."""
    made = Rpm(world)
    made.publish()
    world.refer(ReportRepository(id="el9", type="rpm-md", urls=[f"{world.server.url}/el9"]))
    world.sync()
    return made


def _with(kind: str, document: str) -> Callable[[Rpm], None]:
    return lambda mirror: mirror.documents.update({kind: document})


BAD_RPM: dict[str, tuple[Callable[[Rpm], None], str]] = {
    "entity bomb in repomd.xml": (lambda mirror: setattr(mirror, "head", ENTITIES), "repomd.xml cannot be read"),
    "entity bomb in updateinfo": (_with("updateinfo", f"{ENTITIES}<updates>&c;</updates>"), "updateinfo.xml cannot"),
    "entity bomb in primary": (
        _with("primary", primary("zsh").replace("?>", f"?>{ENTITIES.partition('?>')[2]}").replace("zsh", "&c;")),
        "primary.xml",
    ),
    "a path that leaves": (
        lambda mirror: setattr(mirror, "location", "../../../etc/{}.xml.gz"), "outside the repository"
    ),
    "an encoded path that leaves": (
        lambda mirror: setattr(mirror, "location", "repodata/%2e%2e/%2e%2e/{}.xml.gz"), "outside the repository"
    ),
    "a name of ten megabytes": (_with("primary", primary("x" * 10_000_000)), "impossibly long"),
    "a missing file": (lambda mirror: setattr(mirror, "location", "repodata/no-{}.xml.gz"), "no-primary.xml.gz"),
    "bytes that are no UTF-8": (_with("primary", primary("zsh").replace("zsh", "\udce9")), "cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_RPM)
def test_bad_rpm_metadata_is_refused_with_its_reason(
    world: Any, rpm: Rpm, beside: Callable[[], None], case: str
) -> None:
    """Whatever is wrong, and in whichever document."""
    change, words = BAD_RPM[case]
    rpm.documents["primary"] = primary("zsh")
    change(rpm)
    rpm.publish()

    beside()

    assert differing(world, "failing", words, old=["bash 1-1 x86_64"]) == {}
