"""The database, as one service sees it: a pool whose connections act under that service's role."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from patchbay_shared.errors import Unavailable


def role(service: str) -> str:
    """The database role of a service; it may write only the tables whose writer it is."""
    return f"patchbay_{service.replace('-', '_')}"


class Database:
    """A pool of connections. `service` of None is the owner (migrations, command line)."""

    def __init__(self, url: str, *, service: str | None, roles: bool, pool_size: int = 5) -> None:
        options = "-c timezone=UTC"
        if service and roles:
            options += f" -c role={role(service)}"
        self.engine: Engine = create_engine(
            _sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=False,
            pool_recycle=1_800,
            connect_args={
                "options": options,
                "connect_timeout": 10,
                "application_name": f"patchbay {service or 'owner'}",
            },
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction, committed on leaving. Raises Unavailable when PostgreSQL is out of reach."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except OperationalError as exc:
            raise Unavailable(f"The database did not answer: {_first_line(exc)}") from exc
        except DBAPIError as exc:
            if exc.connection_invalidated:
                raise Unavailable(f"The connection to the database was lost: {_first_line(exc)}") from exc
            raise

    def ping(self) -> None:
        """Raises Unavailable when PostgreSQL is out of reach."""
        with self.transaction() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        self.engine.dispose()


def driver(connection: Connection) -> psycopg.Connection[Any]:
    """The psycopg connection below, for COPY."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, psycopg.Connection):
        raise TypeError("Patchbay speaks to PostgreSQL through psycopg only.")
    return raw


def _sqlalchemy_url(url: str) -> str:
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def _first_line(exc: DBAPIError) -> str:
    return str(exc.orig).strip().split("\n", 1)[0]
