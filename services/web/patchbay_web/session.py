"""The browser's session: the API's token in a cookie of its own, the person's name and role beside it."""

from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from flask import Response, current_app, has_request_context, redirect, request, session, url_for
from patchbay_shared import asker
from patchbay_shared.settings import Settings

from patchbay_web.client import Api, Refused, SignedOut


def api() -> Api:
    """The client of the running application."""
    found: Api = current_app.extensions["patchbay_api"]
    return found


def settings() -> Settings:
    """The settings of the running application."""
    found: Settings = current_app.extensions["patchbay_settings"]
    return found


def asker_header() -> dict[str, str]:
    """Tells the API which browser a request is for, in a way that only web can."""
    if not has_request_context():
        return {}
    browser = asker.signed(settings().secret_key, request.remote_addr or "", request.user_agent.string or "")
    return {asker.HEADER: browser}


def cookie_name() -> str:
    """`__Host-` lets the browser itself refuse the cookie from other hosts and without HTTPS."""
    return "__Host-patchbay" if settings().secure_cookies else "patchbay"


def token() -> str:
    """The session token. Raises SignedOut if the browser has none."""
    found = request.cookies.get(cookie_name(), "")
    if not found:
        raise SignedOut("Sign in first.")
    return found


def open_session(response: Response, answer: dict[str, Any]) -> None:
    """Keep what the API answered to a sign-in."""
    session.clear()  # a form token from before the sign-in must not live on
    _remember(answer)
    response.set_cookie(
        cookie_name(),
        answer["token"],
        max_age=settings().session_seconds,
        secure=settings().secure_cookies,
        httponly=True,
        samesite="Lax",
        path="/",
    )


def restore() -> None:
    """Before every request: learn again who looks, if the browser has the API's token but not what stood beside it.

    So it is after the secret key has changed. Raises Unavailable.
    """
    if "permissions" in session or request.endpoint == "static" or not request.cookies.get(cookie_name()):
        return
    with suppress(SignedOut, Refused):  # the page that is asked for says it
        _remember(api().get("/me", token()))


def _remember(person: dict[str, Any]) -> None:
    for name in ("username", "role", "permissions", "restriction"):
        session[name] = person[name]


def close_session(response: Response) -> None:
    """Forget it."""
    session.clear()
    response.delete_cookie(cookie_name(), secure=settings().secure_cookies, httponly=True, samesite="Lax", path="/")


def may(permission: str) -> bool:
    """Whether to offer what needs this permission; the API decides whether it is done."""
    return permission in session.get("permissions", ())


def may_operate() -> bool:
    """Whether to offer actions on hosts."""
    return may("hosts.operate")


def to_sign_in() -> Response:
    """To the sign-in page, and back from there to the page that was asked for."""
    wanted = request.full_path.rstrip("?") if request.method == "GET" else ""
    target = url_for("account.sign_in", next=wanted if wanted not in {"", "/"} else None)
    return _as_response(redirect(target))


def local_target(target: str | None) -> str:
    """`target` if it is a path of this site, else the start page: no sign-in leads elsewhere.

    >>> local_target("/hosts?q=a"), local_target("//evil.example"), local_target("https://evil.example")
    ('/hosts?q=a', '/', '/')
    """
    text = target or "/"
    if not text.startswith("/") or text[1:2] in {"/", "\\"} or any(ord(c) < 32 or c == "\\" for c in text):
        return "/"
    parts = urlsplit(text)
    return text if not parts.scheme and not parts.netloc else "/"


def _as_response(value: Any) -> Response:
    return current_app.make_response(value)
