"""The feeds of advisories, CVEs, scores and lifecycles: how fresh each is."""

from flask import Blueprint, abort, render_template, request

from patchbay_web import presentation
from patchbay_web.session import api, token

pages = Blueprint("feeds", __name__)

MOST_FEEDS = 500
TROUBLE = {"failing", "shrunk"}


@pages.get("/feeds")
def index() -> str:
    """All feeds, those in trouble first."""
    shown = request.args.get("show", "all")
    if shown not in {"all", "off", "trouble", *presentation.FEED_STATES}:
        abort(404)
    feeds = api().get("/errata-feeds", token(), limit=MOST_FEEDS)["items"]
    counts = {
        name: sum(each["enabled"] and each["state"] == name for each in feeds) for name in presentation.FEED_STATES
    }
    wanted = TROUBLE if shown == "trouble" else {shown}
    if shown == "off":
        feeds = [each for each in feeds if not each["enabled"]]
    elif shown != "all":
        feeds = [each for each in feeds if each["enabled"] and each["state"] in wanted]
    order = ["shrunk", "failing", "pending", "ok"]
    feeds.sort(key=lambda each: (not each["enabled"], order.index(each["state"]) if each["state"] in order else 9))
    return render_template("feeds.html", feeds=feeds, shown=shown, states=presentation.FEED_STATES, counts=counts)
