"""Decompression by first bytes, bounded in output, strict about the end."""

import bz2
import gzip
import io
import lzma
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from patchbay_shared.errors import InvalidInput
from patchbay_shared.fetching.compression import open_decompressed

TEXT = b"".join(b"Package: number %d\n" % number for number in range(60_000))
Pack = Callable[[bytes], bytes]
PACKERS: dict[str, Pack] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "zstd": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
}
every_packer = pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)


def _read(data: bytes, limit: int = 1 << 24) -> bytes:
    with open_decompressed(io.BytesIO(data), name="the index", limit_bytes=limit) as stream:
        return stream.read()


@every_packer
def test_what_was_packed_comes_back(pack: Pack) -> None:
    """The first bytes tell the format, whatever the file is called."""
    assert _read(pack(TEXT)) == TEXT


@pytest.mark.parametrize("data", [b"", b"x", b"plain text", TEXT])
def test_other_bytes_pass_through(data: bytes) -> None:
    """Also files shorter than any magic number."""
    assert _read(data) == data


@pytest.mark.parametrize("format_name", sorted(PACKERS.keys() - {"lzma"}))
def test_members_in_a_row_are_one_file(format_name: str) -> None:
    """Parallel compressors write many, and some writers pad the end with zeros; only lzma has no members."""
    pack = PACKERS[format_name]

    assert _read(pack(TEXT) + pack(b"more") + b"\0" * 512) == TEXT + b"more"


@every_packer
def test_a_bomb_stops_at_the_limit(pack: Pack) -> None:
    """A gigabyte of zeros is refused after the limit, quickly, naming file and limit."""
    bomb = pack(b"\0" * 50_000_000)
    started = time.process_time()

    with pytest.raises(InvalidInput, match="the index has more than 1000000 bytes"):
        _read(bomb, limit=1_000_000)

    assert time.process_time() - started < 2


def test_the_limit_holds_for_plain_files_too() -> None:
    """A mirror can send any number of bytes without compressing them."""
    with pytest.raises(InvalidInput, match="more than 100 bytes"):
        _read(TEXT, limit=100)


@every_packer
@pytest.mark.parametrize("keep", [7, 0.5, -1])
def test_truncated_input_is_refused(pack: Pack, keep: float) -> None:
    """A connection that broke must not look like a shorter index, wherever it broke."""
    packed = pack(TEXT)
    cut = packed[: int(len(packed) * keep)] if isinstance(keep, float) else packed[:keep]

    with pytest.raises(InvalidInput, match=r"the index is (truncated|damaged)"):
        _read(cut)


@every_packer
def test_damaged_input_is_refused(pack: Pack) -> None:
    """Checksums inside the formats are verified."""
    packed = bytearray(pack(TEXT))
    for at in range(len(packed) // 2, len(packed) // 2 + 20):
        packed[at] ^= 0xFF

    with pytest.raises(InvalidInput, match=r"the index is (truncated|damaged)"):
        _read(bytes(packed))


@every_packer
def test_other_data_after_the_end_is_refused(pack: Pack) -> None:
    """It is not what the publisher compressed."""
    with pytest.raises(InvalidInput, match="the index is damaged"):
        _read(pack(TEXT) + b"trailing")


def test_an_xz_file_that_asks_for_too_much_memory_is_refused() -> None:
    """A dictionary can be declared up to 4 GiB, allocated before the first byte comes out."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    packed = bytearray(lzma.compress(b"x" * 100, format=lzma.FORMAT_XZ, filters=filters))
    plain = lzma.compress(b"x" * 100, format=lzma.FORMAT_ALONE)
    huge = plain[:1] + (1 << 31).to_bytes(4, "little") + plain[5:]

    assert _read(bytes(packed)) == b"x" * 100
    with pytest.raises(InvalidInput):
        _read(huge)


def test_zchunk_is_named_as_what_it_is() -> None:
    """It would otherwise fail as broken XML."""
    with pytest.raises(InvalidInput, match="zchunk"):
        _read(b"\0ZCK1" + b"x" * 100)


def test_a_path_is_opened_and_closed(tmp_path: Path) -> None:
    """The caller has one thing to close; a stream that it passed in stays its own."""
    path = tmp_path / "index"
    path.write_bytes(gzip.compress(TEXT))
    own = io.BytesIO(TEXT)

    with open_decompressed(path, name="index", limit_bytes=1 << 24) as stream:
        assert stream.readline() == b"Package: number 0\n"
    with open_decompressed(own, name="index", limit_bytes=1 << 24) as stream:
        stream.read(1)

    assert not own.closed
