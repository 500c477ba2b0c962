"""dpkg's version order as sortable bytes: Debian Policy 5.6.12, and dpkg where policy is silent.

A version is compared as epoch, upstream version and Debian revision, and each of the latter two as
alternating runs of other characters and of digits. In the key

- a run of other characters is its characters mapped so that `~` < end of run < letters < the rest;
- a run of digits is its length without leading zeros, then the digits, so that numbers of any size
  compare as bytes; a missing run is zero;
- the end of a part is the end of an empty run of other characters.
"""

import re
from functools import lru_cache

from patchbay_shared.errors import InvalidVersion

_END = b"\x02"
_LONG = 0xFF
"""Length byte that announces a number of 255 digits or more; four bytes of length follow."""


def key(evr: str) -> bytes:
    """Sort key of `[epoch:]upstream[-revision]`: keys compare as bytes in dpkg's order.

    Versions that dpkg calls equal (`1.0-1`, `0:1.0-01`) have one key. Any printable ASCII is accepted in
    upstream version and revision, as dpkg does when it reads its status file. Raises InvalidVersion.
    """
    epoch, colon, rest = evr.partition(":")
    if not colon:
        epoch, rest = "0", evr
    upstream, _, revision = rest.rpartition("-")
    if not upstream:
        upstream, revision = rest, ""
    if not upstream:
        raise _invalid(evr)
    try:
        return _epoch(epoch) + _part(upstream) + _part(revision)
    except ValueError as exc:
        raise _invalid(evr) from exc


def compare(a: str, b: str) -> int:
    """-1, 0 or 1, as `dpkg --compare-versions`. Raises InvalidVersion."""
    left, right = key(a), key(b)
    return (left > right) - (left < right)


def _invalid(evr: str) -> InvalidVersion:
    return InvalidVersion(
        f"{evr[:80]!r} is not a Debian version: expected [epoch:]upstream[-revision] in printable ASCII"
    )


@lru_cache(maxsize=256)
def _epoch(text: str) -> bytes:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return _number(text.encode())


_DIGITS = re.compile(rb"[0-9]+")
_PRINTABLE = re.compile(r"[!-~]*")


def _weight(code: int) -> int:
    """The byte that stands for a character of a run; digits stay, they are replaced as runs."""
    character = chr(code)
    if character == "~":
        return 0x01
    if character.isascii() and character.isalnum():
        return code
    return 0x80 | code


_WEIGHTS = bytes(_weight(code) for code in range(256))


@lru_cache(maxsize=65_536)
def _part(text: str) -> bytes:
    """Key of an upstream version or a revision, ended. Raises ValueError unless printable ASCII."""
    if not _PRINTABLE.fullmatch(text):
        raise ValueError(text)
    if not text or not text[-1].isdigit():
        text += "0"
    return _DIGITS.sub(_run, text.encode().translate(_WEIGHTS)) + _END


def _run(match: re.Match[bytes]) -> bytes:
    return _END + _number(match[0])


@lru_cache(maxsize=16_384)
def _number(digits: bytes) -> bytes:
    digits = digits.lstrip(b"0")
    length = len(digits)
    if length < _LONG:
        return bytes((length,)) + digits
    return bytes((_LONG,)) + length.to_bytes(4, "big") + digits
