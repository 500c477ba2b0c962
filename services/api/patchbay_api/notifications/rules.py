"""Looking for news by each rule, and delivering what is in the outbox: the API's jobs."""

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from patchbay_shared.errors import InvalidInput, PatchbayError, Unavailable
from patchbay_shared.fetching.addresses import AddressPolicy
from patchbay_shared.log import get_logger
from patchbay_shared.service import Context, Job
from sqlalchemy import Connection, RowMapping

from patchbay_api.notifications import outbox
from patchbay_api.notifications.events import present
from patchbay_api.notifications.senders import Message, opened, send
from patchbay_api.query.hosts import hosts_matching

log = get_logger("notifications")

_FIRST_PAUSE_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 3_600.0
_AT_ONCE = 10
_WORDS = {
    "security-update": ("security update", "security updates"),
    "exploited-cve": ("exploited CVE", "exploited CVEs"),
    "overdue": ("overdue host", "overdue hosts"),
    "host-silent": ("silent host", "silent hosts"),
    "mirror-stale": ("stale repository or mirror", "stale repositories and mirrors"),
    "dead-letters": ("kind of dead letters", "kinds of dead letters"),
}


class Notifier:
    """The jobs of one process."""

    def __init__(self, context: Context) -> None:
        self._database = context.database
        self._settings = context.settings
        self._policy = AddressPolicy(context.settings.notify_allowed_networks)

    def jobs(self) -> list[Job]:
        """Every minute a look, every few seconds the outbox."""
        return [
            Job("notice", self._settings.sweep_seconds, self.look),
            Job("deliver", 5.0, self.deliver),
            Job("clean-notifications", 3_600, self.clean),
        ]

    def look(self, stop: threading.Event, *, now: datetime | None = None) -> None:
        """Let every rule look; one transaction each. `now` is for the quiet hours."""
        with self._database.transaction() as connection:
            rules = outbox.rule_ids(connection)
        for rule_id in rules:
            if stop.is_set():
                return
            try:
                with self._database.transaction() as connection:
                    self._look(connection, rule_id, now)
            except InvalidInput as exc:  # its query cannot be read any more: the others go on, and the rule says why
                with self._database.transaction() as connection:
                    outbox.note_look(connection, rule_id, error=str(exc))

    def _look(self, connection: Connection, rule_id: int, now: datetime | None) -> None:
        rule = outbox.rule_to_look_at(connection, rule_id)
        if rule is None:
            return
        query: str = rule["query"].strip()
        hosts = list(connection.scalars(hosts_matching(connection, query))) if query else None
        told = outbox.told(connection, rule_id)
        known = rule["started_at"] is None and not rule["include_present"]
        outbox.notice(connection, rule_id, present(connection, rule["kinds"], hosts, told=told), as_known=known)
        outbox.note_look(connection, rule_id)
        found = outbox.news(connection, rule_id, delay_minutes=rule["delay_minutes"])
        if not found or is_quiet(rule, now or datetime.now(ZoneInfo("UTC"))):
            return
        if max(row["waited"] for row in found) < rule["digest_minutes"] * 60:
            return
        items: list[dict[str, Any]] = [
            {name: row[name] for name in ("kind", "subject", "title", "detail", "host_count")} for row in found
        ]
        count = outbox.tell(connection, rule, title_of(items), items)
        log.info("news_noticed", rule=rule["name"], count=len(items), channel_count=count)

    def deliver(self, stop: threading.Event) -> None:
        """Send what is due. Each message is leased before and its fate noted after: at least once, rarely twice."""
        while not stop.is_set():
            with self._database.transaction() as connection:
                taken = outbox.lease(connection, count=_AT_ONCE)
            for row in taken:
                self._deliver(row)
            if len(taken) < _AT_ONCE:
                return

    def _deliver(self, row: RowMapping) -> None:
        message = Message(row["id"], row["rule"], row["title"], row["items"], self._settings.base_url)
        pause: float | None = None
        try:
            send(row["type"], opened(self._settings.secret_key, bytes(row["sealed"])), message, self._policy)
        except PatchbayError as exc:
            if isinstance(exc, Unavailable) and row["attempts"] < outbox.MOST_ATTEMPTS:
                pause = min(_FIRST_PAUSE_SECONDS * 2 ** (row["attempts"] - 1), _LONGEST_PAUSE_SECONDS)
            log.warning("notification_failed", id=row["id"], attempts=row["attempts"], error=str(exc))
            with self._database.transaction() as connection:
                outbox.note_failed(connection, row["id"], str(exc), pause_seconds=pause)
            return
        with self._database.transaction() as connection:
            outbox.note_sent(connection, row["id"])

    def clean(self, _stop: threading.Event) -> None:
        """Forget deliveries of long ago."""
        with self._database.transaction() as connection:
            log.info("cleaned", notification=outbox.clean(connection))


def is_quiet(rule: RowMapping, now: datetime) -> bool:
    """Whether `now` is in the rule's quiet hours, which may reach over midnight."""
    start: time | None = rule["quiet_from"]
    end: time | None = rule["quiet_until"]
    if start is None or end is None:
        return False
    clock = now.astimezone(ZoneInfo(rule["timezone"])).time()
    return start <= clock < end if start <= end else clock >= start or clock < end


def title_of(items: Sequence[dict[str, Any]]) -> str:
    """One line over all of it."""
    if len(items) == 1:
        return str(items[0]["title"])
    counts = Counter(each["kind"] for each in items)
    return "Patchbay: " + ", ".join(
        f"{count} {_WORDS.get(kind, (kind, kind))[count > 1]}" for kind, count in counts.items()
    )
