"""What is done with one host as an entry: call it otherwise, remove it."""

from uuid import UUID

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug.wrappers import Response

from patchbay_web.client import Refused
from patchbay_web.forms import done
from patchbay_web.session import api, token

pages = Blueprint("host_manage", __name__)


@pages.post("/hosts/<uuid:host_id>/rename")
def rename(host_id: UUID) -> Response:
    """Call it by another name than its own, or by its own again."""
    name = request.form.get("hostname", "").strip()
    try:
        api().post(f"/hosts/{host_id}/rename", token(), {"hostname": name})
    except Refused as exc:
        if exc.status != 422:
            raise
        flash(f"{name} is no name that a host can have: letters, digits, dots and hyphens.")
        return redirect(url_for("hosts.show", host_id=host_id), 303)
    words = f"It will be called {name.lower()} in a moment." if name else "It will have its own name in a moment."
    return done(words, url_for("hosts.show", host_id=host_id))


@pages.post("/hosts/<uuid:host_id>/remove")
def remove(host_id: UUID) -> Response:
    """Forget it, and end its token."""
    name = api().get(f"/hosts/{host_id}", token())["hostname"]
    api().delete(f"/hosts/{host_id}", token())
    return done(f"{name} is being removed; its reports are refused from now on.", url_for("hosts.index"))
