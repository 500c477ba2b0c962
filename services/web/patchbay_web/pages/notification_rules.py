"""Who is told what: rules over kinds of news and hosts, and when they tell."""

from typing import Any

from flask import Blueprint, abort, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web.forms import attempt, done, number
from patchbay_web.presentation import NEWS
from patchbay_web.session import api, token

pages = Blueprint("notification_rules", __name__)


@pages.get("/notification-rules")
def index() -> str:
    """All rules, by name."""
    return render_template(
        "notification_rules.html",
        rules=api().get("/notification-rules", token())["items"],
        channels={each["id"]: each for each in _channels()},
        news=NEWS,
    )


@pages.get("/notification-rules/new")
def form() -> str:
    """The form of a rule to be; the list of hosts gives its query."""
    return _form(None)


@pages.post("/notification-rules/new")
def create() -> Response | tuple[str, int]:
    """Make a rule."""
    made, refused = attempt(
        lambda: api().post("/notification-rules", token(), _written()), lambda failure: _form(None, failure)
    )
    return refused or _back(f"The rule {made['name']} was made.")


@pages.get("/notification-rules/<int:rule_id>")
def show(rule_id: int) -> str:
    """One rule, to be changed."""
    return _form(_rule(rule_id))


@pages.post("/notification-rules/<int:rule_id>")
def change(rule_id: int) -> Response | tuple[str, int]:
    """Change it."""
    kept, refused = attempt(
        lambda: api().patch(f"/notification-rules/{rule_id}", token(), _written()),
        lambda failure: _form(_rule(rule_id), failure),
    )
    return refused or _back(f"The rule {kept['name']} was changed.")


@pages.post("/notification-rules/<int:rule_id>/remove")
def remove(rule_id: int) -> Response:
    """Tell that no more."""
    api().delete(f"/notification-rules/{rule_id}", token())
    return _back("The rule is gone; what it had noticed is forgotten.")


def _written() -> dict[str, Any]:
    """What the form says."""
    return {
        "name": request.form.get("name", "").strip(),
        "kinds": [each for each in NEWS if each in request.form.getlist("kind")],
        "query": request.form.get("query", "").strip(),
        "channel_ids": [int(each) for each in request.form.getlist("channel") if each.isascii() and each.isdigit()],
        "include_present": request.form.get("include_present") == "true",
        "digest_minutes": number("digest_minutes") or 0,
        "delay_minutes": number("delay_minutes") or 0,
        "quiet_from": request.form.get("quiet_from") or None,
        "quiet_until": request.form.get("quiet_until") or None,
        "timezone": request.form.get("timezone", "").strip() or "UTC",
        "enabled": request.form.get("enabled") == "true",
    }


def _form(rule: dict[str, Any] | None, failure: str = "") -> str:
    """The form as it was sent, or with the rule as it is, or as of a new one."""
    usual = {
        "name": "",
        "kinds": ["security-update", "exploited-cve"],
        "query": request.args.get("query", ""),
        "channel_ids": [],
        "include_present": False,
        "digest_minutes": 0,
        "delay_minutes": 0,
        "quiet_from": None,
        "quiet_until": None,
        "timezone": "UTC",
        "enabled": True,
    }
    return render_template(
        "notification_rule.html",
        rule=rule,
        given=_written() if failure else rule or usual,
        channels=_channels(),
        news=NEWS,
        failure=failure,
    )


def _rule(rule_id: int) -> dict[str, Any]:
    rules: list[dict[str, Any]] = api().get("/notification-rules", token())["items"]
    return next((each for each in rules if each["id"] == rule_id), None) or abort(404)


def _channels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api().get("/notification-channels", token())["items"]
    return found


def _back(words: str) -> Response:
    return done(words, url_for("notification_rules.index"))
