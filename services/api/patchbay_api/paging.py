"""Pages by keyset: a cursor holds the sort and the last row's keys, so a page costs the same at any depth.

A cursor is only ever read as the typed keys of the sort it is used with; a changed one is refused (422)
or points to another place of the same list, never to anything else.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
from marshmallow import Schema, fields, validate
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, asc, desc, func, or_, select
from werkzeug.exceptions import UnprocessableEntity

from patchbay_api.conventions.export import running

Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
MAX_QUERY = 1_000
"""Longest query, in characters."""
STORABLE = r"^[^\x00]*$"
"""PostgreSQL stores no NUL in a text."""


class PageQuery(Schema):
    """The parameters that every paged list takes."""

    limit = fields.Integer(
        load_default=DEFAULT_LIMIT,
        validate=validate.Range(1, MAX_LIMIT),
        metadata={"description": "Longest page wanted."},
    )
    cursor = fields.String(
        validate=validate.Length(1, 2_000), metadata={"description": "`next_cursor` of the page before."}
    )


@dataclass(frozen=True)
class Key:
    """One sort key: not null, and the last of a list unique."""

    column: ColumnElement[Any]
    kind: Any
    """Number, Moment, str or UUID: what a cursor must hold in this place."""
    descending: bool = False


@dataclass(frozen=True)
class Page:
    """One page, as a `page_of` schema dumps it."""

    items: Sequence[RowMapping | dict[str, Any]]
    next_cursor: str | None
    total_count: int


def page_of(item: type[Schema], name: str) -> type[Schema]:
    """The schema of a page of `item`."""
    return Schema.from_dict(
        {
            "items": fields.List(fields.Nested(item), required=True),
            "next_cursor": fields.String(
                required=True, allow_none=True, metadata={"description": "null on the last page"}
            ),
            "total_count": fields.Integer(
                required=True, metadata={"description": "Rows of all pages, with the same filters."}
            ),
        },
        name=name,
    )


def text_field(description: str, **arguments: Any) -> fields.String:
    """A query or body text of at most 200 characters."""
    return fields.String(
        validate=[validate.Length(max=200), validate.Regexp(STORABLE)],
        metadata={"description": description},
        **arguments,
    )


def query_field() -> fields.String:
    """The parameter of lists that take the query language."""
    return fields.String(
        validate=[validate.Length(max=MAX_QUERY), validate.Regexp(STORABLE)],
        metadata={"description": "In the query language: docs/query.md, and `GET /query/complete`."},
    )


def fetch_page(
    connection: Connection,
    statement: Select[Any],
    keys: Sequence[Key],
    *,
    sort: str,
    limit: int,
    cursor: str | None,
) -> Page:
    """One page of `statement` in the order of `keys`, and the count of all its rows: two queries.

    While the list is exported, the next rows of its cursor instead.
    """
    if export := running():
        in_order = (desc(key.column) if key.descending else asc(key.column) for key in keys)
        return Page(export.next_batch(connection, statement.order_by(None).order_by(*in_order)), None, 0)
    total = connection.scalar(select(func.count()).select_from(statement.order_by(None).subquery())) or 0
    if not total and not cursor:
        return Page([], None, 0)
    ordered = statement.add_columns(*(key.column.label(f"key_{n}") for n, key in enumerate(keys)))
    ordered = ordered.order_by(*(desc(key.column) if key.descending else asc(key.column) for key in keys))
    if cursor:
        ordered = ordered.where(_after(keys, _decoded(cursor, sort, keys)))
    rows = connection.execute(ordered.limit(limit + 1)).mappings().all()
    shown = rows[:limit]
    more = len(rows) > limit
    last = [shown[-1][f"key_{n}"] for n in range(len(keys))] if more else []
    return Page(shown, _encoded(sort, last) if more else None, total)


def _after(keys: Sequence[Key], values: Sequence[Any]) -> ColumnElement[bool]:
    alternatives = []
    for n, (key, value) in enumerate(zip(keys, values, strict=True)):
        equal = [k.column == v for k, v in zip(keys[:n], values[:n], strict=True)]
        alternatives.append(and_(*equal, key.column < value if key.descending else key.column > value))
    return or_(*alternatives)


def _encoded(sort: str, values: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([sort, *values])).decode().rstrip("=")


def _decoded(cursor: str, sort: str, keys: Sequence[Key]) -> Sequence[Any]:
    shape: Any = tuple[str, *(key.kind for key in keys)]  # type: ignore[misc]  # known at run time only
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        decoded: tuple[Any, ...] = msgspec.json.decode(raw, type=shape)
        made_for, *values = decoded
        intact = made_for == sort and not any(isinstance(v, str) and "\x00" in v for v in values)
    except (msgspec.DecodeError, binascii.Error, ValueError):
        intact = False
    if not intact:
        error = UnprocessableEntity()
        complaint = "Not a cursor of this list in this order; start again without it."
        error.data = {"messages": {"query": {"cursor": [complaint]}}}  # type: ignore[attr-defined]
        raise error
    return values
