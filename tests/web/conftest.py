"""The pages over a real API on a loopback port, over a seeded database."""

import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from types import ModuleType
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from memory_bus import memory_bus
from patchbay_api.app import make_app
from patchbay_shared.db import Database
from patchbay_shared.service import Context
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import advisory, advisory_cve, advisory_fix, errata_source, lifecycle, user_account
from patchbay_shared.versions import evr_key
from patchbay_web.app import app_of
from sqlalchemy import insert
from werkzeug.serving import BaseWSGIServer, make_server

PASSWORD = "correct horse"
SECRET_KEY = "k" * 32
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def database(database_of: Callable[[str | None], Database], password_hash: str) -> Database:
    """A database with a viewer and an admin."""
    owner = database_of(None)
    with owner.transaction() as connection:
        connection.execute(
            insert(user_account),
            [{"username": role, "password_hash": password_hash, "role": role} for role in ("viewer", "admin")],
        )
    return owner


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The hosts of fleet_seed and one with a hostile name."""
    hosts = [*fleet_seed.HOSTS, (HOSTILE, f"Debian {HOSTILE}", "x86_64", 1, 6, True, True)]
    return fleet_seed.seed_fleet(database, hosts)


@pytest.fixture
def published(database: Database) -> Database:
    """One advisory with a hostile title, its fix, its CVE, its feed, and a calendar."""
    with database.transaction() as connection:
        connection.execute(
            insert(errata_source).values(
                name="debian-dsa",
                url="https://feeds.example.org/dsa",
                enabled=True,
                state="failing",
                message="503 from the mirror",
            )
        )
        connection.execute(
            insert(advisory).values(
                id=1,
                source="debian-dsa",
                name="DSA-5764-1",
                part=1,
                digest=1,
                vendor="debian",
                type="security",
                severity="high",
                vendor_severity="",
                status="final",
                title=f"openssl {HOSTILE}",
                description="",
                url="javascript:alert(1)",
                links=["javascript:alert(2)", "https://lists.example.org/1"],
                issued_at=datetime(2026, 11, 1, tzinfo=UTC),
            )
        )
        connection.execute(insert(advisory_cve).values(advisory_id=1, cve="CVE-2026-1111"))
        connection.execute(
            insert(advisory_fix).values(
                advisory_id=1,
                ecosystem="debian",
                distro_release="12",
                package="openssl",
                kind="source",
                arch="",
                module="",
                pocket="",
                note="",
                state="fixed",
                evr="3.0.17-1~deb12u2",
                evr_key=evr_key("deb", "3.0.17-1~deb12u2"),
            )
        )
        connection.execute(
            insert(lifecycle).values(
                ecosystem="debian", version="10", codename="buster", name="Debian 10", ends_on=date(2022, 9, 10),
                source="test",
            )
        )  # fmt: skip
    return database


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """Serve a WSGI application on a loopback port and return its URL."""
    servers: list[BaseWSGIServer] = []

    def start(app: Any) -> str:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def api_url(database: Database, database_of: Callable[[str | None], Database], serve: Callable[[Any], str]) -> str:
    """Where a real API answers."""
    return serve(make_app(Context(settings_from({}, secret_key=SECRET_KEY), database_of("api"), memory_bus())))


@pytest.fixture
def web(api_url: str) -> Flask:
    """The pages in front of that API."""
    return app_of(settings_from({}, api_url=api_url, public_url="https://patch.example.org", secret_key=SECRET_KEY))


@pytest.fixture
def stranger(web: Flask) -> FlaskClient:
    """A browser without a session."""
    return web.test_client()


@pytest.fixture
def ask(web: Flask) -> Callable[[str], FlaskClient]:
    """A browser in which somebody has signed in."""

    def signed_in(username: str) -> FlaskClient:
        browser = web.test_client()
        answer = browser.post(
            "/sign-in",
            data={"csrf_token": form_token(browser, "/sign-in"), "username": username, "password": PASSWORD},
        )
        assert answer.status_code == 303
        return browser

    return signed_in


@pytest.fixture
def admin(ask: Callable[[str], FlaskClient]) -> FlaskClient:
    """An administrator's browser."""
    return ask("admin")


@pytest.fixture(name="form_token")
def form_token_fixture() -> Callable[[FlaskClient, str], str]:
    """Read the form token of a page."""
    return form_token


def form_token(browser: FlaskClient, path: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(path).text)
    assert found
    return found[1]
