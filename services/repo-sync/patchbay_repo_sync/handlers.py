"""What repo-sync does when the bus nudges it, and when a timer does. Both find the same work."""

import threading
from collections.abc import Callable

import msgspec
from patchbay_shared.bus import Delivery
from patchbay_shared.db import Database
from patchbay_shared.errors import InvalidInput
from patchbay_shared.log import get_logger
from patchbay_shared.messages import SYNC_REQUESTED, RepositoryNudge

from patchbay_repo_sync import store
from patchbay_repo_sync.sync import Syncer

log = get_logger("repo-sync")

HISTORY_DAYS = 30


def nudge_handler(database: Database) -> Callable[[Delivery], None]:
    """Handles REPOSITORY_REFERENCED and SYNC_REQUESTED."""

    def handle(delivery: Delivery) -> None:
        try:
            nudge = msgspec.json.decode(delivery.body or b"{}", type=RepositoryNudge)
        except msgspec.DecodeError as exc:
            raise InvalidInput(f"A {delivery.routing_key} message cannot be read: {exc}") from exc
        with database.transaction() as connection:
            learnt = store.learn(connection, nudge.repository_ids or None)
            if delivery.routing_key == SYNC_REQUESTED:
                store.request_sync(connection, nudge.repository_ids, force=nudge.force)
        if learnt:
            log.info("repositories_learnt", count=len(learnt))

    return handle


def learn_references(database: Database, interval_seconds: float) -> Callable[[threading.Event], None]:
    """The sweep behind REPOSITORY_REFERENCED; it also wakes what a host uses again."""

    def run(_stop: threading.Event) -> None:
        with database.transaction() as connection:
            learnt = store.learn(connection)
            store.wake_used(connection, interval_seconds=interval_seconds)
        if learnt:
            log.info("repositories_learnt", count=len(learnt))

    return run


def sync_due(syncer: Syncer) -> Callable[[threading.Event], None]:
    """Sync until nothing is due."""

    def run(stop: threading.Event) -> None:
        while not stop.is_set() and syncer.sync_next():
            pass

    return run


def prune_history(database: Database) -> Callable[[threading.Event], None]:
    """Keep a month of sync history."""

    def run(_stop: threading.Event) -> None:
        with database.transaction() as connection:
            store.prune_syncs(connection, keep_days=HISTORY_DAYS)

    return run
