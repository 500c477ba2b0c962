"""The port of health and metrics of a process of `patchbay run`, bound apart from what the world may reach."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from cheroot.wsgi import Server
from flask import Flask, Response
from patchbay_shared import metrics
from patchbay_shared.errors import StartupError
from patchbay_shared.http import add_health
from patchbay_shared.log import get_logger
from patchbay_shared.settings import Settings
from prometheus_client.registry import Collector

log = get_logger("monitoring")

WsgiApp = Callable[[dict[str, Any], Any], Iterable[bytes]]
_HEALTH = frozenset({"/healthz", "/readyz"})


def monitoring_app(checks: dict[str, Callable[[], None]], gauges: Collector | None = None) -> Flask:
    """`/metrics`, `/healthz` and `/readyz` of a process."""
    app = Flask("patchbay_monitoring", static_folder=None)
    add_health(app, checks)

    @app.get("/metrics")
    def show() -> Response:
        return Response(metrics.exposition(gauges), content_type=metrics.CONTENT_TYPE)

    return app


class ByPort:
    """A service's application that shows metrics and health, and nothing else, on the port of `settings`.

    The port is the socket's own, never what a header says.
    """

    def __init__(self, app: WsgiApp, gauges: Collector, settings: Settings) -> None:
        self._app = app
        self._monitoring = monitoring_app({}, gauges)
        self._port = str(settings.metrics_port)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("SERVER_PORT") != self._port:
            return self._app(environ, start_response)
        if environ.get("PATH_INFO") in _HEALTH:
            return self._app(environ, start_response)
        return self._monitoring(environ, start_response)


class MonitoringServer:
    """The same for a process that speaks no HTTP otherwise: a thread; does nothing where no port is set."""

    def __init__(self, settings: Settings, app: Flask) -> None:
        self._server: Server | None = None
        if not settings.metrics_port:
            return
        self._server = _QuietServer(
            (settings.metrics_listen, settings.metrics_port), app, numthreads=2, timeout=10, shutdown_timeout=1
        )
        try:
            self._server.prepare()
        except OSError as exc:
            raise StartupError(
                f"Port {settings.metrics_port} on {settings.metrics_listen} cannot be used "
                f"({exc.strerror or exc}); set PATCHBAY_METRICS_PORT to another."
            ) from exc
        threading.Thread(target=self._server.serve, name="monitoring", daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()


class _QuietServer(Server):
    """cheroot writes its log to standard error as text; here it is a debug event like any other."""

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        log.debug("http_noted", message=msg, level=level, traceback=traceback)
