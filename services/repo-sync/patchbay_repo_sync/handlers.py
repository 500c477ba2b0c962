"""What repo-sync does when the bus nudges it, and when a timer does. Both find the same work."""

import threading
from collections.abc import Callable

import msgspec
from patchbay_shared.bus import Bus, Delivery
from patchbay_shared.db import Database
from patchbay_shared.errors import InvalidInput
from patchbay_shared.log import get_logger
from patchbay_shared.messages import (
    REPOSITORY_CHANGED,
    REPOSITORY_OPERATED,
    SYNC_REQUESTED,
    RepositoryChanged,
    RepositoryNudge,
    RepositoryOperated,
)

from patchbay_repo_sync import reported, store
from patchbay_repo_sync.lease import LEASE_SECONDS, new_owner
from patchbay_repo_sync.operated import operate
from patchbay_repo_sync.swap import LeaseLost
from patchbay_repo_sync.sync import Syncer

log = get_logger("repo-sync")

HISTORY_DAYS = 30


def nudge_handler(database: Database, bus: Bus) -> Callable[[Delivery], None]:
    """Handles REPOSITORY_REFERENCED, SYNC_REQUESTED and REPOSITORY_OPERATED."""

    def handle(delivery: Delivery) -> None:
        if delivery.routing_key == REPOSITORY_OPERATED:
            _operate(database, bus, delivery)
            return
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


def _operate(database: Database, bus: Bus, delivery: Delivery) -> None:
    try:
        decision = msgspec.json.decode(delivery.body, type=RepositoryOperated)
    except msgspec.DecodeError as exc:
        raise InvalidInput(f"An operator's decision cannot be read: {exc}") from exc
    with database.transaction() as connection:
        told = operate(connection, decision)
    log.info("repository_operated", repository_id=str(decision.repository_id))
    for each in told:
        bus.publish(REPOSITORY_CHANGED, msgspec.json.encode(each))


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


def fill_from_reports(database: Database, bus: Bus) -> Callable[[threading.Event], None]:
    """Fill the repositories that no mirror serves from what their hosts report as available."""
    owner = new_owner()

    def run(stop: threading.Event) -> None:
        while not stop.is_set():
            with database.transaction() as connection:
                repository = reported.lease_waiting(connection, owner, LEASE_SECONDS)
            if repository is None:
                return
            try:
                with database.transaction() as connection:
                    change = reported.fill(connection, repository, owner)
            except LeaseLost as exc:
                log.warning("lease_lost", repository_id=str(repository.id), error=str(exc))
                continue
            if change.changed:
                log.info("repository_filled_from_reports", repository_id=str(repository.id), added=change.added_count)
                told = RepositoryChanged(repository.id, change.generation, change.names)
                bus.publish(REPOSITORY_CHANGED, msgspec.json.encode(told))

    return run


def prune_history(database: Database) -> Callable[[threading.Event], None]:
    """Keep a month of sync history."""

    def run(_stop: threading.Event) -> None:
        with database.transaction() as connection:
            store.prune_syncs(connection, keep_days=HISTORY_DAYS)

    return run
