"""A report as it travels and is kept: what a host sent, or what ingest made of another wire form; compressed.

Ingest does not encode and compress again what is good as it came: its own wire form travels as the client
compressed it. So a body is gzip or zstd of JSON or msgpack of `Report`, and tells by its first bytes which.
"""

import zlib
from typing import Any

import msgspec
import zstandard

from patchbay_shared.errors import InvalidInput
from patchbay_shared.report import Report

_CHUNK = 1 << 16
_WINDOW_BYTES = 1 << 27
_GZIP = b"\x1f\x8b"
_JSON_STARTS = b"{ \t\r\n"
_json = msgspec.json.Decoder(Report)
_msgpack = msgspec.msgpack.Decoder(Report)


class TooLarge(InvalidInput):
    """A body over one of the limits (413)."""


def body_of(report: Report) -> bytes:
    """The body of a report that no client sent as it is."""
    return packed(msgspec.msgpack.encode(report))


def packed(document: bytes) -> bytes:
    """The body of a document that came uncompressed."""
    return zstandard.ZstdCompressor(level=1).compress(document)


def report_in(body: bytes, *, limit: int) -> Report:
    """The report of a body of at most `limit` bytes decompressed. Raises InvalidInput."""
    document = _unpacked(body, limit)
    try:
        return (_json if document[:1] in _JSON_STARTS else _msgpack).decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"The report cannot be decoded: {exc}.", pointer="$") from exc


def document_in(body: bytes, *, limit: int) -> dict[str, Any]:
    """The same, as it came: with what `Report` does not know. Raises InvalidInput."""
    document = _unpacked(body, limit)
    decode = msgspec.json.decode if document[:1] in _JSON_STARTS else msgspec.msgpack.decode
    try:
        return decode(document, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"The report cannot be decoded: {exc}.", pointer="$") from exc


def gunzip(data: bytes, *, limit: int) -> bytes:
    """The one member of gzip data. Raises TooLarge over `limit` bytes, InvalidInput for damaged data."""
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


def unzstd(data: bytes, *, limit: int) -> bytes:
    """The one frame of zstd data. Raises TooLarge over `limit` bytes, InvalidInput for damaged data."""
    try:
        announced = zstandard.frame_content_size(data)
        if announced > limit:
            raise _bomb(limit)
        decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
        if announced >= 0:
            return decoder.decompress(data, allow_extra_data=False)
        parts: list[bytes] = []
        size = 0
        with decoder.stream_reader(data) as reader:
            while chunk := reader.read(_CHUNK):
                size += len(chunk)
                if size > limit:
                    raise _bomb(limit)
                parts.append(chunk)
    except zstandard.ZstdError as exc:
        raise InvalidInput(f"The zstd body is damaged: {exc}.") from exc
    return b"".join(parts)


def _unpacked(body: bytes, limit: int) -> bytes:
    return gunzip(body, limit=limit) if body.startswith(_GZIP) else unzstd(body, limit=limit)


def _bomb(limit: int) -> TooLarge:
    return TooLarge(f"The request expands to more than the {limit:,} bytes that are accepted.")
