"""Who did what: the audit trail, and whether its chain holds."""

import json
from typing import Any

from flask import Blueprint, abort, render_template, request

from patchbay_web.session import api, token

pages = Blueprint("audit", __name__)

PAGE_LENGTH = 50
OUTCOMES = ("done", "denied")
_BESIDE = {"changed_at", "changed_by", "created_at", "created_by"}
NARROWING = ("actor", "action", "object_type", "object_id")


@pages.get("/audit")
def index() -> str:
    """What was done, the newest first."""
    outcome = request.args.get("outcome")
    if outcome not in {None, *OUTCOMES}:
        abort(404)
    narrowed = {name: value for name in NARROWING if (value := request.args.get(name))}
    found = api().get(
        "/audit", token(), outcome=outcome, cursor=request.args.get("cursor"), limit=PAGE_LENGTH, **narrowed
    )
    events = [{**each, "changes": _changes(each)} for each in found["items"]]
    return render_template(
        "audit.html", found=found, events=events, outcome=outcome, outcomes=OUTCOMES, narrowed=narrowed
    )


@pages.get("/audit/verification")
def verification() -> str:
    """Whether the chain of events holds, from the first on; asked by htmx, only the answer."""
    found = api().get("/audit/verification", token())
    short = "HX-Request" in request.headers
    return render_template("audit_verified.html" if short else "audit_verification.html", found=found)


def _changes(event: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Field, what it was, what it is; of what was asked for and answered, what was asked. Not who and when."""
    before, after = event["before"] or {}, event["after"] or {}
    after = after.get("asked") or after.get("answered") or after
    found = [(name, _text(before.get(name)), _text(after.get(name))) for name in sorted({*before, *after})]
    return [(name, was, becomes) for name, was, becomes in found if name not in _BESIDE and (was or becomes)]


def _text(value: Any) -> str:
    if value in (None, [], {}):
        return ""
    if isinstance(value, list) and all(isinstance(each, str | int) for each in value):
        return ", ".join(str(each) for each in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
