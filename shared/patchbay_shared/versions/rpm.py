"""rpm's version order: rpmvercmp of rpm 4.18 on epoch, version and release.

The order itself is rpm-rs's; this file adds what a hostile report needs, a refusal of texts that are
no version, and keeps rpm-rs out of everything else.
"""

import re

from rpm_rs import Evr

from patchbay_shared.errors import InvalidVersion

_MAX_EPOCH = 2**32 - 1
"""RPMTAG_EPOCH is an unsigned 32-bit integer."""

_PLAIN = re.compile(r"(?!-?$)(?:(\d*):)?[^\s:\x00-\x1f\x7f]+\Z")


def key(evr: str) -> bytes:
    """Sort key of `[epoch:]version[-release]`: keys compare as bytes as rpm compares the versions.

    An absent epoch is 0; an absent release is older than any release. Raises InvalidVersion.
    """
    match = _PLAIN.match(evr)
    if match is None:
        raise InvalidVersion(f"{evr[:80]!r} is not an rpm version: expected [epoch:]version[-release]")
    epoch = match[1]
    if epoch and int(epoch[:11]) > _MAX_EPOCH:
        raise InvalidVersion(f"the epoch of {evr[:80]!r} is larger than rpm can store")
    return bytes(Evr.parse(evr).sortkey())


def compare(a: str, b: str) -> int:
    """-1, 0 or 1, as rpm's labelCompare on two complete versions. Raises InvalidVersion."""
    left, right = key(a), key(b)
    return (left > right) - (left < right)
