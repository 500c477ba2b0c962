"""Jobs: what operators asked for over many hosts, and how far it has come."""

from typing import Any
from uuid import UUID

from flask import abort
from marshmallow import Schema, fields, validate
from patchbay_shared.tables import job

from patchbay_api.auth import principal
from patchbay_api.paging import Key, Moment, Page, PageQuery, fetch_page, page_of
from patchbay_api.resource import Resource, context
from patchbay_api.store import jobs as store

jobs = Resource("jobs", "What was asked for over many hosts, and how far it has come.")


class JobQuery(PageQuery):
    """Which jobs; the newest come first."""

    mine = fields.Boolean(metadata={"description": "Only those that I asked for."})
    action = fields.String(validate=validate.Length(max=50), metadata={"description": "Only those of this action."})


class Job(Schema):
    """An action over hosts or repositories. Somebody who may see some hosts only sees their own jobs."""

    id = fields.UUID(required=True)
    action = fields.String(required=True)
    query = fields.String(required=True, metadata={"description": "Which hosts; empty: they were named."})
    parameters = fields.Dict(keys=fields.String(), required=True)
    requested_by = fields.String(required=True)
    requested_at = fields.AwareDateTime(required=True)
    state = fields.String(required=True, validate=validate.OneOf(["running", "done"]))
    total_count = fields.Integer(required=True)
    done_count = fields.Integer(required=True)
    failed_count = fields.Integer(required=True)
    message = fields.String(required=True, metadata={"description": "Why some failed."})
    finished_at = fields.AwareDateTime(required=True, allow_none=True)


@jobs.get("/jobs", page_of(Job, "JobPage"), query=JobQuery, permission="hosts.read")
def list_jobs(query: dict[str, Any]) -> Page:
    """List jobs, the newest first."""
    statement = store.jobs()
    if query.get("mine") or principal().scopes:
        statement = statement.where(job.c.requested_by == principal().username)
    if query.get("action"):
        statement = statement.where(job.c.action == query["action"])
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            statement,
            [Key(job.c.requested_at, Moment, descending=True), Key(job.c.id, UUID, descending=True)],
            sort="-requested_at",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


@jobs.get("/jobs/<uuid:job_id>", Job, permission="hosts.read")
def get_job(job_id: UUID) -> Any:
    """Show one job."""
    with context().database.transaction() as connection:
        found = store.job_by_id(connection, job_id)
    if found is None or (principal().scopes and found["requested_by"] != principal().username):
        abort(404, f"There is no job {job_id}; jobs are kept for {store.KEPT.days} days.")
    return found
