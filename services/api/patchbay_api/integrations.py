"""What other tools read: Ansible's inventory, Prometheus' targets, a calendar of due dates."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from flask import Response, jsonify
from icalendar import Calendar, Event
from marshmallow import fields, validate
from patchbay_shared.tables import host
from sqlalchemy import Connection, RowMapping

from patchbay_api.host_query import HostQuery, filtered_hosts
from patchbay_api.resource import Resource, context
from patchbay_api.store import calendar as store
from patchbay_api.store.hosts import hosts

integrations = Resource("integrations", "What other tools read: inventories and calendars.")

MOST_NAMED = 50
"""Hosts that one entry of the calendar names."""
_NO_NAME = re.compile(r"[^a-z0-9_]+")


class InventoryQuery(HostQuery):
    """Which hosts: the parameters of `GET /hosts`."""

    class Meta:
        exclude = ("limit", "cursor", "sort")


class TargetQuery(InventoryQuery):
    """Which hosts, and where their exporter listens."""

    port = fields.Integer(
        load_default=9_100, validate=validate.Range(1, 65_535), metadata={"description": "Port of the exporter."}
    )


@integrations.document(
    "/inventory/ansible",
    content_type="application/json",
    schema={"type": "object", "description": "As an inventory script prints with --list."},
    query=InventoryQuery,
    permission="hosts.read",
)
def get_ansible_inventory(query: dict[str, Any]) -> Response:
    """Show hosts as a dynamic inventory of Ansible, in groups by tag, group, operating system and what is due."""
    with context().database.transaction() as connection:
        rows = _hosts(connection, query)
    groups: dict[str, list[str]] = {}
    for row in rows:
        for name in _groups_of(row):
            groups.setdefault(name, []).append(row["hostname"])
    return jsonify(
        {
            "_meta": {"hostvars": {row["hostname"]: _variables(row) for row in rows}},
            "all": {"hosts": [row["hostname"] for row in rows], "children": sorted(groups)},
            **{name: {"hosts": members} for name, members in sorted(groups.items())},
        }
    )


@integrations.document(
    "/inventory/prometheus",
    content_type="application/json",
    schema={
        "type": "array",
        "description": "As http_sd_configs reads it.",
        "items": {
            "type": "object",
            "properties": {
                "targets": {"type": "array", "items": {"type": "string"}},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            },
            "required": ["targets", "labels"],
        },
    },
    query=TargetQuery,
    permission="hosts.read",
)
def get_prometheus_targets(query: dict[str, Any]) -> Response:
    """Show hosts as targets of Prometheus' HTTP service discovery."""
    with context().database.transaction() as connection:
        rows = _hosts(connection, query)
    return jsonify(
        [
            {
                "targets": [f"{row['hostname']}:{query['port']}"],
                "labels": {
                    "__meta_patchbay_id": str(row["id"]),
                    "__meta_patchbay_os": row["os"],
                    "__meta_patchbay_arch": row["arch"],
                    "__meta_patchbay_group": row["group"] or "",
                    "__meta_patchbay_tags": f",{','.join(row['tags'])}," if row["tags"] else "",
                },
            }
            for row in rows
        ]
    )


@integrations.document(
    "/calendar",
    content_type="text/calendar",
    schema={"type": "string", "description": "iCalendar (RFC 5545)."},
    query=InventoryQuery,
    permission="hosts.read",
)
def get_calendar(query: dict[str, Any]) -> Response:
    """Show when vulnerabilities are due and releases end, as a calendar to subscribe to."""
    with context().database.transaction() as connection:
        chosen = filtered_hosts(connection, query).order_by(None)
        due = store.due_hosts(connection, chosen)
        ends = store.ending_releases(connection, chosen)
    calendar = Calendar()
    calendar.add("prodid", "-//Patchbay//due dates//EN")
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", "Patchbay")
    calendar.add("refresh-interval;value=duration", "PT1H")
    by_day: dict[date, list[RowMapping]] = {}
    for row in due:
        by_day.setdefault(row["next_due_on"], []).append(row)
    for day, rows in sorted(by_day.items()):
        count = len(rows)
        title = f"Fixes due on {rows[0]['hostname']}" if count == 1 else f"Fixes due on {count} hosts"
        calendar.add_component(_entry(f"due-{day.isoformat()}", day, title, _due_lines(rows)))
    for row in ends:
        uid = f"end-{row['ecosystem']}-{row['version']}"
        title = f"{row['name']}: last day of security updates"
        calendar.add_component(_entry(uid, row["ends_on"], title, [f"{row['hosts']} hosts run it."]))
    return Response(calendar.to_ical(), content_type="text/calendar; charset=utf-8")


def _hosts(connection: Connection, query: dict[str, Any]) -> Sequence[RowMapping]:
    chosen = filtered_hosts(connection, query).order_by(None)
    statement = hosts().where(host.c.id.in_(chosen)).order_by(host.c.hostname, host.c.id)
    return connection.execute(statement).mappings().all()


def _groups_of(row: RowMapping) -> list[str]:
    found = [_name("os", row["os"]), _name("arch", row["arch"])]
    found += [_name("tag", each) for each in row["tags"]]
    if row["group"]:
        found.append(_name("group", row["group"]))
    for condition, name in (
        (row["updates"], "updates_outstanding"),
        (row["security"], "security_outstanding"),
        (row["reboot_required"], "restart_required"),
        (row["silent"], "silent"),
    ):
        if condition:
            found.append(name)
    return sorted(set(found))


def _name(prefix: str, text: str) -> str:
    """A group's name that Ansible takes without a warning."""
    return f"{prefix}_{_NO_NAME.sub('_', text.lower()).strip('_') or 'none'}"


def _variables(row: RowMapping) -> dict[str, Any]:
    return {
        "patchbay_id": str(row["id"]),
        "patchbay_os": row["os"],
        "patchbay_arch": row["arch"],
        "patchbay_kernel": row["kernel"],
        "patchbay_tags": row["tags"],
        "patchbay_group": row["group"],
        "patchbay_updates": row["updates"],
        "patchbay_security": row["security"],
        "patchbay_restart_required": row["reboot_required"],
        "patchbay_last_report_at": row["last_report_at"].isoformat(),
    }


def _due_lines(rows: Sequence[RowMapping]) -> list[str]:
    lines = [f"{row['hostname']}: {row['worst_cve']} first" for row in rows[:MOST_NAMED]]
    return lines + ([f"… and {len(rows) - MOST_NAMED} more"] if len(rows) > MOST_NAMED else [])


def _entry(uid: str, day: date, title: str, lines: Sequence[str]) -> Event:
    event = Event()
    event.add("uid", f"{uid}@patchbay")
    event.add("dtstamp", datetime.combine(day, datetime.min.time(), UTC))
    event.add("dtstart", day)
    event.add("dtend", day + timedelta(days=1))
    event.add("summary", title)
    event.add("description", "\n".join(lines))
    return event
