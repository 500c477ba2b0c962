"""The fleet at a glance."""

from flask import Blueprint, render_template

from patchbay_web.session import api, token

pages = Blueprint("dashboard", __name__)

URGENT_HOST_COUNT = 8
TROUBLED_REPOSITORY_COUNT = 5


@pages.get("/")
def show() -> str:
    """Totals, the hosts to look at first, and the repositories in trouble."""
    fleet = api().get("/dashboard", token())
    urgent = api().get("/hosts", token(), sort="-security", updates=True, limit=URGENT_HOST_COUNT)["items"]
    troubled = api().get("/repositories", token(), sort="state", limit=TROUBLED_REPOSITORY_COUNT)["items"]
    hosts = fleet["hosts"]
    bar = [
        ("red", "security", hosts["security"]),
        ("yellow", "other updates", hosts["needing_updates"] - hosts["security"]),
        ("secondary", "uncertain", hosts["uncertain"]),
        ("green", "up to date", hosts["up_to_date"]),
    ]
    return render_template(
        "dashboard.html",
        fleet=fleet,
        bar=bar,
        urgent=urgent,
        troubled=[each for each in troubled if each["state"] != "ok"],
    )
