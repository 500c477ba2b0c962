"""A host as an entry: renamed and removed on its page."""

import re
from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.tables import host_removal, host_token_revocation
from sqlalchemy import select

FormToken = Callable[[FlaskClient, str], str]


def test_a_host_is_renamed(admin: FlaskClient, fleet: Any, form_token: FormToken) -> None:
    """By a job, as it is the engine that writes hosts; what cannot be a name is said."""
    path = f"/hosts/{fleet.hosts['web-01.example.com']}"
    csrf = form_token(admin, path)

    done = admin.post(
        f"{path}/rename", data={"csrf_token": csrf, "hostname": "Shop.example.com"}, follow_redirects=True
    )
    refused = admin.post(f"{path}/rename", data={"csrf_token": csrf, "hostname": "a b"}, follow_redirects=True)

    assert "It will be called shop.example.com" in done.text
    assert "a b is no name" in refused.text
    assert re.findall(r"/jobs/[\w-]+\">(Rename)<", admin.get("/jobs").text) == ["Rename"]


def test_a_host_is_removed_after_saying_what_goes(
    admin: FlaskClient, fleet: Any, form_token: FormToken, database: Database
) -> None:
    """The question names the host and what is known of it."""
    number = fleet.hosts["web-01.example.com"]
    path = f"/hosts/{number}"
    page = admin.get(path).text
    assert re.search(r'data-confirm="Remove web-01\.example\.com for good\?[^"]+\d packages', page)

    answer = admin.post(f"{path}/remove", data={"csrf_token": form_token(admin, path)}, follow_redirects=True)

    assert "web-01.example.com is being removed" in answer.text
    with database.transaction() as connection:
        assert connection.scalars(select(host_removal.c.host_id)).all() == [number]


def test_a_merge_says_first_what_becomes_of_the_other_entry(
    admin: FlaskClient, fleet: Any, form_token: FormToken
) -> None:
    """By its name; a name that nobody has is said on the host's page."""
    path = f"/hosts/{fleet.hosts['web-01.example.com']}"
    csrf = form_token(admin, path)

    nobody = admin.post(f"{path}/merge", data={"csrf_token": csrf, "other": "web"}, follow_redirects=True)
    asked = admin.post(f"{path}/merge", data={"csrf_token": csrf, "other": "web-02.example.com"}).text
    [other] = re.findall(r'name="other_id" value="([^"]+)"', asked)
    merged = admin.post(f"{path}/merge", data={"csrf_token": csrf, "confirmed": "true", "other_id": other})

    assert "No host is called web; give the whole name" in nobody.text
    assert "Nothing has been done yet" in asked
    assert "Their machine-ids differ" in asked
    assert merged.location.startswith("/jobs/")
    assert re.findall(r"/jobs/[\w-]+\">(Merge)<", admin.get("/jobs").text) == ["Merge"]


def test_the_token_of_a_host_is_ended(
    admin: FlaskClient, fleet: Any, form_token: FormToken, database: Database
) -> None:
    """The host stays."""
    number = fleet.hosts["web-01.example.com"]
    path = f"/hosts/{number}"

    page = admin.post(
        f"{path}/revoke-token", data={"csrf_token": form_token(admin, path)}, follow_redirects=True
    ).text

    assert "Its token has ended" in page
    assert ">web-01.example.com</h1>" in page
    with database.transaction() as connection:
        assert connection.scalars(select(host_token_revocation.c.host_id)).all() == [number]


def test_who_only_looks_is_not_offered_it(ask: Callable[[str], FlaskClient], fleet: Any) -> None:
    """A viewer reads the page and no more."""
    page = ask("viewer").get(f"/hosts/{fleet.hosts['web-01.example.com']}").text

    assert "/rename" not in page
    assert "/remove" not in page
