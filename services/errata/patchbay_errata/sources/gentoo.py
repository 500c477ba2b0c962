"""Gentoo's GLSAs: one XML file an advisory, published as an archive of them all.

The ranges use portage's version order, which Patchbay does not have: they are kept as text for people.
"""

import tarfile
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException
from patchbay_shared.errors import InvalidInput

from patchbay_errata.advisory import Advisory, Fix, Rejected, checked, cves_in, each_record, level, moment_if_readable

_MAX_FILE_BYTES = 1_000_000


def archive(stream: BinaryIO, rejected: Rejected) -> Iterator[Advisory]:
    """The advisories in a tar archive (decompressed): its files `glsa-*.xml`. Raises InvalidInput."""
    yield from each_record(_members(stream), document, rejected)


def _members(stream: BinaryIO) -> Iterator[tuple[str, bytes]]:
    found = 0
    tail = _Tail(stream)
    try:
        with tarfile.open(fileobj=tail, mode="r|") as tar:  # type: ignore[call-overload]  # it needs only read()
            for member in tar:
                name = member.name.rpartition("/")[2]
                if member.isfile() and name.startswith("glsa-") and name.endswith(".xml"):
                    file = tar.extractfile(member)
                    found += 1
                    yield name, b"" if file is None or member.size > _MAX_FILE_BYTES else file.read(member.size)
    except (tarfile.TarError, EOFError) as exc:
        raise InvalidInput(f"Gentoo's archive of advisories is damaged or no tar archive: {exc}") from exc
    if not found:
        raise InvalidInput("Gentoo's archive of advisories holds no glsa-*.xml.")
    if any(tail.block):
        raise InvalidInput("Gentoo's archive of advisories is truncated: it has no end mark.")


class _Tail:
    """A stream that keeps its last block: tarfile takes an archive that was cut between two files for whole."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.block = b""

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.block = (self.block + data)[-tarfile.BLOCKSIZE :]
        return data


def document(data: bytes) -> Iterator[Advisory]:
    """The advisory of one file. Raises InvalidInput."""
    try:
        root = defusedxml.ElementTree.parse(BytesIO(data), forbid_dtd=False, forbid_entities=True).getroot()
    except (ParseError, DefusedXmlException, ValueError) as exc:
        raise InvalidInput(f"it is no usable XML: {exc!r}") from exc
    if root is None or root.tag != "glsa" or not root.get("id"):
        raise InvalidInput("it is no <glsa id=…>")
    impact = root.find("impact")
    severity = impact.get("type", "") if impact is not None else ""
    announced = _text(root, "announced")
    yield checked(
        Advisory(
            id=f"GLSA {root.get('id')}",
            vendor="gentoo",
            severity=level(severity),
            vendor_severity=severity,
            title=_text(root, "title"),
            description=_text(root, "synopsis"),
            url=f"https://security.gentoo.org/glsa/{root.get('id')}",
            issued_at=moment_if_readable(announced),
            fixes=tuple(_fix(each) for each in root.iterfind("affected/package")),
            cves=cves_in(*("".join(each.itertext()) for each in root.iterfind("references/uri"))),
        )
    )


def _fix(package: Element) -> Fix:
    ranges = [
        f"{each.tag} {each.get('range', '')} {(each.text or '').strip()}"
        + (f" in slot {each.get('slot')}" if each.get("slot", "*") != "*" else "")
        for each in package
        if each.tag in {"unaffected", "vulnerable"}
    ]
    fixed = [e.text.strip() for e in package.iterfind("unaffected") if e.get("range") in {"ge", "rge"} and e.text]
    arch = package.get("arch", "*").strip()
    return Fix(
        "gentoo",
        "",
        package.get("name", ""),
        "source",
        fixed[0] if fixed else "",
        state="fixed" if fixed else "no-fix-planned",
        arch="" if arch == "*" else arch,
        note="; ".join(ranges),
    )


def _text(root: Element, path: str) -> str:
    element = root.find(path)
    return " ".join("".join(element.itertext()).split()) if element is not None else ""
