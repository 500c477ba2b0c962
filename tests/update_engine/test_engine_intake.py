"""What the engine keeps of reports that say little, or that ingest refused."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from patchbay_shared.bus import Delivery
from patchbay_shared.db import Database
from patchbay_shared.messages import ReportReceived, ReportRefused
from patchbay_shared.receipts import new_receipt_id
from patchbay_shared.report import ReportPackage, ReportRepository

from tests.update_engine.test_engine_reports import UPDATES, Bench, delivery_of, host_report


@pytest.fixture
def bench(database_of: Callable[[str | None], Database]) -> Bench:
    return Bench(database_of)


def test_a_refusal_becomes_a_receipt_with_its_reason(bench: Bench) -> None:
    """What a host lost at ingest shows beside its other reports."""
    refused = ReportRefused(new_receipt_id(), bench.host_id, time.time(), 17, "Line 1 of packages is rubbish.")

    bench.engine.report_refused(Delivery("report.refused", {}, msgspec.json.encode(refused)))

    assert bench.rows("SELECT id, host_id, state, reason, bytes FROM receipt") == [
        (refused.receipt_id, bench.host_id, "refused", "Line 1 of packages is rubbish.", 17)
    ]


def test_a_note_of_ingest_is_kept_in_the_receipt(bench: Bench) -> None:
    """What could not be read of an accepted report."""
    delivery, receipt_id = delivery_of(host_report("bash-1.0-1"), bench.host_id, 1000)
    header = msgspec.json.decode(delivery.headers["report"], type=ReportReceived)
    noted = msgspec.json.encode(msgspec.structs.replace(header, note="Line 3 of repos could not be read."))

    bench.engine.report_received(Delivery("report.received", {"report": noted.decode()}, delivery.body))

    assert bench.rows("SELECT state, reason FROM receipt WHERE id = :id", id=receipt_id) == [
        ("evaluated", "Line 3 of repos could not be read.")
    ]


def test_gentoo_packages_are_stored_without_verdicts(bench: Bench) -> None:
    """The protocols carry them; nothing is concluded from them yet, and nothing breaks."""
    packages = [ReportPackage(name="sys-devel/gcc", version="14.2.1_p2024-r1", arch="amd64", type="gentoo")]
    repository = ReportRepository(id="gentoo", type="gentoo", urls=["rsync://r.example.org/gentoo-portage"])

    bench.report(host_report(package_manager="portage", packages=packages, repos=[repository]))

    assert bench.rows("SELECT name, evr, type FROM package") == [("sys-devel/gcc", "14.2.1_p2024-r1", "gentoo")]
    assert bench.rows("SELECT package_count, evaluation_id IS NOT NULL FROM host") == [(1, True)]
    assert bench.rows("SELECT count(*) FROM verdict") == [(0,)]


@pytest.mark.parametrize("section", ["packages", "repos"])
def test_one_section_may_be_unchanged_while_the_other_changes(bench: Bench, section: str) -> None:
    """A hook's report has packages and no repositories; some clients fail to list their packages."""
    bench.offer(UPDATES, "bash-1.1-1")
    bench.report(host_report("bash-1.0-1"))
    changed: dict[str, Any] = {"packages": host_report("zsh-1-1").packages, "repos": [], section: None}

    bench.report(host_report(**changed))

    rows = bench.rows(
        "SELECT (SELECT string_agg(name, '') FROM package p WHERE p.id = ANY(s.package_ids)), "
        "cardinality(r.repository_ids) FROM host h JOIN package_set s ON s.id = h.package_set_id "
        "JOIN repository_set r ON r.id = h.repository_set_id"
    )
    assert rows == [("zsh", 1) if section == "repos" else ("bash", 0)]


def test_a_first_report_without_repositories_is_stored(bench: Bench) -> None:
    """Some clients cannot name them; the inventory is worth having."""
    bench.report(host_report("bash-1.0-1", repos=None), host_id=uuid.uuid4())

    assert bench.rows("SELECT package_count FROM host") == [(1,)]
