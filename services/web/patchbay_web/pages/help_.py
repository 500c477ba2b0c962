"""The handbook inside the pages, readable without signing in to anything else."""

from flask import Blueprint, abort, render_template, request

from patchbay_web.handbook import handbook, search
from patchbay_web.session import token

pages = Blueprint("help", __name__)


@pages.get("/help")
def index() -> str:
    """All pages, or what was searched for; asked by htmx, only the results."""
    token()
    wanted = request.args.get("q", "").strip()
    template = "help_hits.html" if "HX-Request" in request.headers else "help.html"
    return render_template(template, pages=handbook(), wanted=wanted, hits=search(wanted))


@pages.get("/help/<name>")
def show(name: str) -> str:
    """One page of the handbook."""
    token()
    page = handbook().get(name)
    if page is None:
        abort(404)
    return render_template("help_page.html", pages=handbook(), page=page)
