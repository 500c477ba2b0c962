"""Ingest as its clients see it, with a queue whose other end can be looked at."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient
from memory_bus import memory_bus
from patchbay_ingest.app import make_app
from patchbay_shared.bus import Delivery, Subscription
from patchbay_shared.db import Database
from patchbay_shared.messages import FRESH_REPORTS, REFUSALS, ReportReceived, ReportRefused
from patchbay_shared.report import Report
from patchbay_shared.report_body import report_in
from patchbay_shared.service import Context
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import enrolment_token
from patchbay_update_engine.handlers import Engine
from sqlalchemy import insert

FLEET_TOKEN = "pbe_token-of-a-whole-fleet"


class Queue:
    """The consumer's side of the broker."""

    def __init__(self) -> None:
        self.headers: list[ReportReceived] = []
        self.reports: list[Report] = []
        self.refusals: list[ReportRefused] = []

    def report(self, delivery: Delivery) -> None:
        self.headers.append(msgspec.json.decode(delivery.headers["report"], type=ReportReceived))
        self.reports.append(report_in(delivery.body, limit=1 << 26))

    def refusal(self, delivery: Delivery) -> None:
        self.refusals.append(msgspec.json.decode(delivery.body, type=ReportRefused))


class Ingest:
    """An ingest with settings of the test's choice."""

    def __init__(
        self, database_of: Callable[[str | None], Database], *, engine: bool = False, **settings: Any
    ) -> None:
        self.owner = database_of(None)
        self.queue = Queue()
        bus = memory_bus(timeout_seconds=10)
        self._stop = threading.Event()
        self._consumers = [
            threading.Thread(target=bus.consume, args=(Subscription(spec, handle), self._stop))
            for spec, handle in ((FRESH_REPORTS, self._handle), (REFUSALS, self.queue.refusal))
        ]
        self._engine = Engine(settings_from({}), database_of("update-engine"), bus) if engine else None
        self.app = make_app(Context(settings_from({}, **settings), database_of("ingest"), bus))
        self.client: FlaskClient = self.app.test_client()
        for each in self._consumers:
            each.start()

    def add_token(self, token: str = FLEET_TOKEN, **values: Any) -> str:
        with self.owner.transaction() as connection:
            connection.execute(
                insert(enrolment_token).values(
                    name="test", token_hash=hashlib.sha256(token.encode()).digest(), **values
                )
            )
        return token

    def refusals(self, count: int) -> list[ReportRefused]:
        """The refusals that the engine was told of, once there are so many."""
        self.app.extensions["refusals"].wait()
        pause = threading.Event()
        for _ in range(500):
            if len(self.queue.refusals) >= count:
                break
            pause.wait(0.02)
        return self.queue.refusals

    def _handle(self, delivery: Delivery) -> None:
        self.queue.report(delivery)
        if self._engine:
            self._engine.report_received(delivery)

    def stop(self) -> None:
        self.app.extensions["refusals"].wait()
        self._stop.set()
        for each in self._consumers:
            each.join()


@pytest.fixture
def ingest_with(database_of: Callable[[str | None], Database]) -> Iterator[Callable[..., Ingest]]:
    """Make an ingest that knows the enrolment token FLEET_TOKEN; `engine=True`: an engine handles its reports."""
    made: list[Ingest] = []

    def make(**settings: Any) -> Ingest:
        made.append(Ingest(database_of, **settings))
        if len(made) == 1:
            made[0].add_token()
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def ingest(ingest_with: Callable[..., Ingest]) -> Ingest:
    return ingest_with()
