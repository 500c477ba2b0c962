"""The fleet as gauges, for Prometheus: the numbers of the dashboard, from the same SQL."""

from collections.abc import Mapping, Sequence

from patchbay_shared import metrics
from patchbay_shared.metrics import Readings, Source
from patchbay_shared.queues import queue_gauges
from patchbay_shared.service import Context
from sqlalchemy import RowMapping

from patchbay_api.notifications import outbox
from patchbay_api.store import fleet, trends

CONDITIONS = (
    "up_to_date",
    "needing_updates",
    "uncertain",
    "security",
    "reboot_required",
    "silent",
    "awaiting_evaluation",
    "incomplete",
)
REPOSITORY_STATES = ("ok", "pending", "failing", "reported", "untrusted")
MIRROR_STATES = (*REPOSITORY_STATES, "lagging")
FEED_STATES = ("ok", "pending", "shrunk", "failing")


def gauges(context: Context) -> Mapping[str, Source]:
    """What the API's processes give beside their own counters. Every replica gives the same: take the maximum."""

    def fleet_gauges() -> Readings:
        with context.database.transaction() as connection:
            systems = fleet.totals_by_system(connection)
            groups = fleet.totals_by_group(connection)
            severities = trends.latest_severities(connection)
            repositories = fleet.repository_totals(connection)
            mirrors = fleet.mirror_totals(connection)
            feeds = fleet.feed_totals(connection)
            dead_letters = fleet.dead_letter_count(connection)
            undelivered = outbox.undelivered(connection)
        hosts = fleet.sum_of(systems)
        return {
            metrics.HOSTS: {"": hosts["hosts"]},
            metrics.HOSTS_IN_CONDITION: {each: hosts[each] for each in CONDITIONS},
            metrics.OUTSTANDING_UPDATES: {
                "all": hosts["outstanding_updates"],
                "security": hosts["outstanding_security_updates"],
            },
            metrics.GROUP_HOSTS: _largest(groups, "group", "hosts"),
            metrics.GROUP_UPDATES: _largest(groups, "group", "outstanding_updates"),
            metrics.GROUP_SECURITY_UPDATES: _largest(groups, "group", "outstanding_security_updates"),
            metrics.DISTRIBUTION_HOSTS: _largest(systems, "os", "hosts"),
            metrics.DISTRIBUTION_UPDATES: _largest(systems, "os", "outstanding_updates"),
            metrics.DISTRIBUTION_SECURITY_UPDATES: _largest(systems, "os", "outstanding_security_updates"),
            metrics.SECURITY_UPDATES: severities,
            metrics.REPOSITORIES: {each: repositories[each] for each in REPOSITORY_STATES},
            metrics.REPOSITORIES_OVERDUE: {"": repositories["overdue"]},
            metrics.MIRRORS: {each: mirrors.get(each, 0) for each in MIRROR_STATES},
            metrics.FEEDS: {each: feeds.get(each, 0) for each in FEED_STATES},
            metrics.DEAD_LETTERS: {"": dead_letters},
            metrics.NOTIFICATIONS: {each: undelivered[each] for each in ("waiting", "failed")},
            metrics.NOTIFICATIONS_OLDEST: {"": float(undelivered["oldest_seconds"])},
        }

    if context.bus.in_memory:
        return {"database": fleet_gauges}
    return {"database": fleet_gauges, "broker": queue_gauges(context.bus.url)}


def _largest(rows: Sequence[RowMapping], label: str, figure: str) -> dict[str, float]:
    """A figure by label value of the first `MOST_VALUES` rows that have one; the rest are summed up.

    The rows are in the order of their hosts, so that all figures are of the same ones.
    """
    kept = set([row[label] for row in rows if row[label]][: metrics.MOST_VALUES])
    found: dict[str, float] = {}
    for row in rows:
        value = str(row[label]) if row[label] in kept else "other" if row[label] else "none"
        found[value] = found.get(value, 0.0) + float(row[figure])
    return found
