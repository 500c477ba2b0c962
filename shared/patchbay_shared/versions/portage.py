"""Portage's version order as sortable bytes: Gentoo's Package Manager Specification (PMS 8), section 3.3."""

import re
from functools import lru_cache

from patchbay_shared.errors import InvalidVersion

VERSION = r"[0-9]+(?:\.[0-9]+)*[a-z]?(?:_(?:alpha|beta|pre|rc|p)[0-9]*)*(?:-r[0-9]+)?"
"""What is a version: a regular expression without groups."""

_PARTS = re.compile(r"([0-9]+)((?:\.[0-9]+)*)([a-z]?)((?:_(?:alpha|beta|pre|rc|p)[0-9]*)*)(?:-r([0-9]+))?")
_SUFFIX = re.compile(r"_([a-z]+)([0-9]*)")
_SUFFIXES = {"alpha": b"\x01", "beta": b"\x02", "pre": b"\x03", "rc": b"\x04", "p": b"\x06"}
_NO_SUFFIX = b"\x05"
_END = b"\x00"
_LEADING_ZERO = b"\x01"
_NUMBER = b"\x02"
_MAX_CHARACTERS = 500


@lru_cache(maxsize=100_000)
def key(version: str) -> bytes:
    """Sort key of `version[-rN]`: keys compare as bytes in portage's order. Raises InvalidVersion.

    Components after the first that begin with 0 are compared as fractions, so they sort before all others.

    >>> key("1.05") < key("1.1_rc1") < key("1.1") < key("1.1-r1") < key("1.1_p1") < key("1.10")
    True
    """
    match = _PARTS.fullmatch(version)
    if match is None or len(version) > _MAX_CHARACTERS:
        raise InvalidVersion(f"{version[:200]!r} is not a version as portage writes them, such as 1.2.3_rc1-r4")
    first, more, letter, suffixes, revision = match.groups()
    components = b"".join(map(_component, more.split(".")[1:]))
    tail = b"".join(_SUFFIXES[name] + _number(number) for name, number in _SUFFIX.findall(suffixes))
    return _number(first) + components + _END + letter.encode() + _END + tail + _NO_SUFFIX + _number(revision or "")


def compare(a: str, b: str) -> int:
    """-1, 0 or 1. Raises InvalidVersion."""
    left, right = key(a), key(b)
    return (left > right) - (left < right)


def _component(text: str) -> bytes:
    if text.startswith("0"):
        return _LEADING_ZERO + text.rstrip("0").encode() + _END
    return _NUMBER + _number(text)


def _number(digits: str) -> bytes:
    """Bytes that order as the number does, of any length."""
    plain = digits.lstrip("0")
    return len(plain).to_bytes(2, "big") + plain.encode()
