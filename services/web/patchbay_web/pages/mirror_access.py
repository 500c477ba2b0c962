"""How mirrors that are not open to everybody are accessed; secrets go in and never come out."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web.forms import attempt
from patchbay_web.session import api, may, token

pages = Blueprint("mirror_access", __name__)

FIELDS = ("url", "username", "password", "token", "client_certificate", "client_key", "authorities", "proxy")
KINDS = {
    "basic": "user and password",
    "bearer": "token",
    "certificate": "client certificate",
    "authorities": "own authorities",
    "proxy": "proxy",
}


@pages.get("/mirror-access")
def index() -> str:
    """What is set, and the form."""
    return _page()


@pages.post("/mirror-access")
def set_() -> Response | tuple[str, int]:
    """Set how mirrors below a URL are accessed."""
    given = {name: request.form.get(name, "").strip() for name in FIELDS}
    _, refused = attempt(lambda: api().post("/mirror-access", token(), given), _page)
    if refused:
        return refused
    flash(f"Mirrors below {given['url']} will be accessed so from their next crawl on.")
    return redirect(url_for("mirror_access.index"), 303)


@pages.post("/mirror-access/<int:access_id>/drop")
def drop(access_id: int) -> Response:
    """Access them as everybody does."""
    api().delete(f"/mirror-access/{access_id}", token())
    flash("The entry and its secrets are gone.")
    return redirect(url_for("mirror_access.index"), 303)


def _page(failure: str = "") -> str:
    entries = api().get("/mirror-access", token())["items"]
    return render_template(
        "mirror_access.html",
        entries=entries,
        kinds=KINDS,
        failure=failure,
        may_administrate=may("mirror-access.manage"),
    )
