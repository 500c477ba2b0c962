"""Vulnerabilities: the list, and one CVE with the hosts that it touches."""

from typing import Any

from flask import Blueprint, Response, abort, render_template, request

from patchbay_web import presentation
from patchbay_web.exports import csv_of
from patchbay_web.session import api, may, token

pages = Blueprint("cves", __name__)

PAGE_LENGTH = 50
SEVERITIES = ("critical", "high", "medium", "low")
CSV_FIELDS = "id,severity,severity_by,score,epss,known_exploited,due_on,host_count,advisories,published_at"


@pages.get("/cves")
def index() -> str:
    """CVEs: without a search what touches the fleet, the worst first; `show=all`: every one that is named."""
    query = _query()
    found = api().get("/cves", token(), cursor=request.args.get("cursor"), limit=PAGE_LENGTH, **query)
    narrowed = any(request.args.get(name) for name in ("show", "severity", "q"))
    counted = None if found["items"] or narrowed or not may("hosts.read") else api().get("/dashboard", token())
    return render_template(
        "cves.html",
        found=found,
        everything=not query["exposed"],
        severity=query["severity"],
        severities=SEVERITIES,
        states=presentation.CVE_STATES,
        counted=counted,
    )


@pages.get("/cves.csv")
def export() -> Response:
    """What the list shows, all of it, as CSV."""
    return csv_of("/cves", fields=CSV_FIELDS, **_query())


@pages.get("/cves/<cve_id>")
def show(cve_id: str) -> str:
    """One CVE: how bad it is, what fixes it, and which hosts have it in which state."""
    shown = request.args.get("state")
    if shown not in {None, "exposed", "waived", *presentation.CVE_STATES}:
        abort(404)
    cve = api().get(f"/cves/{cve_id}", token())
    hosts = api().get(
        f"/cves/{cve_id}/hosts", token(), state=shown, cursor=request.args.get("cursor"), limit=PAGE_LENGTH
    )
    return render_template("cve.html", cve=cve, found=hosts, shown=shown, states=_states(cve))


def _query() -> dict[str, Any]:
    """What the list asks the API for, by the address of the page."""
    shown, severity, wanted = (request.args.get(name) or None for name in ("show", "severity", "q"))
    if severity not in {None, *SEVERITIES}:
        abort(404)
    everything = shown == "all" or (wanted is not None and shown is None)
    return {
        "q": wanted,
        "exposed": None if everything else True,
        "known_exploited": True if shown == "exploited" else None,
        "severity": severity,
        "sort": "-id" if everything else "-urgency",
    }


def _states(cve: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    waived = {"waived": ("Waived", "purple", "An exception holds.")} if cve["hosts_by_state"].get("waived") else {}
    return {"exposed": presentation.EXPOSED, **presentation.CVE_STATES, **waived}
