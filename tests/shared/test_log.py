"""What a process writes to standard error."""

import json
import subprocess
import sys

PROGRAM = """
import logging
from patchbay_shared import log, tracing
log.configure(level="info", style="json")
with tracing.span("work", carrier={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}):
    log.get_logger("test").info("thing_happened", count=3)
    logging.getLogger("some.library").warning("took %d s", 7)
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("some.library").exception("failed")
logging.getLogger("some.library").info("of no interest")
"""


def test_every_line_is_json_whoever_wrote_it() -> None:
    """A library's warning, too, with the id of the work in which it came up."""
    written = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stderr
    ours, warning, failure = (json.loads(line) for line in written.splitlines())

    assert (ours["event"], ours["room"], ours["level"], ours["count"]) == ("thing_happened", "test", "info", 3)
    assert (warning["event"], warning["logger"], warning["level"]) == ("took 7 s", "some.library", "warning")
    assert "ZeroDivisionError" in failure["exception"]
    assert {each["trace_id"] for each in (ours, warning, failure)} == {"4bf92f3577b34da6a3ce929d0e0e4736"}
    assert all(each["timestamp"].endswith("Z") for each in (ours, warning, failure))
