"""What somebody prefers to see, kept with the account."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

PATH = "/api/v1/me/preferences"


def test_preferences_are_kept_by_name_and_given_up_with_null(ask: Callable[[str], FlaskClient]) -> None:
    """What is not named stays; others have their own."""
    admin, viewer = ask("admin"), ask("viewer")
    admin.patch(PATH, json={"values": {"host_columns": ["os", "tags"], "cards": ["trend"]}})

    kept = admin.patch(PATH, json={"values": {"cards": None}}).json

    assert kept == admin.get(PATH).json == {"values": {"host_columns": ["os", "tags"]}}
    assert viewer.get(PATH).json == {"values": {}}


@pytest.mark.parametrize(
    "values",
    [{}, {"Not a name": []}, {"a": "text"}, {"a": ["\0"]}, {"a": [None]}, {"a": ["x" * 101]}, {"a": ["x"] * 101}],
)
def test_what_is_no_preference_is_refused(ask: Callable[[str], FlaskClient], values: Any) -> None:
    """Names and lists of short texts, nothing else."""
    assert ask("viewer").patch(PATH, json={"values": values}).status_code == 422


def test_an_account_keeps_few_of_them(ask: Callable[[str], FlaskClient]) -> None:
    """Nobody stores files so."""
    viewer = ask("viewer")
    assert viewer.patch(PATH, json={"values": {f"a{n}": [] for n in range(20)}}).status_code == 200

    assert viewer.patch(PATH, json={"values": {"b": []}}).status_code == 422
    assert viewer.patch(PATH, json={"values": {"b": [], "a0": None}}).status_code == 200
