"""The list of hosts, and one host."""

from typing import Any
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web import presentation
from patchbay_web.session import api, token

pages = Blueprint("hosts", __name__)

PAGE_LENGTH = 50
FILTERS = {
    "all": ("All", {}),
    "security": ("Security", {"security": True}),
    "updates": ("Updates", {"updates": True}),
    "reboot": ("Restart", {"reboot": True}),
    "silent": ("Silent", {"silent": True}),
    "current": ("No updates", {"updates": False}),
}
COLUMNS = (("hostname", "Host"), ("updates", "Updates"), ("security", "Security"), ("last_report_at", "Last report"))
TABS = ("updates", "repositories", "packages", "facts")


@pages.get("/hosts")
def index() -> str:
    """Hosts with their counts."""
    shown = request.args.get("show", "all")
    if shown not in FILTERS:
        abort(404)
    sort = request.args.get("sort", "-security")
    found = api().get(
        "/hosts",
        token(),
        q=request.args.get("q") or None,
        os=request.args.get("os") or None,
        sort=sort,
        cursor=request.args.get("cursor"),
        limit=PAGE_LENGTH,
        **FILTERS[shown][1],
    )
    pills = {host["id"]: presentation.host_pills(host) for host in found["items"]}
    return render_template(
        "hosts.html", found=found, pills=pills, shown=shown, filters=FILTERS, columns=COLUMNS, sort=sort
    )


@pages.get("/hosts/<uuid:host_id>")
def show(host_id: UUID) -> str:
    """One host: what it is, what is outstanding, why."""
    host = api().get(f"/hosts/{host_id}", token())
    tab = request.args.get("tab", "updates")
    if tab not in TABS:
        abort(404)
    return render_template(
        f"host_{tab}.html",
        host=host,
        pills=presentation.host_pills(host),
        tab=tab,
        tabs=TABS,
        **_content(host, tab),
    )


@pages.post("/hosts/<uuid:host_id>/evaluate")
def evaluate(host_id: UUID) -> Response:
    """Ask for a fresh evaluation."""
    api().post(f"/hosts/{host_id}/evaluate", token())
    flash("A fresh evaluation was asked for; reload in a moment.")
    return redirect(url_for("hosts.show", host_id=host_id), 303)


def _content(host: dict[str, Any], tab: str) -> dict[str, Any]:
    """What the templates of the tabs need beside the host."""
    path = f"/hosts/{host['id']}/{tab}"
    if tab == "facts":
        return {}
    if tab == "repositories":
        return {"repositories": api().get(path, token())["items"]}
    query: dict[str, Any] = {
        "q": request.args.get("q") or None,
        "cursor": request.args.get("cursor"),
        "limit": PAGE_LENGTH,
    }
    if tab == "packages":
        return {"found": api().get(path, token(), **query)}
    shown = request.args.get("show", "listed")
    filters = _update_filters(host)
    if shown not in filters:
        filters[shown] = (presentation.state(shown)[0], 0, {"state": shown})
    found = api().get(path, token(), **query, **filters[shown][2])
    return {"found": found, "shown": shown, "filters": filters}


def _update_filters(host: dict[str, Any]) -> dict[str, tuple[str, int, dict[str, Any]]]:
    """Filter to (words, count, query): what the package manager lists, its security fixes, then each other state."""
    states = host["states"] or {}
    filters: dict[str, tuple[str, int, dict[str, Any]]] = {
        "listed": ("Outstanding", host["updates"] or 0, {"listed": True}),
        "security": ("Security", host["security"] or 0, {"listed": True, "security": True}),
    }
    for name in presentation.STATES:
        if states.get(name) and name != "outstanding":
            filters[name] = (presentation.state(name)[0], states[name], {"state": name})
    filters["all"] = ("Everything", sum(states.values()), {})
    return filters
