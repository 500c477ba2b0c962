"""Saved views: a list of hosts is saved, opened, shared, changed and removed."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

FormToken = Callable[[FlaskClient, str], str]


@pytest.fixture
def save(form_token: FormToken) -> Callable[..., str]:
    """Save a view in a browser; its number."""

    def saved(browser: FlaskClient, **given: str) -> str:
        answer = browser.post("/views", data={"csrf_token": form_token(browser, "/views"), **given})
        assert answer.status_code == 303, answer.text
        return re.findall(r"/views/(\d+)", answer.location)[0]

    return saved


def _hosts(page: str) -> list[str]:
    return re.findall(r">([a-z]+-\w+)\.example\.com</a>", page)


def test_a_list_is_saved_and_opened_as_it_was(admin: FlaskClient, fleet: Any, save: Callable[..., str]) -> None:
    """Query, order and columns come back, whatever the browser's own columns are."""
    page = admin.get("/hosts?show=security&sort=hostname&columns=kernel.group").text
    carried = dict(re.findall(r'name="(query|sort|columns)" value="([^"]*)"', page.split("Save this list as")[0]))
    number = save(admin, name="to patch", **{name: text.replace("&gt;", ">") for name, text in carried.items()})

    opened = admin.get(f"/views/{number}", follow_redirects=True)

    assert carried == {"query": "security&gt;0", "sort": "hostname", "columns": "group.kernel"}
    assert ">to patch</h1>" in opened.text
    assert _hosts(opened.text) == ["build-arm", "web-01", "web-02"]
    assert re.findall(r"<th class=\"\">(\w+)</th>", opened.text) == ["Group", "Kernel"]


def test_a_shared_view_is_seen_by_others_who_cannot_change_it(
    ask: Callable[[str], FlaskClient], admin: FlaskClient, fleet: Any, save: Callable[..., str], form_token: FormToken
) -> None:
    """Its owner takes it back by unsharing it."""
    viewer = ask("viewer")
    number = save(admin, name="servers", query="name:web", shared="true")
    private = save(admin, name="mine", query="name:db")

    menu = viewer.get("/views", headers={"HX-Request": "true"}).text
    assert "servers" in menu
    assert "mine" not in menu
    assert viewer.get(f"/views/{private}").status_code == 404
    data = {"csrf_token": form_token(viewer, "/views"), "name": "taken over"}
    assert viewer.post(f"/views/{number}", data=data).status_code == 403

    data = {"csrf_token": form_token(admin, "/views"), "name": "servers of mine"}
    assert "servers of mine" in admin.post(f"/views/{number}", data=data, follow_redirects=True).text
    assert "servers" not in viewer.get("/views", headers={"HX-Request": "true"}).text


def test_an_open_view_takes_what_the_list_shows_now(
    admin: FlaskClient, fleet: Any, save: Callable[..., str], form_token: FormToken
) -> None:
    """And a removed one leaves its list as it is."""
    number = save(admin, name="servers", query="name:web")
    data = {"csrf_token": form_token(admin, "/views"), "query": "name:db", "sort": "os", "columns": "os"}

    opened = admin.post(f"/views/{number}/content", data=data, follow_redirects=True).text
    assert _hosts(opened) == ["db-01"]

    admin.post(f"/views/{number}/remove", data=data)
    assert "servers" not in admin.get("/views").text
    assert ">Hosts</h1>" in admin.get(f"/hosts?query=name:db&view={number}").text


def test_a_name_that_is_taken_is_said_and_the_form_kept(
    admin: FlaskClient, save: Callable[..., str], form_token: FormToken
) -> None:
    """Nothing has to be typed twice."""
    save(admin, name="servers", query="name:web")

    data = {"csrf_token": form_token(admin, "/views"), "name": "servers", "query": "name:db", "columns": "os"}
    answer = admin.post("/views", data=data)

    assert answer.status_code == 422
    assert "You have a view" in answer.text
    assert 'value="name:db"' in answer.text
    assert 'name="columns" value="os"' in answer.text
