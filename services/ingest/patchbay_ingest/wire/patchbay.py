"""Patchbay's own wire form: the JSON of `Report` (docs/agent.md)."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from patchbay_shared.catalogue import Scheme
from patchbay_shared.errors import InvalidInput, InvalidVersion
from patchbay_shared.report import Report
from patchbay_shared.repositories import TYPES
from patchbay_shared.versions import evr_key

_PLACE = re.compile(r"^(?P<what>.*) - at `(?P<where>[^`]*)`$", re.DOTALL)
_SCHEMES: dict[str, Scheme] = {"deb": "deb", "rpm": "rpm", "pacman": "alpm", "arch": "alpm"}
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
    _check(report)
    return report


def _check(report: Report) -> None:
    """What the types cannot say: known package types, and versions that have an order."""
    schemes = _SCHEMES
    for position, package in enumerate(report.packages or ()):
        scheme = schemes.get(package.type)
        if scheme is None:
            raise InvalidInput(
                f"Package type {package.type!r} at $.packages[{position}].type is not one of {', '.join(schemes)}.",
                pointer=f"$.packages[{position}].type",
            )
        try:
            evr_key(scheme, package.evr)
        except InvalidVersion as exc:
            raise InvalidInput(
                f"{exc} ($.packages[{position}].version)", pointer=f"$.packages[{position}].version"
            ) from exc
    for position, repository in enumerate(report.repos or ()):
        if repository.type not in TYPES:
            raise InvalidInput(
                f"Repository type {repository.type!r} at $.repos[{position}].type is not one of "
                f"{', '.join(sorted(TYPES))}.",
                pointer=f"$.repos[{position}].type",
            )


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
