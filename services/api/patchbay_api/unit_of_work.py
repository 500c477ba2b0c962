"""A write as one unit: everything that it changes, and the event that tells of it, in one transaction.

Messages wait for the commit: nobody is told of what is not so. What must stay even if the request is refused (a
counted attempt to sign in) says so by `resource.separate_transaction`.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import TracebackType

from flask import g
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.service import Context
from sqlalchemy import Connection


class UnitOfWork:
    """While it is entered, every `context().database.transaction()` of the request is part of its one transaction.

    Leaving it commits, or rolls back for an exception; `send` hands over what was published meanwhile.
    """

    def __init__(self, context: Context) -> None:
        self.database = _OneTransaction(context.database)
        self._bus = _HeldBus(context.bus)
        self._context = replace(context, database=self.database, bus=self._bus)

    def __enter__(self) -> "UnitOfWork":
        g.unit_context = self._context
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        g.pop("unit_context")
        self.database.end(kind, error, trace)

    def send(self) -> None:
        """Publish what was held back. Raises Unavailable."""
        self._bus.send()


class _OneTransaction(Database):
    """Begun by the first who asks for a transaction; a hash of a password before that holds no connection."""

    def __init__(self, database: Database) -> None:
        self.engine = database.engine
        self._database = database
        self._stack = ExitStack()
        self._connection: Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        if self._connection is None:
            self._connection = self._stack.enter_context(self._database.transaction())
        yield self._connection

    def end(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Commit, or roll back. Raises Unavailable if it was the database that failed."""
        self._connection = None
        self._stack.__exit__(kind, error, trace)


class _HeldBus(Bus):
    """Keeps what is published until it is sent."""

    def __init__(self, bus: Bus) -> None:
        self.url, self.in_memory = bus.url, bus.in_memory
        self._bus = bus
        self._held: list[tuple[str, bytes, Mapping[str, str] | None, bool]] = []

    def publish(
        self, routing_key: str, body: bytes, headers: Mapping[str, str] | None = None, *, wait: bool = False
    ) -> None:
        self._held.append((routing_key, body, headers, wait))

    def send(self) -> None:
        """Hand all of it to the broker, in order. Raises Unavailable."""
        while self._held:
            routing_key, body, headers, wait = self._held[0]
            self._bus.publish(routing_key, body, headers, wait=wait)
            self._held.pop(0)
