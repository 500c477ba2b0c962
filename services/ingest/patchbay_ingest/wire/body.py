"""The bytes of a request, bounded: as sent, and once decompressed."""

from typing import IO, NamedTuple

from patchbay_shared.errors import InvalidInput
from patchbay_shared.report_body import TooLarge, gunzip, packed, unzstd


class UnsupportedEncoding(InvalidInput):
    """A Content-Encoding that ingest does not read (415)."""


class Body(NamedTuple):
    """A request's body."""

    document: bytes
    """Decompressed."""
    sent: bytes
    travels: bool
    """What was sent is compressed, so that it can go on its way as it is."""

    def packed(self) -> bytes:
        """The document, compressed for its way."""
        return self.sent if self.travels else packed(self.document)


def read_bounded(stream: IO[bytes], *, declared: int | None, limit: int) -> bytes:
    """The body as sent. Raises TooLarge as soon as more than `limit` bytes are announced or arrive."""
    if declared is not None and declared > limit:
        raise TooLarge(f"The request is {declared:,} bytes long; at most {limit:,} are accepted.")
    data = stream.read(limit + 1)
    if len(data) > limit:
        raise TooLarge(f"The request is longer than the {limit:,} bytes that are accepted.")
    return data


def decompress(sent: bytes, encoding: str, *, limit: int) -> Body:
    """The body without its Content-Encoding ("" or identity, gzip, zstd).

    Raises TooLarge over `limit` bytes of output, InvalidInput for damaged data, UnsupportedEncoding.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return Body(sent, sent, travels=False)
        case "gzip" | "x-gzip":
            return Body(gunzip(sent, limit=limit), sent, travels=True)
        case "zstd":
            return Body(unzstd(sent, limit=limit), sent, travels=True)
        case other:
            raise UnsupportedEncoding(f"Content-Encoding {other!r} is not supported; send identity, gzip or zstd.")
