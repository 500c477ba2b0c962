"""primary.xml of rpm-md repositories, one `<package>` element at a time, read by createrepo_c.

createrepo_c takes 0.6 s for 20,000 packages, and between two states of a repository nearly all elements are the same
bytes. So elements are told apart by the digest of their text, and only unknown ones are parsed. That is possible
without parsing as long as nothing in the document can hide a tag: no comment, no CDATA, no document type and no
encoding but UTF-8. Any other document is parsed whole.
"""

import re
import tempfile
from collections.abc import Container, Iterator, Sequence
from typing import IO, BinaryIO

from patchbay_shared.errors import InvalidInput

from patchbay_repo_sync.formats.librpm import createrepo_c
from patchbay_repo_sync.formats.text import digest64

MAX_ELEMENT_BYTES = 32 * 1024 * 1024
SOURCE_ARCHES = frozenset({"src", "nosrc"})

# createrepo_c reads any other XML, such as a proxy's error page, as a repository without packages.
_ROOT = re.compile(rb"<((?:[\w.-]+:)?metadata)[\s>]")
_ENCODING = re.compile(rb"encoding\s*=\s*[\"']([^\"']*)[\"']")
_FIRST = re.compile(rb"<package[\s>]")
_END = b"</package>"
_HEAD_BYTES = 65_536
_CHUNK_BYTES = 1 << 20
_MAX_MARKS = 20_000
"""So many in a megabyte are no text that anybody wrote."""
_BATCH_BYTES = 8 << 20


def records(
    stream: BinaryIO, known: Container[int] = frozenset()
) -> Iterator[tuple[int, "createrepo_c.Package | None"]]:
    """Every binary package with its digest, unparsed (None) where that is `known`. Raises InvalidInput."""
    with tempfile.NamedTemporaryFile(prefix="patchbay-primary-", suffix=".xml") as file:
        head = stream.read(_HEAD_BYTES)
        root = _ROOT.search(head)
        if root is None:
            raise InvalidInput("primary.xml has no root element 'metadata'")
        first = _FIRST.search(head, root.end())
        plain = (
            _copied(head, stream, file, after=root.start()) and first is not None and _is_utf8(head[: root.start()])
        )
        if not plain or first is None:
            found = _whole(file.name)
        elif known:
            found = _differing(file, head[: first.start()], root[1], known)
        else:
            found = _all(file, first.start(), root[1])
        for digest, package in found:
            if package is None or package.arch not in SOURCE_ARCHES:
                yield digest, package


def _is_utf8(declaration: bytes) -> bool:
    named = _ENCODING.search(declaration)
    return b"<!" not in declaration and (named is None or named[1].lower() in {b"utf-8", b"us-ascii"})


def _copied(head: bytes, stream: BinaryIO, file: IO[bytes], *, after: int) -> bool:
    """Copy the document; whether nothing in it, `after` its declaration, could hide a tag."""
    file.write(head)
    plain = _hides_nothing(head[after:])
    last = head[-1:]
    while chunk := stream.read(_CHUNK_BYTES):
        plain = plain and _hides_nothing(last + chunk)
        last = chunk[-1:]
        file.write(chunk)
    file.flush()
    return plain


def _hides_nothing(text: bytes) -> bool:
    """Neither `<!` nor `<?`. Looked for from their second character, for every tenth byte of XML is a `<`."""
    for mark in (b"!", b"?"):
        place = text.find(mark)
        for _ in range(_MAX_MARKS):
            if place < 0:
                break
            if text[place - 1 : place] == b"<":
                return False
            place = text.find(mark, place + 1)
        else:
            return False
    return True


def _elements(file: IO[bytes], start: int, root: bytes) -> Iterator[tuple[int, bytes]]:
    """Every `<package>` of the document with its digest; the text is without its end tag."""
    file.seek(start)
    rest = b""
    while chunk := file.read(_CHUNK_BYTES):
        *texts, rest = (rest + chunk).split(_END)
        if len(rest) > MAX_ELEMENT_BYTES:
            raise InvalidInput(f"primary.xml holds a package of more than {MAX_ELEMENT_BYTES} bytes")
        for text in texts:
            element = text.strip()
            if not _FIRST.match(element):
                raise InvalidInput("primary.xml cannot be read: something stands between its packages")
            yield digest64(element), element
    if not re.fullmatch(rb"</%s\s*>" % re.escape(root), rest.strip()):
        raise InvalidInput("primary.xml is truncated: it has no end")


def _all(file: IO[bytes], start: int, root: bytes) -> Iterator[tuple[int, "createrepo_c.Package"]]:
    """A first sync: createrepo_c reads the document itself, beside the digests."""
    packages = _read(file.name)
    for digest, _ in _elements(file, start, root):
        package = next(packages, None)
        if package is None:
            raise _nested()
        yield digest, package
    if next(packages, None) is not None:
        raise _nested()


def _differing(
    file: IO[bytes], head: bytes, root: bytes, known: Container[int]
) -> Iterator[tuple[int, "createrepo_c.Package | None"]]:
    batch: list[tuple[int, bytes]] = []
    size = 0
    for digest, element in _elements(file, len(head), root):
        if digest in known:
            yield digest, None
            continue
        batch.append((digest, element))
        size += len(element)
        if size > _BATCH_BYTES:
            yield from _parsed(head, root, batch)
            batch, size = [], 0
    if batch:
        yield from _parsed(head, root, batch)


def _parsed(
    head: bytes, root: bytes, batch: Sequence[tuple[int, bytes]]
) -> Iterator[tuple[int, "createrepo_c.Package"]]:
    with tempfile.NamedTemporaryFile(prefix="patchbay-primary-", suffix=".xml") as file:
        file.write(b"".join([head, _END.join([*(element for _, element in batch), b"</%s>" % root])]))
        file.flush()
        packages = list(_read(file.name))
    if len(packages) != len(batch):
        raise _nested()
    yield from ((digest, package) for (digest, _), package in zip(batch, packages, strict=True))


def _nested() -> InvalidInput:
    return InvalidInput("primary.xml cannot be read: packages stand inside of packages")


def _whole(name: str) -> Iterator[tuple[int, "createrepo_c.Package"]]:
    for package in _read(name):
        epoch, version, release = package.epoch or "", package.version or "", package.release or ""
        identity = (package.checksum_type, package.pkgId, package.name, package.arch, epoch, version, release)
        yield digest64("\0".join(each or "" for each in identity).encode()), package


def _read(name: str) -> Iterator["createrepo_c.Package"]:
    """createrepo_c reads a named file only, and takes the suffix as the word for "not compressed"."""
    try:
        yield from createrepo_c.PackageIterator(
            primary_path=name, filelists_path=None, other_path=None, warningcb=_ignore_warning
        )
    except (createrepo_c.CreaterepoCError, UnicodeDecodeError) as exc:
        reason = " ".join(str(exc).replace(name, "primary.xml").split())
        raise InvalidInput(f"primary.xml cannot be read: {reason}") from exc


def _ignore_warning(_kind: int, _message: str) -> bool:
    return True
