"""updateinfo.xml of rpm-md repositories: the advisories that a distribution publishes beside its packages.

Dialects that are read: Fedora's (with and without epochs), Red Hat's and its rebuilds' with modules, Amazon's,
and SUSE's, where an id may repeat with another `version` and names a patch, not an advisory.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import BinaryIO

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException
from patchbay_shared.catalogue import AdvisoryPackage, RepositoryAdvisory
from patchbay_shared.errors import InvalidInput

_CVE = re.compile(r"\bCVE-[0-9]{4}-[0-9]{4,19}\b", re.IGNORECASE)
_MAX_DEPTH = 32
_TITLE_CHARS = 1000


def advisories(stream: BinaryIO) -> Iterator[RepositoryAdvisory]:
    """The `<update>` elements of an updateinfo.xml, in its order, one in memory at a time. Raises InvalidInput.

    Packages are those of every collection, source packages left out. An advisory without packages is kept:
    it can be shown, though not matched. CVEs are those of the references; only if there is none, those
    that the text names.
    """
    depth = 0
    try:
        # Fedora's and CentOS's older files carry a plain document type; entities stay refused.
        for event, element in defusedxml.ElementTree.iterparse(
            stream, events=("start", "end"), forbid_dtd=False, forbid_entities=True, forbid_external=True
        ):
            if event == "start":
                depth += 1
                if depth > _MAX_DEPTH:
                    raise InvalidInput(f"updateinfo.xml is nested deeper than {_MAX_DEPTH} elements")
                if depth == 1:
                    root = element
                continue
            depth -= 1
            if depth == 1:
                if _local(element.tag) == "update":
                    yield _advisory(element)
                root.clear()
    except (ET.ParseError, DefusedXmlException, LookupError, ValueError) as exc:  # LookupError: unknown encoding
        raise InvalidInput(f"updateinfo.xml cannot be read: {exc}") from exc


def _advisory(update: ET.Element) -> RepositoryAdvisory:
    fields = {_local(child.tag): child for child in update}
    identifier = _text(fields.get("id"))
    if not identifier:
        raise InvalidInput("updateinfo.xml holds an update without an id")
    title = _text(fields.get("title")) or _text(fields.get("summary"))
    issued = fields.get("issued")
    return RepositoryAdvisory(
        id=identifier,
        type=update.get("type", "").strip().lower(),
        severity=_text(fields.get("severity")),
        title=title[:_TITLE_CHARS],
        status=update.get("status", ""),
        version=update.get("version", ""),
        issued_at="" if issued is None else issued.get("date", "").strip(),
        cves=_cves(fields),
        packages=list(dict.fromkeys(_packages(fields.get("pkglist")))),
    )


def _packages(pkglist: ET.Element | None) -> Iterator[AdvisoryPackage]:
    for collection in () if pkglist is None else pkglist:
        module = ""
        for child in collection:
            tag = _local(child.tag)
            if tag == "module":
                module = f"{child.get('name', '')}:{child.get('stream', '')}"
            elif tag == "package":
                package = _package(child, module)
                if package is not None:
                    yield package


def _package(element: ET.Element, module: str) -> AdvisoryPackage | None:
    name, version, arch = element.get("name", ""), element.get("version", ""), element.get("arch", "")
    filename = next((_text(child) for child in element if _local(child.tag) == "filename"), "")
    # Fedora Core lists source packages as noarch; only the file name tells.
    is_source = arch in {"src", "nosrc"} or filename.endswith((".src.rpm", ".nosrc.rpm"))
    if not name or not version or is_source:
        return None
    epoch, release = element.get("epoch", "").strip(), element.get("release", "")
    evr = f"{version}-{release}" if release else version
    if epoch.strip("0"):
        evr = f"{epoch}:{evr}"
    return AdvisoryPackage(name=name, arch=arch, evr=evr, module=module)


def _cves(fields: dict[str, ET.Element]) -> list[str]:
    references = fields.get("references")
    texts = [_text(fields.get("title")), _text(fields.get("summary")), _text(fields.get("description"))]
    typed: list[str] = []
    for reference in () if references is None else references:
        texts.append(reference.get("title", ""))
        if reference.get("type", "").lower() == "cve":
            typed += _CVE.findall(f"{reference.get('id', '')} {reference.get('href', '')}")
    found = typed or [cve for text in texts for cve in _CVE.findall(text)]
    return list(dict.fromkeys(cve.upper() for cve in found))


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _text(element: ET.Element | None) -> str:
    return "" if element is None else "".join(element.itertext()).strip()
