"""The sections of a report in Patchbay's own wire form: which there are, and which the client leaves out.

A section's digest is that of the bytes in which it was sent. So the server takes no client's word for it, and
need not encode anything anew to see whether it is true.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from patchbay_shared.errors import InvalidInput
from patchbay_shared.report import SECTIONS, ModuleState, Packages, Report, Repositories

from patchbay_ingest.wire.checks import check_manager, check_packages, check_repositories

REMEMBERED_SECTIONS = 100_000
ABSENT = msgspec.Raw()
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_good: set[bytes] = set()

Envelope: Any = msgspec.defstruct(
    "Envelope",
    [(field, msgspec.Raw, ABSENT) for fields in SECTIONS.values() for field in fields],
    bases=(Report,),
    frozen=True,
    omit_defaults=True,
)
"""A report whose sections have not been looked at."""

_EMPTY = {field: ABSENT for fields in SECTIONS.values() for field in fields}
_Policy = msgspec.defstruct(
    "_Policy",
    [
        (field.name, field.type, msgspec.field(default=field.default, default_factory=field.default_factory))  # type: ignore[call-overload]  # one of both is msgspec.NODEFAULT
        for field in msgspec.structs.fields(Report)
        if field.name in SECTIONS["policy"]
    ],
)
_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    "packages": msgspec.json.Decoder(Packages | None),
    "repos": msgspec.json.Decoder(Repositories | None),
    "modules": msgspec.json.Decoder(list[ModuleState]),
    "policy": msgspec.json.Decoder(_Policy),
}


class Sections(msgspec.Struct, frozen=True):
    """What a report says in its sections, by their digests."""

    known: dict[str, str]
    """Of those that were sent with their true digest, and of those that were left out."""
    left_out: list[str]
    mark: bytes
    """Equal if all sections are, whether sent or left out."""


def without_sections(envelope: Any) -> Any:
    """What the report says beside its sections."""
    return msgspec.structs.replace(envelope, **_EMPTY, digests={}, unchanged=[])


def sections_of(envelope: Any) -> Sections:
    """The sections of a report, and whether they can be read; one that was read before is known by its digest.

    Raises InvalidInput; msgspec.MsgspecError, whose place is not that in the whole document.
    """
    sent = {name: _sent(envelope, name) for name in SECTIONS}
    left_out = _left_out(envelope, sent)
    known: dict[str, str] = {}
    mark = hashlib.sha256()
    for name, raw in sent.items():
        claimed = envelope.digests.get(name)
        if name in left_out:
            known[name] = claimed
            mark.update(bytes.fromhex(claimed) + b"+")
            continue
        digest = hashlib.sha256(raw)
        key = name.encode() + digest.digest()
        if key not in _good:
            _read(name, raw)
            _remember(key)
        if claimed == digest.hexdigest():
            known[name] = claimed
        mark.update(digest.digest() + (b"+" if name in known else b"-"))
    return Sections(known, left_out, mark.digest())


def _sent(envelope: Any, name: str) -> bytes:
    """A section as it was sent; "null", "[]" or "{}" if it was not."""
    if name != "policy":
        return bytes(getattr(envelope, name)) or (b"[]" if name == "modules" else b"null")
    fields = [(field, bytes(getattr(envelope, field))) for field in SECTIONS["policy"]]
    return b"{" + b",".join(b'"%s":%s' % (field.encode(), raw) for field, raw in fields if raw) + b"}"


def _left_out(envelope: Any, sent: Mapping[str, bytes]) -> list[str]:
    """The sections that the client leaves out because the server has them. Raises InvalidInput.

    Those that `unchanged` names, and lists that are not there although their digest is.
    """
    for position, name in enumerate(envelope.unchanged):
        where = f"$.unchanged[{position}]"
        if name not in SECTIONS:
            raise InvalidInput(f"{name!r} at {where} is not one of {', '.join(SECTIONS)}.", pointer=where)
        if name not in envelope.digests:
            raise InvalidInput(f"The section {name!r} at {where} has no digest at $.digests.", pointer=where)
        if sent[name] not in (b"null", b"[]", b"{}"):
            raise InvalidInput(
                f"The section {name!r} at {where} is said to be left out, but is there.", pointer=where
            )
    missing = [name for name in ("packages", "repos") if name in envelope.digests and sent[name] == b"null"]
    found = [name for name in SECTIONS if name in envelope.unchanged or name in missing]
    for name in found:
        if not _SHA256.match(envelope.digests[name]):
            where = f"$.digests.{name}"
            raise InvalidInput(f"The digest at {where} is not a SHA-256 in hexadecimal digits.", pointer=where)
    return found


def _read(name: str, raw: bytes) -> None:
    decoded = _decoders[name].decode(raw)
    if name == "packages":
        check_packages(decoded)
    elif name == "repos":
        check_repositories(decoded)
    elif name == "policy":
        check_manager(decoded.package_manager)


def _remember(key: bytes) -> None:
    if len(_good) >= REMEMBERED_SECTIONS:
        _good.clear()
    _good.add(key)
