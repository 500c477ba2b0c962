"""Packages over the whole fleet: the list, and one package with its versions and its hosts."""

from typing import Any

from flask import Blueprint, abort, render_template, request

from patchbay_web.session import api, token

pages = Blueprint("packages", __name__)

PAGE_LENGTH = 50
SHORTEST_PREFIX = 2
TABS = ("versions", "hosts")


@pages.get("/packages")
def index() -> str:
    """Packages by name; with a search also those that repositories offer and no host has."""
    wanted = request.args.get("q", "").strip()
    offered = request.args.get("show") == "offered" and len(wanted) >= SHORTEST_PREFIX
    found = api().get(
        "/packages",
        token(),
        q=wanted or None,
        offered=True if offered else None,
        cursor=request.args.get("cursor"),
        limit=PAGE_LENGTH,
    )
    return render_template(
        "packages.html", found=found, offered=offered, may_offer=len(wanted) >= SHORTEST_PREFIX, wanted=wanted
    )


@pages.get("/packages/<path:name>")
def show(name: str) -> str:
    """One package: its versions with what they fix and where they are from, or the hosts that have it."""
    tab = request.args.get("tab", "versions")
    if tab not in TABS:
        abort(404)
    version = request.args.get("version") or None
    installed = request.args.get("show") == "installed"
    narrowed: dict[str, Any] = {"version": version} if tab == "hosts" else {"installed": installed or None}
    found = api().get(
        f"/packages/{name}/{tab}", token(), cursor=request.args.get("cursor"), limit=PAGE_LENGTH, **narrowed
    )
    return render_template(
        f"package_{tab}.html", name=name, found=found, tab=tab, tabs=TABS, version=version, installed=installed
    )
