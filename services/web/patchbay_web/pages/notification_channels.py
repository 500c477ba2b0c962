"""Where notifications go, with a test of each; and what was delivered."""

from typing import Any
from uuid import UUID

from flask import Blueprint, abort, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web.forms import attempt, done, listed, number
from patchbay_web.presentation import NEWS, advisory_page
from patchbay_web.session import api, token

pages = Blueprint("notification_channels", __name__)

PAGE_LENGTH = 50
STATES = {"waiting": ("Waiting", "azure"), "sent": ("Sent", "green"), "failed": ("Failed", "red")}
TYPES = {"webhook": "Webhook", "email": "Mail", "apprise": "Chat or push"}
SECURITY = {"starttls": "STARTTLS", "ssl": "TLS from the start", "none": "none"}


@pages.get("/notifications")
def deliveries() -> str:
    """What was told and what waits, the newest first."""
    shown = request.args.get("show", "all")
    if shown not in {"all", *STATES}:
        abort(404)
    found = api().get(
        "/notifications",
        token(),
        state=None if shown == "all" else shown,
        cursor=request.args.get("cursor"),
        limit=PAGE_LENGTH,
    )
    for each in found["items"]:
        each["items"] = [{**item, "target": _target(item["kind"], item["subject"])} for item in each["items"]]
    return render_template("notifications.html", found=found, shown=shown, states=STATES, news=NEWS)


@pages.post("/notifications/<int:notification_id>/retry")
def retry(notification_id: int) -> Response:
    """Deliver again what was given up."""
    api().post(f"/notifications/{notification_id}/retry", token())
    return done("It is delivered again; reload in a moment.", url_for("notification_channels.deliveries"))


@pages.get("/notification-channels")
def index() -> str:
    """All channels, and the form of one type."""
    return _page()


@pages.post("/notification-channels")
def create() -> str | tuple[str, int]:
    """Make a channel; the key that signs a webhook is shown this once."""
    kind = request.form.get("type", "webhook")
    body: dict[str, Any] = {"name": request.form.get("name", "").strip(), "type": kind}
    if kind == "email":
        body["mail"] = {name: request.form.get(name, "").strip() for name in ("server", "security", "sender")}
        body["mail"] |= {
            "port": number("port"),
            "username": request.form.get("username", ""),
            "password": request.form.get("password", ""),
            "recipients": listed("recipients"),
        }
    else:
        body["url"] = request.form.get("url", "").strip()
        if secret := request.form.get("secret", ""):
            body["secret"] = secret
    made, refused = attempt(lambda: api().post("/notification-channels", token(), body), _page)
    return refused or _page(made=made)


@pages.post("/notification-channels/<int:channel_id>")
def change(channel_id: int) -> Response | tuple[str, int]:
    """Rename it, turn it on or off."""
    body = {"name": request.form.get("name", "").strip(), "enabled": request.form.get("enabled") == "true"}
    kept, refused = attempt(lambda: api().patch(f"/notification-channels/{channel_id}", token(), body), _page)
    return refused or done(f"The channel {kept['name']} was changed.", url_for("notification_channels.index"))


@pages.post("/notification-channels/<int:channel_id>/test")
def test(channel_id: int) -> Response:
    """Send a message that says only that it arrived."""
    api().post(f"/notification-channels/{channel_id}/test", token())
    return done(
        "A test is on its way; reload in a moment to see what became of it.",
        url_for("notification_channels.deliveries"),
    )


@pages.post("/notification-channels/<int:channel_id>/remove")
def remove(channel_id: int) -> Response:
    """Forget it, with its secrets and its messages."""
    api().delete(f"/notification-channels/{channel_id}", token())
    return done("The channel is gone, with its messages.", url_for("notification_channels.index"))


def _page(failure: str = "", made: dict[str, Any] | None = None) -> str:
    kind = request.form.get("type") or request.args.get("type", "webhook")
    if kind not in TYPES:
        abort(404)
    rules = api().get("/notification-rules", token())["items"]
    channels = api().get("/notification-channels", token())["items"]
    return render_template(
        "notification_channels.html",
        channels=[
            {**each, "rules": [rule for rule in rules if each["id"] in rule["channel_ids"]]} for each in channels
        ],
        kind=kind,
        types=TYPES,
        security=SECURITY,
        failure=failure,
        made=made,
    )


def _target(kind: str, subject: str) -> str | None:
    """The page of what a message tells of; None: there is none."""
    if kind == "security-update":
        return advisory_page(subject) if " " not in subject else None
    if kind == "exploited-cve":
        return url_for("cves.show", cve_id=subject)
    if kind == "dead-letters":
        return url_for("dead_letters.index", kind=subject)
    if kind in {"overdue", "host-silent"} and _is_uuid(subject):
        return url_for("hosts.show", host_id=subject, tab="cves" if kind == "overdue" else None)
    what, _, identity = subject.partition(" ")
    if kind == "mirror-stale" and what == "repository" and _is_uuid(identity):
        return url_for("repositories.show", repository_id=identity)
    return None


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
