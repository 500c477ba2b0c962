"""The bytes of a request, bounded: as sent, and once decompressed."""

import zlib
from typing import IO

import zstandard
from patchbay_shared.errors import InvalidInput

_CHUNK = 1 << 16


class TooLarge(InvalidInput):
    """A body over one of the limits (413)."""


class UnsupportedEncoding(InvalidInput):
    """A Content-Encoding that ingest does not read (415)."""


def read_bounded(stream: IO[bytes], *, declared: int | None, limit: int) -> bytes:
    """The body as sent. Raises TooLarge as soon as more than `limit` bytes are announced or arrive."""
    if declared is not None and declared > limit:
        raise TooLarge(f"The request is {declared:,} bytes long; at most {limit:,} are accepted.")
    data = stream.read(limit + 1)
    if len(data) > limit:
        raise TooLarge(f"The request is longer than the {limit:,} bytes that are accepted.")
    return data


def decompress(data: bytes, encoding: str, *, limit: int) -> bytes:
    """The body without its Content-Encoding ("" or identity, gzip, zstd).

    Raises TooLarge over `limit` bytes of output, InvalidInput for damaged data, UnsupportedEncoding.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return data
        case "gzip" | "x-gzip":
            return _gunzip(data, limit)
        case "zstd":
            return _unzstd(data, limit)
        case other:
            raise UnsupportedEncoding(f"Content-Encoding {other!r} is not supported; send identity, gzip or zstd.")


def _gunzip(data: bytes, limit: int) -> bytes:
    decoder = zlib.decompressobj(wbits=31)
    try:
        out = decoder.decompress(data, limit + 1)
    except zlib.error as exc:
        raise InvalidInput(f"The gzip body is damaged: {exc}.") from exc
    if len(out) > limit:
        raise _bomb(limit)
    if not decoder.eof:
        raise InvalidInput("The gzip body is cut short.")
    if decoder.unused_data:
        raise InvalidInput("There are bytes after the end of the gzip body.")
    return out


def _unzstd(data: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data) as reader:
            while chunk := reader.read(_CHUNK):
                size += len(chunk)
                if size > limit:
                    raise _bomb(limit)
                parts.append(chunk)
    except zstandard.ZstdError as exc:
        raise InvalidInput(f"The zstd body is damaged: {exc}.") from exc
    return b"".join(parts)


def _bomb(limit: int) -> TooLarge:
    return TooLarge(f"The request expands to more than the {limit:,} bytes that are accepted.")
