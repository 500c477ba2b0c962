"""Exceptions: what was waived, for whom, until when and why; and until when CVEs have to be fixed."""

from typing import Any
from uuid import UUID

from flask import Blueprint, abort, render_template, request, url_for
from werkzeug.wrappers import Response

from patchbay_web.client import Refused
from patchbay_web.forms import attempt, done, number
from patchbay_web.session import api, token

pages = Blueprint("exceptions", __name__)

PAGE_LENGTH = 50
STATES = {"active": ("Active", "green"), "expired": ("Expired", "orange"), "ended": ("Ended", "secondary")}
KINDS = {"cve": "CVE", "advisory": "Advisory", "package": "Package"}
SCOPES = {"host": "for one host", "tag": "for a tag", "group": "for a group"}
SEVERITIES = ("exploited", "critical", "high", "medium", "low")


@pages.get("/exceptions")
def index() -> str:
    """Exceptions, the newest first."""
    return _page()


@pages.post("/exceptions")
def create() -> Response | tuple[str, int]:
    """Waive something for a host, for a group, or for all hosts with a tag."""
    until = request.form.get("expires_on", "")
    body = {
        "kind": request.form.get("kind", "cve"),
        "subject": request.form.get("subject", "").strip(),
        "scope": request.form.get("scope", "tag"),
        "target": request.form.get("target", "").strip(),
        "reason": request.form.get("reason", "").strip(),
        "owner": request.form.get("owner", "").strip(),
        "expires_at": f"{until}T23:59:59Z" if until else None,
    }

    def waive() -> None:
        api().post("/exceptions", token(), body | {"target": _target(body["scope"] or "", body["target"] or "")})

    _, refused = attempt(waive, _page)
    return refused or done(
        f"{body['subject']} is waived there; counts follow in a minute.", url_for("exceptions.index")
    )


@pages.post("/exceptions/<int:exception_id>/end")
def end(exception_id: int) -> Response:
    """What it waived counts again."""
    api().post(f"/exceptions/{exception_id}/end", token())
    return done("The exception has ended; what it waived counts again.", url_for("exceptions.index"))


@pages.get("/due-dates")
def policies() -> str:
    """How many days each severity has, for the fleet and for tags."""
    return _policies()


@pages.post("/due-dates")
def set_policy() -> Response | tuple[str, int]:
    """Set the days of the fleet, of a group or of a tag."""
    scope = request.form.get("scope", "tag")
    target = request.form.get("target", "").strip()
    body: dict[str, Any] = {"scope": scope, "target": target} if target else {"scope": "fleet", "target": ""}
    body |= {f"{each}_days": number(each) for each in SEVERITIES}

    def set_days() -> None:
        api().post("/remediation-policies", token(), body | {"target": _target(body["scope"], body["target"])})

    _, refused = attempt(set_days, _policies)
    return refused or done("The days were set; due dates follow in a minute.", url_for("exceptions.policies"))


@pages.post("/due-dates/<int:policy_id>/remove")
def remove_policy(policy_id: int) -> Response:
    """The fleet's days or the defaults hold again."""
    api().delete(f"/remediation-policies/{policy_id}", token())
    return done("It is gone; the fleet's days or the defaults hold again.", url_for("exceptions.policies"))


def _target(scope: str, name: str) -> str:
    """The id of the host or group of this name. Raises Refused if none or several are called so."""
    if scope == "host" and name:
        found = [each for each in api().get("/hosts", token(), q=name, limit=50)["items"] if each["hostname"] == name]
    elif scope == "group":
        found = [each for each in api().get("/groups", token(), q=name, limit=500)["items"] if each["name"] == name]
    else:
        return name
    if len(found) != 1:
        raise Refused(422, f"{len(found) or 'No'} {scope}{'s are' if found else ' is'} called {name}.", "target")
    return str(found[0]["id"])


def _page(failure: str = "") -> str:
    state = request.args.get("state", "active")
    if state not in {"all", *STATES}:
        abort(404)
    host_id, subject = request.args.get("host", type=UUID), request.args.get("about") or None
    scope = request.args.get("only")
    found = api().get(
        "/exceptions",
        token(),
        state=None if state == "all" else state,
        host_id=host_id,
        subject=subject,
        scope=scope if scope in SCOPES else None,
        cursor=request.args.get("cursor"),
        limit=PAGE_LENGTH,
    )
    narrowed = {
        "host": host_id and api().get(f"/hosts/{host_id}", token())["hostname"],
        "about": subject,
        "only": SCOPES.get(scope or ""),
    }
    return render_template(
        "exceptions.html",
        found=found,
        state=state,
        states=STATES,
        kinds=KINDS,
        narrowed={name: words for name, words in narrowed.items() if words},
        failure=failure,
    )


def _policies(failure: str = "") -> str:
    found = api().get("/remediation-policies", token(), limit=PAGE_LENGTH)
    defaults = api().get("/remediation-policies/defaults", token())
    return render_template("due_dates.html", found=found, defaults=defaults, severities=SEVERITIES, failure=failure)
