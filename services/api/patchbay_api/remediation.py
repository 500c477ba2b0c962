"""Policies: within how many days a vulnerability has to be fixed, for the fleet, a tag or a group."""

from typing import Any

from flask import abort
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from patchbay_shared.exposure import DEFAULT_DAYS
from patchbay_shared.tables import remediation_policy

from patchbay_api.auth import principal
from patchbay_api.groups import check_group_id
from patchbay_api.paging import STORABLE, Key, Number, Page, PageQuery, fetch_page, page_of
from patchbay_api.resource import Resource, context
from patchbay_api.store import exceptions as store

remediation = Resource("remediation", "Within how many days vulnerabilities have to be fixed.")

SCOPES = ("fleet", "tag", "group")


def _days(level: str) -> fields.Integer:
    return fields.Integer(
        load_default=None,
        allow_none=True,
        validate=validate.Range(1, 3_650),
        metadata={
            "description": f"null: of a tag or group what the fleet has, of the fleet no date. Without any policy"
            f" {DEFAULT_DAYS[level]}."
        },
    )


class NewPolicy(Schema):
    """Days from when the fix is published, or the package installed if that is later."""

    scope = fields.String(required=True, validate=validate.OneOf(SCOPES))
    target = fields.String(
        load_default="",
        validate=[validate.Length(max=200), validate.Regexp(STORABLE)],
        metadata={"description": "The tag, or the group's id; empty for the fleet."},
    )
    exploited_days = _days("exploited")
    critical_days = _days("critical")
    high_days = _days("high")
    medium_days = _days("medium")
    low_days = _days("low")

    @validates_schema
    def named(self, data: dict[str, Any], **_: Any) -> None:
        """A tag has a name and a group an id, the fleet has neither."""
        if (data["scope"] == "fleet") == bool(data["target"].strip()):
            raise ValidationError("Name the tag or the group; leave it empty for the fleet.", "target")
        if data["scope"] == "group":
            check_group_id(data["target"].strip())


class Policy(Schema):
    """A policy as it stands."""

    id = fields.Integer(required=True)
    scope = fields.String(required=True)
    target = fields.String(required=True)
    target_name = fields.String(
        required=True, allow_none=True, metadata={"description": "Its name, empty for the fleet; null: it is gone."}
    )
    exploited_days = fields.Integer(required=True, allow_none=True)
    critical_days = fields.Integer(required=True, allow_none=True)
    high_days = fields.Integer(required=True, allow_none=True)
    medium_days = fields.Integer(required=True, allow_none=True)
    low_days = fields.Integer(required=True, allow_none=True)
    changed_by = fields.String(required=True)
    changed_at = fields.AwareDateTime(required=True)


class Defaults(Schema):
    """What holds where no policy says otherwise."""

    exploited_days = fields.Integer(required=True)
    critical_days = fields.Integer(required=True)
    high_days = fields.Integer(required=True)
    medium_days = fields.Integer(required=True)
    low_days = fields.Integer(required=True)


@remediation.get("/remediation-policies", page_of(Policy, "PolicyPage"), query=PageQuery, permission="hosts.read")
def list_policies(query: dict[str, Any]) -> Page:
    """List the policies that were set; of several for a host the strictest holds, else the fleet's."""
    table = remediation_policy.c
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            store.policies(),
            [Key(table.scope, str), Key(table.target, str), Key(table.id, Number)],
            sort="scope",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


@remediation.get("/remediation-policies/defaults", Defaults, permission="hosts.read")
def get_policy_defaults() -> dict[str, int]:
    """Show the days that hold where no policy was set."""
    return {f"{level}_days": number for level, number in DEFAULT_DAYS.items()}


@remediation.post("/remediation-policies", Policy, status=201, body=NewPolicy, permission="remediation.manage")
def set_policy(body: dict[str, Any]) -> Any:
    """Set the policy of the fleet, a tag or a group, in place of the one that it had."""
    days = {f"{level}_days": body[f"{level}_days"] for level in DEFAULT_DAYS}
    with context().database.transaction() as connection:
        return store.set_policy(
            connection, by=principal().username, scope=body["scope"], target=body["target"].strip(), days=days
        )


@remediation.delete("/remediation-policies/<int(max=2147483647):policy_id>", permission="remediation.manage")
def remove_policy(policy_id: int) -> None:
    """Remove a policy; the fleet's or the defaults hold again."""
    with context().database.transaction() as connection:
        if not store.remove_policy(connection, policy_id):
            abort(404, f"There is no policy {policy_id}.")
