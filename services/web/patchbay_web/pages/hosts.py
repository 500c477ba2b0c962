"""The list of hosts, and one host."""

from typing import Any
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web import host_columns, presentation
from patchbay_web.client import Refused
from patchbay_web.host_terms import as_query
from patchbay_web.preferences import prefer, preferences
from patchbay_web.session import api, local_target, token

pages = Blueprint("hosts", __name__)

PAGE_LENGTH = 50
FILTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "all": ("All", {}),
    "security": ("Security", {"security": True}),
    "updates": ("Updates", {"updates": True}),
    "reboot": ("Restart", {"reboot": True}),
    "silent": ("Silent", {"silent": True}),
    "current": ("No updates", {"updates": False}),
}
RARE: dict[str, tuple[str, dict[str, Any]]] = {
    "differs": ("Two opinions", {"differs": True}),
    "incomplete": ("Repositories not read", {"incomplete": True}),
    "waiting": ("Not evaluated yet", {"evaluated": False}),
    "other-updates": ("Updates, none for security", {"updates": True, "security": False}),
    "end-of-life": ("Past end of support", {"query": "support:ended,extended"}),
    "overdue": ("CVEs overdue", {"overdue": True}),
    "exploited": ("Exploited CVEs", {"exploited": True}),
    "waived": ("With exceptions", {"waived": True}),
    "uncertain": ("Uncertain", {"query": "updates=0 (evaluated:no or incomplete:yes or silent:yes)"}),
    "up-to-date": (
        "Up to date",
        {"updates": False, "evaluated": True, "incomplete": False, "silent": False},
    ),
    "clones": ("Shared machine id", {"machine_id_shared": True}),
}
"""Filters that the dashboard leads to: they are shown only while they are set."""
NARROWING = ("os", "group", "tag", "state", "rule")
TABS = {
    "updates": "Updates",
    "cves": "CVEs",
    "packages": "Packages",
    "timeline": "History",
    "compare": "Compare",
    "repositories": "Repositories",
    "modules": "Modules",
    "labels": "Tags and notes",
    "reports": "Reports",
    "facts": "Facts",
}

MOST_URGENT_FIRST = "-urgency"
ONLY_CVES: dict[str, tuple[str, dict[str, Any]]] = {
    "exploited": ("Exploited", {"known_exploited": True}),
    "overdue": ("Overdue", {"overdue": True}),
}
MOST_GROUPS = 500
FACET_COUNT = 12
MOST_QUERY_CHARACTERS = 2_000
HIDDEN_TABS = {"modules"}


@pages.get("/hosts")
def index() -> str:
    """Hosts with their counts."""
    shown = request.args.get("show", "all")
    if shown not in FILTERS and shown not in RARE:
        abort(404)
    filters = FILTERS | ({shown: RARE[shown]} if shown in RARE else {})
    narrowed = {name: value for name in NARROWING if (value := request.args.get(name))}
    sort = request.args.get("sort", "-security")
    query = request.args.get("query", "").strip()
    chosen_filter: dict[str, Any] = {**filters[shown][1]}
    preset = chosen_filter.pop("query", None)
    found, failure = _found_or_failure(
        q=request.args.get("q") or None,
        query=f"({query}) {preset}" if query and preset else query or preset,
        os=narrowed.get("os"),
        group=narrowed.get("group"),
        tag=narrowed.get("tag"),
        state=narrowed.get("state"),
        reboot_rule=narrowed.get("rule"),
        sort=sort,
        cursor=request.args.get("cursor"),
        limit=PAGE_LENGTH,
        **chosen_filter,
    )
    pills = {host["id"]: presentation.host_pills(host) for host in found["items"]}
    return render_template(
        "hosts.html",
        found=found,
        pills=pills,
        shown=shown,
        filters=filters,
        narrowed=[(name, _in_words(name, value)) for name, value in narrowed.items()],
        query=query,
        failure=failure,
        acts_on=as_query(request.args),
        columns=host_columns.COLUMNS,
        chosen=host_columns.chosen(preferences()),
        sort=sort,
        view=_opened_view(request.args.get("view", type=int)),
    )


@pages.get("/hosts/complete")
def complete() -> Any:
    """What could stand at the cursor of a query, for the field's script."""
    position = request.args.get("position", type=int)
    text = request.args.get("text", "")[:MOST_QUERY_CHARACTERS]
    return api().get("/query/complete", token(), text=text, position=position, list="hosts")


@pages.get("/hosts/facets")
def facets() -> str:
    """By what the list can be narrowed, each with its number of hosts; asked by htmx."""
    query = request.args.get("query", "").strip()
    others: dict[str, Any] = {name: value for name, value in request.args.items() if name not in {"query", "cursor"}}

    def with_term(term: str) -> str:
        return url_for("hosts.index", query=f"{query} {term}".strip(), **others)

    found = api().get("/hosts/facets", token(), query=as_query(request.args) or None, limit=FACET_COUNT)
    return render_template("host_facets.html", with_term=with_term, found=found)


@pages.post("/hosts/columns")
def choose_columns() -> Response:
    """Remember which columns to show, and go back to the list as it was."""
    chosen = [name for name in host_columns.COLUMNS if name in request.form.getlist("column")]
    prefer(**{host_columns.PREFERENCE: chosen or None})
    return redirect(local_target(request.form.get("back") or url_for("hosts.index")), 303)


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
        tabs={name: words for name, words in TABS.items() if name not in HIDDEN_TABS or _has(host, name)},
        **_content(host, tab),
    )


@pages.post("/hosts/<uuid:host_id>/labels")
def label(host_id: UUID) -> Response:
    """Set what operators say of it: group, tags, notes."""
    body = {
        "group": request.form.get("group") or None,
        "operator_tags": request.form.get("operator_tags", "").replace(",", " ").split(),
        "notes": request.form.get("notes", "").replace("\r\n", "\n"),
    }
    api().patch(f"/hosts/{host_id}", token(), body)
    flash("Group, tags and notes were set.")
    return redirect(url_for("hosts.show", host_id=host_id, tab="labels"), 303)


@pages.post("/hosts/<uuid:host_id>/evaluate")
def evaluate(host_id: UUID) -> Response:
    """Ask for a fresh evaluation."""
    api().post(f"/hosts/{host_id}/evaluate", token())
    flash("A fresh evaluation was asked for; reload in a moment, or wait for the word that it is there.")
    return redirect(url_for("hosts.show", host_id=host_id), 303)


def _found_or_failure(**query: Any) -> tuple[dict[str, Any], str]:
    """The page of hosts; for a query that cannot be read an empty one, and what is wrong with it."""
    try:
        return api().get("/hosts", token(), **query), ""
    except Refused as exc:
        if exc.status != 422 or not query["query"]:
            raise
        return {"items": [], "total_count": 0, "next_cursor": None}, str(exc)


def _opened_view(number: int | None) -> dict[str, Any] | None:
    """The saved view that the list was opened by; None if it is gone or no longer shared."""
    if number is None:
        return None
    try:
        found: dict[str, Any] = api().get(f"/views/{number}", token())
    except Refused as exc:
        if exc.status != 404:
            raise
        return None
    return found


def _in_words(name: str, value: str) -> str:
    """What a narrowing parameter of the list of hosts says."""
    if name == "state":
        return presentation.state(value)[0]
    return presentation.restart_rule(value) if name == "rule" else value


def _has(host: dict[str, Any], tab: str) -> bool:
    """Whether the host has anything to show in a tab that most hosts have no use for."""
    return bool(host["facts"].get(tab)) or request.args.get("tab") == tab


def _content(host: dict[str, Any], tab: str) -> dict[str, Any]:
    """What the templates of the tabs need beside the host."""
    path = f"/hosts/{host['id']}/{tab}"
    if tab == "facts":
        return {}
    if tab == "labels":
        return {"groups": api().get("/groups", token(), limit=MOST_GROUPS)["items"]}
    if tab == "reports":
        return _reports(host)
    if tab == "repositories":
        return {"repositories": api().get(path, token())["items"]}
    query: dict[str, Any] = {
        "q": request.args.get("q") or None,
        "cursor": request.args.get("cursor"),
        "limit": PAGE_LENGTH,
    }
    if tab == "cves":
        return _cves(path, query)
    if tab == "timeline":
        query["package"] = query.pop("q")
        return {"found": api().get(path, token(), **query)}
    if tab == "modules":
        return {"modules": api().get(path, token())["items"]}
    if tab == "compare":
        return _compared(host)
    if tab == "packages":
        return {"found": api().get(path, token(), **query)}
    shown = request.args.get("show", "listed")
    filters = _update_filters(host)
    if shown not in filters:
        filters[shown] = (presentation.state(shown)[0], 0, {"state": shown})
    sort = request.args.get("sort", MOST_URGENT_FIRST)
    found = api().get(path, token(), sort=sort, **query, **filters[shown][2])
    return {"found": found, "shown": shown, "filters": filters, "sort": sort}


def _cves(path: str, query: dict[str, Any]) -> dict[str, Any]:
    shown, states = request.args.get("state"), {"exposed": presentation.EXPOSED} | presentation.CVE_STATES
    if shown not in {None, *states}:
        abort(404)
    only = request.args.get("only")
    if only not in {None, *ONLY_CVES}:
        abort(404)
    del query["q"]
    return {
        "found": api().get(path, token(), state=shown, **query, **(ONLY_CVES[only][1] if only else {})),
        "shown": shown,
        "only": only,
        "only_cves": ONLY_CVES,
        "states": states,
    }


def _compared(host: dict[str, Any]) -> dict[str, Any]:
    """The host beside another one, or beside itself at another time; a mistake is said, not an error page."""
    name, at = request.args.get("host", "").strip(), request.args.get("at", "").strip()
    difference = request.args.get("difference") or None
    shown: dict[str, Any] = {"found": None, "other": None, "at": at, "failure": "", "difference": difference}
    if name:
        candidates = api().get("/hosts", token(), q=name, limit=PAGE_LENGTH)["items"]
        exact = [each for each in candidates if each["hostname"] == name] or candidates
        if len(exact) != 1:
            several = f"{len(exact)} hosts have that in their names; give the whole name."
            return {**shown, "failure": several if exact else "No host has that in its name."}
        shown["other"] = exact[0]
        wanted = {"with": exact[0]["id"]}
    elif at:
        wanted = {"at": at if at.endswith("Z") or "+" in at else f"{at}Z"}
    else:
        return shown
    path = f"/hosts/{host['id']}/diff"
    try:
        page = {"cursor": request.args.get("cursor"), "limit": PAGE_LENGTH}
        found = api().get(path, token(), **wanted, difference=difference, **page)
    except Refused as exc:
        if exc.status != 422:
            raise
        return {**shown, "failure": str(exc)}
    return {**shown, "found": found}


def _reports(host: dict[str, Any]) -> dict[str, Any]:
    shown = request.args.get("show", "all")
    if shown not in {"all", "kept", *presentation.RECEIPT_STATES}:
        abort(404)
    found = api().get(
        f"/hosts/{host['id']}/receipts",
        token(),
        state=shown if shown in presentation.RECEIPT_STATES else None,
        kept=True if shown == "kept" else None,
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
