"""Distribution releases, operating systems and their groups, domains."""

from typing import Any
from uuid import UUID

from flask import Blueprint, abort, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web.forms import attempt, done, number
from patchbay_web.session import api, token

pages = Blueprint("releases", __name__)

PAGE_LENGTH = 100
MOST = 500
TABS = {
    "releases": ("Releases", "/distro-releases"),
    "systems": ("Operating systems", "/os-variants"),
    "groups": ("Groups", "/os-groups"),
    "domains": ("Domains", "/domains"),
}


@pages.get("/releases")
def index() -> str:
    """What the fleet runs: by release, by operating system, by group, by domain."""
    return _page()


@pages.post("/releases/groups")
def create() -> Response | tuple[str, int]:
    """Make a group of operating systems."""
    name = request.form.get("name", "").strip()
    made, refused = attempt(lambda: api().post("/os-groups", token(), {"name": name}), _page)
    return refused or done(
        "The group was made; say now which systems and repositories it has.",
        url_for("releases.show", group_id=made["id"]),
    )


@pages.get("/releases/groups/<int:group_id>")
def show(group_id: int) -> str:
    """One group: its systems, the repositories that judge them."""
    return _group(group_id)


@pages.post("/releases/groups/<int:group_id>")
def change(group_id: int) -> Response | tuple[str, int]:
    """Name, whose repositories judge, and which systems are in it."""
    variants = [each.partition("|") for each in request.form.getlist("variant")]
    body: dict[str, Any] = {
        "name": request.form.get("name", "").strip(),
        "use_host_repos": request.form.get("use_host_repos") == "true",
        "variants": [{"os": os, "arch": arch} for os, _, arch in variants],
    }
    _, refused = attempt(
        lambda: api().patch(f"/os-groups/{group_id}", token(), body), lambda failure: _group(group_id, failure)
    )
    return refused or done(
        "The group was changed; its hosts are judged anew.", url_for("releases.show", group_id=group_id)
    )


@pages.post("/releases/groups/<int:group_id>/repositories")
def repositories(group_id: int) -> Response | tuple[str, int]:
    """Its repositories with their priorities, in order; one more at the end if one was chosen."""
    ids = [each for each in request.form.getlist("repository") if each]
    wanted = [
        {"repository_id": str(UUID(each)), "priority": number(f"priority-{each}")}
        for each in dict.fromkeys(ids)
        if request.form.get(f"drop-{each}") != "true"
    ]
    _, refused = attempt(
        lambda: api().patch(f"/os-groups/{group_id}", token(), {"repositories": wanted}),
        lambda failure: _group(group_id, failure),
    )
    return refused or done(
        "The repositories were set; the group's hosts are judged anew.", url_for("releases.show", group_id=group_id)
    )


@pages.post("/releases/groups/<int:group_id>/drop")
def drop(group_id: int) -> Response:
    """Its hosts are judged by their own repositories again."""
    api().delete(f"/os-groups/{group_id}", token())
    return done(
        "The group is gone; its hosts are judged by their own repositories again.",
        url_for("releases.index", tab="groups"),
    )


def _page(failure: str = "") -> str:
    tab = request.args.get("tab", "groups" if failure else "releases")
    if tab not in TABS:
        abort(404)
    found = api().get(TABS[tab][1], token(), cursor=request.args.get("cursor"), limit=PAGE_LENGTH)
    return render_template(f"releases_{tab}.html", found=found, tab=tab, tabs=TABS, failure=failure)


def _group(group_id: int, failure: str = "") -> str:
    return render_template(
        "os_group.html",
        group=api().get(f"/os-groups/{group_id}", token()),
        variants=api().get("/os-variants", token(), limit=MOST)["items"],
        known=api().get("/repositories", token(), limit=MOST)["items"],
        failure=failure,
    )
