"""libalpm's version order: alpm_pkg_vercmp of pacman 6 (`vercmp`), and sortable bytes for it.

libalpm compares epoch, version and release, and each of them as runs of letters or digits between runs
of anything else. Two peculiarities shape the key: a rest of letters is older than nothing
(`1.0rc` < `1.0`, `1.0.rc` < `1.0.`), and a longer separator is newer than a shorter one.
"""

import re
from functools import lru_cache

from patchbay_shared.errors import InvalidVersion

# What can follow a run, oldest first; after a separator, its length comes next.
_LETTERS = b"\x01"
_END = b"\x02"
_DIGITS = b"\x03"
_SEPARATOR_LETTERS = b"\x04"
_SEPARATOR_END = b"\x05"
_SEPARATOR_DIGITS = b"\x06"

_RUN = re.compile(r"([^0-9A-Za-z]*)(?:([0-9]+)|([A-Za-z]+))")
_Run = tuple[int, bool, int, str]
"""Length of the separator before it, whether it is a number, its length if so, its text."""

_EVR = re.compile(r"(?:([0-9]*):)?([!-9;-~]+?)(?:-([!-,.-~]*))?")


def key(evr: str) -> bytes:
    """Sort key of `[epoch:]version[-release]`: keys compare as bytes in libalpm's order.

    Two texts of the same order have one key, with two exceptions that no key can avoid:

    - a version without a release sorts before all its releases; libalpm calls them equal, which would make
      `1-1` and `1-2` equal as well. Packages in a database always have a release.
    - libalpm's order has circles around doubled separators and separators at an end, as `1.1` < `1..a` <
      `1.` < `1.1` and `a1` < `a.b` < `a.` < `a1`; here `1..a` is older than `1.1`, and `a1` than `a.`.

    `compare` follows libalpm in both.
    Raises InvalidVersion.
    """
    epoch, version, release = _split(evr)
    if release is None:
        return _part(epoch) + _part(version)
    return _part(epoch) + _part(version) + b"\x01" + _part(release)


def compare(a: str, b: str) -> int:
    """-1, 0 or 1, as `vercmp a b`: the release counts only if both sides have one. Raises InvalidVersion."""
    left, right = _split(a), _split(b)
    if a == b:
        return 0
    order = _compare_part(left[0], right[0]) or _compare_part(left[1], right[1])
    if order == 0 and left[2] is not None and right[2] is not None:
        return _compare_part(left[2], right[2])
    return order


def _split(evr: str) -> tuple[str, str, str | None]:
    match = _EVR.fullmatch(evr)
    if match is None:
        raise InvalidVersion(
            f"{evr[:80]!r} is not an alpm version: expected [epoch:]version[-release] in printable ASCII"
        )
    epoch, version, release = match.groups()
    return epoch or "0", version, release


@lru_cache(maxsize=65_536)
def _part(text: str) -> bytes:
    key: list[bytes] = []
    end = 0
    for match in _RUN.finditer(text):
        separator, digits, letters = match.groups()
        end = match.end()
        if digits:
            number = digits.lstrip("0")
            key.append(_SEPARATOR_DIGITS + _size(len(separator)) if separator else _DIGITS)
            key.append(_size(len(number)) + number.encode())
        else:
            key.append(_SEPARATOR_LETTERS + _size(len(separator)) if separator else _LETTERS)
            key.append(letters.encode() + b"\x00")
    key.append(_SEPARATOR_END if end < len(text) else _END)
    return b"".join(key)


def _size(length: int) -> bytes:
    """A length as bytes that sort like it."""
    if length < 0xFF:
        return bytes((length,))
    return b"\xff" + length.to_bytes(4, "big")


def _compare_part(a: str, b: str) -> int:
    """-1, 0 or 1 for one of epoch, version and release, by the rules of libalpm's rpmvercmp."""
    if a == b:
        return 0
    left, left_end = _runs(a)
    right, right_end = _runs(b)
    for one, two in zip(left, right, strict=False):
        if one != two:
            return -1 if one < two else 1
    shared = min(len(left), len(right))
    return _compare_rests(left[shared:], left_end, right[shared:], right_end)


def _compare_rests(left: list[_Run], left_end: int, right: list[_Run], right_end: int) -> int:
    """What decides once all runs that both sides have are equal; at most one side has runs left.

    The separators before the rest count only if the other side has nothing at all left.
    """
    if not left and not right:
        if bool(left_end) == bool(right_end):
            return 0
        return 1 if left_end else -1
    if not left:
        return -_compare_rests(right, right_end, left, left_end)
    separator, is_number, *_ = left[0]
    skipped = separator == 0 or right_end > 0
    return -1 if skipped and not is_number else 1


@lru_cache(maxsize=4_096)
def _runs(text: str) -> tuple[list[_Run], int]:
    """The runs of a part, as tuples in libalpm's order, and the length of the separator at its end."""
    runs: list[_Run] = []
    end = 0
    for match in _RUN.finditer(text):
        separator, digits, letters = match.groups()
        end = match.end()
        if digits:
            digits = digits.lstrip("0")
            runs.append((len(separator), True, len(digits), digits))
        else:
            runs.append((len(separator), False, 0, letters))
    return runs, len(text) - end
