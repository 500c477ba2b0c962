"""Vulnerabilities: the list, and one CVE with the hosts that it touches."""

from flask import Blueprint, abort, render_template, request

from patchbay_web import presentation
from patchbay_web.session import api, token

pages = Blueprint("cves", __name__)

PAGE_LENGTH = 50


@pages.get("/cves")
def index() -> str:
    """CVEs, the newest ids first."""
    exploited = request.args.get("show") == "exploited"
    found = api().get(
        "/cves",
        token(),
        q=request.args.get("q") or None,
        known_exploited=True if exploited else None,
        cursor=request.args.get("cursor"),
        limit=PAGE_LENGTH,
    )
    return render_template("cves.html", found=found, exploited=exploited)


@pages.get("/cves/<cve_id>")
def show(cve_id: str) -> str:
    """One CVE: how bad it is, what fixes it, and which hosts have it in which state."""
    shown = request.args.get("state")
    if shown not in {None, *presentation.CVE_STATES}:
        abort(404)
    cve = api().get(f"/cves/{cve_id}", token())
    hosts = api().get(
        f"/cves/{cve_id}/hosts", token(), state=shown, cursor=request.args.get("cursor"), limit=PAGE_LENGTH
    )
    return render_template("cve.html", cve=cve, found=hosts, shown=shown, states=presentation.CVE_STATES)
