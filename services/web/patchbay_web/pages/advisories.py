"""What vendors publish about fixes: the list, and one advisory."""

from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from patchbay_web.exports import csv_of
from patchbay_web.session import api, may, token

pages = Blueprint("advisories", __name__)

PAGE_LENGTH = 50
SEVERITIES = ("critical", "high", "medium", "low")
TYPES = ("security", "bugfix", "enhancement")
VENDORS = ("debian", "ubuntu", "rocky", "almalinux", "arch", "gentoo")
NARROWING = ("vendor", "package", "cve")
FILTERS = (*NARROWING, "q", "type", "severity", "known_exploited")
MOST_FIXES = 400
CSV_FIELDS = (
    "name,vendor,type,severity,worst_cve,worst_cve_severity,known_exploited,host_count,cves,title,issued_at,url"
)


@pages.get("/advisories")
def index() -> str:
    """Advisories: without a search what is outstanding on the fleet, the worst first; `show=all`: all, by date."""
    query = _query()
    everything = not query["outstanding"]
    found = api().get("/advisories", token(), cursor=request.args.get("cursor"), limit=PAGE_LENGTH, **query)
    filtered = any(query[name] for name in FILTERS)
    counted = None
    if not (found["items"] or everything or filtered) and may("hosts.read"):
        counted = api().get("/dashboard", token())["hosts"]
    return render_template(
        "advisories.html",
        found=found,
        everything=everything,
        filtered=filtered,
        counted=counted,
        severities=SEVERITIES,
        types=TYPES,
        vendors=VENDORS,
        narrowed={name: query[name] for name in NARROWING if query[name]},
    )


@pages.get("/advisories.csv")
def export() -> BaseResponse:
    """What the list shows, all of it, as CSV."""
    return csv_of("/advisories", fields=CSV_FIELDS, **_query())


@pages.get("/advisories/find/<name>")
def find(name: str) -> BaseResponse:
    """To the advisory of that id, wherever it was read; several feeds may have it, then to the list of them."""
    found = api().get("/advisories", token(), q=name, limit=20)["items"]
    exact = [each for each in found if each["name"] == name]
    if len({each["source"] for each in exact}) == 1:
        return redirect(url_for("advisories.show", source=exact[0]["source"], name=name))
    return redirect(url_for("advisories.index", q=name))


@pages.get("/advisories/<source>/<name>")
def show(source: str, name: str) -> str:
    """One advisory: what it is about, and what fixes it where."""
    advisory = api().get(f"/advisories/{source}/{name}", token())
    fixes = advisory["fixes"]
    by_release: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for each in fixes[:MOST_FIXES]:
        by_release.setdefault((each["ecosystem"], each["distro_release"]), []).append(each)
    return render_template(
        "advisory.html",
        advisory=advisory,
        by_release=by_release,
        left_out=max(0, len(fixes) - MOST_FIXES),
        links=[each for each in advisory["links"] if each.startswith(("https://", "http://"))],
    )


def _query() -> dict[str, Any]:
    """What the list asks the API for, by the address of the page."""
    shown, severity = (request.args.get(name) or None for name in ("show", "severity"))
    if severity not in {None, *SEVERITIES}:
        abort(404)
    given = {name: request.args.get(name) or None for name in ("q", "type", *NARROWING)}
    everything = shown == "all" or (shown is None and any(given[name] for name in ("q", "package", "cve")))
    return {
        **given,
        "severity": severity,
        "outstanding": None if everything else True,
        "known_exploited": True if shown == "exploited" else None,
        "sort": "-issued_at" if everything else "-urgency",
    }
