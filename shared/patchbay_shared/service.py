"""What a service is, and how its threads run. Each service room's `service.py` makes one `Service`."""

import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
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

STOP_SECONDS = 15.0
"""How long a stopping process waits for its threads."""


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
        self.threads = [
            threading.Thread(target=context.bus.consume, args=(each, self._stop), name=each.queue.name, daemon=True)
            for each in workers.subscriptions
        ] + [
            threading.Thread(target=_repeat, args=(job, self._stop), name=job.name, daemon=True)
            for job in workers.jobs
        ]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def ask(self) -> None:
        """Ask all to finish what they are doing, without waiting."""
        self._stop.set()

    def stop(self, *, within_seconds: float = STOP_SECONDS) -> None:
        """Ask all to finish what they are doing, and wait for them."""
        stop_together([self], within_seconds=within_seconds)

    def dead(self) -> list[str]:
        """Names of threads that ended by themselves: the process is not healthy."""
        return [t.name for t in self.threads if not t.is_alive()] if not self._stop.is_set() else []


def stop_together(groups: Sequence[WorkerThreads], *, within_seconds: float = STOP_SECONDS) -> None:
    """Ask all threads of all `groups` to finish, and wait for them until one common time has passed.

    A thread that does not end by then (a name server or a mirror that does not answer) is left behind: it is a
    daemon, and what it had in hand belongs to a lease or to an unacknowledged message.
    """
    for group in groups:
        group.ask()
    deadline = time.monotonic() + within_seconds
    for group in groups:
        for thread in group.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("thread_left_behind", thread=thread.name)


def until_signalled() -> Callable[[float | None], bool]:
    """Take SIGINT and SIGTERM from now on; what is returned waits for one, and says whether it came in time.

    A handler that sets a `threading.Event` can wait for ever for the lock that the very code it interrupts holds;
    `SimpleQueue.put` is made for handlers (it is reentrant).
    """
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signals.put(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)

    def wait(seconds: float | None = None) -> bool:
        try:
            signals.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    return wait


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
