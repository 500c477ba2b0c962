"""Reports, what became of them, and messages that could not be handled, as pages."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient
from patchbay_shared.db import Database

FormToken = Callable[[FlaskClient, str], str]


@pytest.fixture
def letters(database: Database, fleet_seed: ModuleType) -> list[int]:
    """Ids of a dead report and of a dead nudge."""
    found: list[int] = fleet_seed.seed_dead_letters(database)
    return found


def test_a_host_shows_what_became_of_each_report(admin: FlaskClient, fleet: Any) -> None:
    """Received, stored and evaluated with the time each took; refused with its reason."""
    page = admin.get(f"/hosts/{fleet.hosts['web-01.example.com']}?tab=reports").text

    for text in ("Evaluated", "after 1.3 s", "after 40 ms", "Unchanged", "Superseded", "it must not be empty"):
        assert text in page


def test_refused_reports_of_all_hosts_are_one_click_away(admin: FlaskClient, fleet: Any) -> None:
    """With the host's name, and nothing but them."""
    page = admin.get("/reports?show=refused").text

    assert "web-01.example.com" in page
    assert "it must not be empty" in page
    assert "1 report" in page


def test_a_kept_report_is_shown_as_it_arrived(admin: FlaskClient, fleet: Any) -> None:
    """In Patchbay's own form."""
    page = admin.get(f"/reports/{fleet.receipt}").text

    assert "&#34;version&#34;: &#34;7.88.1&#34;" in page
    assert "1 package, 0 repositories" in page


def test_a_kept_report_can_be_processed_again(admin: FlaskClient, fleet: Any, form_token: FormToken) -> None:
    """Post, redirect, get."""
    path = f"/reports/{fleet.receipt}"

    answer = admin.post(f"{path}/reprocess", data={"csrf_token": form_token(admin, path)}, follow_redirects=True)

    assert answer.request.path == path
    assert "The report will be processed again" in answer.text


def test_the_dashboard_leads_to_dead_letters(admin: FlaskClient, fleet: Any, letters: list[int]) -> None:
    """The count is a link."""
    page = admin.get("/").text

    assert '<a href="/dead-letters">2 messages</a> could not be handled' in page


def test_dead_letters_show_their_error_and_ask_before_they_go(admin: FlaskClient, letters: list[int]) -> None:
    """What discarding a report costs is said before it is done."""
    page = admin.get("/dead-letters").text

    assert "KeyError: &#39;packages&#39;" in page
    assert 'data-confirm="Discard this message for good? The report in it is lost;' in page


def test_the_body_of_a_dead_letter_is_shown_where_it_is_text(admin: FlaskClient, letters: list[int]) -> None:
    """A compressed report is named, not printed."""
    report, nudge = letters

    assert "{&#34;generation&#34;: -1}" in admin.get(f"/dead-letters/{nudge}").text
    assert "it is a compressed report" in admin.get(f"/dead-letters/{report}").text


@pytest.mark.parametrize(("action", "words"), [("replay", "will be handled again"), ("discard", "will be forgotten")])
def test_a_dead_letter_is_dealt_with(
    admin: FlaskClient, letters: list[int], form_token: FormToken, action: str, words: str
) -> None:
    """The page says what happens now."""
    data = {"csrf_token": form_token(admin, "/dead-letters")}

    answer = admin.post(f"/dead-letters/{letters[0]}/{action}", data=data, follow_redirects=True)

    assert f"1 message {words}" in answer.text


def test_all_dead_letters_of_a_kind_are_dealt_with_at_once(
    admin: FlaskClient, letters: list[int], form_token: FormToken
) -> None:
    """Only once a kind was chosen: never all messages by one slip."""
    page = "/dead-letters?kind=report.received"
    data = {"csrf_token": form_token(admin, page), "kind": "report.received"}

    assert "Discard all" not in admin.get("/dead-letters").text
    assert "Discard all" in admin.get(page).text
    assert "1 message will be forgotten" in admin.post("/dead-letters/discard", data=data, follow_redirects=True).text


def test_a_viewer_sees_dead_letters_but_no_buttons(ask: Callable[[str], FlaskClient], letters: list[int]) -> None:
    """Replaying and discarding are for operators."""
    page = ask("viewer").get("/dead-letters").text

    assert "KeyError" in page
    assert "Discard" not in page
