"""How the pages ask the API."""

import threading
from contextvars import ContextVar

import pytest
from patchbay_shared.errors import Unavailable
from patchbay_web.client import Api

BROWSER: ContextVar[str] = ContextVar("browser")


def test_questions_are_under_way_at_once_and_answered_in_their_order() -> None:
    """Each waits for the others: one after the other they would never meet."""
    meeting = threading.Barrier(3, timeout=10)

    def asking(answer: str) -> str:
        meeting.wait()
        return answer

    found = Api("http://127.0.0.1:1").together(lambda: asking("a"), lambda: asking("b"), lambda: asking("c"))

    assert found == ["a", "b", "c"]


def test_every_question_is_of_the_same_browser() -> None:
    """The context of the request goes with each."""
    BROWSER.set("firefox")

    assert Api("http://127.0.0.1:1").together(BROWSER.get, BROWSER.get) == ["firefox", "firefox"]


def test_a_question_that_fails_fails_the_page() -> None:
    """Nothing is shown as if it had been answered."""

    def failing() -> str:
        raise Unavailable("The API did not answer.")

    with pytest.raises(Unavailable):
        Api("http://127.0.0.1:1").together(failing, lambda: "b")
