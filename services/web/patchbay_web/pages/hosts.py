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
RARE = {
    "differs": ("Two opinions", {"differs": True}),
    "incomplete": ("Repositories not read", {"incomplete": True}),
    "waiting": ("Not evaluated yet", {"evaluated": False}),
    "clones": ("Shared machine id", {"machine_id_shared": True}),
}
"""Filters that the dashboard leads to: they are shown only while they are set."""
COLUMNS = (("hostname", "Host"), ("updates", "Updates"), ("security", "Security"), ("last_report_at", "Last report"))
TABS = ("updates", "repositories", "packages", "reports", "facts")


@pages.get("/hosts")
def index() -> str:
    """Hosts with their counts."""
    shown = request.args.get("show", "all")
    if shown not in FILTERS and shown not in RARE:
        abort(404)
    filters = FILTERS | ({shown: RARE[shown]} if shown in RARE else {})
    narrowed = {name: value for name in ("os", "tag", "state", "rule") if (value := request.args.get(name))}
    sort = request.args.get("sort", "-security")
    found = api().get(
        "/hosts",
        token(),
        q=request.args.get("q") or None,
        os=narrowed.get("os"),
        tag=narrowed.get("tag"),
        state=narrowed.get("state"),
        reboot_rule=narrowed.get("rule"),
        sort=sort,
        cursor=request.args.get("cursor"),
        limit=PAGE_LENGTH,
        **filters[shown][1],
    )
    pills = {host["id"]: presentation.host_pills(host) for host in found["items"]}
    return render_template(
        "hosts.html",
        found=found,
        pills=pills,
        shown=shown,
        filters=filters,
        narrowed=[(name, _in_words(name, value)) for name, value in narrowed.items()],
        columns=COLUMNS,
        sort=sort,
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


def _in_words(name: str, value: str) -> str:
    """What a narrowing parameter of the list of hosts says."""
    if name == "state":
        return presentation.state(value)[0]
    return presentation.restart_rule(value) if name == "rule" else value


def _content(host: dict[str, Any], tab: str) -> dict[str, Any]:
    """What the templates of the tabs need beside the host."""
    path = f"/hosts/{host['id']}/{tab}"
    if tab == "facts":
        return {}
    if tab == "reports":
        return _reports(host)
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


def _reports(host: dict[str, Any]) -> dict[str, Any]:
    shown = request.args.get("show", "all")
    if shown != "all" and shown not in presentation.RECEIPT_STATES:
        abort(404)
    found = api().get(
        f"/hosts/{host['id']}/receipts",
        token(),
        state=None if shown == "all" else shown,
        cursor=request.args.get("cursor"),
        limit=PAGE_LENGTH,
    )
    return {"found": found, "shown": shown, "states": presentation.RECEIPT_STATES}


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
