"""Who is told what: rules over kinds of events and hosts."""

from typing import Any
from zoneinfo import available_timezones

from flask import abort
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from patchbay_shared.tables import notification_channel, notification_rule
from sqlalchemy import Connection, RowMapping, delete, insert, select, update
from werkzeug.exceptions import UnprocessableEntity

from patchbay_api.auth import principal
from patchbay_api.conventions.lists import WholeList
from patchbay_api.notifications.events import KINDS
from patchbay_api.paging import STORABLE
from patchbay_api.query.compile import condition_of
from patchbay_api.query.grammar import InvalidQuery
from patchbay_api.query.hosts import HOSTS
from patchbay_api.resource import Resource, context

notification_rules = Resource("notification-rules", "Who is told what.")

_ID = "<int(max=2147483647):rule_id>"
MOST_MINUTES = 7 * 24 * 60


def _fields(*, partial: bool) -> dict[str, Any]:
    """The fields of a rule; `partial`: none of them has to be there, and none has a default."""

    def default(value: Any) -> dict[str, Any]:
        return {} if partial else {"load_default": value}

    minutes = validate.Range(0, MOST_MINUTES)
    return {
        "name": fields.String(required=not partial, validate=[validate.Length(1, 100), validate.Regexp(STORABLE)]),
        "kinds": fields.List(
            fields.String(validate=validate.OneOf(KINDS)),
            required=not partial,
            validate=validate.Length(1, len(KINDS)),
        ),
        "query": fields.String(
            **default(""),
            validate=[validate.Length(max=1_000), validate.Regexp(STORABLE)],
            metadata={"description": "Which hosts, in the query language (docs/query.md); empty: all."},
        ),
        "channel_ids": fields.List(
            fields.Integer(validate=validate.Range(1, 2**31 - 1)),
            required=not partial,
            validate=validate.Length(1, 50),
        ),
        "include_present": fields.Boolean(
            **default(False), metadata={"description": "Also tell what was so before the rule; else only news."}
        ),
        "digest_minutes": fields.Integer(
            **default(0), validate=minutes, metadata={"description": "Collect news for so long; 0: tell at once."}
        ),
        "delay_minutes": fields.Integer(
            **default(0), validate=minutes, metadata={"description": "Tell once it has been so for so long."}
        ),
        "quiet_from": fields.Time(
            **default(None), allow_none=True, metadata={"description": "Nothing is told from then (told later)."}
        ),
        "quiet_until": fields.Time(
            **default(None), allow_none=True, metadata={"description": "Until then; may be past midnight."}
        ),
        "timezone": fields.String(
            **default("UTC"), validate=validate.Length(1, 60), metadata={"description": "Of the quiet hours."}
        ),
        "enabled": fields.Boolean(**default(True)),
    }


class _RuleInput(Schema):
    @validates_schema
    def possible(self, data: dict[str, Any], **_: Any) -> None:
        """Quiet hours have two ends and a known zone; a change changes something."""
        if not data:
            raise ValidationError("Say what to change.", "name")
        if (data.get("quiet_from") is None) != (data.get("quiet_until") is None):
            raise ValidationError("Quiet hours have a beginning and an end.", "quiet_until")
        if "timezone" in data and data["timezone"] not in available_timezones():
            raise ValidationError("Not a time zone as Europe/Berlin.", "timezone")


class NewRule(_RuleInput.from_dict(_fields(partial=False), name="NewRuleFields")):  # type: ignore[misc]  # made at run time
    """A rule to be made."""


class RuleChange(_RuleInput.from_dict(_fields(partial=True), name="RuleChangeFields")):  # type: ignore[misc]  # made at run time
    """What is not named stays as it is."""


class Rule(Schema):
    """Who is told what."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    kinds = fields.List(fields.String(), required=True)
    query = fields.String(required=True, metadata={"description": "Which hosts; empty: all."})
    channel_ids = fields.List(fields.Integer(), required=True)
    include_present = fields.Boolean(required=True)
    digest_minutes = fields.Integer(required=True)
    delay_minutes = fields.Integer(required=True)
    quiet_from = fields.Time(required=True, allow_none=True)
    quiet_until = fields.Time(required=True, allow_none=True)
    timezone = fields.String(required=True)
    enabled = fields.Boolean(required=True)
    error = fields.String(required=True, metadata={"description": "Why its last look failed; empty: it did not."})
    changed_by = fields.String(required=True)
    changed_at = fields.AwareDateTime(required=True)


class Rules(WholeList):
    """All of them, by name."""

    items = fields.List(fields.Nested(Rule), required=True)


@notification_rules.get("/notification-rules", Rules, permission="notifications.read")
def list_notification_rules() -> dict[str, Any]:
    """List rules."""
    with context().database.transaction() as connection:
        rows = connection.execute(select(notification_rule).order_by(notification_rule.c.name))
        return {"items": list(rows.mappings())}


@notification_rules.post("/notification-rules", Rule, status=201, body=NewRule, permission="notifications.manage")
def add_notification_rule(body: dict[str, Any]) -> RowMapping:
    """Make a rule; what is so when it first looks is not news, unless `include_present`."""
    with context().database.transaction() as connection:
        _check(connection, body)
        made = connection.execute(
            insert(notification_rule).values(**body, changed_by=principal().username).returning(*notification_rule.c)
        )
        return made.mappings().one()


@notification_rules.patch(
    f"/notification-rules/{_ID}", Rule, status=200, body=RuleChange, permission="notifications.manage"
)
def change_notification_rule(body: dict[str, Any], rule_id: int) -> RowMapping:
    """Change a rule. With other kinds or hosts it starts anew: what is so then is not news."""
    with context().database.transaction() as connection:
        found = connection.execute(select(notification_rule).where(notification_rule.c.id == rule_id)).mappings()
        rule = found.one_or_none()
        if rule is None:
            abort(404, f"There is no rule {rule_id}.")
        _check(connection, body, but=rule_id)
        anew = any(name in body and body[name] != rule[name] for name in ("kinds", "query"))
        changed = connection.execute(
            update(notification_rule)
            .where(notification_rule.c.id == rule_id)
            .values(**body, changed_by=principal().username, **({"started_at": None} if anew else {}))
            .returning(*notification_rule.c)
        )
        return changed.mappings().one()


@notification_rules.delete(f"/notification-rules/{_ID}", permission="notifications.manage")
def drop_notification_rule(rule_id: int) -> None:
    """Drop a rule, with what it has noticed."""
    with context().database.transaction() as connection:
        gone = connection.execute(delete(notification_rule).where(notification_rule.c.id == rule_id))
        if gone.rowcount != 1:
            abort(404, f"There is no rule {rule_id}.")


def _check(connection: Connection, body: dict[str, Any], *, but: int | None = None) -> None:
    """Refuse a taken name, unknown channels, and a query that cannot be read."""
    try:
        condition_of(body.get("query", ""), HOSTS)
    except InvalidQuery as exc:
        exc.pointer = "$.json.query"
        raise
    if "name" in body:
        taken = connection.scalar(select(notification_rule.c.id).where(notification_rule.c.name == body["name"]))
        if taken is not None and taken != but:
            raise _refused("name", f"A rule is called {body['name']!r} already.")
    wanted = set(body.get("channel_ids", ()))
    known = set(connection.scalars(select(notification_channel.c.id).where(notification_channel.c.id.in_(wanted))))
    if unknown := sorted(wanted - known):
        raise _refused("channel_ids", f"There is no channel {unknown[0]}; see GET /api/v1/notification-channels.")


def _refused(field: str, complaint: str) -> UnprocessableEntity:
    error = UnprocessableEntity()
    error.data = {"messages": {"json": {field: [complaint]}}}  # type: ignore[attr-defined]
    return error
