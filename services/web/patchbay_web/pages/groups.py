"""Groups of hosts, and the tags that hosts have."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web.forms import attempt
from patchbay_web.session import api, token

pages = Blueprint("groups", __name__)

PAGE_LENGTH = 100


@pages.get("/groups")
def index() -> str:
    """All groups and tags, each with its hosts."""
    return _page()


@pages.post("/groups")
def create() -> Response | tuple[str, int]:
    """Make a group."""
    body = {"name": request.form.get("name", "").strip(), "description": request.form.get("description", "").strip()}
    _, refused = attempt(lambda: api().post("/groups", token(), body), _page)
    return refused or _back(
        f"The group {body['name']} was made; hosts join it on their pages, or many at once from their list."
    )


@pages.post("/groups/<int:group_id>")
def change(group_id: int) -> Response | tuple[str, int]:
    """Rename or describe a group."""
    body = {"name": request.form.get("name", "").strip(), "description": request.form.get("description", "").strip()}
    _, refused = attempt(lambda: api().patch(f"/groups/{group_id}", token(), body), _page)
    return refused or _back("The group was changed.")


@pages.post("/groups/<int:group_id>/delete")
def delete(group_id: int) -> Response:
    """Remove a group; its hosts stay."""
    api().delete(f"/groups/{group_id}", token())
    return _back("The group is gone; its hosts are in none now.")


def _page(failure: str = "") -> str:
    found = api().get("/groups", token(), cursor=request.args.get("cursor"), limit=PAGE_LENGTH)
    tags = api().get("/tags", token(), limit=PAGE_LENGTH)
    return render_template("groups.html", found=found, tags=tags, failure=failure)


def _back(done: str) -> Response:
    flash(done)
    return redirect(url_for("groups.index"), 303)
