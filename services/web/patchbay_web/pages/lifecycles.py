"""Until when distribution releases get security updates."""

from flask import Blueprint, render_template, request

from patchbay_web.session import api, token

pages = Blueprint("lifecycles", __name__)

MOST_RELEASES = 500


@pages.get("/end-of-life")
def index() -> str:
    """Every release that a calendar knows, those whose end is nearest first."""
    ecosystem = request.args.get("distribution") or None
    found = api().get("/lifecycles", token(), limit=MOST_RELEASES)["items"]
    ecosystems = sorted({each["ecosystem"] for each in found})
    shown = [each for each in found if ecosystem in {None, each["ecosystem"]}]
    shown.sort(key=lambda each: (each["ends_on"] or "9999", each["name"]), reverse=True)
    forecast = api().get("/lifecycles/forecast", token()) if ecosystem is None else None
    return render_template(
        "lifecycles.html", forecast=forecast, releases=shown, ecosystems=ecosystems, ecosystem=ecosystem
    )
