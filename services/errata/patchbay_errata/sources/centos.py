"""CentOS: CEFS' `errata.latest.xml`. Off unless the operator names it: its licence forbids commercial use.

Each child of `<opt>` is an advisory whose *element name* is its id, with the colon written as two hyphens. Packages
are file names, so that no epoch is known; they are shown, not matched.
"""

from collections.abc import Iterator
from typing import BinaryIO
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException
from patchbay_shared.errors import InvalidInput

from patchbay_errata.advisory import Advisory, Fix, Rejected, checked, each_record, level, moment_if_readable
from patchbay_errata.sources.rocky import NEVRA

_TYPES = {"security": "security", "bug": "bugfix", "product": "enhancement", "enhancement": "enhancement"}
_SOURCES = (".src", ".nosrc")


def errata(stream: BinaryIO, rejected: Rejected) -> Iterator[Advisory]:
    """One advisory an element; those without any content are passed over. Raises InvalidInput."""
    yield from each_record(((each.tag, each) for each in _elements(stream)), _read, rejected)


def _elements(stream: BinaryIO) -> Iterator[Element]:
    depth = 0
    try:
        for event, element in defusedxml.ElementTree.iterparse(stream, events=("start", "end"), forbid_dtd=True):
            depth += 1 if event == "start" else -1
            if event == "start" and depth == 1:
                root = element
                if element.tag != "opt":
                    raise InvalidInput(f"The CEFS feed begins with <{element.tag[:40]}>, not with <opt>.")
            elif event == "end" and depth == 1:
                if element.tag != "meta" and len(element):
                    yield element
                root.clear()
    except (ParseError, DefusedXmlException) as exc:
        raise InvalidInput(f"The CEFS feed is no usable XML: {exc!r}") from exc


def _read(element: Element) -> Iterator[Advisory]:
    releases = [each.text or "" for each in element.iterfind("os_release")]
    fixes = []
    for each in element.iterfind("packages"):
        name = (each.text or "").strip().removesuffix(".rpm")
        if not name or name.endswith(_SOURCES):
            continue
        match = NEVRA.match(name)
        if match is None:
            raise InvalidInput(f"{name[:80]!r} is no file of a package")
        distro_release = releases[0] if len(releases) == 1 else _release_of(match["evr"], releases)
        arch = "" if match["arch"] == "noarch" else match["arch"]
        fixes.append(Fix("centos", distro_release, match["name"], "binary", match["evr"], arch=arch))
    kind = element.get("type", "").split(" ")[0].lower()
    issued = element.get("issue_date", "")
    yield checked(
        Advisory(
            id=element.tag.replace("--", ":"),
            vendor="centos",
            type=_TYPES.get(kind, "other"),  # type: ignore[arg-type]  # the table's values are such types
            severity=level(element.get("severity", "")),
            vendor_severity=element.get("severity", ""),
            title=element.get("synopsis", ""),
            description=element.get("description", ""),
            issued_at=moment_if_readable(issued),
            fixes=tuple(fixes),
            references=tuple(element.get("references", "").split()),
        )
    )


def _release_of(evr: str, releases: list[str]) -> str:
    """The release in the dist tag; of an advisory for several, a package without one belongs to none."""
    return next((each for each in releases if f".el{each}" in evr or f"centos{each}" in evr), "unknown")
