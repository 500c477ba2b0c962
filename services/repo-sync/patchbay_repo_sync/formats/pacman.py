"""pacman's sync databases: a tar file with one folder a package.

Rules: libalpm 13 (`be_sync.c`), which writes no specification.
"""

import re
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

import msgspec
import structlog
from patchbay_shared.catalogue import AvailablePackage, Relations
from patchbay_shared.errors import InvalidInput, InvalidVersion
from patchbay_shared.versions import evr_key

from patchbay_repo_sync.formats.text import digest64

MAX_ENTRY_BYTES = 4 * 1024 * 1024

_log = structlog.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_KEY = re.compile(r"%[A-Z0-9]+%")
_LISTS = {
    "%GROUPS%",
    "%LICENSE%",
    "%REPLACES%",
    "%DEPENDS%",
    "%OPTDEPENDS%",
    "%MAKEDEPENDS%",
    "%CHECKDEPENDS%",
    "%CONFLICTS%",
    "%PROVIDES%",
    "%XDATA%",
}
_RELATION = re.compile(r"([^<>=]+)(<=|>=|=|<|>)(.+)")


def packages(stream: BinaryIO) -> Iterator[AvailablePackage]:
    """The packages of a database whose tar file `stream` yields, in its order. Raises InvalidInput."""
    refused = 0
    for folder, entry in _entries(stream):
        try:
            yield _package(folder, entry)
        except InvalidVersion:
            refused += 1
    if refused:
        _log.warning("packages_without_usable_version", index="database", count=refused)


def _entries(stream: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Each package's folder with its description; `desc` and the older separate `depends` are joined."""
    folder, parts = "", list[bytes]()
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 18) as archive:
            for member in archive:
                name, _, file = member.name.removeprefix("./").rpartition("/")
                if not member.isreg() or file not in {"desc", "depends"}:
                    continue
                if name != folder:
                    if parts:
                        yield folder, b"\n\n".join(parts)
                    folder, parts = name, []
                if member.size > MAX_ENTRY_BYTES:
                    raise InvalidInput(f"the database holds an entry of more than {MAX_ENTRY_BYTES} bytes")
                reader = archive.extractfile(member)
                if reader is not None:
                    parts.append(reader.read())
    except tarfile.TarError as exc:
        raise InvalidInput(f"the database is no readable tar file: {exc}") from exc
    if parts:
        yield folder, b"\n\n".join(parts)


def _package(folder: str, entry: bytes) -> AvailablePackage:
    if b"\0" in entry:
        raise InvalidInput(f"the database entry {folder[:200]!r} holds NUL bytes")
    single, lists = _fields(entry.decode("utf-8", "replace"))
    name, evr = single.get("%NAME%", ""), single.get("%VERSION%", "")
    if not name or not evr:
        raise InvalidInput(f"the database entry {folder[:200]!r} has no name or version")
    return AvailablePackage(
        name=name,
        arch=single.get("%ARCH%", ""),
        evr=evr,
        evr_key=evr_key("alpm", evr),
        digest=digest64(entry),
        source=single.get("%BASE%") or None,
        obsoletes=tuple(_relations(lists, "%REPLACES%")),
        relations=_encode(
            Relations(
                provides=_relations(lists, "%PROVIDES%"),
                requires=_relations(lists, "%DEPENDS%"),
                conflicts=_relations(lists, "%CONFLICTS%"),
                groups=lists.get("%GROUPS%", []),
            )
        ),
    )


def _fields(text: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Single values and lists by key. As libalpm reads: one line for a value, lines up to an empty one for a list.

    Either takes a line such as `%OTHER%` for a value; text outside of a field is passed over.
    """
    single: dict[str, str] = {}
    lists: dict[str, list[str]] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        key = line.rstrip()
        if not _KEY.fullmatch(key):
            continue
        if key not in _LISTS:
            single[key] = next(lines, "").rstrip()
            continue
        values = lists.setdefault(key, [])
        while value := next(lines, "").rstrip():
            values.append(value)
    return single, lists


def _relations(lists: dict[str, list[str]], key: str) -> list[str]:
    """`name<op>version` as the catalogue spells it, with blanks around the operator."""
    matches = ((text, _RELATION.fullmatch(text)) for text in lists.get(key, ()))
    return [" ".join(match.groups()) if match else text for text, match in matches]
