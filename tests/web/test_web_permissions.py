"""Who may see less meets no closed door that a page itself has led to."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.tables import user_account, user_role
from sqlalchemy import insert, update

Ask = Callable[[str], FlaskClient]

ROLES: dict[str, list[str]] = {
    "hosts only": ["hosts.read"],
    "auditor": ["audit.read"],
    "publisher": ["advisories.read"],
    "sources": ["repositories.read", "hosts.read"],
    "nothing": [],
}


@pytest.fixture
def person(database: Database, fleet: Any, published: Database, ask: Ask, password_hash: str) -> Ask:
    """Sign in as somebody with one of `ROLES`, with a built-in role, or as a viewer of tagged hosts ("scoped")."""

    def sign_in(role: str) -> FlaskClient:
        with database.transaction() as connection:
            if role in ROLES:
                connection.execute(insert(user_role).values(name=role, description="", permissions=ROLES[role]))
            name = "viewer" if role == "scoped" else role
            connection.execute(insert(user_account).values(username="ada", password_hash=password_hash, role=name))
            if role == "scoped":
                connection.execute(
                    update(user_account).where(user_account.c.username == "ada").values(scope=["tag:production"])
                )
        return ask("ada")

    return sign_in


@pytest.mark.parametrize("role", ["scoped", "viewer", "operator", "admin", *ROLES])
def test_every_entry_of_the_menu_opens(person: Ask, role: str) -> None:
    """The first page as well, wherever it leads; there is always one."""
    browser = person(role)

    home = browser.get("/", follow_redirects=True)

    assert home.status_code == 200
    menu = re.search(r"<nav.*?</nav>", home.text, re.DOTALL)
    assert menu
    targets = set(re.findall(r'<li><a href="([^"]+)"', menu[0]))
    assert targets
    assert {target: browser.get(target).status_code for target in targets} == dict.fromkeys(targets, 200)


@pytest.mark.parametrize("role", ["scoped", *ROLES])
def test_the_search_asks_for_what_one_may_see(person: Ask, role: str) -> None:
    """Not for more: that would be refused, and the search with it."""
    browser = person(role)

    assert browser.get("/search?q=2026-1").status_code == 200
    found = browser.get("/search?q=DSA-57").text
    assert ("/advisories/debian-dsa/DSA-5764-1" in found) == (role in {"scoped", "publisher"})


def test_the_cards_are_those_that_one_may_see(person: Ask) -> None:
    """Hidden ones are not offered either."""
    page = person("hosts only").get("/?arrange=1").text

    assert "By severity" in page
    assert "Over time" not in page
    assert "The pipeline itself" not in page
    assert "Needs attention" not in page


def test_whoever_looks_is_known_again_by_the_token_alone(web: Flask, admin: FlaskClient) -> None:
    """As after the secret key has changed: the menu has all that an administrator may see."""
    kept = admin.get_cookie("patchbay")
    assert kept
    browser = web.test_client()
    browser.set_cookie("patchbay", kept.value)

    page = browser.get("/").text

    assert "/users" in page
    assert ">admin</a>" in page
