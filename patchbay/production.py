"""`patchbay run SERVICE`: one service in its own process, against RabbitMQ and PostgreSQL."""

import dataclasses
import signal
import threading
from types import FrameType
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from patchbay_shared import log as logs
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.errors import StartupError
from patchbay_shared.migrate import require_current
from patchbay_shared.service import Context, Service, WorkerThreads
from patchbay_shared.settings import Settings

log = logs.get_logger("run")


def run(service: Service, settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. Raises StartupError with the one line that the operator needs."""
    if service.name != "web":
        _require_production(settings)
    if service.app:
        _HttpProcess(service, settings).run()
    elif service.workers:
        _run_workers(service, settings)
    else:
        raise StartupError(f"The service {service.name} has nothing to run yet: {service.summary}")


def context_of(service: Service, settings: Settings) -> Context:
    """The context of a process that runs one service."""
    database = Database(
        settings.database_url,
        service=service.name,
        roles=settings.database_roles,
        pool_size=settings.database_pool_size,
    )
    return Context(settings, database, Bus(settings.bus_url, timeout_seconds=settings.publish_timeout_seconds))


def _require_production(settings: Settings) -> None:
    if not settings.database_url:
        raise StartupError("PATCHBAY_DATABASE_URL is not set; give the PostgreSQL that all services share.")
    if settings.bus_url.startswith("memory"):
        raise StartupError(
            "PATCHBAY_BUS_URL is memory://, which lives in one process only; give the RabbitMQ that all services "
            "share (amqp://user:password@host/vhost), or run them together with `patchbay up`."
        )
    owner = Database(settings.database_url, service=None, roles=False)
    try:
        require_current(owner)
    finally:
        owner.close()


def _run_workers(service: Service, settings: Settings) -> None:
    context = context_of(service, settings)
    context.bus.declare()
    assert service.workers is not None  # noqa: S101  (for mypy: the caller has asked)
    workers = WorkerThreads(context, service.workers(context))
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    workers.start()
    log.info("service_started", service=service.name)
    while not stop.wait(5.0):
        if dead := workers.dead():
            log.error("worker_threads_ended", threads=dead)
            workers.stop()
            raise StartupError(f"Worker threads of {service.name} ended: {', '.join(dead)}.")
    workers.stop()
    context.database.close()
    log.info("service_stopped", service=service.name)


class _HttpProcess(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn, sized from the settings; each worker makes its own context after the fork."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = dataclasses.replace(settings)
        super().__init__()

    def load_config(self) -> None:
        values: dict[str, Any] = {
            "bind": f"{self._settings.listen}:{self._settings.port}",
            "workers": self._settings.http_workers,
            "worker_class": "gthread",
            "threads": self._settings.http_threads,
            "proc_name": f"patchbay {self._service.name}",
            "graceful_timeout": 25,
            "timeout": 120,
            "keepalive": 20,
            "loglevel": "warning",
            "control_socket_disable": True,
        }
        for name, value in values.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        assert self._service.app is not None  # noqa: S101  (for mypy: the caller has asked)
        return self._service.app(context_of(self._service, self._settings))
