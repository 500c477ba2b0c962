"""The fleet over time, what needs attention, and how the pipeline does."""

import threading
from collections.abc import Callable
from dataclasses import fields as dataclass_fields
from datetime import timedelta
from typing import Any

from marshmallow import Schema, fields, validate
from patchbay_shared.log import get_logger
from patchbay_shared.messages import QUEUES
from patchbay_shared.metrics import QUEUE_CONSUMERS, QUEUE_MESSAGES
from patchbay_shared.queues import queue_depths
from patchbay_shared.service import Context
from patchbay_shared.settings import Settings, variable

from patchbay_api.conventions.lists import WholeList
from patchbay_api.resource import Resource, context
from patchbay_api.store import attention
from patchbay_api.store import trends as store

log = get_logger("trends")

trends = Resource("operation", "The fleet over time, what needs attention, and how Patchbay itself does.")

SPANS: dict[str, tuple[timedelta, timedelta]] = {
    "1d": (timedelta(days=1), timedelta(hours=1)),
    "7d": (timedelta(days=7), timedelta(hours=1)),
    "30d": (timedelta(days=30), timedelta(hours=6)),
    "90d": (timedelta(days=90), timedelta(days=1)),
    "1y": (timedelta(days=366), timedelta(days=1)),
}
"""How far back, and how far apart the points are."""


class TrendQuery(Schema):
    """Which figures, and how far back."""

    span = fields.String(load_default="30d", validate=validate.OneOf(list(SPANS)))
    by = fields.String(
        load_default="fleet",
        validate=validate.OneOf(store.DIMENSIONS),
        metadata={
            "description": "fleet: all figures; os: those of each operating system; severity and age (of the oldest"
            " advisory): outstanding security updates."
        },
    )


class TrendPoint(Schema):
    """The figures of one moment."""

    at = fields.AwareDateTime(required=True)
    value = fields.String(required=True, metadata={"description": "Of what; empty for the fleet."})
    figures = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)


class Trend(Schema):
    """A series, the oldest point first."""

    span = fields.String(required=True)
    by = fields.String(required=True)
    points = fields.List(fields.Nested(TrendPoint), required=True)


class Example(Schema):
    """One of those that need attention."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    detail = fields.String(required=True)


class Attention(Schema):
    """One kind of thing that an operator should look at."""

    kind = fields.String(required=True, validate=validate.OneOf(attention.KINDS))
    count = fields.Integer(required=True)
    examples = fields.List(fields.Nested(Example), required=True, metadata={"description": "The first ten."})


class AttentionList(WholeList):
    """All kinds that have any."""

    items = fields.List(fields.Nested(Attention), required=True)


class QueueState(Schema):
    """A queue of the broker."""

    name = fields.String(required=True)
    routing_keys = fields.List(fields.String(), required=True)
    messages = fields.Integer(required=True, allow_none=True, metadata={"description": "null: not declared yet"})
    consumers = fields.Integer(
        required=True, allow_none=True, metadata={"description": "null: the broker in memory does not count them"}
    )


class Queues(WholeList):
    """All of them."""

    items = fields.List(fields.Nested(QueueState), required=True)


class Pipeline(Schema):
    """From reports to verdicts: what happened last, and what waits."""

    last_report_at = fields.AwareDateTime(required=True, allow_none=True)
    last_evaluation_at = fields.AwareDateTime(required=True, allow_none=True)
    hosts_awaiting_evaluation = fields.Integer(required=True)
    report_lag_p95_seconds = fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Report to verdicts, in the last hour."},
    )
    last_sync_at = fields.AwareDateTime(required=True, allow_none=True)
    running_syncs = fields.Integer(required=True)
    overdue_repositories = fields.Integer(required=True)
    last_feed_at = fields.AwareDateTime(required=True, allow_none=True)
    dead_letters = fields.Integer(required=True)


class Setting(Schema):
    """A setting as it is in force in this process."""

    variable = fields.String(required=True)
    value = fields.String(
        required=True, allow_none=True, metadata={"description": "null: a secret, which is never shown"}
    )
    default = fields.String(required=True)
    changed = fields.Boolean(required=True, metadata={"description": "It is not the default."})
    secret = fields.Boolean(required=True)
    meaning = fields.String(required=True)


class SettingList(WholeList):
    """All of them, in the order of the documentation."""

    items = fields.List(fields.Nested(Setting), required=True)


@trends.get("/trends", Trend, query=TrendQuery, permission="operation.read")
def get_trend(query: dict[str, Any]) -> dict[str, Any]:
    """Show figures of the fleet over time."""
    span, step = SPANS[query["span"]]
    with context().database.transaction() as connection:
        return {**query, "points": store.series(connection, query["by"], span=span, step=step)}


@trends.get("/attention", AttentionList, permission="operation.read")
def list_attention() -> dict[str, Any]:
    """List what an operator should look at."""
    with context().database.transaction() as connection:
        return {"items": attention.needing_attention(connection)}


@trends.get("/pipeline", Pipeline, permission="operation.read")
def get_pipeline() -> dict[str, Any]:
    """Show how far behind the pipeline is."""
    with context().database.transaction() as connection:
        return attention.pipeline(connection)


@trends.get("/queues", Queues, permission="operation.read")
def list_queues() -> dict[str, Any]:
    """List the broker's queues with what waits in them."""
    readings = queue_depths(context().bus)
    messages, consumers = (readings.get(name, {}) for name in (QUEUE_MESSAGES, QUEUE_CONSUMERS))
    return {
        "items": [
            {
                "name": queue.name,
                "routing_keys": list(queue.routing_keys),
                "messages": messages.get(queue.name),
                "consumers": consumers.get(queue.name),
            }
            for queue in QUEUES
        ]
    }


@trends.get("/settings", SettingList, permission="settings.manage")
def list_settings() -> dict[str, Any]:
    """List the settings in force; secrets are not shown."""
    settings = context().settings
    items = []
    for each in dataclass_fields(Settings):
        value, secret = getattr(settings, each.name), bool(each.metadata["secret"])
        items.append(
            {
                "variable": variable(each.name),
                "value": None if secret else str(value),
                "default": "" if secret else str(each.default),
                "changed": value != each.default,
                "secret": secret,
                "meaning": each.metadata["doc"],
            }
        )
    return {"items": items}


def snapshot_job(context: Context) -> Callable[[threading.Event], None]:
    """Notes the figures once an hour, whichever replica comes first, and thins out old ones."""

    def run(_stop: threading.Event) -> None:
        with context.database.transaction() as connection:
            if store.has_snapshot(connection):
                return
            if store.take_snapshot(connection):
                log.info("snapshot_taken", thinned_out=store.thin_out(connection))

    return run
