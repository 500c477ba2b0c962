"""Vulnerabilities: the list, and one CVE with the hosts that it touches."""

from typing import Any

from flask import Blueprint, abort, render_template, request

from patchbay_web import presentation
from patchbay_web.session import api, may, token

pages = Blueprint("cves", __name__)

PAGE_LENGTH = 50
SEVERITIES = ("critical", "high", "medium", "low")


@pages.get("/cves")
def index() -> str:
    """CVEs: without a search what touches the fleet, the worst first; `show=all`: every one that is named."""
    shown, severity, wanted = (request.args.get(name) or None for name in ("show", "severity", "q"))
    if severity not in {None, *SEVERITIES}:
        abort(404)
    everything = shown == "all" or (wanted is not None and shown is None)
    found = api().get(
        "/cves",
        token(),
        q=wanted,
        exposed=None if everything else True,
        known_exploited=True if shown == "exploited" else None,
        severity=severity,
        sort="-id" if everything else "-urgency",
        cursor=request.args.get("cursor"),
        limit=PAGE_LENGTH,
    )
    narrowed = any((everything, shown, severity, wanted))
    counted = None if found["items"] or narrowed or not may("hosts.read") else api().get("/dashboard", token())
    return render_template(
        "cves.html",
        found=found,
        everything=everything,
        severity=severity,
        severities=SEVERITIES,
        states=presentation.CVE_STATES,
        counted=counted,
    )


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


def _states(cve: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    waived = {"waived": ("Waived", "purple", "An exception holds.")} if cve["hosts_by_state"].get("waived") else {}
    return {"exposed": presentation.EXPOSED, **presentation.CVE_STATES, **waived}
