"""Roles: the three that are built in, and those that an administrator makes of permissions."""

from typing import Any

from flask import abort
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from sqlalchemy import Connection, RowMapping
from werkzeug.exceptions import Forbidden

from patchbay_api.auth import principal
from patchbay_api.conventions.lists import WholeList
from patchbay_api.paging import text_field
from patchbay_api.permissions import BUILT_IN_ROLES, PERMISSIONS
from patchbay_api.problems import conflict
from patchbay_api.resource import Resource, context
from patchbay_api.store import users as store

roles = Resource("roles", "Roles: sets of permissions.")

_NAME = r"^[a-z][a-z0-9-]*$"
_BUILT_IN = {
    "viewer": "Sees everything but secrets and accounts.",
    "operator": "Also acts on hosts, repositories, enrolment and dead letters.",
    "admin": "May do everything.",
}


def _permissions(**arguments: Any) -> "fields.List[str]":
    return fields.List(
        fields.String(validate=validate.OneOf(sorted(PERMISSIONS))), validate=validate.Length(1, 200), **arguments
    )


class Role(Schema):
    """A role."""

    name = fields.String(required=True)
    description = fields.String(required=True)
    built_in = fields.Boolean(required=True, metadata={"description": "It cannot be changed."})
    permissions = fields.List(fields.String(), required=True)
    user_count = fields.Integer(required=True)


class Roles(WholeList):
    """All of them, the built-in ones first."""

    items = fields.List(fields.Nested(Role), required=True)


class NewRole(Schema):
    """A role to make."""

    name = fields.String(
        required=True,
        validate=[
            validate.Length(1, 60),
            validate.Regexp(_NAME, error="Small letters, digits and -, beginning with a letter."),
        ],
    )
    description = text_field("For people.", load_default="")
    permissions = _permissions(required=True)


class RoleChange(Schema):
    """What is not named stays as it is."""

    description = text_field("For people.")
    permissions = _permissions()

    @validates_schema
    def something(self, data: dict[str, Any], **_: Any) -> None:
        """An empty body would be a mistake."""
        if not data:
            raise ValidationError("Say what to change: description, permissions or both.", "permissions")


class PermissionShown(Schema):
    """One thing that may be done."""

    name = fields.String(required=True)
    meaning = fields.String(required=True)
    role = fields.String(required=True, metadata={"description": "The lowest built-in role that has it."})
    whole_fleet = fields.Boolean(
        required=True, metadata={"description": "Nobody has it whose scope is narrower than the fleet."}
    )


class Permissions(WholeList):
    """All of them."""

    items = fields.List(fields.Nested(PermissionShown), required=True)


@roles.get("/permissions", Permissions, permission="users.read")
def list_permissions() -> dict[str, Any]:
    """List what roles are made of."""
    return {"items": list(PERMISSIONS.values())}


@roles.get("/roles", Roles, permission="users.read")
def list_roles() -> dict[str, Any]:
    """List roles."""
    with context().database.transaction() as connection:
        counts = store.role_user_counts(connection)
        custom = store.custom_roles(connection)
    built_in = [_built_in(name, counts.get(name, 0)) for name in BUILT_IN_ROLES]
    return {"items": [*built_in, *(_custom(row, counts.get(row["name"], 0)) for row in custom)]}


@roles.get("/roles/<string:name>", Role, permission="users.read")
def get_role(name: str) -> dict[str, Any]:
    """Show one role."""
    with context().database.transaction() as connection:
        return _shown(connection, name)


@roles.post("/roles", Role, status=201, body=NewRole, permission="users.manage", errors=(409,))
def create_role(body: dict[str, Any]) -> dict[str, Any]:
    """Make a role of permissions."""
    _require_own(body["permissions"])
    with context().database.transaction() as connection:
        store.lock(connection)
        values = {**body, "permissions": sorted(set(body["permissions"]))}
        if body["name"] in BUILT_IN_ROLES or not store.add_role(connection, **values):
            raise conflict(f"There is a role {body['name']} already.")
        return _shown(connection, body["name"])


@roles.patch("/roles/<string:name>", Role, status=200, body=RoleChange, permission="users.manage", errors=(409,))
def change_role(body: dict[str, Any], name: str) -> dict[str, Any]:
    """Change a role; it holds at once for all who have it."""
    with context().database.transaction() as connection:
        store.lock(connection)
        found = _changeable(connection, name)
        _require_own(found["permissions"])
        _require_own(body.get("permissions", []))
        if "permissions" in body:
            body = {**body, "permissions": sorted(set(body["permissions"]))}
        store.change_role(connection, name, **body)
        return _shown(connection, name)


@roles.delete("/roles/<string:name>", permission="users.manage", errors=(409,))
def delete_role(name: str) -> None:
    """Remove a role that nobody has any more."""
    with context().database.transaction() as connection:
        store.lock(connection)
        found = _changeable(connection, name)
        _require_own(found["permissions"])
        if found["user_count"]:
            raise conflict(f"{found['user_count']} accounts have the role {name}; give them another one first.")
        store.delete_role(connection, name)


def _shown(connection: Connection, name: str) -> dict[str, Any]:
    count = store.role_user_counts(connection).get(name, 0)
    if name in BUILT_IN_ROLES:
        return _built_in(name, count)
    found = None if "\0" in name else store.custom_role(connection, name)
    if found is None:
        abort(404, f"There is no role {name[:40]}.")
    return _custom(found, count)


def _changeable(connection: Connection, name: str) -> dict[str, Any]:
    if name in BUILT_IN_ROLES:
        raise conflict(f"The role {name} is built in and stays as it is.")
    return _shown(connection, name)


def _require_own(permissions: list[str]) -> None:
    beyond = set(permissions) - principal().permissions
    if beyond:
        raise Forbidden(f"You do not have these permissions yourself: {', '.join(sorted(beyond))}.")


def _built_in(name: str, user_count: int) -> dict[str, Any]:
    permissions = sorted(BUILT_IN_ROLES[name])
    return {
        "name": name,
        "description": _BUILT_IN[name],
        "built_in": True,
        "permissions": permissions,
        "user_count": user_count,
    }


def _custom(row: RowMapping, user_count: int) -> dict[str, Any]:
    return {
        **row,
        "permissions": [p for p in row["permissions"] if p in PERMISSIONS],
        "built_in": False,
        "user_count": user_count,
    }
