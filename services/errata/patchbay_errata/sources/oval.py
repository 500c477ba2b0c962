"""OVAL definitions of Debian, Ubuntu, AlmaLinux and SUSE; Oracle's and Red Hat's files have the same form.

A definition is an advisory (class patch) or what the vendor says of one CVE (class vulnerability). Its criteria lead
to tests, those to an object (the package) and a state (“less than” a version); criteria beside them name the platform
and the module stream. Schema: oval.mitre.org, OVAL Definition 5.11.

Debian's tests name source packages. Ubuntu's name binaries, by a constant variable of patterns.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import BinaryIO

import defusedxml.ElementTree
import msgspec
from defusedxml.common import DefusedXmlException
from patchbay_shared.errors import InvalidInput

from patchbay_errata.advisory import Advisory, Fix, Rejected, checked, cves_in, each_record, level, moment_if_readable
from patchbay_errata.lifecycle import codename_of
from patchbay_errata.sources.csaf import suse_releases

_MAX_DEPTH = 64
_PLATFORMS = (
    (re.compile(r"Debian(?: GNU/Linux)? (\d+)\b"), "debian"),
    (re.compile(r"Ubuntu (\d+\.\d+)\b"), "ubuntu"),
    (re.compile(r"AlmaLinux (\d+)\b"), "almalinux"),
    (re.compile(r"Oracle Linux (\d+)\b"), "ol"),
    (re.compile(r"Red Hat Enterprise Linux (\d+)\b"), "rhel"),
    (re.compile(r"Rocky Linux (\d+)\b"), "rocky"),
)
_OLD_SUSE = re.compile(r"(sles|sled)(\d+)-sp(\d+)\Z")
_INSTALLED = re.compile(r"(.+?) (?:is|must be) installed\Z")
_MODULE = re.compile(r"Module (\S+:\S+) is enabled\Z")
_OF_CVE = re.compile(r"\((CVE-[0-9]{4}-[0-9]{4,19})\)")
_PATTERN = re.compile(r"\^?([A-Za-z0-9][A-Za-z0-9+.\\-]*)")
Place = tuple[str, str]


class _Node(msgspec.Struct):
    """A <criteria>, or (with `test`) a <criterion>."""

    together: bool = True
    """AND."""
    comment: str = ""
    test: str = ""
    children: list["_Node"] = []


class _Definition(msgspec.Struct):
    id: str
    kind: str
    title: str
    description: str
    platforms: list[str]
    references: list[tuple[str, str, str]]
    """source, id and address."""
    severity: str
    issued: str
    updated: str
    cves: list[str]
    criteria: _Node


class _State(msgspec.Struct):
    evr: str = ""
    operation: str = ""
    arch: str = ""
    absent: bool = False
    """The version has to equal 0: SUSE's way to say that a package is not affected."""


class _Files(msgspec.Struct):
    """What definitions refer to, by id."""

    tests: dict[str, tuple[str, str, str]] = {}
    """Object, state and comment."""
    objects: dict[str, tuple[str, str]] = {}
    """Name of the package, or the variable that has names."""
    states: dict[str, _State] = {}
    variables: dict[str, list[str]] = {}


def definitions(stream: BinaryIO, rejected: Rejected) -> Iterator[Advisory]:
    """One record a definition, Ubuntu's definitions of packages one a CVE. Raises InvalidInput."""
    found, files = _read(stream)
    if not found:
        raise InvalidInput("The OVAL file holds no definition.")
    yield from each_record(((each.id, each) for each in found), lambda each: _records(each, files), rejected)


def _read(stream: BinaryIO) -> tuple[list[_Definition], _Files]:
    found: list[_Definition] = []
    files = _Files()
    depth = 0
    try:
        for event, element in defusedxml.ElementTree.iterparse(
            stream, events=("start", "end"), forbid_dtd=True, forbid_entities=True, forbid_external=True
        ):
            if event == "start":
                depth += 1
                if depth > _MAX_DEPTH:
                    raise InvalidInput(f"The OVAL file is nested deeper than {_MAX_DEPTH} elements.")
                if depth == 1 and _local(element) != "oval_definitions":
                    raise InvalidInput(f"It is no OVAL file but a document of <{_local(element)[:40]}>.")
                continue
            depth -= 1
            if depth == 2:
                _take(element, found, files)
                element.clear()
    except (ET.ParseError, DefusedXmlException, LookupError, ValueError) as exc:
        raise InvalidInput(f"The OVAL file cannot be read: {exc}") from exc
    return found, files


def _take(element: ET.Element, found: list[_Definition], files: _Files) -> None:
    name, number = _local(element), element.get("id", "")
    if name == "definition":
        found.append(_definition(element))
    elif name.endswith("_test"):
        refs = {_local(child): child.get(f"{_local(child)}_ref", "") for child in element}
        files.tests[number] = (refs.get("object", ""), refs.get("state", ""), element.get("comment", ""))
    elif name.endswith("_object"):
        texts = {_local(child): child for child in element}
        package, pattern = texts.get("name"), texts.get("pattern")
        chosen = package if package is not None else pattern
        if chosen is not None:
            files.objects[number] = (_text(chosen) if package is not None else "", chosen.get("var_ref", ""))
    elif name.endswith("_state"):
        state = _State()
        for child in element:
            tag, value, operation = _local(child), _text(child), child.get("operation", "equals")
            if tag in {"evr", "subexpression"} and "evr_string" in child.get("datatype", ""):
                state.evr, state.operation = value, operation
            elif tag == "arch":
                state.arch = value
            elif tag == "version" and value == "0" and operation == "equals":
                state.absent = True
        files.states[number] = state
    elif name.endswith("_variable"):
        files.variables[number] = [_text(child) for child in element if _local(child) == "value"]


def _definition(element: ET.Element) -> _Definition:
    about = next((child for child in element if _local(child) == "metadata"), ET.Element("metadata"))
    parts = {_local(each): each for each in about.iter()}
    criteria = next((child for child in element if _local(child) == "criteria"), None)
    return _Definition(
        id=element.get("id", ""),
        kind=element.get("class", ""),
        title=_text(parts.get("title")),
        description=_text(parts.get("description")),
        platforms=[_text(each) for each in about.iter() if _local(each) == "platform"],
        references=[
            (each.get("source", ""), each.get("ref_id", ""), each.get("ref_url", ""))
            for each in about.iter()
            if _local(each) == "reference"
        ],
        severity=_text(parts.get("severity")),
        issued=_date(parts.get("issued")) or _text(parts.get("public_date")),
        updated=_date(parts.get("updated")),
        cves=[_text(each) for each in about.iter() if _local(each) == "cve"],
        criteria=_Node() if criteria is None else _node(criteria),
    )


def _node(element: ET.Element) -> _Node:
    made = _Node(together=element.get("operator", "AND").upper() != "OR")
    for child in element:
        if _local(child) == "criteria":
            made.children.append(_node(child))
        elif _local(child) == "criterion" and child.get("negate", "false") != "true":
            made.children.append(_Node(comment=child.get("comment", ""), test=child.get("test_ref", "")))
    return made


def _records(definition: _Definition, files: _Files) -> Iterator[Advisory]:
    if definition.kind not in {"patch", "vulnerability"}:
        return
    stated = [place for each in definition.platforms for place in _place(each)]
    fixes = list(_fixes(definition.criteria, files, stated, ""))
    cves = cves_in(*(each for _, each, _ in definition.references), *definition.cves, definition.title)
    own = {cve: [fix for of, fix in fixes if of == cve] for of, _ in fixes if (cve := of)}
    if own:
        for cve, mine in own.items():
            yield _advisory(definition, f"{cve} {definition.title}", (cve,), mine)
        return
    number = next(
        (each for source, each, _ in definition.references if "CVE" not in source and not each.startswith("Mitre")),
        "",
    )
    name = number if definition.kind == "patch" and number else definition.title.partition(" -- ")[0]
    if definition.kind == "vulnerability" and cves and name.startswith("CVE-"):
        name = name.partition(" on ")[0]
    yield _advisory(definition, name or definition.id, cves, [fix for _, fix in fixes])


def _advisory(definition: _Definition, number: str, cves: tuple[str, ...], fixes: list[Fix]) -> Advisory:
    places = {fix.ecosystem for fix in fixes} or {place[0] for each in definition.platforms for place in _place(each)}
    vendor = min(places, default="")
    return checked(
        Advisory(
            id=number,
            vendor="suse" if vendor.startswith(("sle", "opensuse", "SUSE")) else vendor,
            type="security" if definition.kind == "patch" else "cve",
            severity=level(definition.severity),
            vendor_severity=definition.severity,
            title=definition.title,
            description=definition.description,
            url=next((each for _, _, each in definition.references if each.startswith("http")), ""),
            issued_at=moment_if_readable(definition.issued.removesuffix(" UTC")),
            updated_at=moment_if_readable(definition.updated.removesuffix(" UTC")),
            fixes=tuple(fixes),
            cves=cves,
            references=tuple(each for _, _, each in definition.references if each.startswith("http")),
        )
    )


def _fixes(node: _Node, files: _Files, places: list[Place], module: str) -> Iterator[tuple[str, Fix]]:
    """Every fix below a node, with the CVE that its test names (Ubuntu's files of packages) or ""."""
    if node.test:
        yield from _fix(node, files, places, module)
        return
    if node.together:
        named = [place for child in node.children for place in _places_of(child)]
        places = named or places
        module = next((found[1] for child in node.children if (found := _MODULE.match(child.comment))), module)
    for child in node.children:
        yield from _fixes(child, files, places, module)


def _places_of(node: _Node) -> list[Place]:
    """The platforms that a criterion, or a choice of criteria, requires."""
    if node.test:
        installed = _INSTALLED.match(node.comment)
        return _place(installed[1]) if installed else []
    if not node.together and all(child.test for child in node.children):
        return [place for child in node.children for place in _places_of(child)]
    return []


def _fix(node: _Node, files: _Files, places: list[Place], module: str) -> Iterator[tuple[str, Fix]]:
    object_id, state_id, _ = files.tests.get(node.test, ("", "", ""))
    name, variable = files.objects.get(object_id, ("", ""))
    state = files.states.get(state_id, _State())
    names = [name] if name else [_named(each) for each in files.variables.get(variable, ())]
    comment = node.comment
    if state.evr and state.operation == "less than" and ".ksplice" not in state.evr:
        # Debian writes 0 for a release that never was affected.
        evr, said = ("", "not-affected") if state.evr in {"0", "0:0"} else (state.evr, "fixed")
    elif comment.endswith("is not affected") and state.absent:
        evr, said = "", "not-affected"
    elif comment.endswith("is affected"):
        evr, said = "", "open"
    else:
        return
    arch = state.arch.strip("^$()") if re.fullmatch(r"[\^$()]*\w+[$)]*", state.arch) else ""
    of_cve = _OF_CVE.match(comment)
    for ecosystem, distro_release in places:
        kind = "source" if ecosystem == "debian" else "binary"
        for each in names:
            if each:
                yield (
                    of_cve[1] if of_cve else "",
                    Fix(
                        ecosystem,
                        distro_release,
                        each,
                        kind,  # type: ignore[arg-type]  # one of the two
                        evr,
                        said,  # type: ignore[arg-type]  # of the words above
                        arch="" if arch == "noarch" else arch,
                        module=module,
                    ),
                )


def _named(pattern: str) -> str:
    """The package that one of Ubuntu's patterns is for: `^libssh-4(?::\\w+|)\\s+(.*)$`."""
    found = _PATTERN.match(pattern)
    return found[1].replace("\\", "") if found else ""


def _place(platform: str) -> list[Place]:
    """Ecosystems and distribution releases of a platform's name; none if it is not known."""
    for pattern, ecosystem in _PLATFORMS:
        if found := pattern.match(platform):
            version = found[1]
            if ecosystem in {"debian", "ubuntu"}:
                version = codename_of(ecosystem, version) or version
            return [(ecosystem, version)]
    if old := _OLD_SUSE.match(platform):
        return [(old[1], f"{old[2]}.{old[3]}")]
    if platform.startswith(("SUSE", "openSUSE")):
        return [place for place in suse_releases(platform) if place[0] != platform]
    return []


def _date(element: ET.Element | None) -> str:
    return "" if element is None else element.get("date", "")


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _text(element: ET.Element | None) -> str:
    return "" if element is None else "".join(element.itertext()).strip()
