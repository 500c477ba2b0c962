"""What other versions have queued is handled, not only decoded."""

from collections.abc import Callable
from pathlib import Path

import pytest
from patchbay_shared import messages
from patchbay_shared.db import Database
from patchbay_update_engine.requests import Requests
from recorded_messages import RECORDINGS, read
from sqlalchemy import text

from tests.update_engine.test_engine_reports import Bench

RECORDED = sorted(RECORDINGS.glob("*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_engine_handles_what_any_version_has_queued(
    path: Path, database_of: Callable[[str | None], Database]
) -> None:
    """From each routing key of its queues to the row that follows."""
    bench = Bench(database_of)
    requests = Requests(bench.engine, database_of("update-engine"), bench.bus)
    recorded = read(path)
    handled_by = {
        messages.REPORT_RECEIVED: bench.engine.report_received,
        messages.REPORT_REFUSED: bench.engine.report_refused,
        messages.MESSAGE_DEAD: bench.engine.message_died,
        messages.REPOSITORY_CHANGED: bench.engine.recalculate,
        messages.ADVISORIES_CHANGED: bench.engine.recalculate,
        messages.JUDGING_REPOSITORIES_CHANGED: bench.engine.recalculate,
    } | dict.fromkeys(messages.OPERATOR.routing_keys, requests.handle)
    consumed = (messages.FRESH_REPORTS, messages.REFUSALS, messages.DEAD_LETTERS, messages.RECALCULATION)
    assert set(handled_by) == {key for queue in (*consumed, messages.OPERATOR) for key in queue.routing_keys}

    bench.engine.report_received(recorded[messages.REPORT_RECEIVED])
    with bench.owner.transaction() as connection:
        state, packages = connection.execute(
            text(
                "SELECT receipt.state, cardinality(package_set.package_ids) FROM receipt"
                " JOIN host ON host.id = receipt.host_id JOIN package_set ON package_set.id = host.package_set_id"
            )
        ).one()
    for routing_key, handle in handled_by.items():
        handle(recorded[routing_key])

    assert (state, packages) == ("evaluated", 1)
    with bench.owner.transaction() as connection:
        assert connection.scalar(text("SELECT count(*) FROM dead_letter")) == 1
