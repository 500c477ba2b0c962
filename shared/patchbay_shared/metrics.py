"""What Patchbay measures: every metric of every service, in one registry; docs/metrics.md is printed from here.

Conventions: base units (seconds, bytes), `_total` for counters, labels whose values the code lists. Nothing is
labelled by host, repository, package or address: a series more per host would be a leak, not a metric.

Counters and histograms are filled in where the work is done. Gauges of the fleet and of the queues are read when
they are asked for (`Sampled`), since their truth is in the database and in the broker.

Where a service runs as several processes (gunicorn), `PROMETHEUS_MULTIPROC_DIR` must be set before this module is
imported; `exposition` then adds the processes up.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from patchbay_shared.errors import Unavailable
from patchbay_shared.log import get_logger

log = get_logger("metrics")

disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client has no types here
REGISTRY = CollectorRegistry(auto_describe=True)
CONTENT_TYPE = CONTENT_TYPE_LATEST
SAMPLE_SECONDS = 10.0
"""Gauges are read at most this often, however many ask."""

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SLOW = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0)
_LAG = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0)
_SIZES = tuple(float(4**power) for power in range(5, 14))

HTTP_SECONDS = Histogram(
    "patchbay_http_request_seconds",
    "Time to answer an HTTP request, by service, method, route and status.",
    ("service", "method", "route", "status"),
    registry=REGISTRY,
    buckets=_FAST,
)
REPORTS_ACCEPTED = Counter(
    "patchbay_reports_accepted_total", "Reports that were answered with 202 or 204.", registry=REGISTRY
)
REPORTS_REFUSED = Counter(
    "patchbay_reports_refused_total",
    "Reports that ingest refused, by reason: invalid, unauthenticated, forbidden, too_large, unsupported, "
    "unavailable, error, other.",
    ("reason",),
    registry=REGISTRY,
)
REPORT_BYTES = Histogram(
    "patchbay_report_bytes", "Size of an accepted report, as sent.", registry=REGISTRY, buckets=_SIZES
)
PUBLISH_SECONDS = Histogram(
    "patchbay_publish_seconds",
    "Time until the broker confirmed a message, by routing key.",
    ("routing_key",),
    registry=REGISTRY,
    buckets=_FAST,
)
PUBLISH_FAILURES = Counter(
    "patchbay_publish_failures_total",
    "Messages that the broker did not confirm, by routing key.",
    ("routing_key",),
    registry=REGISTRY,
)
MESSAGE_SECONDS = Histogram(
    "patchbay_message_seconds",
    "Time to handle a message, by queue and result: handled, waiting, failed, buried.",
    ("queue", "result"),
    registry=REGISTRY,
    buckets=_FAST,
)
REPORTS_HANDLED = Counter(
    "patchbay_reports_handled_total",
    "Reports that the engine has handled, by result: unchanged, evaluated, superseded, refused (of a removed host).",
    ("result",),
    registry=REGISTRY,
)
REPORT_STAGE_SECONDS = Histogram(
    "patchbay_report_stage_seconds",
    "Time that a stage of handling a report took: queue (from ingest to the engine), decode, store, evaluate.",
    ("stage",),
    registry=REGISTRY,
    buckets=_FAST,
)
EVALUATION_LAG_SECONDS = Histogram(
    "patchbay_evaluation_lag_seconds",
    "Time from a report's arrival at ingest until its verdicts were committed.",
    registry=REGISTRY,
    buckets=_LAG,
)
EVALUATIONS = Counter(
    "patchbay_evaluations_total",
    "Pairs of sets that were needed, by result: computed, reused.",
    ("result",),
    registry=REGISTRY,
)
SYNCS = Counter(
    "patchbay_repository_syncs_total",
    "Syncs of a repository, by result: changed, unchanged, failed, untrusted.",
    ("result",),
    registry=REGISTRY,
)
SYNC_SECONDS = Histogram(
    "patchbay_repository_sync_seconds",
    "Time that the sync of a repository took, by result.",
    ("result",),
    registry=REGISTRY,
    buckets=_SLOW,
)
SYNC_BYTES = Counter("patchbay_repository_sync_bytes_total", "Bytes fetched from mirrors.", registry=REGISTRY)
SIGN_INS = Counter(
    "patchbay_sign_ins_total",
    "Attempts to sign in, by result: succeeded, failed, limited (too many failures from the address).",
    ("result",),
    registry=REGISTRY,
)
JOB_SECONDS = Histogram(
    "patchbay_job_seconds", "Time that a timed job took, by job.", ("timed_job",), registry=REGISTRY, buckets=_SLOW
)
JOB_FAILURES = Counter(
    "patchbay_job_failures_total", "Timed jobs that ended with an error, by job.", ("timed_job",), registry=REGISTRY
)


_REFUSALS = {
    400: "invalid",
    401: "unauthenticated",
    403: "forbidden",
    413: "too_large",
    415: "unsupported",
    503: "unavailable",
}


@dataclass(frozen=True)
class Gauge:
    """A gauge that is read when it is asked for: name, meaning, and its one label, if it has one."""

    name: str
    doc: str
    label: str = ""


MOST_VALUES = 50
"""No label of a gauge whose values people or hosts choose has more, beside "none" and "other"."""
_LARGEST = f"the {MOST_VALUES} with the most hosts, the rest together as other, hosts without one as none."

BUILD = Gauge("patchbay_build_info", "1, with the version that is running.", "version")
SOURCE_UP = Gauge("patchbay_source_up", "1 if the gauges of this source could be read, else 0.", "source")
HOSTS = Gauge("patchbay_hosts", "Hosts that have ever reported and are kept.")
HOSTS_IN_CONDITION = Gauge(
    "patchbay_hosts_in_condition",
    "Hosts in a condition: up_to_date, needing_updates, uncertain, security, reboot_required, silent, "
    "awaiting_evaluation, incomplete. The first three add up to all hosts.",
    "condition",
)
OUTSTANDING_UPDATES = Gauge(
    "patchbay_outstanding_updates", "Outstanding updates over all hosts, by kind: all, security.", "kind"
)
GROUP_HOSTS = Gauge("patchbay_group_hosts", f"Hosts of a group; {_LARGEST}", "group")
GROUP_UPDATES = Gauge(
    "patchbay_group_outstanding_updates", f"Outstanding updates over the hosts of a group; {_LARGEST}", "group"
)
GROUP_SECURITY_UPDATES = Gauge(
    "patchbay_group_outstanding_security_updates",
    f"Outstanding security updates over the hosts of a group; {_LARGEST}",
    "group",
)
DISTRIBUTION_HOSTS = Gauge(
    "patchbay_distribution_hosts", f"Hosts of a distribution, as os-release names it; {_LARGEST}", "distribution"
)
DISTRIBUTION_UPDATES = Gauge(
    "patchbay_distribution_outstanding_updates",
    f"Outstanding updates over the hosts of a distribution; {_LARGEST}",
    "distribution",
)
DISTRIBUTION_SECURITY_UPDATES = Gauge(
    "patchbay_distribution_outstanding_security_updates",
    f"Outstanding security updates over the hosts of a distribution; {_LARGEST}",
    "distribution",
)
SECURITY_UPDATES = Gauge(
    "patchbay_outstanding_security_updates",
    "Outstanding security updates over all hosts by the worst severity of their advisories: critical, high, medium, "
    "low, unknown; as of the fleet's snapshot of the hour.",
    "severity",
)
REPOSITORIES = Gauge(
    "patchbay_repositories", "Repositories by state: ok, pending, failing, reported, untrusted.", "state"
)
REPOSITORIES_OVERDUE = Gauge(
    "patchbay_repositories_overdue", "Enabled repositories that should have been looked at long ago."
)
MIRRORS = Gauge(
    "patchbay_mirrors",
    "Mirrors of enabled repositories by state: ok, pending, lagging (behind a sister), failing, untrusted.",
    "state",
)
FEEDS = Gauge(
    "patchbay_feeds",
    "Advisory feeds that are crawled by state: ok, pending, shrunk (held back, for it lost too much), failing.",
    "state",
)
DEAD_LETTERS = Gauge("patchbay_dead_letters", "Messages kept because they could not be handled.")
NOTIFICATIONS = Gauge("patchbay_notifications", "Notifications that wait to be delivered or were given up.", "state")
NOTIFICATIONS_OLDEST = Gauge(
    "patchbay_notifications_oldest_seconds", "For how long the oldest notification waits; 0: none does."
)
QUEUE_MESSAGES = Gauge("patchbay_queue_messages", "Messages that are ready in a queue.", "queue")
QUEUE_CONSUMERS = Gauge("patchbay_queue_consumers", "Consumers of a queue.", "queue")

GAUGES = (
    BUILD,
    SOURCE_UP,
    HOSTS,
    HOSTS_IN_CONDITION,
    OUTSTANDING_UPDATES,
    GROUP_HOSTS,
    GROUP_UPDATES,
    GROUP_SECURITY_UPDATES,
    DISTRIBUTION_HOSTS,
    DISTRIBUTION_UPDATES,
    DISTRIBUTION_SECURITY_UPDATES,
    SECURITY_UPDATES,
    REPOSITORIES,
    REPOSITORIES_OVERDUE,
    MIRRORS,
    FEEDS,
    DEAD_LETTERS,
    NOTIFICATIONS,
    NOTIFICATIONS_OLDEST,
    QUEUE_MESSAGES,
    QUEUE_CONSUMERS,
)

Readings = Mapping[Gauge, Mapping[str, float]]
"""Values of gauges by label value; "" for a gauge without a label."""


class Source(Protocol):
    """Reads gauges. Raises Unavailable."""

    def __call__(self) -> Readings: ...


class Sampled(Collector):
    """Gauges of several sources, each read at most every SAMPLE_SECONDS.

    A source that cannot be read has no gauges for that time but `patchbay_source_up` 0.
    """

    def __init__(
        self, sources: Mapping[str, Source], *, version: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sources = sources
        self._version = version
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._metrics: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if self._clock() - self._read_at >= SAMPLE_SECONDS:
                self._metrics = self._read()
                self._read_at = self._clock()
            yield from self._metrics

    def describe(self) -> Iterable[Metric]:
        return []

    def _read(self) -> list[Metric]:
        found: dict[Gauge, Mapping[str, float]] = {BUILD: {self._version: 1.0}}
        up: dict[str, float] = {}
        for name, source in self._sources.items():
            try:
                found |= source()
                up[name] = 1.0
            except Unavailable as exc:
                log.warning("gauges_not_read", source=name, error=str(exc))
                up[name] = 0.0
        if up:
            found[SOURCE_UP] = up
        return [_family(gauge, values) for gauge, values in found.items()]


def _family(gauge: Gauge, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(gauge.name, gauge.doc, labels=[gauge.label] if gauge.label else None)
    for label, value in values.items():
        family.add_metric([label] if gauge.label else [], value)
    return family


def count_refusal(status: int) -> None:
    """Count a refused report by what its HTTP status means."""
    REPORTS_REFUSED.labels(_REFUSALS.get(status, "error" if status >= 500 else "other")).inc()


def count_sync(result: str, state: str, transferred_bytes: int, seconds: float) -> None:
    """Count a sync of a repository that has ended."""
    shown = state if result == "failed" and state == "untrusted" else result
    SYNCS.labels(shown).inc()
    SYNC_SECONDS.labels(shown).observe(seconds)
    SYNC_BYTES.inc(transferred_bytes)


class StageClock:
    """Times the stages of one report, each from the end of the one before, the first from `since` (Unix seconds)."""

    def __init__(self, *, since: float) -> None:
        self._at = time.perf_counter() - max(0.0, time.time() - since)

    def ended(self, stage: str) -> None:
        now = time.perf_counter()
        REPORT_STAGE_SECONDS.labels(stage).observe(now - self._at)
        self._at = now


class MessageClock:
    """Times one attempt to handle a message."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._at = time.perf_counter()

    def ended(self, result: str) -> None:
        MESSAGE_SECONDS.labels(self._queue, result).observe(time.perf_counter() - self._at)


@contextmanager
def timed_job(name: str) -> Iterator[None]:
    """Time a job, and count it as failed if it raises."""
    with JOB_SECONDS.labels(name).time(), JOB_FAILURES.labels(name).count_exceptions():
        yield


def exposition(gauges: Collector | None = None) -> bytes:
    """Everything, in Prometheus' text format; of all processes of the service where there are several."""
    registry = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # prometheus_client has no types here
    else:
        registry.register(REGISTRY)
        ProcessCollector(registry=registry)
    if gauges is not None:
        registry.register(gauges)
    return generate_latest(registry)


def markdown() -> str:
    """The table of docs/metrics.md."""
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for name, kind, labels, doc in sorted(catalogue()):
        shown = ", ".join(f"`{label}`" for label in labels)
        lines.append(f"| `{name}` | {kind} | {shown} | {doc} |")
    return "\n".join(lines) + "\n"


def catalogue() -> list[tuple[str, str, tuple[str, ...], str]]:
    """(name as it is exposed, type, labels, meaning) of every metric."""
    measured = (
        HTTP_SECONDS, REPORTS_ACCEPTED, REPORTS_REFUSED, REPORT_BYTES, PUBLISH_SECONDS, PUBLISH_FAILURES,
        MESSAGE_SECONDS, REPORTS_HANDLED, REPORT_STAGE_SECONDS, EVALUATION_LAG_SECONDS, EVALUATIONS, SYNCS,
        SYNC_SECONDS, SYNC_BYTES, SIGN_INS, JOB_SECONDS, JOB_FAILURES,
    )  # fmt: skip
    found = []
    for each in measured:
        [metric] = each.describe()
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        found.append((name, metric.type, tuple(each._labelnames), metric.documentation))
    return found + [(each.name, "gauge", (each.label,) if each.label else (), each.doc) for each in GAUGES]
