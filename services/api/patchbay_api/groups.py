"""Groups and tags of hosts, and what operators note of one host."""

import re
from typing import Any, NoReturn
from uuid import UUID

from flask import abort
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from patchbay_shared.tables import host_group
from sqlalchemy import Select, select
from werkzeug.exceptions import UnprocessableEntity

from patchbay_api.auth import principal
from patchbay_api.paging import STORABLE, Key, Number, Page, PageQuery, fetch_page, page_of, text_field
from patchbay_api.resource import Resource, context
from patchbay_api.store import labels as store

LONGEST_NOTES = 10_000

groups = Resource("groups", "Groups, tags and notes: what operators say of hosts.")

TAG = r"^[^\s\x00,:;()\"'<>=*?][^\s\x00,;()\"'<>*?]*$"
"""What can be written in a query without quotes."""


def tag_field() -> fields.String:
    """A tag as operators may set it."""
    return fields.String(
        validate=[
            validate.Length(1, 64),
            validate.Regexp(TAG, error="A tag is one word without spaces, commas, quotes, brackets or wildcards."),
        ]
    )


_ID = "<int(max=2147483647):group_id>"


def _not_blank(text: str) -> None:
    if text != text.strip() or not text.isprintable():
        raise ValidationError("Without spaces at its ends or control characters.")


class GroupQuery(PageQuery):
    """Which groups; they are in order of their names."""

    q = text_field("Part of the name.")


class NewGroup(Schema):
    """A group to be."""

    name = fields.String(required=True, validate=[validate.Length(1, 100), validate.Regexp(STORABLE), _not_blank])
    description = fields.String(load_default="", validate=[validate.Length(max=1_000), validate.Regexp(STORABLE)])


class GroupChange(Schema):
    """What is not named stays as it is."""

    name = fields.String(validate=[validate.Length(1, 100), validate.Regexp(STORABLE), _not_blank])
    description = fields.String(validate=[validate.Length(max=1_000), validate.Regexp(STORABLE)])

    @validates_schema
    def something(self, data: dict[str, Any], **_: Any) -> None:
        """An empty body would be a mistake."""
        if not data:
            raise ValidationError("Say what to change: name, description or both.", "name")


class Group(Schema):
    """A group of hosts; a host is in one group or in none."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True)
    host_count = fields.Integer(required=True)
    created_at = fields.AwareDateTime(required=True)


class TagQuery(PageQuery):
    """Which tags; they are in order of their names."""

    q = text_field("Part of the tag.")


class Tag(Schema):
    """A tag that some host has, reported by it or set by operators."""

    name = fields.String(required=True)
    host_count = fields.Integer(required=True)


class LabelChange(Schema):
    """What is not named stays as it is."""

    group = fields.String(
        allow_none=True,
        validate=[validate.Length(1, 100), validate.Regexp(STORABLE)],
        metadata={"description": "Name of the group; null: in none."},
    )
    operator_tags = fields.List(
        tag_field(),
        validate=validate.Length(max=50),
        metadata={"description": "All tags that operators set; those that the host reports stay as well."},
    )
    notes = fields.String(validate=[validate.Length(max=LONGEST_NOTES), validate.Regexp(STORABLE)])

    @validates_schema
    def something(self, data: dict[str, Any], **_: Any) -> None:
        """An empty body would be a mistake."""
        if not data:
            raise ValidationError("Say what to change: group, operator_tags, notes.", "group")


class Labels(Schema):
    """What operators say of a host."""

    id = fields.UUID(required=True)
    group = fields.String(required=True, allow_none=True)
    operator_tags = fields.List(fields.String(), required=True)
    tags = fields.List(fields.String(), required=True, metadata={"description": "With those that it reports."})
    notes = fields.String(required=True)
    changed_by = fields.String(required=True, allow_none=True)
    changed_at = fields.AwareDateTime(required=True, allow_none=True)


def check_group_id(text: str) -> None:
    """Raises ValidationError of the field `target` for what can be no group's id."""
    if not re.fullmatch(r"[0-9]{1,10}", text):
        raise ValidationError("Not the id of a group; GET /api/v1/groups lists them.", "target")


@groups.get("/groups", page_of(Group, "GroupPage"), query=GroupQuery, permission="hosts.read")
def list_groups(query: dict[str, Any]) -> Page:
    """List groups of hosts."""
    statement = store.groups()
    if query.get("q"):
        statement = statement.where(host_group.c.name.icontains(query["q"], autoescape=True))
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            statement,
            [Key(host_group.c.name, str), Key(host_group.c.id, Number)],
            sort="name",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


@groups.post("/groups", Group, status=201, body=NewGroup, permission="groups.manage")
def create_group(body: dict[str, Any]) -> Any:
    """Make a group."""
    with context().database.transaction() as connection:
        number = store.add_group(connection, body)
        if number is None:
            raise _taken(body["name"])
        return store.group_by_id(connection, number)


@groups.get(f"/groups/{_ID}", Group, permission="hosts.read")
def get_group(group_id: int) -> Any:
    """Show one group."""
    with context().database.transaction() as connection:
        return store.group_by_id(connection, group_id) or _no_group(group_id)


@groups.patch(f"/groups/{_ID}", Group, status=200, body=GroupChange, permission="groups.manage")
def change_group(body: dict[str, Any], group_id: int) -> Any:
    """Rename or describe a group."""
    with context().database.transaction() as connection:
        if store.group_by_id(connection, group_id) is None:
            _no_group(group_id)
        if not store.change_group(connection, group_id, body):
            raise _taken(body["name"])
        return store.group_by_id(connection, group_id)


@groups.delete(f"/groups/{_ID}", permission="groups.manage")
def delete_group(group_id: int) -> None:
    """Remove a group; its hosts stay, in no group."""
    with context().database.transaction() as connection:
        if not store.remove_group(connection, group_id):
            _no_group(group_id)


@groups.get("/tags", page_of(Tag, "TagPage"), query=TagQuery, permission="hosts.read")
def list_tags(query: dict[str, Any]) -> Page:
    """List the tags that hosts have."""
    found = store.tags().subquery("tags")
    statement: Select[Any] = select(found)
    if query.get("q"):
        statement = statement.where(found.c.name.icontains(query["q"], autoescape=True))
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            statement,
            [Key(found.c.name, str)],
            sort="name",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


@groups.patch("/hosts/<uuid:host_id>", Labels, status=200, body=LabelChange, permission="hosts.operate")
def label_host(body: dict[str, Any], host_id: UUID) -> Any:
    """Set a host's group, tags or notes."""
    values: dict[str, Any] = {name: body[name] for name in ("notes",) if name in body}
    if "operator_tags" in body:
        values["tags"] = sorted(set(body["operator_tags"]))
    with context().database.transaction() as connection:
        if store.label_of(connection, host_id) is None:
            abort(404, f"There is no host {host_id}; it may have been removed.")
        if "group" in body:
            values["group_id"] = group_or_422(connection, body["group"])
        store.change_labels(connection, host_id, values, by=principal().username)
        return store.label_of(connection, host_id)


def group_or_422(connection: Any, name: str | None) -> int | None:
    """The id of the group that a body names; None for none. Raises UnprocessableEntity."""
    if name is None:
        return None
    found = store.group_id_of(connection, name)
    if found is None:
        raise _refused("group", f"There is no group {name!r}; make it with POST /api/v1/groups.")
    return found


def _no_group(group_id: int) -> NoReturn:
    abort(404, f"There is no group {group_id}; it may have been removed.")


def _taken(name: str) -> UnprocessableEntity:
    return _refused("name", f"There is a group {name!r} already.")


def _refused(field: str, complaint: str) -> UnprocessableEntity:
    error = UnprocessableEntity()
    error.data = {"messages": {"json": {field: [complaint]}}}  # type: ignore[attr-defined]
    return error
