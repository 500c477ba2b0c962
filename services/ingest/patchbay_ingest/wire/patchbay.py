"""Patchbay's own wire form: the JSON of `Report` (docs/agent.md).

It goes on its way as it came, so it is only looked at: is it a report, and is it the one of last time? Most of it is
the list of packages, which seldom changes; a section that was found good once is known by its digest, and skipped.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from patchbay_shared.errors import InvalidInput
from patchbay_shared.report import Report

from patchbay_ingest.intake import Content
from patchbay_ingest.wire.body import Body
from patchbay_ingest.wire.checks import check
from patchbay_ingest.wire.sections import Envelope, sections_of, without_sections

_PLACE = re.compile(r"^(?P<what>.*) - at `(?P<where>[^`]*)`$", re.DOTALL)

_decoder = msgspec.json.Decoder(Report)
_envelopes = msgspec.json.Decoder(Envelope)


def content_of(body: Body) -> Content:
    """The report in a request's body, to be queued as it is.

    Raises InvalidInput whose `pointer` names the place, as `$.packages[17].version`.
    """
    document = body.document
    try:
        envelope = _envelopes.decode(document)
        sections = sections_of(envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        report_of(document)  # says it with the place in the whole document
        raise
    if rb"\u0000" in document:
        _refuse_nul(document)
    rest = msgspec.structs.replace(without_sections(envelope), collected_at=None, collect_seconds=None)
    digest = hashlib.sha256(msgspec.msgpack.encode(rest) + sections.mark).digest()
    return Content(body.packed(), digest, envelope.collected_at, sections.known, sections.left_out)


def report_of(document: bytes) -> Report:
    """The report in a JSON document.

    Raises InvalidInput whose `pointer` names the place, as `$.packages[17].version`.
    """
    try:
        report = _decoder.decode(document)
    except msgspec.ValidationError as exc:
        found = _PLACE.match(str(exc))
        what, where = (found["what"], found["where"]) if found else (str(exc), "$")
        raise InvalidInput(f"{what} at {where}.", pointer=where) from exc
    except RecursionError as exc:
        raise InvalidInput("The document is nested too deeply.", pointer="$") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"The body is not JSON: {exc}.", pointer="$") from exc
    if rb"\u0000" in document:
        _refuse_nul(document)
    check(report)
    return report


def _refuse_nul(document: bytes) -> None:
    for where, text in _texts(msgspec.json.decode(document), "$"):
        if "\x00" in text:
            raise InvalidInput(f"The text at {where} contains a NUL character.", pointer=where)


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _texts(item, f"{where}[{position}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield f"{where} (a key)", key
            yield from _texts(item, f"{where}.{key}")
