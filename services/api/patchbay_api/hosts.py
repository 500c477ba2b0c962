"""Hosts: the list with its counts, and one host."""

from typing import Any
from uuid import UUID

import msgspec
from flask import abort
from marshmallow import Schema, fields
from patchbay_shared.messages import EVALUATION_REQUESTED, HOST_REMOVED, EvaluationRequested, HostRemoved
from patchbay_shared.tables import host
from sqlalchemy import Connection, RowMapping

from patchbay_api.auth import principal
from patchbay_api.host_query import SORTS, HostQuery, filtered_hosts
from patchbay_api.paging import Key, Page, fetch_page, page_of
from patchbay_api.resource import Resource, context
from patchbay_api.store import approvals, lifecycles
from patchbay_api.store import hosts as store

hosts = Resource("hosts", "What reports, and what is outstanding on it.")


def _counted(description: str) -> fields.Integer:
    return fields.Integer(
        required=True, allow_none=True, metadata={"description": f"{description}; null: not counted yet."}
    )


class Host(Schema):
    """A host with the counts of its evaluation."""

    id = fields.UUID(required=True)
    hostname = fields.String(required=True)
    os = fields.String(required=True)
    arch = fields.String(required=True)
    kernel = fields.String(required=True)
    group = fields.String(required=True, allow_none=True, metadata={"description": "null: in none."})
    tags = fields.List(
        fields.String(), required=True, metadata={"description": "Those that it reports and those set by operators."}
    )
    operator_tags = fields.List(
        fields.String(), required=True, metadata={"description": "Those of them that operators have set."}
    )
    updates = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Packages that the host's own package manager would list; null: not evaluated yet."},
    )
    security = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Those of them that are security fixes."}
    )
    states = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        allow_none=True,
        metadata={"description": "Number of verdicts by state."},
    )
    reboot_required = fields.Boolean(
        required=True, allow_none=True, metadata={"description": "null: nothing says so."}
    )
    reboot_why = fields.String(
        required=True, allow_none=True, metadata={"description": "What that rests on; null: not judged yet."}
    )
    reboot_rule = fields.String(
        required=True, allow_none=True, metadata={"description": "Stable code of the rule behind it."}
    )
    difference_count = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Updates that only it or only Patchbay lists; null: not compared."},
    )
    machine_id_shared = fields.Boolean(
        required=True,
        metadata={"description": "Another host reports the same machine-id: one was cloned from the other."},
    )
    package_count = fields.Integer(required=True)
    repository_count = fields.Integer(required=True, metadata={"description": "Enabled repositories."})
    repository_problem_count = fields.Integer(
        required=True,
        metadata={"description": "Those whose content is not known to be current: the counts may be too low."},
    )
    cves = _counted("CVEs that touch it and are not waived")
    cves_fixable = _counted("Those of them with a fix to install")
    cves_restart_pending = _counted("Those fixed on disk, where the old kernel or a service still runs")
    cves_exploited = _counted("Those that CISA knows to be exploited")
    cves_overdue = _counted("Those past their due date")
    cves_waived = _counted("CVEs that touch it and are waived")
    next_due_on = fields.Date(
        required=True, allow_none=True, metadata={"description": "The earliest due date of its CVEs."}
    )
    worst_cve = fields.String(
        required=True, allow_none=True, metadata={"description": "The first by priority; empty: none."}
    )
    silent = fields.Boolean(required=True, metadata={"description": "The last report is older than a day."})
    last_report_at = fields.AwareDateTime(required=True)
    evaluated_at = fields.AwareDateTime(required=True, allow_none=True)


PHASES = (
    "supported: everybody gets security updates; extended: only longer support (LTS, ESM) does; ended; unknown: no"
    " date is known."
)


class OpinionUpdate(Schema):
    """One update as one side lists it."""

    name = fields.String(required=True)
    arch = fields.String()
    to = fields.String(required=True)


class Opinion(Schema):
    """The package manager's own list of updates beside Patchbay's; the lists are null until compared."""

    difference_count = fields.Integer(required=True, allow_none=True)
    only_client = fields.List(fields.Nested(OpinionUpdate), required=True, allow_none=True)
    only_server = fields.List(fields.Nested(OpinionUpdate), required=True, allow_none=True)
    reported_at = fields.AwareDateTime(required=True)
    compared_at = fields.AwareDateTime(required=True, allow_none=True)


class Support(Schema):
    """Until when the host's distribution release gets security updates."""

    name = fields.String(required=True)
    ends_on = fields.Date(
        required=True, allow_none=True, metadata={"description": "Last day of free updates for everybody."}
    )
    extended_ends_on = fields.Date(
        required=True, allow_none=True, metadata={"description": "Last day of longer support."}
    )
    ended = fields.Boolean(required=True, metadata={"description": "`ends_on` is past."})
    phase = fields.String(required=True, metadata={"description": PHASES})


class RepositorySupport(Support):
    """Until when a third-party repository gets updates."""

    repository_id = fields.UUID(required=True)


class HostDetail(Host):
    """One host with everything that it says of itself."""

    notes = fields.String(required=True, metadata={"description": "What operators have written down."})
    reported_hostname = fields.String(
        required=True, metadata={"description": "What it calls itself; `hostname` where no operator renamed it."}
    )
    waiting = fields.Boolean(
        required=True, metadata={"description": "Its reports are refused until an operator approves it."}
    )
    machine_id = fields.String(required=True)
    boot_id = fields.String(required=True)
    opinion = fields.Nested(
        Opinion,
        required=True,
        allow_none=True,
        metadata={"description": "null: the host's reports carry no list of its package manager."},
    )
    support = fields.Nested(
        Support, required=True, allow_none=True, metadata={"description": "null: no calendar has its release."}
    )
    repository_support = fields.List(
        fields.Nested(RepositorySupport),
        required=True,
        metadata={"description": "Of those of its third-party repositories whose end is known."},
    )
    facts = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={"description": "os_release, agent_version, reboot_reasons, stale_services and more, as reported."},
    )
    first_report_at = fields.AwareDateTime(required=True)
    changed_at = fields.AwareDateTime(
        required=True, metadata={"description": "When a report last differed from the one before."}
    )


class Requested(Schema):
    """An action that was handed to the service that does it."""

    id = fields.UUID(required=True)
    requested = fields.String(required=True, metadata={"description": "Which work was asked for."})


@hosts.get("/hosts", page_of(Host, "HostPage"), query=HostQuery, permission="hosts.read")
def list_hosts(query: dict[str, Any]) -> Page:
    """List hosts."""
    sort: str = query["sort"]
    order = SORTS[sort.removeprefix("-")]
    keys = [Key(expression, kind, descending=sort.startswith("-")) for expression, kind in order]
    if order is not SORTS["hostname"]:
        keys.append(Key(host.c.hostname, str))
    keys.append(Key(host.c.id, UUID))
    with context().database.transaction() as connection:
        page = fetch_page(
            connection,
            filtered_hosts(connection, query),
            keys,
            sort=sort,
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
        rows = store.hosts_by_ids(connection, [row["id"] for row in page.items])
        return Page(_with_health(connection, rows), page.next_cursor, page.total_count)


@hosts.get("/hosts/<uuid:host_id>", HostDetail, permission="hosts.read")
def get_host(host_id: UUID) -> dict[str, Any]:
    """Show one host."""
    with context().database.transaction() as connection:
        [found] = _with_health(connection, [host_or_404(connection, host_id)])
        release = found["facts"].get("os_release") or {}
        return {
            **found,
            "waiting": approvals.waits(connection, host_id),
            "opinion": store.opinion_of(connection, host_id),
            "support": lifecycles.lifecycle_of(connection, release.get("ID") or "", release.get("VERSION_ID") or ""),
            "repository_support": lifecycles.lifecycles_of_repositories(
                connection, store.repository_ids_of(connection, found["repository_set_id"])
            ),
        }


@hosts.post("/hosts/<uuid:host_id>/evaluate", Requested, status=202, permission="hosts.operate")
def evaluate_host(host_id: UUID) -> dict[str, Any]:
    """Ask for a fresh evaluation of one host."""
    with context().database.transaction() as connection:
        host_or_404(connection, host_id)
    message = EvaluationRequested(host_ids=[host_id])
    context().bus.publish(EVALUATION_REQUESTED, msgspec.json.encode(message))
    return {"id": host_id, "requested": "evaluation"}


@hosts.delete("/hosts/<uuid:host_id>", permission="hosts.operate")
def remove_host(host_id: UUID) -> None:
    """Remove a host: its tokens end, reports under way are refused, and only its receipts stay.

    It comes back as another host if it enrols again, or reports again with a token that hosts share.
    """
    with context().database.transaction() as connection:
        host_or_404(connection, host_id)
        store.note_removal(connection, host_id, by=principal().username)
    context().bus.publish(HOST_REMOVED, msgspec.json.encode(HostRemoved(host_id)))


def host_or_404(connection: Connection, host_id: UUID) -> RowMapping:
    """The host's row. Aborts with 404."""
    found = store.host_by_id(connection, host_id)
    if found is None:
        abort(404, f"There is no host {host_id}; it may have been removed.")
    return found


def _with_health(connection: Connection, rows: Any) -> list[dict[str, Any]]:
    health = store.repository_health(connection, {row["repository_set_id"] for row in rows})
    found = []
    for row in rows:
        count, problem_count = health.get(row["repository_set_id"], (0, 0))
        found.append({**row, "repository_count": count, "repository_problem_count": problem_count})
    return found
