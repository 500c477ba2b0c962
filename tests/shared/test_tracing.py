"""Which id a stretch of work has in the logs."""

import re
from typing import Any

import pytest
import structlog
from patchbay_shared import tracing
from patchbay_shared.errors import StartupError
from patchbay_shared.settings import settings_from

GIVEN = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADER = {"traceparent": f"00-{GIVEN}-00f067aa0ba902b7-01"}


def in_the_logs() -> str:
    return str(structlog.contextvars.get_contextvars().get("trace_id", ""))


def test_the_id_that_came_is_the_id_that_goes_on() -> None:
    """From one service's headers to the next one's."""
    with tracing.span("work", carrier=HEADER):
        assert in_the_logs() == tracing.trace_id() == GIVEN
        with tracing.span("part of it"):
            assert in_the_logs() == GIVEN
            assert tracing.headers()["traceparent"].split("-")[1] == GIVEN
    assert (in_the_logs(), tracing.headers()) == ("", {})


@pytest.mark.parametrize(
    "sent", [{}, {"traceparent": "nonsense"}, {"traceparent": 7}, {"traceparent": "00-" + "0" * 32}]
)
def test_who_sends_no_id_gets_one(sent: dict[str, Any]) -> None:
    """What is no id is not taken for one: logs hold nothing that a client made up but hexadecimal digits."""
    with tracing.span("work", carrier=sent):
        first = in_the_logs()
    with tracing.span("work", carrier=sent):
        second = in_the_logs()

    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first != second


def test_the_states_of_other_systems_are_not_passed_on() -> None:
    """`tracestate` is of any size, and nothing here reads it."""
    with tracing.span("work", carrier=HEADER | {"tracestate": "vendor=" + "x" * 200}):
        assert set(tracing.headers()) == {"traceparent"}


def test_an_error_ends_the_stretch() -> None:
    """The next line of the log is not of that work."""
    with pytest.raises(ZeroDivisionError), tracing.span("work", carrier=HEADER):
        raise ZeroDivisionError

    assert in_the_logs() == ""


def test_a_share_of_traces_is_between_none_and_all() -> None:
    """A percentage is a mistake that would send everything."""
    with pytest.raises(StartupError, match=r"PATCHBAY_TRACE_RATIO is 10\.0"):
        settings_from({"PATCHBAY_TRACE_RATIO": "10"})
