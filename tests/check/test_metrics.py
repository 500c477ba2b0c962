"""What is measured: its document, Prometheus' own lint, and the gauges that are read when asked for."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from patchbay_shared import metrics
from patchbay_shared.errors import Unavailable
from patchbay_shared.metrics import Readings, Sampled

CHECKOUT = Path(__file__).parents[2]


def fleet() -> Readings:
    return {each: {"a value" if each.label else "": 3.0} for each in metrics.GAUGES[2:]} | {
        metrics.HOSTS: {"": 3.0},
        metrics.REPOSITORIES: {"ok": 2.0, "failing": 1.0},
    }


def away() -> Readings:
    raise Unavailable("The database did not answer.")


def test_every_metric_has_its_line_of_documentation() -> None:
    """docs/metrics.md holds the table that the registry gives, and no other metric."""
    document = (CHECKOUT / "docs" / "metrics.md").read_text()

    assert metrics.markdown() in document
    assert document.count("| `patchbay_") == len(metrics.catalogue())


def test_no_label_is_one_that_prometheus_gives_itself() -> None:
    """It would come out as `exported_…`, and a rule that sums by it would sum everything."""
    labels = {label for _, _, given, _ in metrics.catalogue() for label in given}

    assert labels.isdisjoint({"job", "instance", "namespace", "pod", "container", "endpoint"})


def test_the_catalogue_holds_every_metric_of_the_registry() -> None:
    """Nothing is measured that is not documented."""
    registered = {metric.name for metric in metrics.REGISTRY.collect()}
    documented = {name.removesuffix("_total") for name, kind, _, _ in metrics.catalogue() if kind != "gauge"}

    assert registered == documented


def test_the_exposition_passes_promtools_lint() -> None:
    """`promtool check metrics` finds nothing to say, with a value in every metric."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; it comes with Debian's package prometheus")
    for stage in ("queue", "decode", "store", "evaluate"):
        metrics.StageClock(since=time.time()).ended(stage)
    metrics.count_refusal(413)
    metrics.count_sync("changed", "ok", 10, 1.5)
    metrics.MessageClock("update-engine.reports").ended("handled")
    metrics.HTTP_SECONDS.labels("api", "GET", "/api/v1/hosts", "200").observe(0.1)

    told = subprocess.run(
        [promtool, "check", "metrics"],
        input=metrics.exposition(Sampled({"database": fleet}, version="1.0")),
        capture_output=True,
    )

    assert (told.returncode, told.stdout, told.stderr) == (0, b"", b"")


def test_a_source_that_does_not_answer_is_a_zero_and_not_an_error() -> None:
    """The scrape goes on: what could be read is shown, and which source could not."""
    shown = metrics.exposition(Sampled({"database": away, "broker": fleet}, version="1.0")).decode()

    assert 'patchbay_source_up{source="database"} 0.0' in shown
    assert 'patchbay_source_up{source="broker"} 1.0' in shown
    assert 'patchbay_repositories{state="failing"} 1.0' in shown


def test_gauges_are_read_at_most_every_ten_seconds() -> None:
    """Several Prometheus servers cost the database no more than one."""
    read_at: list[float] = []
    now = [100.0]

    def count() -> Readings:
        read_at.append(now[0])
        return fleet()

    gauges = Sampled({"database": count}, version="1.0", clock=lambda: now[0])
    for now[0] in (100.0, 105.0, 109.9, 110.0, 111.0):
        list(gauges.collect())

    assert read_at == [100.0, 110.0]


@pytest.mark.parametrize(
    ("status", "reason"), [(400, "invalid"), (401, "unauthenticated"), (500, "error"), (404, "other")]
)
def test_a_refused_report_is_counted_by_its_reason(status: int, reason: str) -> None:
    """The reasons are a fixed list, whatever is sent."""
    counter = metrics.REPORTS_REFUSED.labels(reason)
    before = counter._value.get()

    metrics.count_refusal(status)

    assert counter._value.get() == before + 1
