"""Signing in and out."""

from contextlib import suppress

from flask import Blueprint, Response, current_app, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from patchbay_web.client import Refused, SignedOut
from patchbay_web.session import api, close_session, local_target, open_session, token

pages = Blueprint("account", __name__)


@pages.get("/sign-in")
def sign_in() -> str:
    """The form."""
    return render_template("sign_in.html", target=local_target(request.args.get("next")), failure="", username="")


@pages.post("/sign-in")
def open_() -> tuple[str, int] | Response:
    """Ask the API, keep the session, go on to the page that was wanted."""
    target = local_target(request.form.get("next"))
    username = request.form.get("username", "")
    try:
        answer = api().post("/sessions", None, {"username": username, "password": request.form.get("password", "")})
    except (SignedOut, Refused) as exc:
        failure = str(exc) if isinstance(exc, SignedOut) else "Give a user name and a password."
        return render_template("sign_in.html", target=target, failure=failure, username=username[:100]), 401
    response = current_app.make_response(redirect(target, 303))
    open_session(response, answer)
    return response


@pages.post("/sign-out")
def close() -> BaseResponse:
    """End the session, in the API and in the browser."""
    with suppress(SignedOut):  # it may have ended already
        api().delete("/sessions/current", token())
    response = current_app.make_response(redirect(url_for("account.sign_in"), 303))
    close_session(response)
    return response
