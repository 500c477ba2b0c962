"""How often a host, and all hosts together, may report to one process."""

import time
from collections.abc import Callable
from uuid import UUID

from patchbay_shared.rate_limit import TokenBuckets
from patchbay_shared.settings import Settings


class RateLimited(Exception):
    """Too many requests (429)."""

    def __init__(self, message: str, *, retry_after_seconds: float, first: bool) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.first = first
        """The request before was still within the limit: worth telling once, not each time."""


class Limits:
    """Both limits of one ingest process."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._hosts: TokenBuckets[UUID] = TokenBuckets(settings.host_reports_per_minute, 60, clock=clock)
        self._all: TokenBuckets[None] = TokenBuckets(settings.reports_per_second, 1, clock=clock)

    def require(self, host_id: UUID) -> None:
        """Count one report. Raises RateLimited."""
        seconds, first = self._hosts.take(host_id)
        if seconds:
            raise RateLimited(
                "This host reports too often (PATCHBAY_HOST_REPORTS_PER_MINUTE).",
                retry_after_seconds=seconds,
                first=first,
            )
        seconds, _ = self._all.take(None)
        if seconds:
            raise RateLimited(
                "More reports arrive than are accepted (PATCHBAY_REPORTS_PER_SECOND).",
                retry_after_seconds=seconds,
                first=False,
            )
