"""The fleet at a glance."""

from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web import charts, dashboard_cards
from patchbay_web.preferences import prefer, preferences
from patchbay_web.session import api, token

pages = Blueprint("dashboard", __name__)

URGENT_HOST_COUNT = 8
TROUBLED_REPOSITORY_COUNT = 5


@pages.get("/")
def show() -> str:
    """Totals, the hosts to look at first, what needs attention, the figures over time."""
    fleet = api().get("/dashboard", token())
    cards = dashboard_cards.arranged(preferences())
    urgent = api().get("/hosts", token(), sort="-security", updates=True, limit=URGENT_HOST_COUNT)["items"]
    troubled = api().get("/repositories", token(), sort="state", limit=TROUBLED_REPOSITORY_COUNT)["items"]
    return render_template(
        "dashboard.html",
        fleet=fleet,
        bar=_bar(fleet["hosts"]),
        urgent=urgent,
        troubled=[each for each in troubled if each["state"] != "ok"],
        chart=charts.fleet_chart(api().get("/trends", token(), span="30d")["points"]) if "trend" in cards else None,
        pipeline=api().get("/pipeline", token()) if "pipeline" in cards else None,
        cards=cards,
        hidden=[name for name in dashboard_cards.CARDS if name not in cards],
        titles=dashboard_cards.CARDS,
        wide=dashboard_cards.WIDE,
        arranging="arrange" in request.args,
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
