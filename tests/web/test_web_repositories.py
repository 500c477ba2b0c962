"""One repository's page: mirrors, crawls, the running one, and what an operator decides."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from sqlalchemy import text

FormToken = Callable[[FlaskClient, str], str]


@pytest.fixture
def path(fleet: Any, fleet_seed: ModuleType) -> str:
    """Of the main repository."""
    return f"/repositories/{fleet.repositories[fleet_seed.MAIN.id]}"


def _execute(database: Database, statement: str) -> None:
    with database.transaction() as connection:
        connection.execute(text(statement))


def test_a_sync_shows_how_long_it_took_what_it_fetched_and_changed(admin: FlaskClient, path: str) -> None:
    """The history of a repository is on its page."""
    page = admin.get(path).text

    for words in ("+14 −3", "1.2 MB", "1 min"):
        assert words in page


def test_a_mirror_shows_how_far_it_lags(admin: FlaskClient, path: str, database: Database) -> None:
    """Behind the mirror with the newest content."""
    _execute(database, "UPDATE mirror SET published_at = now()")
    _execute(
        database,
        "INSERT INTO mirror (repository_id, url, rank, state, published_at) SELECT repository_id, 'http://old.test',"
        " 1, 'lagging', published_at - interval '21 h' FROM mirror WHERE url = 'http://deb.example.org/debian'",
    )

    page = admin.get(path).text
    assert "21 h behind the newest" in page
    assert "Lagging" in page


def test_a_running_sync_shows_its_progress_and_is_followed(admin: FlaskClient, path: str, database: Database) -> None:
    """Phase, bytes and packages so far."""
    _execute(database, "UPDATE repository SET leased_until = now() + interval '1 h'")
    _execute(
        database,
        "INSERT INTO repository_sync (repository_id, started_at, phase, read_count, transferred_bytes)"
        " SELECT id, now(), 'storing', 31200, 8123000 FROM repository",
    )

    page = admin.get(path).text
    assert "every 2s" in page
    assert "8.1 MB fetched, 31\u202f200 packages read" in page


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        ("disable", "It will no longer be crawled"),
        ("security", "will count as security fixes"),
        ("as-reported", "will count again"),
    ],
)
def test_an_operator_decides_of_a_repository(
    admin: FlaskClient, path: str, form_token: FormToken, decision: str, words: str
) -> None:
    """Each decision comes back with what it means."""
    data = {"csrf_token": form_token(admin, path), "decision": decision}

    answer = admin.post(f"{path}/decide", data=data, follow_redirects=True)

    assert answer.request.path == path
    assert words in answer.text


def test_an_unknown_decision_is_refused(admin: FlaskClient, path: str, form_token: FormToken) -> None:
    """A changed form changes nothing."""
    data = {"csrf_token": form_token(admin, path), "decision": "sell"}

    assert admin.post(f"{path}/decide", data=data).status_code == 400


def test_a_complete_sync_is_asked_for_by_its_own_button(admin: FlaskClient, path: str, form_token: FormToken) -> None:
    """Sync now trusts what is known of the files; this one does not."""
    data = {"csrf_token": form_token(admin, path), "force": "true"}

    assert "A complete sync was asked for" in admin.post(f"{path}/sync", data=data, follow_redirects=True).text


def test_addresses_of_one_archive_can_be_linked(
    admin: FlaskClient, path: str, database: Database, form_token: FormToken
) -> None:
    """The proposal names both addresses and is one click."""
    other = "6e4b7c52-1d7e-4bb0-9a3a-0b9f4a7c1d11"
    _execute(
        database,
        f"INSERT INTO repository (id, type, name, url, suite, release) SELECT '{other}', 'deb', 'ftp',"
        " 'http://ftp.test', suite, release FROM repository WHERE url = 'http://deb.example.org/debian'",
    )

    page = admin.get("/repositories").text
    assert "named by hosts under several addresses" in page
    assert f"/repositories/{other}/link" in page
    data = {"csrf_token": form_token(admin, path), "leader": path.rsplit("/", 1)[1]}
    answer = admin.post(f"/repositories/{other}/link", data=data, follow_redirects=True)
    assert "served by the crawls of the other address" in answer.text


def test_a_linked_repository_names_its_leader(admin: FlaskClient, path: str, database: Database, fleet: Any) -> None:
    """And offers to be crawled by itself again."""
    _execute(
        database,
        "UPDATE repository SET linked_to = (SELECT id FROM repository WHERE url LIKE '%security%')"
        " WHERE url = 'http://deb.example.org/debian'",
    )

    page = admin.get(path).text
    assert "whose syncs serve this one too" in page
    assert "Unlink" in page
