"""Merging hosts: two entries of one machine, which was installed or enrolled again, become one."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from marshmallow import Schema, fields
from patchbay_shared.messages import HOSTS_OPERATED, HostsOperated
from sqlalchemy import Connection, RowMapping

from patchbay_api.auth import principal
from patchbay_api.groups import LONGEST_NOTES
from patchbay_api.hosts import host_or_404
from patchbay_api.jobs import Job
from patchbay_api.problems import conflict, unprocessable
from patchbay_api.resource import Resource, context
from patchbay_api.store import jobs
from patchbay_api.store import merges as store

host_merges = Resource("host-merges", "Two entries of one machine become one.")

BOTH_ALIVE = timedelta(hours=24)


class Merge(Schema):
    """Which host is to become part of this one."""

    host_id = fields.UUID(required=True, metadata={"description": "The other entry; it is gone afterwards."})
    dry_run = fields.Boolean(load_default=False, metadata={"description": "Only say what would become of it."})


class MergedHost(Schema):
    """One of the two."""

    id = fields.UUID(required=True)
    hostname = fields.String(required=True)
    last_report_at = fields.AwareDateTime(required=True)


class MergeOutcome(Schema):
    """What becomes of the other entry, and the job to follow."""

    into = fields.Nested(MergedHost, required=True, metadata={"description": "It stays, with its id."})
    other = fields.Nested(
        MergedHost, required=True, metadata={"description": "It goes; its tokens stand for `into`."}
    )
    newer_report = fields.UUID(
        required=True, metadata={"description": "The one whose last report says how the machine is now."}
    )
    change_count = fields.Integer(required=True, metadata={"description": "Changes of its timeline that move."})
    receipt_count = fields.Integer(required=True, metadata={"description": "Receipts that move."})
    kept_report_count = fields.Integer(required=True, metadata={"description": "Kept reports that move."})
    exception_count = fields.Integer(required=True, metadata={"description": "Exceptions that move."})
    tags = fields.List(fields.String(), required=True, metadata={"description": "Set by operators; they are added."})
    notes = fields.String(required=True, metadata={"description": "They are appended."})
    group = fields.String(
        required=True, allow_none=True, metadata={"description": "The group afterwards: `into`'s own, if it has one."}
    )
    warnings = fields.List(fields.String(), required=True, metadata={"description": "What speaks against it."})
    job = fields.Nested(Job, required=True, allow_none=True, metadata={"description": "null: a dry run."})


@host_merges.post(
    "/hosts/<uuid:host_id>/merge",
    MergeOutcome,
    status=202,
    body=Merge,
    permission="hosts.operate",
    errors=(409,),
)
def merge_hosts(body: dict[str, Any], host_id: UUID) -> dict[str, Any]:
    """Make another entry of the same machine part of this host.

    This host keeps its id and its token, and gets the other's timeline, receipts, kept reports, tags, notes and
    exceptions. The other's tokens stand for this host from now on, and its reports under way become this one's.
    """
    if body["host_id"] == host_id:
        raise unprocessable("host_id", "It is the same host; name the other entry.")
    with context().database.transaction() as connection:
        store.lock(connection)
        into, other = host_or_404(connection, host_id), host_or_404(connection, body["host_id"])
        for each in (into, other):
            if store.on_its_way_out(connection, each["id"]):
                raise conflict(f"{each['hostname']} has just been removed or merged into another host.")
        outcome = _outcome(connection, into, other)
        if body["dry_run"]:
            return {**outcome, "job": None}
        store.merge(connection, other=other["id"], into=host_id, by=principal().username, longest_notes=LONGEST_NOTES)
        number = jobs.add_job(
            connection,
            "merge",
            [other["id"]],
            query="",
            parameters={"into": str(host_id), "other": str(other["id"]), "hostname": other["hostname"]},
            by=principal().username,
            in_parts=True,
        )
        job = jobs.job_by_id(connection, number)
    message = HostsOperated(number, 0, "merge", [other["id"]])
    context().bus.publish(HOSTS_OPERATED, msgspec.json.encode(message))
    return {**outcome, "job": job}


def _outcome(connection: Connection, into: RowMapping, other: RowMapping) -> dict[str, Any]:
    moved = store.known_of(connection, other["id"])
    newer = other if other["last_report_at"] > into["last_report_at"] else into
    return {
        **moved,
        "into": into,
        "other": other,
        "newer_report": newer["id"],
        "group": into["group"] or moved["group_name"],
        "warnings": _warnings(into, other),
    }


def _warnings(into: RowMapping, other: RowMapping) -> list[str]:
    found = []
    if abs(into["last_report_at"] - other["last_report_at"]) < BOTH_ALIVE:
        found.append(
            "Both have reported within a day of each other: if they are two machines, their reports would take turns."
        )
    if into["arch"] != other["arch"]:
        found.append(f"One is {into['arch']}, the other {other['arch']}.")
    if into["machine_id"] and other["machine_id"] and into["machine_id"] != other["machine_id"]:
        found.append("Their machine-ids differ: the machine was installed again, or they are two.")
    return found
