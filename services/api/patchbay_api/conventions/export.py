"""A whole list as CSV or NDJSON, in bounded memory: one snapshot, one server-side cursor, one batch at a time."""

import csv
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from threading import BoundedSemaphore
from typing import Any

import msgspec
from flask import Response, g, stream_with_context
from marshmallow import Schema
from patchbay_shared.db import Database
from patchbay_shared.errors import Unavailable
from patchbay_shared.service import Context
from sqlalchemy import Connection, MappingResult, RowMapping, Select, text

BATCH = 500
AT_ONCE = 4
"""Exports that one process runs at the same time: each holds a thread and a connection."""
CONTENT_TYPES = {"csv": "text/csv", "ndjson": "application/x-ndjson"}

_running = BoundedSemaphore(AT_ONCE)


class Cursor:
    """The server-side cursor of a running export; `fetch_page` reads from it instead of paging."""

    def __init__(self) -> None:
        self._rows: MappingResult | None = None
        self.exhausted = False

    def next_batch(self, connection: Connection, ordered: Select[Any]) -> Sequence[RowMapping]:
        """The next rows of `ordered`, which only its first call executes."""
        if self._rows is None:
            options = {"stream_results": True, "max_row_buffer": BATCH}
            self._rows = connection.execute(ordered, execution_options=options).mappings()
        batch = self._rows.fetchmany(BATCH)
        self.exhausted = len(batch) < BATCH
        return batch


def running() -> Cursor | None:
    """The cursor of the export that the request asks for; None for a page."""
    found: Cursor | None = g.get("export_cursor")
    return found


def exported(
    context: Context, view: Callable[[], Any], item: Schema, *, format_: str, columns: Sequence[str], name: str
) -> Response:
    """Every row that `view` pages through, streamed. Raises Unavailable if too many exports run already."""
    snapshot = _Snapshot(context.database)
    try:
        g.export_cursor = cursor = Cursor()
        g.export_context = Context(context.settings, snapshot, context.bus)
        batches = _batches(view, item, cursor)
        first = next(batches)
    except BaseException:
        snapshot.fail()
        raise

    def body() -> Iterator[bytes]:
        try:
            if format_ == "csv":
                yield _csv([dict.fromkeys(columns)], columns, header=True)
            for batch in _chained(first, batches):
                yield _csv(batch, columns) if format_ == "csv" else _ndjson(batch, columns)
        finally:
            snapshot.close()

    response = _attached(Response(stream_with_context(body())), format_, name)
    response.call_on_close(snapshot.close)
    return response


def exported_whole(rows: Sequence[Mapping[str, Any]], *, format_: str, columns: Sequence[str], name: str) -> Response:
    """The rows of a list that has no pages."""
    if format_ == "csv":
        body = _csv([dict.fromkeys(columns)], columns, header=True) + _csv(rows, columns)
    else:
        body = _ndjson(rows, columns)
    return _attached(Response(body), format_, name)


def _attached(response: Response, format_: str, name: str) -> Response:
    response.mimetype = CONTENT_TYPES[format_]
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.{format_}"'
    return response


class _Snapshot(Database):
    """One read-only transaction that every `transaction()` of the request is part of."""

    def __init__(self, database: Database) -> None:
        if not _running.acquire(blocking=False):
            raise Unavailable(f"{AT_ONCE} exports are running already; ask again when one has ended.")
        self.engine = database.engine
        self._stack = ExitStack()
        self._stack.callback(_running.release)
        try:
            steady = copy(database)  # which may be narrowed to a scope: its first statement is not ours
            steady.engine = database.engine.execution_options(isolation_level="REPEATABLE READ")
            self._connection = self._stack.enter_context(steady.transaction())
            self._connection.execute(text("SET TRANSACTION READ ONLY"))
        except BaseException:
            self.fail()
            raise

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        yield self._connection

    def fail(self) -> None:
        """End it for the exception that is being handled. Raises what that means to the database."""
        self._stack.__exit__(*sys.exc_info())

    def close(self) -> None:
        self._stack.close()


def _batches(view: Callable[[], Any], item: Schema, cursor: Cursor) -> Iterator[Sequence[Mapping[str, Any]]]:
    while not cursor.exhausted:
        yield item.dump(view().items, many=True)


def _chained(first: Sequence[Any], others: Iterator[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    yield first
    yield from others


def _ndjson(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    return b"".join(msgspec.json.encode({name: row.get(name) for name in columns}) + b"\n" for row in rows)


def _csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, header: bool = False) -> bytes:
    written = io.StringIO()
    writer = csv.writer(written)
    if header:
        writer.writerow(columns)
    else:
        writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return written.getvalue().encode()


def _cell(value: Any) -> Any:
    """A value for a spreadsheet: nothing that a host says becomes a formula there."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = ", ".join(value)
    if isinstance(value, list | dict):
        value = msgspec.json.encode(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
