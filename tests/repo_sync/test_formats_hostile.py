"""Whatever bytes a mirror sends, a parser answers with packages or with InvalidInput, never with another error."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patchbay_repo_sync.formats import apt, pacman, rpmmd, susetags
from patchbay_shared.errors import InvalidInput
from patchbay_shared.fetching.compression import open_decompressed

_REPOS = Path(__file__).parent.parent / "data" / "oracle" / "repos"
_LIMIT_BYTES = 50_000_000


def _one(pattern: str) -> bytes:
    path = next(iter(sorted(_REPOS.glob(pattern))))
    with open_decompressed(path, name=path.name, limit_bytes=_LIMIT_BYTES) as stream:
        return stream.read(40_000)


MODULES = (
    b"---\ndocument: modulemd\nversion: 2\ndata:\n  name: a\n  stream: 1.10\n  version: 1\n  artifacts: {rpms: [a]}\n"
)
SUSETAGS = b"=Ver: 2.0\n=Pkg: a 1 1 noarch\n+Prv:\nb = 1\n-Prv:\n=Src: a 1 1 src\n"
CONTENT = b"DESCRDIR suse\nVENDOR SUSE\nMETA SHA1 " + b"ab" * 20 + b"  packages.gz\n"

READERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "Release": (apt.parse_release, _one("apt/vendor/dists/bookworm/InRelease")),
    "Packages": (lambda data: list(apt.packages(io.BytesIO(data))), _one("apt/flat/Packages.xz")),
    "repomd": (rpmmd.parse_repomd, _one("rpm/lab-base/repodata/repomd.xml")),
    "primary": (lambda data: list(rpmmd.packages(io.BytesIO(data))), _one("rpm/lab-extra/repodata/*primary*")),
    "updateinfo": (
        lambda data: list(rpmmd.advisories(io.BytesIO(data))),
        _one("rpm/lab-extra/repodata/*updateinfo*"),
    ),
    "modules": (lambda data: rpmmd.module_metadata(io.BytesIO(data)), MODULES),
    "pacman": (lambda data: list(pacman.packages(io.BytesIO(data))), _one("pacman/lab/lab-extra/os/*/*.db")),
    "susetags": (lambda data: list(susetags.packages(io.BytesIO(data))), SUSETAGS),
    "content": (susetags.parse_content, CONTENT),
    "gzip": (
        lambda data: open_decompressed(io.BytesIO(data), name="x", limit_bytes=_LIMIT_BYTES).read(),
        gzip.compress(SUSETAGS),
    ),
}


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_document_is_read_or_refused(name: str, data: st.DataObject) -> None:
    """Bytes are replaced, inserted and cut out of a good document at any place."""
    read, good = READERS[name]
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(damaged)))
        stop = min(len(damaged), start + data.draw(st.integers(0, 40)))
        damaged[start:stop] = data.draw(st.binary(max_size=12))

    try:
        outcome = read(bytes(damaged))
    except InvalidInput as exc:
        assert str(exc)
    else:
        assert outcome is not None


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=30, deadline=None)
@given(noise=st.binary(max_size=300))
def test_noise_is_read_or_refused(name: str, noise: bytes) -> None:
    """Bytes that were never a document."""
    read, _ = READERS[name]

    try:
        outcome = read(noise)
    except InvalidInput as exc:
        assert str(exc)
    else:
        assert outcome is not None
