"""Mirror lists: text lists of dnf, yum, pacman and apt, metalink documents, and openSUSE's lists in JSON."""

import xml.etree.ElementTree as ET
from urllib.parse import parse_qs, urlsplit

import defusedxml.ElementTree
import msgspec
from defusedxml.common import DefusedXmlException
from patchbay_shared.errors import InvalidInput
from patchbay_shared.fetching.checksum import Expected, expected, strength
from patchbay_shared.report import ReportRepository

MAX_MIRRORS = 20
"""More are not kept: the list is in the order of preference, and every mirror that fails costs a timeout."""
_MAX_DOCUMENT_BYTES = 2_000_000
_LIST_WORDS = ("mirrorlist", "metalink", "mirror-list", "mirrors.txt", "mirrors.list")


class MirrorList(msgspec.Struct, frozen=True):
    """Base URLs, best first, and what the entry document must be (metalink only; any one of them, newest first)."""

    urls: list[str]
    entries: list[Expected] = []


def names_a_list(url: str) -> bool:
    """Whether a URL that a client reported as a base URL is rather one of a list, as older clients mix them."""
    parts = urlsplit(url)
    words = parts.path.rstrip("/").rsplit("/", 1)[-1].lower()
    return (
        parts.scheme.startswith("mirror") or any(word in words for word in _LIST_WORDS) or _asks_for_repo(parts.query)
    )


def lists_of(definition: ReportRepository) -> list[str]:
    """The URLs of the mirror lists that a source names, in any of the ways that clients write them."""
    named = [definition.mirrorlist, definition.metalink, *filter(names_a_list, definition.urls)]
    return list(dict.fromkeys(_plain_scheme(url.strip()) for url in named if url and url.strip()))


def bases_of(definition: ReportRepository) -> list[str]:
    """The URLs that serve the repository themselves, in order, without a slash at the end."""
    urls = (url.strip().rstrip("/") for url in definition.urls if not names_a_list(url))
    return list(dict.fromkeys(url for url in urls if url))


def _plain_scheme(url: str) -> str:
    """apt's `mirror+http:`, `mirror:` and `mirror+file:` as what is fetched; files only through the mirror map."""
    url = url.removeprefix("mirror+")
    if url.startswith("file:"):
        return f"file:///{url.removeprefix('file:').lstrip('/')}"
    return f"http://{url.removeprefix('mirror://')}" if url.startswith("mirror://") else url


def _asks_for_repo(query: str) -> bool:
    fields = parse_qs(query)
    return "repo" in fields or "path" in fields


def parse(data: bytes, *, architecture: str = "", repository: str = "") -> MirrorList:
    """Read a list of either kind. Raises InvalidInput, also where it names no http or https mirror.

    `architecture` and `repository` fill in pacman's and yum's `$arch`, `$basearch` and `$repo`.
    """
    if len(data) > _MAX_DOCUMENT_BYTES:
        raise InvalidInput(f"The mirror list has more than {_MAX_DOCUMENT_BYTES} bytes.")
    head = data.lstrip()[:512].lower()
    if b"<metalink" in head or head.startswith(b"<?xml"):
        return _metalink(data)
    if head.startswith(b"<"):
        raise InvalidInput("The mirror list is a web page.")
    if head.startswith(b"["):
        return _mirrorcache(data)
    ranked: list[tuple[int, str]] = []
    for line in data.decode("utf-8", "replace").splitlines():
        text = line.partition("#")[0].strip()
        if text.lower().startswith("server") and "=" in text:
            text = text.split("=", 1)[1].strip()
        url, *notes = text.split() or [""]
        for variable, value in (("$basearch", architecture), ("$arch", architecture), ("$repo", repository)):
            if value:
                url = url.replace(variable, value)
        if _serves_indexes(notes):
            ranked.append((_priority(notes), url))
    ranked.sort(key=lambda pair: pair[0])
    return MirrorList(_usable([url for _, url in ranked]))


def _serves_indexes(notes: list[str]) -> bool:
    """apt-transport-mirror(1): a mirror may be for some kinds of files only."""
    kinds = {note.removeprefix("type:") for note in notes if note.startswith("type:")}
    return not kinds or "index" in kinds


def _priority(notes: list[str]) -> int:
    """apt-transport-mirror(1): lower is tried first, and before those without."""
    return next((_number(note.removeprefix("priority:")) for note in notes if note.startswith("priority:")), 10**7)


class _Entry(msgspec.Struct):
    url: str
    prio: int = 0
    """Lower is better."""


def _mirrorcache(data: bytes) -> MirrorList:
    """What openSUSE's MirrorCache answers to zypper."""
    try:
        entries = msgspec.json.decode(data, type=list[_Entry])
    except (msgspec.DecodeError, RecursionError) as exc:
        raise InvalidInput(f"The mirror list in JSON cannot be read: {exc}") from exc
    return MirrorList(_usable([each.url for each in sorted(entries, key=lambda each: each.prio)]))


def _metalink(data: bytes) -> MirrorList:
    """Mirrors of repomd.xml, and its checksums (with older alternates).

    metalink 3 as MirrorManager serves it has a `preference` (100 is best), RFC 5854 a `priority` (1 is best).
    """
    try:
        root = defusedxml.ElementTree.fromstring(data)
    except (ET.ParseError, DefusedXmlException, ValueError) as exc:
        raise InvalidInput(f"The metalink cannot be read: {exc}") from exc
    urls: list[tuple[int, str]] = []
    checksums: list[Expected] = []
    for element in root.iter():
        tag = element.tag.rpartition("}")[2]
        if tag == "url":
            rank = _number(element.get("priority")) - _number(element.get("preference"))
            urls.append((rank, (element.text or "").strip().removesuffix("repodata/repomd.xml")))
        elif tag in {"file", "alternate"}:
            checksums += _best_hash(element)
    urls.sort(key=lambda pair: pair[0])
    return MirrorList(_usable([url for _, url in urls]), checksums)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 7 else 0


def _best_hash(file: ET.Element) -> list[Expected]:
    """The strongest checksum that stands directly in a <file> or <alternate>, if it has one worth having."""
    found: list[Expected] = []
    size = None
    for child in file:
        tag = child.tag.rpartition("}")[2]
        text = (child.text or "").strip()
        if tag == "size" and text.isascii() and text.isdigit() and len(text) < 16:
            size = int(text)
        hashes = [child] if tag == "hash" else child if tag == "verification" else ()  # RFC 5854: without a wrapper
        for each in hashes:
            kind = each.get("type", "").lower().replace("-", "")
            if each.tag.rpartition("}")[2] == "hash" and strength(kind) >= strength("sha256"):
                found.append(expected(kind, (each.text or "").strip(), None, where="The metalink"))
    if not found:
        return []
    best = max(found, key=lambda each: strength(each.algorithm))
    return [Expected(best.algorithm, best.value, size)]


def _usable(urls: list[str]) -> list[str]:
    """http and https only, https first among equals is the list's own business; each once."""
    kept = [url.rstrip("/") for url in urls if urlsplit(url).scheme in {"http", "https"} and urlsplit(url).hostname]
    unique = list(dict.fromkeys(url for url in kept if "$" not in url))
    if not unique:
        raise InvalidInput("The mirror list names no http or https mirror.")
    return unique[:MAX_MIRRORS]
