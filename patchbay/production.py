"""`patchbay run SERVICE`: one service in its own process, against RabbitMQ and PostgreSQL."""

import dataclasses
import gc
import os
import threading
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger as GunicornLogger
from patchbay_shared import log as logs
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.errors import StartupError, Unavailable
from patchbay_shared.http import observe_requests
from patchbay_shared.metrics import Sampled
from patchbay_shared.migrate import require_current
from patchbay_shared.proxies import TrustedProxies
from patchbay_shared.service import Context, Service, WorkerThreads, until_signalled
from patchbay_shared.settings import Settings, comma_separated
from patchbay_shared.tracing import Traced, export_spans
from prometheus_client.multiprocess import mark_process_dead

from patchbay.monitoring import ByPort, MonitoringServer, monitoring_app

log = logs.get_logger("run")

GRACE_SECONDS = 25
"""How long a stopping process may finish what it has begun; orchestrators wait longer before they kill."""
_LOOK_AGAIN_SECONDS = 1.0


def run(service: Service, settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. Raises StartupError with the one line that the operator needs."""
    if service.name != "web":
        patiently(settings, lambda: _require_production(settings))
    if service.app:
        _HttpProcess(service, settings).run()
    elif service.workers:
        _run_workers(service, settings)
    else:
        raise StartupError(f"The service {service.name} has nothing to run yet: {service.summary}")


def context_of(service: Service, settings: Settings) -> Context:
    """The context of a process that runs one service."""
    database = Database(
        settings.database_url or "postgresql://",  # of web, which never connects
        service=service.name,
        roles=settings.database_roles,
        pool_size=settings.database_pool_size,
    )
    return Context(settings, database, Bus(settings.bus_url, timeout_seconds=settings.publish_timeout_seconds))


def patiently(settings: Settings, start: Callable[[], None]) -> None:
    """Do `start`, again and again for `startup_wait_seconds` while something it needs is not there yet.

    Raises what the last attempt raised.
    """
    deadline = time.monotonic() + settings.startup_wait_seconds
    while True:
        try:
            return start()
        except (StartupError, Unavailable) as exc:
            if time.monotonic() >= deadline:
                raise
            log.info("start_waits", reason=str(exc))
            time.sleep(_LOOK_AGAIN_SECONDS)


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
    end_of_spans = export_spans(settings, service.name, metadata.version("patchbay"))
    patiently(settings, context.bus.declare)
    assert service.workers is not None  # noqa: S101  (for mypy: the caller has asked)
    workers = WorkerThreads(context, service.workers(context))
    stopping = threading.Event()
    signalled = until_signalled()

    def threads_alive() -> None:
        if stopping.is_set():
            raise Unavailable("The process is stopping.")
        if dead := workers.dead():
            raise Unavailable(f"Worker threads ended: {', '.join(dead)}.")

    checks = {"database": context.database.ping, "broker": context.bus.ping, "workers": threads_alive}
    workers.start()
    monitoring = MonitoringServer(settings, monitoring_app(checks, _gauges(service, context)))
    log.info("service_started", service=service.name)
    while not signalled(5.0):
        if dead := workers.dead():
            log.error("worker_threads_ended", threads=dead)
            workers.stop()
            raise StartupError(f"Worker threads of {service.name} ended: {', '.join(dead)}.")
    stopping.set()
    workers.stop(within_seconds=GRACE_SECONDS)
    monitoring.stop()
    context.database.close()
    end_of_spans()
    log.info("service_stopped", service=service.name)


def _gauges(service: Service, context: Context) -> Sampled:
    sources = service.gauges(context) if service.gauges else {}
    return Sampled(sources, version=metadata.version("patchbay"))


class _HttpProcess(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn, sized from the settings; each worker makes its own context after the fork.

    Metrics are answered by the same workers on a second socket, and add up all of them (patchbay_shared.metrics).
    """

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = dataclasses.replace(settings)
        self._workers: WorkerThreads | None = None
        self._end_of_spans: Callable[[], None] | None = None
        super().__init__()

    def load_config(self) -> None:
        settings = self._settings
        sockets = [f"{settings.listen}:{settings.port}"]
        if settings.metrics_port:
            sockets.append(f"{settings.metrics_listen}:{settings.metrics_port}")
        values: dict[str, Any] = {
            "bind": sockets,
            "workers": settings.http_workers,
            "worker_class": "gthread",
            "threads": settings.http_threads,
            "proc_name": f"patchbay {self._service.name}",
            "graceful_timeout": GRACE_SECONDS,
            "timeout": 120,
            "keepalive": 20,
            "loglevel": "warning",
            "logger_class": _SameLog,
            "forwarded_allow_ips": "",  # which proxies are believed is TrustedProxies' business
            "control_socket_disable": True,
            "pre_fork": _freeze,
            "child_exit": _forget_process,
            "worker_exit": self._finish,
        }
        for name, value in values.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def _finish(self, _server: Any, _worker: Any) -> None:
        """Called in a worker process as it ends (gunicorn kills it after its time), never in the master."""
        if self._workers is not None:
            self._workers.stop(within_seconds=GRACE_SECONDS)
        if self._end_of_spans is not None:
            self._end_of_spans()

    def load(self) -> Flask:
        assert self._service.app is not None  # noqa: S101  (for mypy: the caller has asked)
        context = context_of(self._service, self._settings)
        self._end_of_spans = export_spans(self._settings, self._service.name, metadata.version("patchbay"))
        app = self._service.app(context)
        if self._service.workers:
            self._workers = WorkerThreads(context, self._service.workers(context))
            self._workers.start()
        observe_requests(app, self._service.name)
        proxied = TrustedProxies(Traced(app.wsgi_app), comma_separated(self._settings.trusted_proxies))
        app.wsgi_app = ByPort(proxied, _gauges(self._service, context), self._settings)  # type: ignore[method-assign]  # Flask's documented place for middleware
        return app


def _freeze(_server: Any, _worker: Any) -> None:
    """What is in memory before the fork stays out of the collector, which would write to it and so unshare it."""
    gc.collect()
    gc.freeze()


class _SameLog(GunicornLogger):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's own lines in the form of all others."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


def _forget_process(_server: Any, worker: Any) -> None:
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # prometheus_client has no types here
