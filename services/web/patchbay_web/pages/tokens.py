"""One's own sessions and API tokens, and for those who look after users everybody's tokens."""

from typing import Any

from flask import Blueprint, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web.forms import attempt, done, listed
from patchbay_web.session import api, local_target, may, token

pages = Blueprint("tokens", __name__)

PAGE_LENGTH = 50
LIFETIMES = {"604800": "a week", "7776000": "90 days", "31536000": "a year", "": "until revoked"}


@pages.get("/tokens")
def index() -> str:
    """My tokens and sessions."""
    return _page()


@pages.post("/tokens")
def create() -> str | tuple[str, int]:
    """Make a token; it is shown this once."""
    lifetime = request.form.get("lifetime", "7776000")
    body = {
        "name": request.form.get("name", "").strip(),
        "expires_in_seconds": int(lifetime) if lifetime in LIFETIMES and lifetime else None,
        "permissions": request.form.getlist("permission") or None,
        "scope": listed("scope") or None,
    }
    made, refused = attempt(lambda: api().post("/tokens", token(), body), _page)
    return refused or _page(made=made)


@pages.post("/tokens/<int:token_id>/revoke")
def revoke(token_id: int) -> Response:
    """Let nobody in with it any more."""
    api().delete(f"/tokens/{token_id}", token())
    back = local_target(request.form.get("back") or url_for("tokens.index"))
    return done("The token was revoked.", back)


@pages.post("/sessions/end-others")
def end_others() -> Response:
    """End all my sessions but this one."""
    ended = api().post("/sessions/end-others", token())
    return done(f"Ended: {ended['count']}.", url_for("tokens.index"))


@pages.post("/sessions/<session_id>/end")
def end(session_id: str) -> Response:
    """End one of my sessions."""
    api().delete(f"/sessions/{session_id}", token())
    return done("The session has ended.", url_for("tokens.index"))


def _page(failure: str = "", made: dict[str, Any] | None = None) -> str:
    everybody = request.args.get("show") == "everybody" and may("users.read")
    found = api().get(
        "/tokens/all" if everybody else "/tokens", token(), cursor=request.args.get("cursor"), limit=PAGE_LENGTH
    )
    return render_template(
        "tokens.html",
        found=found,
        sessions=api().get("/sessions", token(), limit=PAGE_LENGTH)["items"],
        mine=sorted(api().get("/me", token())["permissions"]),
        everybody=everybody,
        lifetimes=LIFETIMES,
        failure=failure,
        made=made,
    )
