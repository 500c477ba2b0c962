"""Mirrors that were not needed for a sync: how old is what they serve, and which ones lag?

Only the entry document is fetched, from a few mirrors a sync, each once a day.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec
from patchbay_shared.errors import InvalidInput, Unavailable, Untrusted
from patchbay_shared.fetching.fetch import shown
from sqlalchemy import Connection

from patchbay_repo_sync import store
from patchbay_repo_sync.crawl import Visit, published
from patchbay_repo_sync.store import Mirror, Repository

LOOKS_A_SYNC = 2
LOOK_AGAIN_AFTER = timedelta(days=1)


class Look(msgspec.Struct, frozen=True):
    """What a mirror was found to be."""

    mirror_id: int
    url: str
    published_at: datetime | None = None
    failure: str = ""


def due(mirrors: Sequence[Mirror], now: datetime) -> list[Mirror]:
    """Those to look at now, the longest unseen first."""
    unseen = [each for each in mirrors if each.checked_at is None or now - each.checked_at > LOOK_AGAIN_AFTER]
    unseen.sort(key=lambda each: (each.checked_at is not None, each.checked_at or now))
    return unseen[:LOOKS_A_SYNC]


def look(visit: Visit) -> Look:
    """Ask a mirror for its entry document."""
    mirror = visit.mirror
    try:
        return Look(mirror.id, mirror.url, published(visit))
    except (InvalidInput, Unavailable, Untrusted) as exc:
        return Look(mirror.id, mirror.url, failure=str(exc))


def record(connection: Connection, repository: Repository, settled: Mirror, looks: Iterable[Look]) -> None:
    """Say of each mirror whether it lags behind the newest; if that is not what is stored, crawl anew."""
    looks = list(looks)
    times = [each.published_at for each in looks if each.published_at]
    newest = max([*times, *([repository.published_at] if repository.published_at else [])], default=None)
    for each in looks:
        if each.failure:
            store.mark_mirror(connection, each.mirror_id, state="failing", message=each.failure)
        else:
            _mark(connection, each.mirror_id, each.published_at, newest)
    if repository.published_at and newest and repository.published_at < newest:
        ahead = next(shown(each.url) for each in looks if each.published_at == newest)
        message = f"{_behind(repository.published_at, newest)} {ahead} is ahead of it."
        store.mark_mirror(connection, settled.id, state="lagging", message=message)
        store.request_sync(connection, [repository.id], force=False)


def _mark(connection: Connection, mirror_id: int, published_at: datetime | None, newest: datetime | None) -> None:
    lags = published_at is not None and newest is not None and published_at < newest
    message = _behind(published_at, newest) if lags and published_at and newest else ""
    store.mark_mirror(
        connection, mirror_id, state="lagging" if lags else "ok", message=message, published_at=published_at
    )


def _behind(published_at: datetime, newest: datetime) -> str:
    hours = (newest - published_at).total_seconds() / 3_600
    span = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.1f} hours"
    return f"What it serves is of {published_at:%Y-%m-%d %H:%M} UTC, {span} behind the newest mirror."
