"""What a service is, and how its threads run. Each service room's `service.py` makes one `Service`."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from flask import Flask

from patchbay_shared.bus import Bus, Subscription
from patchbay_shared.db import Database
from patchbay_shared.errors import Unavailable
from patchbay_shared.log import get_logger
from patchbay_shared.metrics import Source, timed_job
from patchbay_shared.settings import Settings

log = get_logger("service")


@dataclass(frozen=True)
class Context:
    """What a service is given: built once by the composition root, passed in, never global."""

    settings: Settings
    database: Database
    bus: Bus


@dataclass(frozen=True)
class Job:
    """Work that is done again and again; `run` must be idempotent and may run in several replicas."""

    name: str
    every_seconds: float
    run: Callable[[threading.Event], None]
    """Given the event that says "stop soon"."""


@dataclass(frozen=True)
class Workers:
    """What a service does beside HTTP."""

    subscriptions: list[Subscription] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)


@dataclass(frozen=True)
class Service:
    """A service's table of contents."""

    name: str
    summary: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    consumes: tuple[str, ...] = ()
    publishes: tuple[str, ...] = ()
    app: Callable[[Context], Flask] | None = None
    """Makes the WSGI application, for the services that speak HTTP."""
    paths: tuple[str, ...] = ()
    """URL prefixes that this service answers where all share one port; the longest prefix wins."""
    more_paths: Callable[[Settings], tuple[str, ...]] | None = None
    """Further such prefixes, where they depend on the settings."""
    workers: Callable[[Context], Workers] | None = None
    gauges: Callable[[Context], Mapping[str, Source]] | None = None
    """Readers of gauges by the name of what they read from, for a service whose processes serve HTTP."""


class WorkerThreads:
    """The running threads of one service: one a subscription, one a job."""

    def __init__(self, context: Context, workers: Workers) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=context.bus.consume, args=(each, self._stop), name=each.queue.name, daemon=True)
            for each in workers.subscriptions
        ] + [
            threading.Thread(target=_repeat, args=(job, self._stop), name=job.name, daemon=True)
            for job in workers.jobs
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, *, within_seconds: float = 20.0) -> None:
        """Ask all to finish what they are doing, and wait for them."""
        self._stop.set()
        deadline = time.monotonic() + within_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def dead(self) -> list[str]:
        """Names of threads that ended by themselves: the process is not healthy."""
        return [t.name for t in self._threads if not t.is_alive()] if not self._stop.is_set() else []


def _repeat(job: Job, stop: threading.Event) -> None:
    while not stop.is_set():
        with structlog.contextvars.bound_contextvars(job=job.name):
            try:
                with timed_job(job.name):
                    job.run(stop)
            except Unavailable as exc:
                log.warning("job_waits", error=str(exc))
            except Exception as exc:
                log.error("job_failed", exc_info=exc)
        stop.wait(job.every_seconds)


def run_once(workers: Workers, name: str, stop: threading.Event | None = None) -> Any:
    """Run one job now, by name (tests and the command line)."""
    [job] = [each for each in workers.jobs if each.name == name]
    return job.run(stop or threading.Event())
