"""What operators do with hosts: with one, or with all that a query finds. The server applies the query."""

from collections.abc import Callable, Sequence
from typing import Any, Literal
from uuid import UUID

import msgspec
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from patchbay_shared.messages import HOSTS_OPERATED, SYNC_REQUESTED, HostsOperated, RepositoryNudge
from patchbay_shared.tables import host, host_credential
from sqlalchemy import Connection

from patchbay_api.auth import principal
from patchbay_api.groups import group_or_422, tag_field
from patchbay_api.hosts import host_or_404
from patchbay_api.jobs import Job
from patchbay_api.paging import STORABLE, query_field, text_field
from patchbay_api.query.grammar import InvalidQuery
from patchbay_api.query.hosts import hosts_matching
from patchbay_api.resource import Resource, context
from patchbay_api.store import approvals
from patchbay_api.store import jobs as store

host_actions = Resource("host-actions", "What operators do with hosts, one or many at once.")

SHOWN_FIRST = 20
ACTIONS = ("tag", "untag", "group", "evaluate", "refresh", "delete")
Operation = Literal["evaluate", "rename", "remove"]


class HostAction(Schema):
    """An action over hosts: those that the query finds, or those that are named."""

    action = fields.String(
        required=True,
        validate=validate.OneOf(ACTIONS),
        metadata={"description": "refresh: crawl the repositories of these hosts."},
    )
    query = query_field()
    host_ids = fields.List(
        fields.UUID(), validate=validate.Length(1, 1_000), metadata={"description": "Instead of a query."}
    )
    tags = fields.List(
        tag_field(),
        validate=validate.Length(1, 50),
        metadata={"description": "Of tag and untag: those that operators set."},
    )
    group = fields.String(
        allow_none=True,
        validate=[validate.Length(1, 100), validate.Regexp(STORABLE)],
        metadata={"description": "Of group: its name; null: in none."},
    )
    dry_run = fields.Boolean(load_default=False, metadata={"description": "Only say which hosts there would be."})

    @validates_schema
    def complete(self, data: dict[str, Any], **_: Any) -> None:
        """What an action needs, and which hosts: an empty query is every host, so it has to be there."""
        if ("query" in data) == ("host_ids" in data):
            raise ValidationError("Give either a query (an empty one finds every host) or host_ids.", "query")
        if data["action"] in ("tag", "untag") and not data.get("tags"):
            raise ValidationError("Say which tags.", "tags")
        if data["action"] == "group" and "group" not in data:
            raise ValidationError("Say which group; null: none.", "group")


class FirstHost(Schema):
    """One of the hosts that an action is about."""

    id = fields.UUID(required=True)
    hostname = fields.String(required=True)


class HostActionOutcome(Schema):
    """How many hosts, which first, and the job to follow."""

    matched_count = fields.Integer(required=True)
    first = fields.List(fields.Nested(FirstHost), required=True, metadata={"description": "In order of their names."})
    job = fields.Nested(Job, required=True, allow_none=True, metadata={"description": "null: a dry run, or no host."})


class NewName(Schema):
    """What to call a host."""

    hostname = fields.String(
        required=True,
        validate=[validate.Length(max=253), validate.Regexp(r"^[A-Za-z0-9._-]*$", error="Not a host name.")],
        metadata={"description": "Its reports do not change it; empty: as the host calls itself."},
    )


class ApproveAction(Schema):
    """Which of the hosts that wait."""

    q = text_field("Part of the host name as given when enrolling; without it: all that wait.")
    dry_run = fields.Boolean(load_default=False, metadata={"description": "Only say which hosts there would be."})


@host_actions.post("/hosts/actions", HostActionOutcome, status=202, body=HostAction, permission="hosts.operate")
def act_on_hosts(body: dict[str, Any]) -> dict[str, Any]:
    """Act on all hosts that a query finds."""
    publish: Callable[[], None] | None = None
    with context().database.transaction() as connection:
        found = _chosen(connection, body)
        outcome: dict[str, Any] = {"matched_count": len(found), "first": found[:SHOWN_FIRST], "job": None}
        group_id = group_or_422(connection, body["group"]) if body["action"] == "group" else None
        if body["dry_run"] or not found:
            return outcome
        ids = [each["id"] for each in found]
        number, publish = _act(connection, body, ids, group_id)
        outcome["job"] = store.job_by_id(connection, number)
    if publish:
        publish()
    return outcome


@host_actions.post("/hosts/<uuid:host_id>/rename", Job, status=202, body=NewName, permission="hosts.operate")
def rename_host(body: dict[str, Any], host_id: UUID) -> Any:
    """Call a host by another name than its own."""
    return _one(host_id, "rename", {"hostname": body["hostname"].lower()}, "rename", body["hostname"].lower())


@host_actions.post(
    "/waiting-hosts/approve", HostActionOutcome, status=202, body=ApproveAction, permission="enrolment.operate"
)
def approve_hosts(body: dict[str, Any]) -> dict[str, Any]:
    """Let in all hosts that wait, or those of a name."""
    statement = approvals.waiting_hosts()
    if body.get("q"):
        statement = statement.where(host_credential.c.hostname.icontains(body["q"], autoescape=True))
    with context().database.transaction() as connection:
        rows = connection.execute(statement.order_by(host_credential.c.hostname, host_credential.c.host_id)).all()
        found = [{"id": row.host_id, "hostname": row.hostname} for row in rows]
        outcome: dict[str, Any] = {"matched_count": len(found), "first": found[:SHOWN_FIRST], "job": None}
        if found and not body["dry_run"]:
            ids = [each["id"] for each in found]
            approvals.approve_all(connection, ids, by=principal().username)
            number = store.add_job(
                connection, "approve", ids, query=body.get("q") or "", parameters={}, by=principal().username,
                in_parts=False,
            )  # fmt: skip
            outcome["job"] = store.job_by_id(connection, number)
    return outcome


def _chosen(connection: Connection, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Every host that the body asks for, by name. Raises InvalidQuery."""
    if "query" in body:
        try:
            wanted = hosts_matching(connection, body["query"])
        except InvalidQuery as exc:
            exc.pointer = "$.json.query"
            raise
    else:
        wanted = hosts_matching(connection, "").where(host.c.id.in_(body["host_ids"]))
    ordered = wanted.add_columns(host.c.hostname).order_by(host.c.hostname, host.c.id)
    return [{"id": row.id, "hostname": row.hostname} for row in connection.execute(ordered)]


def _act(
    connection: Connection, body: dict[str, Any], ids: list[UUID], group_id: int | None
) -> tuple[UUID, Callable[[], None] | None]:
    """Do it as far as it is the API's to do; the job, and what is to be published once this is committed."""
    action: str = body["action"]
    by = principal().username
    parameters: dict[str, Any] = {name: body[name] for name in ("tags", "group") if name in body}
    subjects = ids
    match action:
        case "tag" | "untag":
            changed = {"add": body["tags"], "remove": []} if action == "tag" else {"add": [], "remove": body["tags"]}
            store.change_tags(connection, ids, **changed, by=by)
        case "group":
            store.set_group(connection, ids, group_id, by=by)
        case "delete":
            store.remove_hosts(connection, ids, by=by)
        case "refresh":
            subjects = store.repositories_of(connection, ids)
    in_parts = action in ("evaluate", "delete")
    number = store.add_job(
        connection, action, subjects, query=body.get("query", ""), parameters=parameters, by=by, in_parts=in_parts
    )
    if action == "refresh" and subjects:
        nudge = RepositoryNudge(repository_ids=subjects)
        return number, lambda: context().bus.publish(SYNC_REQUESTED, msgspec.json.encode(nudge))
    if in_parts:
        return number, lambda: _publish(number, "evaluate" if action == "evaluate" else "remove", ids)
    return number, None


def _one(host_id: UUID, action: str, parameters: dict[str, Any], operation: Operation, hostname: str = "") -> Any:
    """The job of an action on one host, which update-engine does."""
    with context().database.transaction() as connection:
        host_or_404(connection, host_id)
        number = store.add_job(
            connection, action, [host_id], query="", parameters=parameters, by=principal().username, in_parts=True
        )
        found = store.job_by_id(connection, number)
    _publish(number, operation, [host_id], hostname)
    return found


def _publish(number: UUID, operation: Operation, ids: Sequence[UUID], hostname: str = "") -> None:
    ordered = sorted(ids)
    for part, start in enumerate(range(0, len(ordered), store.PART)):
        message = HostsOperated(number, part, operation, ordered[start : start + store.PART], hostname)
        context().bus.publish(HOSTS_OPERATED, msgspec.json.encode(message))
