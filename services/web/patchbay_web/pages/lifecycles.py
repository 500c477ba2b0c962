"""Until when distribution releases get security updates."""

from typing import Any

from flask import Blueprint, render_template, request, url_for

from patchbay_web.presentation import quoted
from patchbay_web.session import api, token

pages = Blueprint("lifecycles", __name__)

MOST_RELEASES = 500
MOST_QUERY_CHARACTERS = 1_000
"""As many as the API takes."""


@pages.get("/end-of-life")
def index() -> str:
    """Every release that a calendar knows, those whose end is nearest first."""
    ecosystem = request.args.get("distribution") or None
    found = api().get("/lifecycles", token(), limit=MOST_RELEASES)["items"]
    ecosystems = sorted({each["ecosystem"] for each in found})
    shown = [each for each in found if ecosystem in {None, each["ecosystem"]}]
    shown.sort(key=lambda each: (each["ends_on"] or "9999", each["name"]), reverse=True)
    forecast = api().get("/lifecycles/forecast", token()) if ecosystem is None else None
    kind, within = request.args.get("kind"), request.args.get("within", type=int)
    return render_template(
        "lifecycles.html",
        forecast=forecast,
        tiles=_tiles(forecast) if forecast else [],
        used=_used(forecast["items"], kind, within) if forecast else [],
        narrowed=_in_words(kind, within),
        releases=shown,
        ecosystems=ecosystems,
        ecosystem=ecosystem,
    )


def _tiles(forecast: dict[str, Any]) -> list[dict[str, Any]]:
    """What has ended, and what else ends within each number of days; with the list of these hosts."""
    ended = forecast["totals"][0]
    tiles = [{**ended, "target": url_for("hosts.index", show="end-of-life")}]
    for total in forecast["totals"][1:]:
        names = [quoted(each["name"]) for each in _used(forecast["items"], "distribution", total["days"])]
        query = f"lifecycle:{','.join(names)}"
        tiles.append(
            {
                "days": total["days"],
                "hosts": total["hosts"] - ended["hosts"],
                "repositories": total["repositories"] - ended["repositories"],
                "target": url_for("hosts.index", query=query) if len(query) <= MOST_QUERY_CHARACTERS else "",
            }
        )
    return tiles


def _used(items: list[dict[str, Any]], kind: str | None, within: int | None) -> list[dict[str, Any]]:
    """Of what the fleet uses that of one kind, and what has ended (0) or has not but will within so many days."""
    return [
        each
        for each in items
        if kind in {None, each["kind"]}
        and (
            within is None
            or ((left := each["days_left"]) is not None and (0 <= left < within if within else left < 0))
        )
    ]


def _in_words(kind: str | None, within: int | None) -> str:
    what = {"repository": "repositories", "distribution": "releases"}.get(kind or "", "")
    when = "" if within is None else f"ending within {within} days" if within else "past their end of support"
    return f"{what} {when}".strip().capitalize()
