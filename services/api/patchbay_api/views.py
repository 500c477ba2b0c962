"""Saved views: a query, an order and columns under a name; one's own, or shared with everybody."""

from typing import Any, NoReturn

from flask import abort
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from patchbay_shared.tables import saved_view
from sqlalchemy import Connection, RowMapping, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from werkzeug.exceptions import Forbidden, UnprocessableEntity

from patchbay_api.auth import principal
from patchbay_api.paging import MAX_QUERY, STORABLE, Key, Number, Page, PageQuery, fetch_page, page_of
from patchbay_api.query.compile import condition_of
from patchbay_api.query.documentation import VOCABULARIES
from patchbay_api.query.grammar import InvalidQuery
from patchbay_api.resource import Resource, context

views = Resource("views", "Queries under a name: one's own, or shared with everybody.")

_ID = "<int(max=2147483647):view_id>"


def _text(longest: int, **arguments: Any) -> fields.String:
    return fields.String(validate=[validate.Length(max=longest), validate.Regexp(STORABLE)], **arguments)


class ViewQuery(PageQuery):
    """Which views; they are in order of their names."""

    list = fields.String(validate=validate.OneOf(list(VOCABULARIES)), metadata={"description": "Only of this list."})


class _Content(Schema):
    query = _text(MAX_QUERY)
    sort = _text(100, metadata={"description": "As the list's own parameter; empty: its usual order."})
    columns = fields.List(
        _text(100), validate=validate.Length(max=50), metadata={"description": "Empty: the usual ones."}
    )
    shared = fields.Boolean(metadata={"description": "Everybody sees it; only its owner may change it."})


class NewView(_Content):
    """A view to be."""

    name = fields.String(required=True, validate=[validate.Length(1, 100), validate.Regexp(STORABLE)])
    list = fields.String(load_default="hosts", validate=validate.OneOf(list(VOCABULARIES)))


class ViewChange(_Content):
    """What is not named stays as it is."""

    name = fields.String(validate=[validate.Length(1, 100), validate.Regexp(STORABLE)])

    @validates_schema
    def something(self, data: dict[str, Any], **_: Any) -> None:
        """An empty body would be a mistake."""
        if not data:
            raise ValidationError("Say what to change: name, query, sort, columns, shared.", "name")


class View(Schema):
    """A query under a name."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    list = fields.String(required=True)
    query = fields.String(required=True)
    sort = fields.String(required=True)
    columns = fields.List(fields.String(), required=True)
    shared = fields.Boolean(required=True)
    owner = fields.String(required=True)
    mine = fields.Boolean(required=True)
    changed_at = fields.AwareDateTime(required=True)


@views.get("/views", page_of(View, "ViewPage"), query=ViewQuery, permission="hosts.read")
def list_views(query: dict[str, Any]) -> Page:
    """List my views and those that others share."""
    statement = select(saved_view).where(_visible())
    if query.get("list"):
        statement = statement.where(saved_view.c.list == query["list"])
    with context().database.transaction() as connection:
        page = fetch_page(
            connection,
            statement,
            [Key(saved_view.c.name, str), Key(saved_view.c.id, Number)],
            sort="name",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
    return Page([_shown(row) for row in page.items], page.next_cursor, page.total_count)


@views.post("/views", View, status=201, body=NewView, permission="hosts.read")
def create_view(body: dict[str, Any]) -> Any:
    """Save a query under a name."""
    _require_readable(body.get("query", ""), body["list"])
    values = {
        "owner": principal().username,
        "name": body["name"],
        "list": body["list"],
        "query": body.get("query", ""),
        "sort": body.get("sort", ""),
        "fields": body.get("columns", []),
        "shared": body.get("shared", False),
    }
    with context().database.transaction() as connection:
        made = connection.execute(
            insert(saved_view).values(**values).on_conflict_do_nothing().returning(saved_view)
        ).mappings().one_or_none()  # fmt: skip
        if made is None:
            raise _taken(body["name"])
        return _shown(made)


@views.get(f"/views/{_ID}", View, permission="hosts.read")
def get_view(view_id: int) -> Any:
    """Show one view."""
    with context().database.transaction() as connection:
        return _shown(_view(connection, view_id))


@views.patch(f"/views/{_ID}", View, status=200, body=ViewChange, permission="hosts.read")
def change_view(body: dict[str, Any], view_id: int) -> Any:
    """Change a view of mine."""
    values = {"fields" if name == "columns" else name: value for name, value in body.items()}
    with context().database.transaction() as connection:
        found = _own(connection, view_id)
        _require_readable(body.get("query", ""), found["list"])
        taken = select(saved_view.c.id).where(
            saved_view.c.owner == found["owner"], saved_view.c.name == body.get("name"), saved_view.c.id != view_id
        )
        if connection.scalar(taken) is not None:
            raise _taken(body["name"])
        changed = update(saved_view).where(saved_view.c.id == view_id).values(**values, changed_at=func.now())
        connection.execute(changed)
        return _shown(_view(connection, view_id))


@views.delete(f"/views/{_ID}", permission="hosts.read")
def delete_view(view_id: int) -> None:
    """Remove a view of mine."""
    with context().database.transaction() as connection:
        _own(connection, view_id)
        connection.execute(delete(saved_view).where(saved_view.c.id == view_id))


def _visible() -> Any:
    return or_(saved_view.c.owner == principal().username, saved_view.c.shared)


def _view(connection: Connection, view_id: int) -> RowMapping:
    found = connection.execute(select(saved_view).where(saved_view.c.id == view_id, _visible())).mappings().first()
    return found or _no_view(view_id)


def _own(connection: Connection, view_id: int) -> RowMapping:
    found = _view(connection, view_id)
    if found["owner"] != principal().username:
        raise Forbidden(f"The view belongs to {found['owner']}; save one of your own.")
    return found


def _shown(row: Any) -> dict[str, Any]:
    return {**row, "columns": row["fields"], "mine": row["owner"] == principal().username}


def _no_view(view_id: int) -> NoReturn:
    abort(404, f"There is no view {view_id}, or it is not shared.")


def _require_readable(query: str, list_: str) -> None:
    """Raises InvalidQuery."""
    try:
        condition_of(query, VOCABULARIES[list_])
    except InvalidQuery as exc:
        exc.pointer = "$.json.query"
        raise


def _taken(name: str) -> UnprocessableEntity:
    error = UnprocessableEntity()
    error.data = {"messages": {"json": {"name": [f"You have a view {name!r} already."]}}}  # type: ignore[attr-defined]
    return error
