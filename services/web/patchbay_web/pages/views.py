"""Saved views: a list of hosts as somebody wants to see it again, one's own or shared with everybody."""

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web import host_columns
from patchbay_web.forms import attempt, done
from patchbay_web.session import api, token

pages = Blueprint("views", __name__)

PAGE_LENGTH = 50
MENU_LENGTH = 20


@pages.get("/views")
def index() -> str:
    """All that I see; asked by htmx, only a short list of links."""
    if "HX-Request" in request.headers:
        found = api().get("/views", token(), list="hosts", limit=MENU_LENGTH)
        return render_template("views_menu.html", found=found)
    return _page()


@pages.post("/views")
def create() -> Response | tuple[str, int]:
    """Save a list under a name, and open it."""
    body = {"name": request.form.get("name", "").strip(), "list": "hosts", "shared": _shared(), **_content()}
    made, refused = attempt(lambda: api().post("/views", token(), body), _page)
    return refused or done(f"The view {made['name']} was saved.", url_for("views.show", view_id=made["id"]))


@pages.get("/views/<int:view_id>")
def show(view_id: int) -> Response:
    """Open it: the list of hosts, asked for as it was saved."""
    return redirect(address(api().get(f"/views/{view_id}", token())))


@pages.post("/views/<int:view_id>")
def change(view_id: int) -> Response | tuple[str, int]:
    """Rename it, share it or keep it to myself."""
    body = {"name": request.form.get("name", "").strip(), "shared": _shared()}
    kept, refused = attempt(lambda: api().patch(f"/views/{view_id}", token(), body), _page)
    return refused or done(f"The view {kept['name']} was changed.", url_for("views.index"))


@pages.post("/views/<int:view_id>/content")
def keep(view_id: int) -> Response | tuple[str, int]:
    """Let it show what the list shows now."""
    kept, refused = attempt(lambda: api().patch(f"/views/{view_id}", token(), _content()), _page)
    return refused or done(f"The view {kept['name']} shows this from now on.", url_for("views.show", view_id=view_id))


@pages.post("/views/<int:view_id>/remove")
def remove(view_id: int) -> Response:
    """Forget it; the hosts stay."""
    api().delete(f"/views/{view_id}", token())
    return done("The view is gone; its hosts stay.", url_for("views.index"))


def address(view: dict[str, Any]) -> str:
    """The list of hosts as a view asks for it."""
    columns = [name for name in view["columns"] if name in host_columns.COLUMNS]
    return url_for(
        "hosts.index",
        query=view["query"] or None,
        sort=view["sort"] or None,
        columns=".".join(columns) or None,
        view=view["id"],
    )


def _content() -> dict[str, Any]:
    """Query, order and columns, as the list's form carries them."""
    names = request.form.get("columns", "").split(".")
    return {
        "query": request.form.get("query", "").strip(),
        "sort": request.form.get("sort", ""),
        "columns": [name for name in names if name in host_columns.COLUMNS],
    }


def _shared() -> bool:
    return request.form.get("shared") == "true"


def _page(failure: str = "") -> str:
    found = api().get("/views", token(), list="hosts", cursor=request.args.get("cursor"), limit=PAGE_LENGTH)
    return render_template("views.html", found=found, columns=host_columns.COLUMNS, failure=failure)
