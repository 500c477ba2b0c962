"""Patchbay's own wire form: the JSON of `Report` (docs/agent.md)."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from patchbay_shared.errors import InvalidInput
from patchbay_shared.report import Report

from patchbay_ingest.wire.checks import check

_PLACE = re.compile(r"^(?P<what>.*) - at `(?P<where>[^`]*)`$", re.DOTALL)
_decoder = msgspec.json.Decoder(Report)


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
