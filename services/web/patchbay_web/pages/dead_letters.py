"""Messages that could not be handled: look, replay, let go."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web.presentation import plural
from patchbay_web.session import api, token

pages = Blueprint("dead_letters", __name__)

PAGE_LENGTH = 50
_DONE = {
    "replay": "{count} will be handled again; what fails again comes back here.",
    "discard": "{count} will be forgotten.",
}


@pages.get("/dead-letters")
def index() -> str:
    """All of them, the newest first, or those of one kind."""
    kind = request.args.get("kind") or None
    found = api().get(
        "/dead-letters", token(), routing_key=kind, cursor=request.args.get("cursor"), limit=PAGE_LENGTH
    )
    return render_template("dead_letters.html", found=found, kind=kind)


@pages.get("/dead-letters/<int:letter_id>")
def show(letter_id: int) -> str:
    """One of them with its headers and, where it is a text, its body."""
    return render_template("dead_letter.html", letter=api().get(f"/dead-letters/{letter_id}", token()))


@pages.post("/dead-letters/<int:letter_id>/<any(replay, discard):action>")
def deal_with(letter_id: int, action: str) -> Response:
    """Replay or discard one."""
    asked = api().post(f"/dead-letters/{letter_id}/{action}", token())
    return _back(action, asked["count"])


@pages.post("/dead-letters/<any(replay, discard):action>")
def deal_with_all(action: str) -> Response:
    """Replay or discard all of one kind."""
    asked = api().post(f"/dead-letters/{action}", token(), {"routing_key": request.form.get("kind", "")})
    return _back(action, asked["count"])


def _back(action: str, count: int) -> Response:
    flash(_DONE[action].format(count=plural(count, "message")) + " Reload in a moment.")
    return redirect(url_for("dead_letters.index"), 303)
