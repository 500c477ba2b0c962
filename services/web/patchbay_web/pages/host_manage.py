"""What is done with one host as an entry: call it otherwise, merge another into it, end its token, remove it."""

from typing import Any
from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web.client import Refused
from patchbay_web.forms import done
from patchbay_web.session import api, token

pages = Blueprint("host_manage", __name__)

LOOKED_AT = 50


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


@pages.post("/hosts/<uuid:host_id>/merge")
def merge(host_id: UUID) -> str | Response:
    """Say first what becomes of the other entry of the machine; confirmed, make it part of this one."""
    confirmed = request.form.get("confirmed") == "true"
    try:
        other = (
            request.form.get("other_id", "") if confirmed else _entry_called(request.form.get("other", "").strip())
        )
        body: dict[str, Any] = {"host_id": other, "dry_run": not confirmed}
        outcome = api().post(f"/hosts/{host_id}/merge", token(), body)
    except Refused as exc:
        if exc.status not in {404, 409, 422}:
            raise
        return done(str(exc), url_for("hosts.show", host_id=host_id))
    if not confirmed:
        return render_template("host_merge.html", outcome=outcome)
    words = f"{outcome['other']['hostname']} becomes part of {outcome['into']['hostname']}."
    return done(words, url_for("host_acts.job", job_id=outcome["job"]["id"]))


@pages.post("/hosts/<uuid:host_id>/revoke-token")
def revoke_token(host_id: UUID) -> Response:
    """Refuse its reports until it has enrolled anew."""
    api().post(f"/hosts/{host_id}/revoke-token", token())
    words = "Its token has ended: within half a minute its reports are refused, until it enrols anew."
    return done(words, url_for("hosts.show", host_id=host_id))


@pages.post("/hosts/<uuid:host_id>/remove")
def remove(host_id: UUID) -> Response:
    """Forget it, and end its token."""
    name = api().get(f"/hosts/{host_id}", token())["hostname"]
    api().delete(f"/hosts/{host_id}", token())
    return done(f"{name} is being removed; its reports are refused from now on.", url_for("hosts.index"))


def _entry_called(name: str) -> str:
    """The id of the one host of this name. Raises Refused if there is none, or several."""
    found = api().get("/hosts", token(), q=name or None, limit=LOOKED_AT)["items"]
    exact = [each["id"] for each in found if each["hostname"] == name.lower()]
    if len(exact) != 1:
        several = f"{len(exact)} hosts are called {name}; rename one of them first."
        raise Refused(404, several if exact else f"No host is called {name or 'nothing'}; give the whole name.")
    return str(exact[0])
