"""The fleet at a glance."""

from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web import charts, dashboard_cards
from patchbay_web.navigation import menu
from patchbay_web.preferences import prefer, preferences
from patchbay_web.session import api, may, token

pages = Blueprint("dashboard", __name__)

URGENT_HOST_COUNT = 8
TROUBLED_REPOSITORY_COUNT = 5
USUAL_SPAN = "30d"
_NEEDED = {
    "trend": "operation.read",
    "pipeline": "operation.read",
    "attention": "operation.read",
    "repositories": "repositories.read",
}
"""Card to what one must be allowed to see it, where that is more than the hosts."""
SEVERITIES = {
    "critical": ("Critical", "red"),
    "high": ("High", "orange"),
    "medium": ("Medium", "yellow"),
    "low": ("Low", "azure"),
    "unknown": ("Not rated", "secondary"),
}
AGES = {
    "week": ("Under 7 days", "azure", "outstanding<7d"),
    "month": ("7 to 30 days", "yellow", "outstanding>=7d outstanding<30d"),
    "quarter": ("30 to 90 days", "orange", "outstanding>=30d outstanding<90d"),
    "older": ("Over 90 days", "red", "outstanding>=90d"),
    "unknown": ("No date known", "secondary", "security>0 not outstanding>=0m"),
}
"""Words, colour, and the query that finds the hosts."""


@pages.get("/")
def show() -> str | Response:
    """Totals, the hosts to look at first, what needs attention, the figures over time.

    Asked by htmx for another span, only the card of these figures. Who may not see hosts goes to the first page that
    they may see.
    """
    token()  # a stranger has to sign in first
    if not may("hosts.read"):
        return redirect(url_for(menu()[0][1][0].endpoint))
    span = request.args.get("span", USUAL_SPAN)
    if span not in charts.SPANS:
        abort(404)
    trend: dict[str, Any] = {"span": span, "spans": charts.SPANS, "titles": dashboard_cards.CARDS}
    if request.headers.get("HX-Target") == "trend":
        side = "end" if request.args.get("side") == "end" else "start"
        return render_template("dashboard_trend.html", chart=charts.fleet_chart(_points(span)), side=side, **trend)
    cards = [each for each in dashboard_cards.arranged(preferences()) if may(_NEEDED.get(each, "hosts.read"))]
    points, pipeline, first, fleet = api().together(
        lambda: _points(span) if "trend" in cards else None,
        lambda: api().get("/pipeline", token()) if "pipeline" in cards else None,
        lambda: api().get("/hosts", token(), sort="-urgency", limit=URGENT_HOST_COUNT)["items"],
        lambda: api().get("/dashboard", token()),
    )
    urgent = [each for each in first if each["cves_exploited"] or each["cves_overdue"] or each["security"]]
    some_fail = fleet["repositories"]["ok"] < fleet["repositories"]["total"]
    troubled = _troubled() if some_fail and "repositories" in cards else []
    return render_template(
        "dashboard.html",
        fleet=fleet,
        bar=_bar(fleet["hosts"]),
        urgent=urgent,
        troubled=troubled,
        severities=_severities(fleet["severities"]),
        ages=_ages(fleet["ages"]),
        chart=charts.fleet_chart(points) if points is not None else None,
        pipeline=pipeline,
        placed=dashboard_cards.placed(cards, _heights(fleet, urgent, troubled)),
        hidden=[name for name in dashboard_cards.CARDS if name not in cards and may(_NEEDED.get(name, "hosts.read"))],
        arranging="arrange" in request.args,
        **trend,
    )


@pages.post("/cards")
def arrange() -> Response:
    """Move, hide or show a card; or forget all of that."""
    card, _, action = request.form.get("move", "").partition(" ")
    if card == "reset":
        prefer(**{dashboard_cards.SHOWN: None, dashboard_cards.HIDDEN: None})
    elif card not in dashboard_cards.CARDS or action not in {"earlier", "later", "hide", "show"}:
        abort(400, "There is no such card.")
    else:
        prefer(**dashboard_cards.rearranged(preferences(), card, action))
    return redirect(url_for("dashboard.show", arrange="1"), 303)


def _bar(hosts: dict[str, Any]) -> list[tuple[str, str, int, str | None]]:
    """The fleet as one bar: colour, words, number, and the list that gives it."""
    return [
        ("red", "security", hosts["security"], url_for("hosts.index", show="security")),
        (
            "yellow",
            "other updates",
            hosts["needing_updates"] - hosts["security"],
            url_for("hosts.index", show="other-updates"),
        ),
        ("secondary", "uncertain", hosts["uncertain"], url_for("hosts.index", show="uncertain")),
        ("green", "up to date", hosts["up_to_date"], url_for("hosts.index", show="up-to-date")),
    ]


def _troubled() -> list[dict[str, Any]]:
    """The repositories to look at first."""
    found = api().get("/repositories", token(), sort="state", limit=TROUBLED_REPOSITORY_COUNT)["items"]
    return [each for each in found if each["state"] != "ok"]


def _points(span: str) -> list[dict[str, Any]]:
    """The fleet's figures over that time."""
    found: list[dict[str, Any]] = api().get("/trends", token(), span=span)["points"]
    return found


def _severities(totals: list[dict[str, Any]]) -> list[tuple[str, str, int, str]]:
    """Words, colour, hosts and their list of each severity; the rare one without a rating only where it occurs."""
    return [
        (*SEVERITIES[name], each["hosts"], url_for("hosts.index", query=f"severity:{name}"))
        for each in totals
        if (name := each["severity"]) != "unknown" or each["hosts"]
    ]


def _ages(totals: list[dict[str, Any]]) -> list[tuple[str, str, int, str]]:
    """The same of each age."""
    return [
        (*AGES[name][:2], each["hosts"], url_for("hosts.index", query=AGES[name][2]))
        for each in totals
        if (name := each["age"]) != "unknown" or each["hosts"]
    ]


def _heights(fleet: dict[str, Any], urgent: list[Any], troubled: list[Any]) -> dict[str, int]:
    """About how high each card is, in pixels: enough to spread them over two columns."""
    return {
        "urgent": 100 + 61 * (len(urgent) or 3),
        "attention": 250,
        "trend": 400,
        "severity": 230,
        "age": 230,
        "pipeline": 360,
        "systems": 90 + 36 * len(fleet["operating_systems"]),
        "restarts": 60 + 75 * (len(fleet["restarts"]) or 1),
        "states": 95 + 36 * len(fleet["states"]),
        "repositories": 60 + 65 * (len(troubled) or 1),
    }
