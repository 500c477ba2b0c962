"""What the system's resolver answers, as names or as no answer."""

import socket
from typing import Any

import pytest
from patchbay_shared.errors import Unavailable
from patchbay_shared.reverse_dns import names_of


def answer_with(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    def gethostbyaddr(_address: str) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(socket, "gethostbyaddr", gethostbyaddr)


def test_names_are_in_one_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower case, without the root's dot, and without the record's own name, which some resolvers add."""
    answer_with(monkeypatch, ("Web1.Example.org.", ["www.example.org", "1.2.0.192.in-addr.arpa"], ["192.0.2.1"]))

    assert names_of("192.0.2.1") == ["web1.example.org", "www.example.org"]


def test_an_address_without_a_name_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is an answer."""
    answer_with(monkeypatch, socket.herror(1, "Unknown host"))

    assert names_of("192.0.2.1") == []


@pytest.mark.parametrize("error", [socket.herror(2, "Host name lookup failure"), socket.gaierror(-3, "away")])
def test_a_resolver_that_is_away_is_no_answer(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """It must not look as if the address had no name."""
    answer_with(monkeypatch, error)

    with pytest.raises(Unavailable, match=r"192\.0\.2\.1"):
        names_of("192.0.2.1")
