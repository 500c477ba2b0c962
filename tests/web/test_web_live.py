"""Live changes: the stream that browsers listen to, what they ask where none fits, and a sync that is followed."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.tables import repository
from sqlalchemy import update

FormToken = Callable[[FlaskClient, str], str]


@pytest.fixture
def listen(web: Flask, ask: Callable[[str], FlaskClient], serve: Callable[[Any], str]) -> Callable[..., Any]:
    """Open the stream as a browser does, with the cookie of a signed-in person."""
    url = serve(web)
    cookie = ask("viewer").get_cookie("patchbay")
    assert cookie

    def opened(**query: str) -> requests.Response:
        cookies = {"patchbay": cookie.value}
        return requests.get(f"{url}/live", params=query, cookies=cookies, stream=True, timeout=30)

    return opened


def test_a_change_reaches_the_browser(
    listen: Callable[..., requests.Response], fleet: Any, fleet_seed: ModuleType, database: Database
) -> None:
    """As the API tells it, and only of the kinds that were asked for."""
    answer = listen(kinds="repository.changed")
    changed = fleet.repositories[fleet_seed.VENDOR.id]
    with database.transaction() as connection:
        connection.execute(update(repository).where(repository.c.id == changed).values(changed_at=datetime.now(UTC)))

    assert answer.headers["Content-Type"].startswith("text/event-stream")
    lines = []
    for line in answer.iter_lines(decode_unicode=True):
        lines.append(line)
        if str(changed) in line:
            break
    answer.close()
    assert "event: repository.changed" in lines


def test_listeners_are_few_and_leave_their_places(
    listen: Callable[..., requests.Response], web: Flask, fleet: Any
) -> None:
    """One too many is told so; it may come once another is gone."""
    web.extensions["patchbay_listeners"] = threading.BoundedSemaphore(1)
    first = listen()

    assert first.status_code == 200
    assert listen().status_code == 204
    first.close()
    deadline = time.monotonic() + 20
    while (answer := listen()).status_code == 204 and time.monotonic() < deadline:
        answer.close()
    assert answer.status_code == 200
    answer.close()


def test_without_a_stream_browsers_ask(admin: FlaskClient, fleet: Any) -> None:
    """What there was since the moment that the answer before named."""
    first = admin.get("/live/recent?kinds=job").json
    assert first is not None

    again = admin.get("/live/recent", query_string={"kinds": "job", "after": first["until"]}).json

    assert first["items"] == []
    assert again is not None
    assert again["until"] > first["until"]


def test_strangers_hear_nothing(stranger: FlaskClient) -> None:
    """They are sent to the sign-in page, as everywhere."""
    assert stranger.get("/live").status_code == 302
    assert stranger.get("/live/recent").status_code == 302


def test_a_sync_that_was_asked_for_is_followed(
    admin: FlaskClient, fleet: Any, fleet_seed: ModuleType, form_token: FormToken
) -> None:
    """The page asks again by itself until it is done, and never after two minutes."""
    path = f"/repositories/{fleet.repositories[fleet_seed.VENDOR.id]}"
    answer = admin.post(f"{path}/sync", data={"csrf_token": form_token(admin, path)})

    assert "every 2s" in admin.get(answer.location).text
    assert "every 2s" not in admin.get(path).text
    assert "every 2s" not in admin.get(f"{path}?asked={int(time.time()) - 121}").text
