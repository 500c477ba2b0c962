"""One search over hosts, packages, CVEs and advisories, as a page and as suggestions while somebody types."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from flask import Blueprint, render_template, request, url_for

from patchbay_web.presentation import plural
from patchbay_web.session import api, may, token

pages = Blueprint("search", __name__)

SUGGESTED_COUNT = 5
PAGE_COUNT = 25
LEAST_CHARACTERS = 2
_PART_OF_AN_ID = re.compile(r"(?:(?:c?v)?e)?-?\d[\d-]*", re.IGNORECASE)
"""What can be part of the id of a CVE; for anything else the whole list would be walked for nothing."""


class Found(NamedTuple):
    """One thing that was found."""

    target: str
    words: str
    detail: str


class Kind(NamedTuple):
    """What was found of one kind, and where all of it is."""

    words: str
    icon: str
    target: str
    total_count: int
    items: list[Found]


@pages.get("/search")
def show() -> str:
    """What the words are part of; asked by htmx, only a short list."""
    wanted = request.args.get("q", "").strip()
    suggesting = "HX-Request" in request.headers
    kinds = _search(wanted, SUGGESTED_COUNT if suggesting else PAGE_COUNT) if len(wanted) >= LEAST_CHARACTERS else []
    kinds = [each for each in kinds if each.items]
    return render_template("suggestions.html" if suggesting else "search.html", kinds=kinds, wanted=wanted)


def _search(wanted: str, limit: int) -> list[Kind]:
    asks: list[Callable[[], Kind]] = []
    if may("hosts.read"):
        asks += [
            lambda: _hosts(wanted, api().get("/hosts", token(), q=wanted, limit=limit)),
            lambda: _packages(wanted, api().get("/packages", token(), q=wanted.lower(), offered=True, limit=limit)),
        ]
    if may("advisories.read"):
        if _PART_OF_AN_ID.fullmatch(wanted):
            asks.append(lambda: _cves(wanted, api().get("/cves", token(), q=wanted.upper(), limit=limit)))
        asks.append(lambda: _advisories(wanted, api().get("/advisories", token(), q=wanted, limit=limit)))
    return api().together(*asks) if asks else []


def _hosts(wanted: str, found: dict[str, Any]) -> Kind:
    items = [
        Found(url_for("hosts.show", host_id=each["id"]), each["hostname"], each["os"]) for each in found["items"]
    ]
    return Kind("Hosts", "server", url_for("hosts.index", q=wanted), found["total_count"], items)


def _packages(wanted: str, found: dict[str, Any]) -> Kind:
    items = [
        Found(url_for("packages.show", name=each["name"]), each["name"], f"on {plural(each['host_count'], 'host')}")
        for each in found["items"]
    ]
    target = url_for("packages.index", q=wanted.lower(), show="offered")
    return Kind("Packages", "package", target, found["total_count"], items)


def _cves(wanted: str, found: dict[str, Any]) -> Kind:
    items = [
        Found(
            url_for("cves.show", cve_id=each["id"]),
            each["id"],
            " · ".join(filter(None, ("known exploited" if each["known_exploited"] else "", each["severity"]))),
        )
        for each in found["items"]
    ]
    return Kind("CVEs", "bug", url_for("cves.index", q=wanted), found["total_count"], items)


def _advisories(wanted: str, found: dict[str, Any]) -> Kind:
    items = [
        Found(url_for("advisories.show", source=each["source"], name=each["name"]), each["name"], each["title"])
        for each in found["items"]
    ]
    return Kind("Advisories", "file-alert", url_for("advisories.index", q=wanted), found["total_count"], items)
