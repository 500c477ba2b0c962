"""The fleet over time, what needs attention, and how Patchbay itself does."""

from typing import Any

from flask import Blueprint, abort, render_template, request, url_for

from patchbay_web import charts
from patchbay_web.presentation import quoted
from patchbay_web.session import api, token

pages = Blueprint("operation", __name__)

PAGE_LENGTH = 50
SPANS = {name: words for name, (_, words) in charts.SPANS.items()}
DIMENSIONS = {
    "fleet": ("The fleet", ""),
    "os": ("By operating system", "needing_updates"),
    "severity": ("By severity", "updates"),
    "age": ("By age", "updates"),
}
KINDS: dict[str, tuple[tuple[str, str], str, str]] = {
    "silent-hosts": (
        ("silent host", "silent hosts"),
        "clock",
        "They have not reported for a day: what is known of them gets old.",
    ),
    "end-of-life-hosts": (
        ("host past its end of support", "hosts past their end of support"),
        "calendar-off",
        "Their release no longer gets free security updates; longer support (LTS, ESM) is not for everybody, so that "
        "hosts that may have it are counted as well.",
    ),
    "hosts-without-repositories": (
        ("host without repositories", "hosts without repositories"),
        "database-off",
        "Nothing can be outstanding on them, because nothing is offered to them.",
    ),
    "packages-in-no-repository": (
        ("package in no repository", "packages in no repository"),
        "package-off",
        "They get no updates: installed from a file, or their repository is gone.",
    ),
    "failing-repositories": (
        ("failing repository", "failing repositories"),
        "refresh-alert",
        "Their content gets old.",
    ),
    "failing-mirrors": (
        ("failing mirror", "failing mirrors"),
        "alert-triangle",
        "Another mirror serves instead, if there is one.",
    ),
    "lagging-mirrors": (
        ("lagging mirror", "lagging mirrors"),
        "hourglass",
        "They are behind another mirror of the same archive.",
    ),
    "unused-repositories": (
        ("unused repository", "unused repositories"),
        "eye",
        "No host configures them any more, yet they are crawled.",
    ),
    "unlinked-equal-repositories": (
        ("archive under several addresses", "archives under several addresses"),
        "unlink",
        "Each is crawled by itself; linked, one crawl serves all.",
    ),
    "shared-machine-ids": (
        ("host with a shared machine id", "hosts with a shared machine id"),
        "fingerprint",
        "One was cloned from the other.",
    ),
    "reverse-dns-mismatches": (
        ("host with another name in reverse DNS", "hosts with another name in reverse DNS"),
        "world",
        "They report one name, and the address that they report from has another: a renamed host, an old PTR record, "
        "or a report from elsewhere.",
    ),
    "failing-feeds": (("failing advisory feed", "failing advisory feeds"), "rss", "New advisories are not seen."),
    "dead-letters": (("dead letter", "dead letters"), "mail-exclamation", "Messages that could not be handled."),
}
"""Of what needs attention: what one and several are called, icon, meaning."""
_OF_HOSTS = {
    "silent-hosts",
    "end-of-life-hosts",
    "hosts-without-repositories",
    "shared-machine-ids",
    "reverse-dns-mismatches",
}


@pages.get("/trends")
def trends() -> str:
    """Figures over a span, as a chart and as a table."""
    span, by = request.args.get("span", "30d"), request.args.get("by", "fleet")
    if span not in SPANS or by not in DIMENSIONS:
        abort(404)
    points = api().get("/trends", token(), span=span, by=by)["points"]
    chart = charts.fleet_chart(points) if by == "fleet" else charts.chart_by_value(points, DIMENSIONS[by][1])
    return render_template("trends.html", chart=chart, span=span, by=by, spans=SPANS, dimensions=DIMENSIONS)


@pages.get("/attention")
def attention() -> str:
    """What an operator should look at; asked by htmx, only the short list."""
    found = [_described(each) for each in api().get("/attention", token())["items"]]
    short = "HX-Request" in request.headers
    return render_template("attention_list.html" if short else "attention.html", found=found)


@pages.get("/attention/<kind>")
def attention_of_kind(kind: str) -> str:
    """All of one kind."""
    if kind not in KINDS:
        abort(404)
    found = api().get(f"/attention/{kind}", token(), cursor=request.args.get("cursor"), limit=PAGE_LENGTH)
    names, icon, meaning = KINDS[kind]
    items = [{**each, "target": _target(kind, each["id"])} for each in found["items"]]
    return render_template(
        "attention_kind.html", found={**found, "items": items}, names=names, icon=icon, meaning=meaning
    )


@pages.get("/queues")
def queues() -> str:
    """The broker's queues and the pipeline's lag; asked by htmx for what waits, only that."""
    found = api().get("/queues", token())["items"]
    if request.headers.get("HX-Target") == "queue-depth":
        busy = [each for each in found if each["messages"]]
        waiting = sum(each["messages"] for each in busy)
        return render_template("queue_depth.html", waiting=waiting, busy=[each["name"] for each in busy])
    return render_template(
        "queues.html",
        queues=found,
        pipeline=api().get("/pipeline", token()),
    )


@pages.get("/settings")
def settings() -> str:
    """The settings in force."""
    items = api().get("/settings", token())["items"]
    changed = request.args.get("show") == "changed"
    shown = [each for each in items if each["changed"] or not changed]
    return render_template("settings.html", settings=shown, changed=changed)


def _described(item: dict[str, Any]) -> dict[str, Any]:
    (one, many), icon, meaning = KINDS.get(item["kind"], ((item["kind"],) * 2, "alert-triangle", ""))
    examples = [{**each, "target": _target(item["kind"], each["id"])} for each in item["examples"]]
    return {
        **item,
        "words": one if item["count"] == 1 else many,
        "icon": icon,
        "meaning": meaning,
        "examples": examples,
        "list": _list(item["kind"]),
    }


def _list(kind: str) -> str:
    """The list that gives the number of a kind: one that can do more with it, or that of the kind itself."""
    lists: dict[str, tuple[str, dict[str, Any]]] = {
        "silent-hosts": ("hosts.index", {"show": "silent"}),
        "end-of-life-hosts": ("hosts.index", {"show": "end-of-life"}),
        "hosts-without-repositories": ("hosts.index", {"query": "repositories=0"}),
        "shared-machine-ids": ("hosts.index", {"show": "clones"}),
        "failing-feeds": ("feeds.index", {"show": "trouble"}),
        "dead-letters": ("dead_letters.index", {}),
    }
    endpoint, arguments = lists.get(kind, ("operation.attention_of_kind", {"kind": kind}))
    return url_for(endpoint, **arguments)


def _target(kind: str, identity: str) -> str:
    """The page of one example."""
    if kind in _OF_HOSTS:
        return url_for("hosts.show", host_id=identity)
    if kind == "packages-in-no-repository":
        return url_for("hosts.index", query=f"orphaned:{quoted(identity)}")
    if kind == "failing-feeds":
        return url_for("feeds.index", show="trouble")
    if kind == "dead-letters":
        return url_for("dead_letters.index", kind=identity)
    return url_for("repositories.show", repository_id=identity)
