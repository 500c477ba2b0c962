"""Repositories: how fresh, how healthy, what operators decide of them."""

import time
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web import presentation
from patchbay_web.session import api, may_operate, token

pages = Blueprint("repositories", __name__)

PAGE_LENGTH = 50
SYNC_COUNT = 10
LONGEST_AWAITED_SECONDS = 120
CLOCKS_APART_SECONDS = 5
"""How far the clocks of this service and of the database may be apart."""
RARE = {"overdue": "Overdue", "syncing": "Syncing"}
"""Filters that other pages lead to: they are shown only while they are set."""
_DECISIONS: dict[str, tuple[dict[str, Any], str]] = {
    "enable": ({"enabled": True}, "It will be crawled again."),
    "disable": ({"enabled": False}, "It will no longer be crawled; what is known of it stays as it is."),
    "security": ({"security": True}, "Its updates will count as security fixes."),
    "not-security": ({"security": False}, "Its updates will no longer count as security fixes by themselves."),
    "as-reported": ({"security": None}, "What the distribution or the hosts say of it will count again."),
}


@pages.get("/repositories")
def index() -> str:
    """All repositories, the worst first."""
    shown = request.args.get("show", "all")
    if shown not in {"all", *RARE, *presentation.REPOSITORY_STATES}:
        abort(404)
    job_id = request.args.get("job", type=UUID)
    package, leader_id = request.args.get("package") or None, request.args.get("leader", type=UUID)
    found = api().get(
        "/repositories",
        token(),
        sort="state",
        state=shown if shown in presentation.REPOSITORY_STATES else None,
        overdue=True if shown == "overdue" else None,
        syncing=True if shown == "syncing" else None,
        package=package,
        linked_to=leader_id,
        job=job_id,
        q=request.args.get("q") or None,
        cursor=request.args.get("cursor"),
        limit=PAGE_LENGTH,
    )
    return render_template(
        "repositories.html",
        found=found,
        shown=shown,
        rare=RARE,
        package=package,
        job=job_id,
        leader=api().get(f"/repositories/{leader_id}", token()) if leader_id else None,
        states=presentation.REPOSITORY_STATES,
        proposals=_proposals() if may_operate() else [],
    )


@pages.get("/repositories/<uuid:repository_id>")
def show(repository_id: UUID) -> str:
    """One repository with its mirrors, indexes and last crawls."""
    path = f"/repositories/{repository_id}"
    repository = api().get(path, token())
    mirrors = api().get(f"{path}/mirrors", token())
    syncs = api().get(f"{path}/syncs", token(), limit=SYNC_COUNT)
    proposals = _proposals() if may_operate() and repository["type"] == "deb" else []
    running = next((each for each in syncs["items"] if each["result"] == "running" and repository["syncing"]), None)
    return render_template(
        "repository.html",
        repository=repository,
        mirrors=_with_lag(mirrors["items"]),
        leader=api().get(f"/repositories/{mirrors['linked_to']}", token()) if mirrors["linked_to"] else None,
        follower_count=len(mirrors["serves"]),
        syncs=syncs["items"],
        sync_count=syncs["total_count"],
        running=running,
        awaited=_awaited(syncs["items"]),
        proposals=[each for each in proposals if any(c["id"] == repository["id"] for c in each["repositories"])],
    )


@pages.get("/repositories/<uuid:repository_id>/packages")
def packages(repository_id: UUID) -> str:
    """What it offers."""
    path = f"/repositories/{repository_id}"
    narrowed = {name: value for name in ("component", "architecture") if (value := request.args.get(name))}
    found = api().get(
        f"{path}/packages",
        token(),
        q=request.args.get("q") or None,
        cursor=request.args.get("cursor"),
        limit=PAGE_LENGTH,
        **narrowed,
    )
    repository = api().get(path, token())
    return render_template("repository_packages.html", repository=repository, found=found, narrowed=narrowed)


@pages.get("/repositories/<uuid:repository_id>/syncs")
def syncs(repository_id: UUID) -> str:
    """Its crawls of the last month."""
    path = f"/repositories/{repository_id}"
    found = api().get(f"{path}/syncs", token(), cursor=request.args.get("cursor"), limit=PAGE_LENGTH)
    return render_template("repository_syncs.html", repository=api().get(path, token()), found=found)


@pages.post("/repositories/<uuid:repository_id>/sync")
def sync(repository_id: UUID) -> Response:
    """Ask for a crawl."""
    force = request.form.get("force") == "true"
    api().post(f"/repositories/{repository_id}/sync", token(), force=force)
    flash(f"A {'complete ' if force else ''}sync was asked for; it is followed here.")
    return redirect(url_for("repositories.show", repository_id=repository_id, asked=int(time.time())), 303)


@pages.post("/repositories/<uuid:repository_id>/decide")
def decide(repository_id: UUID) -> Response:
    """Enable, disable, or say whether it holds security fixes."""
    decision = _DECISIONS.get(request.form.get("decision", ""))
    if decision is None:
        abort(400, "That is no decision.")
    api().patch(f"/repositories/{repository_id}", token(), decision[0])
    return _back(repository_id, decision[1])


@pages.post("/repositories/<uuid:repository_id>/link")
def link(repository_id: UUID) -> Response:
    """Let the crawls of another address of the same archive serve this one."""
    api().post(f"/repositories/{repository_id}/mirrors/link", token(), {"leader_id": request.form.get("leader", "")})
    return _back(repository_id, "It will be served by the crawls of the other address.")


@pages.post("/repositories/<uuid:repository_id>/unlink")
def unlink(repository_id: UUID) -> Response:
    """Crawl it by itself again."""
    api().post(f"/repositories/{repository_id}/mirrors/unlink", token())
    return _back(repository_id, "It will be crawled by itself again.")


def _awaited(syncs: list[dict[str, Any]]) -> bool:
    """Whether a sync that was asked for lately has not begun yet."""
    asked = request.args.get("asked", 0, type=int)
    if not 0 <= time.time() - asked < LONGEST_AWAITED_SECONDS:
        return False
    begun = (datetime.fromisoformat(each["started_at"]).timestamp() for each in syncs)
    return all(each < asked - CLOCKS_APART_SECONDS for each in begun)


def _back(repository_id: UUID, done: str) -> Response:
    flash(f"{done} Reload in a moment.")
    return redirect(url_for("repositories.show", repository_id=repository_id), 303)


def _proposals() -> list[dict[str, Any]]:
    """Archives that hosts name under several addresses, the leader of each, and those that could follow it."""
    found = api().get("/repositories/link-proposals", token())["items"]
    return [{**each, **_roles(each["repositories"])} for each in found]


def _roles(members: list[dict[str, Any]]) -> dict[str, Any]:
    led = {each["linked_to"] for each in members}
    leader = next((each for each in members if each["id"] in led), members[0])
    others = [each for each in members if each["linked_to"] is None and each["id"] not in {*led, leader["id"]}]
    return {"leader": leader, "followers": others}


def _with_lag(mirrors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mirrors with `lag_seconds` behind the one whose content is the newest; None: its age is not known."""
    ages = {each["id"]: datetime.fromisoformat(each["published_at"]) for each in mirrors if each["published_at"]}
    newest = max(ages.values(), default=None)
    return [
        {
            **each,
            "lag_seconds": (newest - ages[each["id"]]).total_seconds() if newest and each["id"] in ages else None,
        }
        for each in mirrors
    ]
