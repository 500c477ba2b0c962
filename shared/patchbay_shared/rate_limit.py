"""Token buckets in the memory of one process: how often something may be done."""

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

REMEMBERED_KEYS = 200_000
Key = TypeVar("Key")


class _Bucket:
    __slots__ = ("at", "level", "limited")

    def __init__(self, level: float, at: float) -> None:
        self.level = level
        self.at = at
        self.limited = False


class TokenBuckets(Generic[Key]):
    """`count` requests in `per_seconds`, at once or spread, for each key; a count of 0 is no limit."""

    def __init__(self, count: int, per_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._count = float(count)
        self._rate = count / per_seconds
        self._clock = clock
        self._buckets: OrderedDict[Key, _Bucket] = OrderedDict()
        self._lock = Lock()

    def take(self, key: Key) -> tuple[float, bool]:
        """(seconds to wait, whether this is the first one over the limit); (0, False) within the limit."""
        if not self._count:
            return 0.0, False
        with self._lock:
            now = self._clock()
            bucket = self._buckets.get(key)
            if bucket is None:
                bucket = self._buckets[key] = _Bucket(self._count, now)
                while len(self._buckets) > REMEMBERED_KEYS:
                    self._buckets.popitem(last=False)
            self._buckets.move_to_end(key)
            bucket.level = min(self._count, bucket.level + (now - bucket.at) * self._rate)
            bucket.at = now
            if bucket.level >= 1:
                bucket.level -= 1
                bucket.limited = False
                return 0.0, False
            first, bucket.limited = not bucket.limited, True
            return (1 - bucket.level) / self._rate, first
