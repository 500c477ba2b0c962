"""A patchman-client's repositories as `ReportRepository` values.

apt's indexes come one a line, each with its own URL; they are put together again to sources. dnf's come with
whatever URL dnf shows first, so mirrorlist and metalink are told from base URLs by what such addresses look
like.
"""

import re
from collections.abc import Sequence
from typing import Any, Protocol

from patchbay_shared.report import OsRelease
from patchbay_shared.repositories import without_token

_DISTS = re.compile(
    r"^(?P<base>.+?)/+dists/(?P<suite>.+?)/(?P<component>[^/]+)/binary-(?P<arch>[A-Za-z0-9-]+)/*$", re.DOTALL
)
_USERINFO = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/?#@]*@")
_URL = re.compile(r"^(?:[A-Za-z][A-Za-z0-9+.-]*:|/)\S*\Z")
_PACMAN_ORDER = (
    "core-testing", "core", "extra-testing", "extra", "community", "multilib-testing", "multilib",
)  # fmt: skip
"""pacman.conf's own order; the client sends its repositories in none."""


class Sent(Protocol):
    """A repository as a client writes it."""

    @property
    def type(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def urls(self) -> list[str]: ...


def repositories_of(
    sent: Sequence[Sent], *, release: OsRelease, arch: str, manager: str, notes: list[str]
) -> list[dict[str, Any]]:
    """The repositories as values of `ReportRepository`; what names no place is told in `notes`."""
    apt: list[tuple[str, int]] = []
    others: list[dict[str, Any]] = []
    for each in sent:
        urls = [clean_url(url) for url in each.urls if _URL.match(url.strip())]
        if not urls:
            notes.append(f"The repository {each.id or each.name!r} names no URL that can be read.")
        elif each.type == "deb":
            apt += [(url, each.priority) for url in urls]
        elif each.type == "rpm":
            others.append(_rpm(each, urls, release=release, arch=arch))
        elif each.type == "arch":
            others.append(_pacman(each, urls, arch))
        elif each.type == "gentoo":
            others.append({"id": each.id, "type": "gentoo", "name": each.name, "urls": urls})
        else:
            notes.append(f"The repository {each.id or each.name!r} is of an unknown type, {each.type!r}.")
    if manager == "pacman":
        others.sort(key=lambda entry: _pacman_position(entry["id"]))
        others = [{**entry, "order": position} for position, entry in enumerate(others)]
    return [*_apt_sources(apt), *others]


def clean_url(url: str) -> str:
    """The URL without user name, password and token, which must not be stored, and without outer spaces."""
    return _USERINFO.sub(lambda found: found["scheme"], without_token(url.strip()))


def _apt_sources(indexes: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """Sources: indexes of one base, suite and architecture become one source with several components."""
    sources: dict[tuple[str, str, str], dict[str, Any]] = {}
    for url, priority in indexes:
        found = _DISTS.match(url)
        if found:
            base, suite, arch = found["base"], found["suite"].strip("/"), found["arch"]
            components = [found["component"]]
        else:
            base, suite, arch, components = _flat_base(url), "./", "", []
        entry = sources.setdefault(
            (base, suite, arch),
            {
                "type": "deb",
                "name": f"{base} {suite}",
                "urls": [base],
                "suite": suite,
                "components": [],
                "arch": [arch] if arch else [],
                "priority": priority,
                "security": True if suite.endswith("-security") or suite.endswith("/updates") else None,
            },
        )
        entry["components"] += [each for each in components if each not in entry["components"]]
    merged = _one_source_for_equal_components(list(sources.values()))
    suites = [entry["suite"] for entry in merged]
    for entry in merged:
        unique = suites.count(entry["suite"]) == 1 and entry["suite"] != "./"
        entry["id"] = entry["suite"] if unique else f"{entry['suite']} ({entry['urls'][0].partition('://')[2]})"
    return merged


def _one_source_for_equal_components(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    merged: dict[tuple[str, str, tuple[str, ...]], dict[str, Any]] = {}
    for entry in entries:
        key = (entry["urls"][0], entry["suite"], tuple(entry["components"]))
        if key in merged:
            merged[key]["arch"] += entry["arch"]
        else:
            merged[key] = entry
    return list(merged.values())


def _flat_base(url: str) -> str:
    """apt names a flat repository at its base as `<base>/./`."""
    base = url.rstrip("/")
    while base.endswith("/."):
        base = base.removesuffix("/.").rstrip("/")
    return base


def _rpm(each: Sent, urls: list[str], *, release: OsRelease, arch: str) -> dict[str, Any]:
    cpe = f"{release.CPE_NAME}-" if release.CPE_NAME else ""
    entry: dict[str, Any] = {
        "id": each.id.removeprefix(cpe) or each.name,
        "type": "rpm-md",
        "name": each.name,
        "arch": arch,
        "priority": each.priority or 99,
        "urls": [],
    }
    for url in urls:
        kind = rpm_url_kind(url)
        if kind == "baseurl":
            entry["urls"].append(url)
        else:
            entry.setdefault(kind, url)
    return entry


def rpm_url_kind(url: str) -> str:
    """`metalink`, `mirrorlist` or `baseurl`."""
    scheme, _, rest = url.lower().partition("://")
    if scheme not in {"http", "https"}:
        return "baseurl"
    host, _, path = rest.partition("/")
    path, _, _query = path.partition("?")
    last = path.rstrip("/").rpartition("/")[2]
    if "metalink" in path or host.startswith("metalink"):
        return "metalink"
    if "mirrorlist" in path or host.startswith("mirrorlist") or last in {"mirror.list", "mirrors.list", "mirrors"}:
        return "mirrorlist"
    return "baseurl"


def _pacman(each: Sent, urls: list[str], arch: str) -> dict[str, Any]:
    # The client lets a shell expand the server line, where $arch is empty: `…/core/os/` for `…/core/os/$arch`.
    servers = [f"{url.rstrip('/')}/{arch}" if url.rstrip("/").endswith("/os") and arch else url for url in urls]
    return {"id": each.id or each.name, "type": "pacman", "name": each.name, "arch": arch, "urls": servers}


def _pacman_position(name: str) -> int:
    return _PACMAN_ORDER.index(name) if name in _PACMAN_ORDER else len(_PACMAN_ORDER)
