"""Users and roles: who may do what, on which hosts."""

from typing import Any

from flask import Blueprint, abort, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web.forms import attempt, done, listed
from patchbay_web.session import api, token

pages = Blueprint("users", __name__)

PAGE_LENGTH = 100
TABS = {"sessions": "Sessions", "tokens": "API tokens"}


@pages.get("/users")
def index() -> str:
    """All users, and the form for a new one."""
    return _page()


@pages.post("/users")
def create() -> str | tuple[str, int]:
    """Make a user; a generated password is shown this once."""
    body = {
        "username": request.form.get("username", "").strip(),
        "role": request.form.get("role", "viewer"),
        "scope": listed("scope") or None,
    }
    made, refused = attempt(lambda: api().post("/users", token(), body), _page)
    return refused or _page(made=made)


@pages.get("/users/<int:user_id>")
def show(user_id: int) -> str:
    """Where one user is signed in, and what acts for the user over the API."""
    tab, ended = request.args.get("tab", "sessions"), request.args.get("show") == "ended"
    if tab not in TABS:
        abort(404)
    user = api().get(f"/users/{user_id}", token())
    page: dict[str, Any] = {"cursor": request.args.get("cursor"), "limit": PAGE_LENGTH}
    if tab == "tokens":
        found = api().get("/tokens/all", token(), owner=user["username"], living=not ended, **page)
    else:
        found = api().get(f"/users/{user_id}/sessions", token(), **page)
    return render_template("user.html", user=user, found=found, tab=tab, tabs=TABS, ended=ended)


@pages.post("/users/<int:user_id>")
def change(user_id: int) -> Response | tuple[str, int]:
    """Change role, scope or right to sign in."""
    body: dict[str, Any] = {
        "role": request.form.get("role", "viewer"),
        "scope": listed("scope") or None,
        "disabled": request.form.get("disabled") == "true",
    }
    _, refused = attempt(lambda: api().patch(f"/users/{user_id}", token(), body), _page)
    return refused or done("The user was changed and signed out, so that it holds at once.", url_for("users.index"))


@pages.post("/users/<int:user_id>/password")
def reset(user_id: int) -> str | tuple[str, int]:
    """Give the user a new password, shown this once."""
    made, refused = attempt(lambda: api().post(f"/users/{user_id}/password", token(), {}), _page)
    return refused or _page(made=made)


@pages.post("/users/<int:user_id>/<any('sign-out','second-factor',remove):action>")
def act(user_id: int, action: str) -> Response | tuple[str, int]:
    """End the user's sessions, take the second factor away, or remove the user."""

    def asked() -> None:
        if action == "sign-out":
            api().post(f"/users/{user_id}/sign-out", token())
        elif action == "second-factor":
            api().delete(f"/users/{user_id}/second-factor", token())
        else:
            api().delete(f"/users/{user_id}", token())

    _, refused = attempt(asked, _page)
    words = {
        "sign-out": "All sessions of the user have ended.",
        "second-factor": "The second factor is gone; the user signs in with the password alone.",
        "remove": "The user is gone, with all sessions and API tokens.",
    }[action]
    return refused or done(words, url_for("users.index"))


@pages.get("/roles")
def roles() -> str:
    """All roles and what they may do."""
    return _roles()


@pages.post("/roles")
def create_role() -> Response | tuple[str, int]:
    """Make a role of permissions."""
    body = {**_role(), "name": request.form.get("name", "").strip()}
    _, refused = attempt(lambda: api().post("/roles", token(), body), _roles)
    return refused or done(f"The role {body['name']} was made.", url_for("users.roles"))


@pages.post("/roles/<name>")
def change_role(name: str) -> Response | tuple[str, int]:
    """Change a role; it holds at once for all who have it."""
    _, refused = attempt(lambda: api().patch(f"/roles/{name}", token(), _role()), _roles)
    return refused or done(f"The role {name} was changed.", url_for("users.roles"))


@pages.post("/roles/<name>/remove")
def remove_role(name: str) -> Response | tuple[str, int]:
    """Remove a role that nobody has any more."""
    _, refused = attempt(lambda: api().delete(f"/roles/{name}", token()), _roles)
    return refused or done(f"The role {name} is gone.", url_for("users.roles"))


def _role() -> dict[str, Any]:
    return {
        "description": request.form.get("description", "").strip(),
        "permissions": request.form.getlist("permission"),
    }


def _page(failure: str = "", made: dict[str, Any] | None = None) -> str:
    role = request.args.get("role") or None
    found = api().get(
        "/users",
        token(),
        q=request.args.get("q") or None,
        role=role,
        cursor=request.args.get("cursor"),
        limit=PAGE_LENGTH,
    )
    known = api().get("/roles", token())["items"]
    return render_template("users.html", found=found, roles=known, role=role, failure=failure, made=made)


def _roles(failure: str = "") -> str:
    known = api().get("/roles", token())["items"]
    permissions = api().get("/permissions", token())["items"]
    return render_template("roles.html", roles=known, permissions=permissions, failure=failure)
