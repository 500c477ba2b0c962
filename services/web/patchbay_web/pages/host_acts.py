"""What is done with many hosts at once: asked about first, with how many there are, and followed as a job."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from patchbay_web.client import Refused
from patchbay_web.exports import csv_of
from patchbay_web.forms import attempt, done, listed
from patchbay_web.host_terms import as_query
from patchbay_web.session import api, token

pages = Blueprint("host_acts", __name__)

PAGE_LENGTH = 50
MOST_GROUPS = 500
ACTIONS = {
    "tag": "Add tags",
    "untag": "Take tags away",
    "group": "Put into a group",
    "evaluate": "Evaluate again",
    "refresh": "Crawl their repositories",
    "delete": "Remove for good",
}
JOBS = ACTIONS | {"rename": "Rename", "approve": "Let in", "merge": "Merge"}
CSV_FIELDS = "hostname,os,arch,kernel,group,tags,updates,security,cves,cves_overdue,reboot_required,last_report_at"


@pages.get("/hosts/act")
def form() -> str:
    """Choose what to do with all hosts that a query finds."""
    return _form(request.args.get("query", ""))


@pages.post("/hosts/act")
def act() -> BaseResponse | str | tuple[str, int]:
    """Say first what would happen to how many; confirmed, do it."""
    action, query = request.form.get("action", ""), request.form.get("query", "")
    if action not in ACTIONS:
        abort(400, "There is no such action.")
    body: dict[str, Any] = {"action": action, "query": query, "dry_run": request.form.get("confirmed") != "true"}
    if action in {"tag", "untag"}:
        body["tags"] = listed("tags")
    if action == "group":
        body["group"] = request.form.get("group") or None

    def ask() -> Any:
        if body.get("tags") == []:
            raise Refused(422, "Name at least one tag.", "tags")
        return api().post("/hosts/actions", token(), body)

    outcome, refused = attempt(ask, lambda failure: _form(query, failure))
    if refused:
        return refused
    if body["dry_run"]:
        return render_template("hosts_confirm.html", outcome=outcome, body=body, words=ACTIONS[action])
    if outcome["job"] is None:
        return done("No host fits any more; nothing was done.", url_for("hosts.index", query=query))
    return done(f"{ACTIONS[action]}: it is being done.", url_for("host_acts.job", job_id=outcome["job"]["id"]))


@pages.get("/hosts.csv")
def export() -> Response:
    """The whole list as CSV, whatever its length."""
    query = as_query(request.args)
    if query is None:
        abort(400, "This filter cannot be exported; write it as a query.")
    return csv_of("/hosts", query=query or None, fields=CSV_FIELDS)


@pages.get("/jobs")
def jobs() -> str:
    """What was asked for many hosts, the newest first."""
    found = api().get("/jobs", token(), cursor=request.args.get("cursor"), limit=PAGE_LENGTH)
    items = [{**each, **_subjects(each)} for each in found["items"]]
    return render_template("jobs.html", found={**found, "items": items}, actions=JOBS)


@pages.get("/jobs/<uuid:job_id>")
def job(job_id: UUID) -> str:
    """One job: how far it is."""
    found = api().get(f"/jobs/{job_id}", token())
    return render_template("job.html", job=found, actions=JOBS, **_subjects(found))


def _subjects(job: dict[str, Any]) -> dict[str, Any]:
    """What a job is about, one and several, and their list; hosts that go, or are merged, have none."""
    if job["action"] == "refresh":
        target = url_for("repositories.index", job=job["id"])
        return {"things": ("repository", "repositories"), "target": target}
    gone = job["action"] in {"delete", "merge"}
    target = "" if gone else url_for("hosts.index", query=f"job:{job['id']}")
    return {"things": ("host", "hosts"), "target": target}


def _form(query: str, failure: str = "") -> str:
    groups = api().get("/groups", token(), limit=MOST_GROUPS)["items"]
    return render_template("hosts_act.html", query=query, groups=groups, actions=ACTIONS, failure=failure)
