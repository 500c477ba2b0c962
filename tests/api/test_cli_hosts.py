"""`patchbay hosts`: the API from the command line."""

import csv
import io
import json
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from cheroot.wsgi import Server
from click.testing import CliRunner, Result
from flask import Flask
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.errors import StartupError, Unavailable

from patchbay.cli import commands


@pytest.fixture
def run(
    app: Flask, ask: Callable[[str], FlaskClient], database: Database, fleet_seed: ModuleType
) -> Iterator[Callable[..., Result]]:
    """Run the command against the API on a loopback port, with a viewer's API token."""
    fleet_seed.seed_fleet(database, fleet_seed.HOSTS)
    token = ask("viewer").post("/api/v1/tokens", json={"name": "script"}).json["token"]
    server = Server(("127.0.0.1", 0), app)
    server.prepare()
    threading.Thread(target=server.serve, daemon=True).start()

    def invoke(*arguments: str, **environment: str) -> Result:
        url = f"http://127.0.0.1:{server.bind_addr[1]}"
        env = {"PATCHBAY_URL": url, "PATCHBAY_TOKEN": token, **environment}
        return CliRunner().invoke(commands, ["hosts", *arguments], env=env)

    yield invoke
    server.stop()


def test_hosts_are_printed_as_a_table_or_for_other_programs(run: Callable[..., Result]) -> None:
    """The words of the query are one query; every format has the same rows."""
    table = run("tag:web", "security>0")
    rows = json.loads(run("tag:web", "security>0", "--format", "json", "--fields", "hostname,tags").output)
    sheet = list(csv.DictReader(io.StringIO(run("tag:web", "security>0", "--format", "csv").output)))

    assert table.exit_code == 0
    assert [line.split()[0] for line in table.output.splitlines()] == [
        "hostname",
        "web-01.example.com",
        "web-02.example.com",
    ]
    assert rows[0] == {"hostname": "web-01.example.com", "tags": ["production", "web"]}
    assert [each["hostname"] for each in sheet] == ["web-01.example.com", "web-02.example.com"]
    assert json.loads(run("nothing-is-called-so", "--format", "json").output) == []


def test_a_mistake_in_the_query_is_marked(run: Callable[..., Result]) -> None:
    """Below the word."""
    failed: Any = run("web", "colour:red").exception

    assert isinstance(failed, StartupError)
    assert str(failed).splitlines()[-2:] == ["  web colour:red", "      ^^^^^^^^^^"]


def test_without_a_token_or_a_server_the_reason_is_one_line(run: Callable[..., Result]) -> None:
    """And says what to do."""
    assert isinstance(run(PATCHBAY_TOKEN="").exception, StartupError)
    assert "API token is not known" in str(run(PATCHBAY_TOKEN="wrong").exception)
    assert "API token is not known" in str(run(PATCHBAY_API_TOKEN="wrong").exception)
    gone = run(PATCHBAY_URL="http://127.0.0.1:1").exception
    assert isinstance(gone, Unavailable)
    assert str(gone).startswith("http://127.0.0.1:1 did not answer: there is no connection")
