"""`patchbay up`, `run`, `migrate`: start the services, or prepare for them; `settings` and `openapi`."""

import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click
from patchbay_shared import log as logs
from patchbay_shared.errors import StartupError, Unavailable
from patchbay_shared.settings import Settings, markdown, settings_from

if TYPE_CHECKING:
    from patchbay_shared.db import Database
    from patchbay_shared.service import Service

SERVICE_NAMES = ("ingest", "update-engine", "repo-sync", "errata", "api", "web")
HTTP_SERVICE_NAMES = ("ingest", "api", "web")


@click.command(short_help="Run everything in one process.")
@click.option("--port", type=click.IntRange(1, 65_535), help="HTTP port; also PATCHBAY_PORT.")
@click.option("--data-dir", type=click.Path(file_okay=False), help="Folder of all data; also PATCHBAY_DATA_DIR.")
def up(port: int | None, data_dir: str | None) -> None:
    """Run everything in one process, with an embedded PostgreSQL. Ctrl-C ends it."""
    gc.disable()  # what is imported stays: looking through it for garbage costs half a second
    from patchbay.standalone import announce_on_stdout  # noqa: PLC0415  (keeps `patchbay --help` quick)
    from patchbay.standalone import up as start  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    start(_settings(port=port, data_dir=data_dir), announce=announce_on_stdout)


@click.command(short_help="Run one service.")
@click.argument("service", type=click.Choice(SERVICE_NAMES), metavar="SERVICE")
@click.option("--port", type=click.IntRange(1, 65_535), help="HTTP port; also PATCHBAY_PORT.")
def run(service: str, port: int | None) -> None:
    """Run one SERVICE, with the RabbitMQ and the PostgreSQL of PATCHBAY_BUS_URL and PATCHBAY_DATABASE_URL.

    SERVICE is ingest, update-engine, repo-sync, errata, api or web; `patchbay settings` prints all settings.
    """
    settings = _settings(port=port)
    with tempfile.TemporaryDirectory(prefix="patchbay-metrics-") as folder:
        if service in HTTP_SERVICE_NAMES:
            # prometheus_client looks for this variable when it is imported: gunicorn's workers share their counts.
            os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", folder)
        from patchbay.production import run as start  # noqa: PLC0415  (after the variable is set)

        start(_service_named(service), settings)


@click.command(short_help="Bring the database to this version's schema.")
def migrate() -> None:
    """Bring the database of PATCHBAY_DATABASE_URL to this version's schema; to be run before the services."""
    from patchbay_shared.db import Database  # noqa: PLC0415  (keeps `patchbay --help` quick)
    from patchbay_shared.migrate import migrate as upgrade  # noqa: PLC0415

    from patchbay.production import patiently  # noqa: PLC0415

    settings = _settings()
    if not settings.database_url:
        raise StartupError("PATCHBAY_DATABASE_URL is not set; `patchbay up` migrates its embedded database itself.")
    owner = Database(settings.database_url, service=None, roles=False)
    patiently(settings, lambda: upgrade(owner, roles=settings.database_roles))
    owner.close()
    click.echo("The schema is current.")


@click.command("settings", short_help="Print every setting.")
@click.option("--markdown", "as_markdown", is_flag=True, help="As the table in docs/settings.md.")
def show_settings(*, as_markdown: bool) -> None:
    """Print every setting, its default and its meaning."""
    text = markdown()
    if as_markdown:
        click.echo(text, nl=False)
        return
    for line in text.splitlines()[2:]:
        name, default, doc = (cell.strip().strip("`") for cell in line.strip("|").split("|", 2))
        click.echo(f"{name:<38} {default or '-':<14} {doc}")


@click.command("openapi", short_help="Print the API's OpenAPI document.")
def show_openapi() -> None:
    """Print the API's OpenAPI document, which is docs/openapi.json."""
    from patchbay_api.app import openapi_text  # noqa: PLC0415  (keeps `patchbay --help` quick)

    click.echo(openapi_text(), nl=False)


@click.command("create-admin", short_help="Create the first administrator.")
@click.option("--username", default="", help="Name to sign in with; default: PATCHBAY_ADMIN_USERNAME.")
def create_admin(username: str) -> None:
    """Create the first administrator, if there is no account yet.

    The password is PATCHBAY_ADMIN_PASSWORD, or a generated one that is printed this once.
    """
    from patchbay_api.accounts import ensure_first_admin  # noqa: PLC0415  (keeps `patchbay --help` quick)

    settings = _settings()
    name = username or settings.admin_username
    with api_database(settings) as database:
        password = ensure_first_admin(database, name, settings.admin_password or None)
    if password:
        click.echo(f"{name} / {password}")
    else:
        click.echo("There are accounts already, or the password is that of PATCHBAY_ADMIN_PASSWORD.")


@click.command("create-enrolment-token", short_help="Create a token with which hosts enrol.")
@click.argument("name")
def create_enrolment_token(name: str) -> None:
    """Create a token with which hosts enrol, called NAME, and print it, this once."""
    from patchbay_api.accounts import create_enrolment_token as create  # noqa: PLC0415  (quick --help)

    with api_database(_settings()) as database:
        click.echo(create(database, name))


@contextmanager
def api_database(settings: Settings) -> Iterator["Database"]:
    """The services' database, as the API may write it."""
    from patchbay_shared.db import Database  # noqa: PLC0415  (keeps `patchbay --help` quick)

    if not settings.database_url:
        raise StartupError(
            "PATCHBAY_DATABASE_URL is not set; name the services' database (`patchbay up` has a page for this)."
        )
    database = Database(settings.database_url, service="api", roles=settings.database_roles)
    try:
        yield database
    finally:
        database.close()


def guarded(main: click.Group) -> None:
    """Run the command line; a known error is one line on standard error and exit code 1."""
    # A signal has no default action for the first process of a container: until a service takes it, it must end us.
    signal.signal(signal.SIGTERM, _leave)
    try:
        main()
    except (StartupError, Unavailable) as exc:
        click.echo(f"patchbay: {exc}", err=True)
        raise SystemExit(1) from None


def _service_named(name: str) -> "Service":
    """That service alone: importing its neighbours as well would cost each process 45 MB."""
    service: Service = import_module(f"patchbay_{name.replace('-', '_')}.service").SERVICE
    return service


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _settings(*, port: int | None = None, data_dir: str | None = None) -> Settings:
    overrides: dict[str, Any] = {}
    if port:
        overrides["port"] = port
    if data_dir:
        overrides["data_dir"] = Path(data_dir)
    settings = settings_from(**overrides)
    logs.configure(level=settings.log_level, style=settings.log_format)
    return settings


COMMANDS = (up, run, migrate, show_settings, show_openapi, create_admin, create_enrolment_token)
