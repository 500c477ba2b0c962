"""Checksums that metadata gives of the files it lists."""

import hashlib

import msgspec

from patchbay_shared.errors import InvalidInput, Untrusted

_NAMES = {"sha": "sha1", "md5sum": "md5"}
_HEX_DIGITS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
_STRENGTH = {"sha512": 5, "sha384": 4, "sha256": 3, "sha224": 2, "sha1": 1, "md5": 0}


class Expected(msgspec.Struct, frozen=True):
    """What a file must be: the checksum (a hashlib name and lower-case hex) and, where given, the bytes."""

    algorithm: str
    value: str
    size: int | None = None

    @property
    def text(self) -> str:
        """`algorithm:hex`, as `repository_index.checksum` keeps it."""
        return f"{self.algorithm}:{self.value}"


def expected(algorithm: str, value: str, size: int | None, *, where: str) -> Expected:
    """A published checksum. Raises InvalidInput for an algorithm or a value that is none."""
    name = algorithm.lower().replace("-", "")
    name = _NAMES.get(name, name)
    if _HEX_DIGITS.get(name) != len(value) or value.lower().strip("0123456789abcdef"):
        raise InvalidInput(f"{where} gives no usable checksum: {algorithm[:20]!r} {value[:130]!r}.")
    return Expected(name, value.lower(), size)


def strength(algorithm: str) -> int:
    """Higher is harder to forge; below 2 an attacker can."""
    return _STRENGTH.get(algorithm, -1)


def verify(data: bytes, wanted: Expected, *, name: str) -> None:
    """Raises Untrusted unless `data` is what was listed."""
    refuse_mismatch(
        hashlib.new(wanted.algorithm, data, usedforsecurity=False).hexdigest(), len(data), wanted, name=name
    )


def refuse_mismatch(value: str, size: int, wanted: Expected, *, name: str) -> None:
    """Raises Untrusted unless the checksum and size of a file are those that were listed."""
    if wanted.size is not None and size != wanted.size:
        raise Untrusted(f"{name} has {size} bytes where {wanted.size} are listed: it is truncated or was replaced.")
    if value != wanted.value:
        raise Untrusted(
            f"{name} does not have the listed {wanted.algorithm.upper()} checksum: "
            "it is damaged, or the mirror is being updated, or it was replaced."
        )
