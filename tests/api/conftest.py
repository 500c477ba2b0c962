"""The API over a seeded database, asked as people of each role."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from flask import Flask
from flask.testing import FlaskClient
from memory_bus import memory_bus
from notification_office import Mailbox, Office, Receiver
from patchbay_api.app import make_app
from patchbay_errata.cve_index import index_cves
from patchbay_errata.exposure import count_exposures
from patchbay_errata.totals import Totals
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.service import Context
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import user_account
from sqlalchemy import insert
from vulnerable_fleet import Seed

PASSWORD = "correct horse"


@pytest.fixture
def database(database_of: Callable[[str | None], Database], password_hash: str) -> Database:
    """The test's database as its owner, with a person of each role."""
    owner = database_of(None)
    with owner.transaction() as connection:
        connection.execute(
            insert(user_account),
            [
                {"username": role, "password_hash": password_hash, "role": role}
                for role in ("viewer", "operator", "admin")
            ],
        )
    return owner


@pytest.fixture
def bus() -> Bus:
    """A broker in memory, emptied: its queues belong to the process, not to the test."""
    return memory_bus()


@pytest.fixture
def app(database: Database, database_of: Callable[[str | None], Database], bus: Bus) -> Flask:
    """The API acting under its own database role."""
    settings = settings_from({}, secret_key="k" * 32, api_requests_per_minute=0, event_seconds=0)
    return make_app(Context(settings, database_of("api"), bus))


@pytest.fixture
def stranger(app: Flask) -> FlaskClient:
    """A client without a session."""
    return app.test_client()


@pytest.fixture
def ask(app: Flask) -> Callable[[str], FlaskClient]:
    """Sign in as the person of a role and return the client."""

    def signed_in(role: str) -> FlaskClient:
        client = app.test_client()
        answer = client.post("/api/v1/sessions", json={"username": role, "password": PASSWORD})
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {answer.json['token']}"
        return client

    return signed_in


@pytest.fixture
def viewer(ask: Callable[[str], FlaskClient]) -> FlaskClient:
    """A client signed in as a viewer."""
    return ask("viewer")


@pytest.fixture
def seed(database: Database) -> Any:
    """Call with a function of a `Seed`; it runs in one transaction, as errata's look at the feeds after it."""

    def run(write: Callable[[Seed], Any]) -> Any:
        with database.transaction() as connection:
            written = write(Seed(connection))
            index_cves(connection)
            return written

    return run


@pytest.fixture
def count(database_of: Callable[[str | None], Database]) -> Callable[[], None]:
    """What errata's jobs do every few seconds."""

    def run() -> None:
        database = database_of("errata")
        count_exposures(database)(threading.Event())
        Totals(database).run(threading.Event())

    return run


@pytest.fixture
def get(ask: Callable[[str], FlaskClient]) -> Callable[[str], Any]:
    client = ask("viewer")

    def read(path: str) -> Any:
        answer = client.get(f"/api/v1{path}")
        assert answer.status_code == 200, answer.text
        return json.loads(answer.text)

    return read


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """An SMTP server on a port of its own."""
    box = Mailbox()
    listening = socket.create_server(("127.0.0.1", 0))
    box.port = listening.getsockname()[1]
    loop = asyncio.new_event_loop()
    loop.run_until_complete(loop.create_server(lambda: SMTP(box, loop=loop), sock=listening))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield box
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    listening.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A local receiver of webhooks."""
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def office(
    database_of: Callable[[str | None], Database],
    database: Database,
    app: Flask,
    ask: Callable[[str], FlaskClient],
    fleet_seed: ModuleType,
) -> Office:
    """Six hosts, one of them silent; four outstanding security advisories."""
    context: Context = app.extensions["patchbay"]
    app.extensions["patchbay"] = Context(settings_from({}, secret_key="k" * 32), context.database, context.bus)
    return Office(app, ask("admin"), database, fleet_seed.seed_fleet(database, fleet_seed.HOSTS))
