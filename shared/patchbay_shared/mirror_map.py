"""PATCHBAY_MIRROR_MAP: where to fetch from instead of the URLs that hosts configure.

The text is a list, separated by blanks, of `prefix=target`. A URL that begins with a prefix is fetched from the
target, another URL or a local folder, with the rest of its path; of several prefixes the longest wins.

>>> MirrorMap.parse("http://deb.example.org/=http://cache:3142/debian").locate("http://deb.example.org/dists/x").url
'http://cache:3142/debian/dists/x'
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from patchbay_shared.errors import InvalidInput


class Place(msgspec.Struct, frozen=True):
    """Where to fetch a URL from: `path` for a file in a local folder, else `url`."""

    url: str
    path: Path | None = None
    mapped: bool = False
    """Whether an entry of the map, that is the operator, decided it."""


class MirrorMap(msgspec.Struct, frozen=True):
    """The parsed map; the empty one leaves every URL as it is."""

    entries: tuple[tuple[str, str], ...] = ()
    """Prefix and target, the longest prefix first, neither with a slash at its end."""

    @classmethod
    def parse(cls, text: str) -> "MirrorMap":
        """Read the setting. Raises InvalidInput for an entry that is no `prefix=target`."""
        entries: dict[str, str] = {}
        for entry in text.split():
            prefix, equals, target = entry.partition("=")
            if not equals or not (_is_url(prefix) or prefix.startswith("file:///")):
                raise InvalidInput(f"the mirror map's entry {entry!r} is not prefix=target with a URL as prefix")
            if not _is_url(target) and (not target or "://" in target.removeprefix("file://")):
                raise InvalidInput(f"the mirror map's target {target!r} is neither a URL nor a folder")
            entries[_without_slash(prefix)] = _without_slash(target)
        return cls(tuple(sorted(entries.items(), key=lambda each: -len(each[0]))))

    def locate(self, url: str) -> Place:
        """Where to fetch `url` from. Raises InvalidInput where it would leave the folder that it maps to."""
        for prefix, target in self.entries:
            if not _begins(url, prefix):
                continue
            rest = url[len(prefix) :].lstrip("/")
            if _is_url(target):
                return Place(f"{target}/{rest}", mapped=True)
            return Place(url, path=_below(target.removeprefix("file://"), rest, url), mapped=True)
        return Place(url)

    def is_target(self, url: str) -> bool:
        """Whether `url` lies at or below a URL that the operator named as a target."""
        return any(_is_url(target) and _begins(url, target) for _, target in self.entries)


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://", "ftp://", "rsync://", "mirror://")) and len(text) > len("ftp://")


def _without_slash(text: str) -> str:
    """`text` without its last slashes, except those of `http://` itself, which stands for every host."""
    return text if text.endswith("://") else text.rstrip("/")


def _begins(url: str, prefix: str) -> bool:
    if not url.startswith(prefix):
        return False
    return prefix.endswith("/") or url[len(prefix) : len(prefix) + 1] in {"", "/", "?"}


def _below(folder: str, rest: str, url: str) -> Path:
    path = unquote(urlsplit(rest).path)
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts or "\0" in path:
        raise InvalidInput(f"{url[:200]!r} leaves the folder that the mirror map gives for it")
    return Path(folder, *parts)
