"""What the types of `Report` cannot say, checked for every wire form."""

import re

import msgspec
from patchbay_shared.catalogue import Scheme
from patchbay_shared.errors import InvalidInput, InvalidVersion
from patchbay_shared.report import Report
from patchbay_shared.repositories import TYPES
from patchbay_shared.versions import evr_key

SCHEMES: dict[str, Scheme | None] = {
    "deb": "deb",
    "rpm": "rpm",
    "pacman": "alpm",
    "arch": "alpm",
    "gentoo": None,
    "apk": None,
}
"""Package type to the order of its versions; those without one are kept, but nothing is concluded from them."""
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def check(report: Report) -> None:
    """Known types, and versions that have an order. Raises InvalidInput whose `pointer` names the place."""
    for position, package in enumerate(report.packages or ()):
        if package.type not in SCHEMES:
            raise InvalidInput(
                f"Package type {package.type!r} at $.packages[{position}].type is not one of {', '.join(SCHEMES)}.",
                pointer=f"$.packages[{position}].type",
            )
        scheme = SCHEMES[package.type]
        if scheme is None:
            continue
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


def has_nul(report: Report) -> bool:
    """Whether some text holds a NUL character, which PostgreSQL cannot store."""
    return _NUL.search(msgspec.json.encode(report)) is not None
