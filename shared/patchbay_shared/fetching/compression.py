"""Decompression of what mirrors serve, chosen by the first bytes and bounded in output and memory."""

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from patchbay_shared.errors import InvalidInput

_OUTPUT_STEP = 1 << 18
_INPUT_STEP = 1 << 16
# zstandard's push interface has no output limit of its own. A block needs at least 4 bytes of input and gives at
# most 128 KiB, so this step bounds one call to 16 MiB.
_ZSTD_INPUT_STEP = 512
_WINDOW_BYTES = 128 << 20
"""Largest dictionary or window: `xz -9` needs 65 MiB, `zstd --ultra -22` 128 MiB."""
_MAGIC_BYTES = 6


def open_decompressed(source: Path | str | BinaryIO, *, name: str, limit_bytes: int) -> BinaryIO:
    """A stream of the plain bytes of `source`, a path or a stream at its beginning.

    gzip, bzip2, xz, lzma and zstd (also several members or frames in a row) are told by their first bytes,
    never by a name; anything else is passed through. While reading, InvalidInput, with `name` in it, says that
    the output exceeds `limit_bytes`, that the input is truncated or damaged, or that it needs more memory
    than any publisher's tool uses. Closing it closes a file opened here, never a stream that was passed in.
    """
    file = Path(source).open("rb") if isinstance(source, str | Path) else source  # noqa: SIM115 - the stream that is returned closes it
    owned = isinstance(source, str | Path)
    head = file.read(_MAGIC_BYTES)
    while 0 < len(head) < _MAGIC_BYTES and (more := file.read(_MAGIC_BYTES - len(head))):
        head += more
    if head.startswith(b"\0ZCK1"):
        raise InvalidInput(f"{name} is a zchunk file; the repository must be read by its plain metadata")
    raw = _BoundedReader(file, head, _decoder(head), name=name, limit_bytes=limit_bytes, owned=owned)
    return io.BufferedReader(raw, _OUTPUT_STEP)


class _Decoder(Protocol):
    """One member of a compressed file."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def pending(self) -> bool:
        """Whether more output can come without more input."""

    def decompress(self, data: bytes, limit: int) -> bytes: ...


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self.pending = False

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, limit: int) -> bytes:
        plain = self._inner.decompress(self._inner.unconsumed_tail + data, limit)
        self.pending = bool(self._inner.unconsumed_tail) or len(plain) == limit
        return plain


class _Stdlib:
    """bz2's and lzma's decompressors, which share an interface."""

    def __init__(self, inner: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._inner = inner

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def pending(self) -> bool:
        return not self._inner.needs_input and not self._inner.eof

    def decompress(self, data: bytes, limit: int) -> bytes:
        return self._inner.decompress(data, limit)


class _Zstd:
    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj()
        self._input = b""
        self._unused = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data + self._input

    @property
    def pending(self) -> bool:
        return bool(self._input) and not self._inner.eof

    def decompress(self, data: bytes, limit: int) -> bytes:
        self._input += data
        parts: list[bytes] = []
        taken = size = 0
        while taken < len(self._input) and size < limit and not self._inner.eof:
            part = self._inner.decompress(self._input[taken : taken + _ZSTD_INPUT_STEP])
            taken += _ZSTD_INPUT_STEP
            size += len(part)
            parts.append(part)
        self._input = self._input[taken:]
        return b"".join(parts)


def _xz() -> _Decoder:
    return _Stdlib(lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=_WINDOW_BYTES))


def _bzip2() -> _Decoder:
    return _Stdlib(bz2.BZ2Decompressor())


def _decoder(head: bytes) -> Callable[[], _Decoder] | None:
    if head.startswith(b"\x1f\x8b"):
        return _Gzip
    if head.startswith(b"BZh"):
        return _bzip2
    if head.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return _xz
    if head.startswith(b"\x28\xb5\x2f\xfd") or (head[:1] in b"PQRSTUVWXYZ[\\]^_" and head[1:4] == b"\x2a\x4d\x18"):
        return _Zstd
    return None


class _BoundedReader(io.RawIOBase):
    def __init__(
        self,
        file: BinaryIO,
        head: bytes,
        decoder: Callable[[], _Decoder] | None,
        *,
        name: str,
        limit_bytes: int,
        owned: bool,
    ) -> None:
        self._file = file
        self._head = head
        self._new_decoder = decoder
        self._decoder = decoder() if decoder else None
        self._name = name
        self._limit = limit_bytes
        self._left = limit_bytes
        self._owned = owned
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # RawIOBase says Buffer, which 3.11 cannot name
        if not self._plain:
            self._plain = memoryview(self._next())
        count = min(len(buffer), len(self._plain))
        buffer[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count

    def close(self) -> None:
        if self._owned and not self.closed:
            self._file.close()
        super().close()

    def _next(self) -> bytes:
        """The next plain bytes, none only at the end."""
        if self._decoder is None:
            plain = self._input()
        else:
            try:
                plain = self._decompressed()
            except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, ValueError) as exc:
                raise InvalidInput(f"{self._name} is damaged: {exc}") from exc
        self._left -= len(plain)
        if self._left < 0:
            raise InvalidInput(f"{self._name} has more than {self._limit} bytes when decompressed")
        return plain

    def _decompressed(self) -> bytes:
        while self._decoder is not None:
            decoder = self._decoder
            if decoder.eof:
                self._start_next_member(decoder.unused_data)
                continue
            data = b"" if decoder.pending else self._input()
            if not data and not decoder.pending:
                raise InvalidInput(f"{self._name} is truncated: the compressed data ends early")
            if plain := decoder.decompress(data, _OUTPUT_STEP):
                return plain
        return b""

    def _start_next_member(self, rest: bytes) -> None:
        """Go on after the end of a member: with another one, or with nothing but zero padding."""
        rest = rest.lstrip(b"\0")
        while not rest and (more := self._input()):
            rest = more.lstrip(b"\0")
        self._decoder = None
        if rest:
            self._head = rest
            if self._new_decoder is None or _decoder(self._lookahead()) is not self._new_decoder:
                raise InvalidInput(f"{self._name} is damaged: other data follows the compressed data")
            self._decoder = self._new_decoder()

    def _lookahead(self) -> bytes:
        while len(self._head) < _MAGIC_BYTES and (more := self._file.read(_MAGIC_BYTES)):
            self._head += more
        return self._head[:_MAGIC_BYTES]

    def _input(self) -> bytes:
        if self._head:
            data, self._head = self._head, b""
            return data
        return self._file.read(_INPUT_STEP)
