"""Text and paths out of metadata that a stranger wrote."""

import hashlib
import re
from urllib.parse import unquote

from patchbay_shared.errors import InvalidInput

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_UNWANTED = re.compile(r"[\x00-\x20\x7f\\?#]")


def digest64(data: bytes) -> int:
    """Signed 64-bit BLAKE2b digest, the form in which the catalogue keeps digests."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big", signed=True)


def relative_path(path: str, *, where: str) -> str:
    """`path` if it stays inside the repository, without a leading `./`.

    Refuses what could leave it, on a web server or in a local folder: absolute paths and URLs, `..` (also
    percent-encoded), backslashes, queries, blanks and control characters. Raises InvalidInput.
    """
    plain = unquote(path)
    if (
        not plain
        or plain.startswith("/")
        or _SCHEME.match(plain)
        or _UNWANTED.search(path)
        or _UNWANTED.search(plain)
        or ".." in plain.split("/")
    ):
        raise InvalidInput(f"{where} names a file outside the repository: {path[:200]!r}")
    return path.removeprefix("./")
