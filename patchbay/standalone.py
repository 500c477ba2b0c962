"""`patchbay up`: every service in one process on one port, with an embedded PostgreSQL.

The same services over the same code as in production; only the composition differs: the memory bus, and a
router in place of a reverse proxy.
"""

import dataclasses
import os
import sys
import threading
from collections.abc import Callable
from importlib import metadata

from cheroot.wsgi import Server
from flask import Flask
from patchbay_api.accounts import create_enrolment_token, ensure_first_admin
from patchbay_shared import log as logs
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.embedded import EmbeddedPostgres, start_postgres
from patchbay_shared.errors import StartupError, Unavailable
from patchbay_shared.http import add_health
from patchbay_shared.migrate import migrate
from patchbay_shared.service import Context, WorkerThreads, stop_together, until_signalled
from patchbay_shared.settings import Settings
from patchbay_shared.tracing import Traced, export_spans

from patchbay.router import Router, WsgiApp
from patchbay.secret_files import kept, random_key
from patchbay.services import SERVICES

log = logs.get_logger("up")

DATABASE = "patchbay"


def up(settings: Settings, *, announce: Callable[[str], None]) -> None:
    """Run until SIGINT or SIGTERM. Raises StartupError with the one line that the operator needs."""
    settings = dataclasses.replace(settings, data_dir=settings.data_dir.resolve())
    server = _bind(settings)
    wait = until_signalled()
    postgres: EmbeddedPostgres | None = None
    try:
        if not settings.database_url:
            postgres = start_postgres(settings.data_dir / "postgres")
            _create_database(postgres)
            settings = dataclasses.replace(settings, database_url=postgres.get_uri(DATABASE))
        _run(settings, server, wait, announce)
    finally:
        server.stop()
        if postgres is not None:
            postgres.cleanup()


def _run(
    settings: Settings, server: Server, wait: Callable[[float | None], bool], announce: Callable[[str], None]
) -> None:
    owner = Database(settings.database_url, service=None, roles=False)
    migrate(owner, roles=settings.database_roles, beside_newer=False)  # one process: nothing newer runs beside it
    settings = dataclasses.replace(
        settings,
        secret_key=settings.secret_key or kept(settings.data_dir / "secret_key", random_key),
        api_url=settings.api_url or f"http://{_loopback(settings)}:{settings.port}",
    )
    bus = Bus(settings.bus_url, timeout_seconds=settings.publish_timeout_seconds)
    bus.declare()
    contexts = {
        service.name: Context(
            settings,
            Database(
                settings.database_url,
                service=service.name,
                roles=settings.database_roles,
                pool_size=settings.database_pool_size,
            ),
            bus,
        )
        for service in SERVICES
    }
    workers = [
        WorkerThreads(contexts[service.name], service.workers(contexts[service.name]))
        for service in SERVICES
        if service.workers
    ]
    apps: dict[str, WsgiApp] = {}
    for service in SERVICES:
        if service.app:
            app = service.app(contexts[service.name])
            more = service.more_paths(settings) if service.more_paths else ()
            apps |= dict.fromkeys((*service.paths, *more), app)
    health = _health_app(owner, workers)
    end_of_spans = export_spans(settings, "up", metadata.version("patchbay"))
    server.wsgi_app = Traced(Router({**apps, "/healthz": health, "/readyz": health}))
    for each in workers:
        each.start()
    serving = threading.Thread(target=server.serve, name="http", daemon=True)
    serving.start()
    try:
        _welcome(settings, contexts["api"].database, announce)
        wait(None)
        announce("Stopping …")
    finally:
        server.stop()
        stop_together(workers)
        for context in contexts.values():
            context.database.close()
        owner.close()
        end_of_spans()


class _QuietServer(Server):
    """cheroot writes its log to standard error as text; here it is a debug event like any other."""

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        log.debug("http_noted", message=msg, level=level, traceback=traceback)


def _bind(settings: Settings) -> Server:
    """Take the port first: the commonest reason not to start is found before anything else is touched."""
    server = _QuietServer(
        (settings.listen, settings.port),
        _starting,
        numthreads=settings.http_threads,
        request_queue_size=256,
        timeout=60,
    )
    try:
        server.prepare()
    except OSError as exc:
        raise StartupError(
            f"Port {settings.port} on {settings.listen} cannot be used ({exc.strerror or exc}); "
            "stop what uses it, or set PATCHBAY_PORT to another."
        ) from exc
    return server


def _starting(_environ: dict[str, object], start_response: Callable[..., object]) -> list[bytes]:
    start_response("503 Service Unavailable", [("Content-Type", "text/plain"), ("Retry-After", "2")])
    return [b"Patchbay is starting.\n"]


def _create_database(postgres: EmbeddedPostgres) -> None:
    maintenance = Database(postgres.get_uri(), service=None, roles=False)
    with maintenance.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        known = connection.exec_driver_sql("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).scalar()
        if not known:
            connection.exec_driver_sql(f"CREATE DATABASE {DATABASE} ENCODING 'UTF8' TEMPLATE template0")
    maintenance.close()


def _health_app(database: Database, workers: list[WorkerThreads]) -> Flask:
    def threads_alive() -> None:
        dead = [name for each in workers for name in each.dead()]
        if dead:
            raise Unavailable(f"Worker threads ended: {', '.join(dead)}.")

    app = Flask("patchbay_health", static_folder=None)
    add_health(app, {"database": database.ping, "workers": threads_alive})
    return app


def _welcome(settings: Settings, api_database: Database, announce: Callable[[str], None]) -> None:
    url = settings.base_url
    password = ensure_first_admin(api_database, settings.admin_username, settings.admin_password or None)
    token = kept(
        settings.data_dir / "enrolment_token", lambda: create_enrolment_token(api_database, "printed by patchbay up")
    )
    announce(f"Patchbay is ready at {url}")
    if password:
        announce(f"  sign in as   {settings.admin_username} / {password}   (shown this once)")
    sudo = "" if os.geteuid() == 0 else "sudo "
    announce(f"  enrol a host curl -fsS {url}/agent/install.sh | {sudo}sh -s -- --server {url} --token {token}")
    announce(f"  data         {settings.data_dir}")


def _loopback(settings: Settings) -> str:
    return "127.0.0.1" if settings.listen in {"0.0.0.0", "::", ""} else settings.listen  # noqa: S104  (compared)


def announce_on_stdout(line: str) -> None:
    """For people: one line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
