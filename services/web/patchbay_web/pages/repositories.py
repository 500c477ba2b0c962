"""Repositories: how fresh, how healthy, and "sync now"."""

from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web import presentation
from patchbay_web.session import api, token

pages = Blueprint("repositories", __name__)

PAGE_LENGTH = 50


@pages.get("/repositories")
def index() -> str:
    """All repositories, the worst first."""
    shown = request.args.get("show", "all")
    if shown not in {"all", "overdue", *presentation.REPOSITORY_STATES}:
        abort(404)
    found = api().get(
        "/repositories",
        token(),
        sort="state",
        state=shown if shown in presentation.REPOSITORY_STATES else None,
        overdue=True if shown == "overdue" else None,
        q=request.args.get("q") or None,
        cursor=request.args.get("cursor"),
        limit=PAGE_LENGTH,
    )
    return render_template("repositories.html", found=found, shown=shown, states=presentation.REPOSITORY_STATES)


@pages.get("/repositories/<uuid:repository_id>")
def show(repository_id: UUID) -> str:
    """One repository with its mirrors, indexes and last crawls."""
    return render_template("repository.html", repository=api().get(f"/repositories/{repository_id}", token()))


@pages.post("/repositories/<uuid:repository_id>/sync")
def sync(repository_id: UUID) -> Response:
    """Ask for a crawl."""
    api().post(f"/repositories/{repository_id}/sync", token())
    flash("A sync was asked for; reload in a moment.")
    return redirect(url_for("repositories.show", repository_id=repository_id), 303)
