"""Signing in, with a second factor or at an OpenID Connect provider, and out; the own password and second factor."""

from contextlib import suppress
from typing import Any

import segno
from flask import Blueprint, Response, current_app, g, redirect, render_template, request, session, url_for
from patchbay_shared.errors import Unavailable
from werkzeug.wrappers import Response as BaseResponse

from patchbay_web.client import Refused, SignedOut
from patchbay_web.forms import attempt, done
from patchbay_web.session import api, close_session, local_target, open_session, token

pages = Blueprint("account", __name__)

FIRST_STEPS = {"account.show", "account.change_password", "account.set_up", "account.confirm", "account.close"}
"""What a session may ask for while a password or a second factor is due."""


@pages.get("/sign-in")
def sign_in() -> str:
    """The form."""
    return _form(local_target(request.args.get("next")))


@pages.post("/sign-in")
def open_() -> str | tuple[str, int] | Response:
    """Ask the API, keep the session, go on to the page that was wanted."""
    target = local_target(request.form.get("next"))
    username = request.form.get("username", "")
    body = {"username": username, "password": request.form.get("password", "")}
    try:
        answer = api().post("/sessions", None, body)
    except SignedOut as exc:
        return _form(target, str(exc), username), 401
    except Refused as exc:
        limited = exc.status == 429
        return _form(target, str(exc) if limited else "Give a user name and a password.", username), exc.status
    if answer["token"] is None:
        session.clear()
        session["pending"] = answer["pending_token"]
        return render_template("sign_in_code.html", target=target, failure="")
    return _signed_in(answer, target)


@pages.post("/sign-in/code")
def finish() -> tuple[str, int] | Response:
    """The second step: a code of the second factor."""
    target = local_target(request.form.get("next"))
    pending = session.get("pending", "")
    if not pending:
        return _as_response(redirect(url_for("account.sign_in", next=target)))
    try:
        answer = api().post(
            "/sessions/second-factor", None, {"pending_token": pending, "code": request.form.get("code", "")}
        )
    except (SignedOut, Refused) as exc:
        failure = "Give the code." if isinstance(exc, Refused) and exc.status == 422 else str(exc)
        return render_template("sign_in_code.html", target=target, failure=failure), 401
    return _signed_in(answer, target)


@pages.get("/sign-in/oidc")
def to_provider() -> BaseResponse:
    """Off to the provider; this browser remembers what it must come back with."""
    begun = api().post("/sessions/oidc/begin", None)
    session["oidc"] = {"state": begun["state"], "next": local_target(request.args.get("next"))}
    return redirect(begun["authorization_url"])


@pages.get("/sign-in/oidc/callback")
def from_provider() -> tuple[str, int] | Response:
    """Back from the provider: only the browser that went there is let in."""
    begun = session.pop("oidc", None)
    state = request.args.get("state", "")
    if not begun or not state or begun["state"] != state:
        return _form("/", "This sign-in was not begun in this browser, or is over; begin again."), 400
    if "code" not in request.args:
        said = request.args.get("error_description") or request.args.get("error") or "no code"
        return _form(begun["next"], f"The provider did not let you in: {said[:200]}"), 401
    try:
        answer = api().post("/sessions/oidc", None, {"state": state, "code": request.args["code"]})
    except SignedOut as exc:
        return _form(begun["next"], str(exc)), 401
    except Refused as exc:
        return _form(begun["next"], str(exc)), exc.status
    return _signed_in(answer, begun["next"])


@pages.post("/sign-out")
def close() -> BaseResponse:
    """End the session, in the API and in the browser."""
    with suppress(SignedOut):  # it may have ended already
        api().delete("/sessions/current", token())
    response = current_app.make_response(redirect(url_for("account.sign_in"), 303))
    close_session(response)
    return response


@pages.get("/account")
def show() -> str:
    """The own password and second factor."""
    return _page()


@pages.post("/account/password")
def change_password() -> tuple[str, int] | Response:
    """Choose another password; the session is a new one."""
    form = request.form
    if form.get("new_password") != form.get("repeated_password"):
        return _page("The two new passwords are not the same."), 422
    body = {"current_password": form.get("current_password", ""), "new_password": form.get("new_password", "")}
    return _renewed("/me/password", body, "The password was changed; all your other sessions have ended.")


@pages.post("/account/second-factor")
def set_up() -> str | tuple[str, int]:
    """Begin to set up a second factor: show its secret."""
    body = {"password": request.form.get("password", "")}
    try:
        made, refused = attempt(lambda: api().post("/me/second-factor", token(), body), _page)
    except Refused as exc:
        return _page(str(exc)), 422
    return refused or _page(proposal=_drawn(made))


@pages.post("/account/second-factor/confirm")
def confirm() -> str | tuple[str, int] | Response:
    """The first code: from now on it is asked for; the session is a new one."""
    body = {"code": request.form.get("code", "")}
    answer, refused = attempt(lambda: api().post("/me/second-factor/confirm", token(), body), _page)
    if refused:
        return refused
    response = current_app.make_response("")
    open_session(response, answer)
    response.set_data(render_template("recovery_codes.html", codes=answer["recovery_codes"]))
    return response


@pages.post("/account/second-factor/recovery-codes")
def renew_codes() -> str | tuple[str, int]:
    """New recovery codes in place of the old ones."""
    body = {"code": request.form.get("code", "")}
    answer, refused = attempt(lambda: api().post("/me/second-factor/recovery-codes", token(), body), _page)
    return refused or render_template("recovery_codes.html", codes=answer["recovery_codes"])


@pages.post("/account/second-factor/remove")
def remove() -> tuple[str, int] | Response:
    """Give up the second factor; the session is a new one."""
    return _renewed("/me/second-factor/remove", {"code": request.form.get("code", "")}, "The second factor is gone.")


def first_step() -> BaseResponse | None:
    """Before every request: to the own account, while a password or a second factor is due."""
    endpoint = request.endpoint or ""
    free = endpoint in FIRST_STEPS or endpoint == "static" or endpoint.startswith("account.")
    return None if free or not session.get("restriction") else redirect(url_for("account.show"))


def _form(target: str, failure: str = "", username: str = "") -> str:
    try:
        provider = api().get("/sessions/ways", "")["oidc"]
    except (Unavailable, Refused, SignedOut):
        provider = None  # the form itself says what is wrong once it is sent
    return render_template("sign_in.html", target=target, failure=failure, username=username[:100], provider=provider)


def _signed_in(answer: dict[str, Any], target: str) -> Response:
    response = _as_response(redirect(url_for("account.show") if answer["restriction"] else target, 303))
    open_session(response, answer)
    return response


def _renewed(path: str, body: dict[str, Any], words: str) -> tuple[str, int] | Response:
    try:
        answer = api().post(path, token(), body)
    except Refused as exc:
        g.failed_field = exc.field
        return _page(str(exc)), 422
    response = _as_response(redirect(url_for("account.show" if answer["restriction"] else "dashboard.show"), 303))
    open_session(response, answer)
    done(words, "/")
    return response


def _page(failure: str = "", proposal: dict[str, str] | None = None) -> str:
    me = api().get("/me", token())
    return render_template("account.html", me=me, failure=failure, proposal=proposal)


def _drawn(made: dict[str, str]) -> dict[str, str]:
    drawn: str = segno.make(made["uri"], micro=False).svg_data_uri(scale=5, border=3, light="#fff", dark="#000")
    return {**made, "image": drawn}


def _as_response(value: Any) -> Response:
    return current_app.make_response(value)
