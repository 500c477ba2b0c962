"""How a process stops: asked by a signal, its threads together, within one time."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.service import Context, Job, Workers, WorkerThreads, stop_together, until_signalled
from patchbay_shared.settings import settings_from


@pytest.fixture
def context() -> Iterator[Context]:
    database = Database("postgresql://", service="errata", roles=False)  # never connected to
    yield Context(settings_from({}), database, Bus("memory://"))
    database.close()


@pytest.fixture
def handlers() -> Iterator[None]:
    """The process's own signal handlers, back in place after the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_threads_that_do_not_end_cost_one_waiting_time_not_one_each(context: Context) -> None:
    """A name server that does not answer must not keep a process of many services from stopping."""
    release, started = threading.Event(), threading.Barrier(4)

    def stuck(_stop: threading.Event) -> None:
        started.wait(10)
        release.wait(60)

    groups = [WorkerThreads(context, Workers(jobs=[Job(f"stuck-{number}", 60, stuck)])) for number in range(3)]
    for group in groups:
        group.start()
    started.wait(10)
    began = time.monotonic()
    stop_together(groups, within_seconds=1.0)
    took = time.monotonic() - began
    release.set()

    assert took < 2.5


def test_all_threads_are_asked_before_any_is_waited_for(context: Context) -> None:
    """The first group's long work does not eat the time in which the second could have finished."""
    asked: list[str] = []
    both = threading.Barrier(2)

    def job(name: str) -> Job:
        def run(stop: threading.Event) -> None:
            assert stop.wait(30)
            both.wait(30)  # needs the other one: asked one after the other, neither would end
            asked.append(name)

        return Job(name, 60, run)

    groups = [WorkerThreads(context, Workers(jobs=[job(name)])) for name in ("first", "second")]
    for group in groups:
        group.start()
    stop_together(groups, within_seconds=30)

    assert sorted(asked) == ["first", "second"]
    assert not any(thread.is_alive() for group in groups for thread in group.threads)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait(handlers: None, number: int) -> None:
    """Also one that came before anybody waited."""
    wait = until_signalled()
    assert not wait(0.01)
    os.kill(os.getpid(), number)

    assert wait(10)
