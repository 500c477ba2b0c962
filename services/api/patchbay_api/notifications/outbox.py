"""SQL of rules, of what they noticed, and of the outbox."""

from collections.abc import Sequence
from typing import Any

import msgspec
from patchbay_shared.tables import notification, notification_channel, notification_noticed, notification_rule
from sqlalchemy import Connection, RowMapping, delete, func, insert, or_, select, text, update

from patchbay_api.notifications.events import LASTING, Event

MOST_ATTEMPTS = 12
"""With pauses from half a minute to an hour: about six hours."""
LEASE_SECONDS = 120
KEPT_DAYS = 90


def rule_to_look_at(connection: Connection, rule_id: int) -> RowMapping | None:
    """A rule, locked; None if it is gone, off, or another replica is looking."""
    statement = (
        select(notification_rule)
        .where(notification_rule.c.id == rule_id, notification_rule.c.enabled)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(statement).mappings().one_or_none()


def rule_ids(connection: Connection) -> list[int]:
    """The rules that are on."""
    return list(connection.scalars(select(notification_rule.c.id).where(notification_rule.c.enabled)))


def note_look(connection: Connection, rule_id: int, error: str = "") -> None:
    """A rule has looked; its first look is when it started."""
    connection.execute(
        update(notification_rule)
        .where(notification_rule.c.id == rule_id)
        .values(started_at=func.coalesce(notification_rule.c.started_at, func.now()), error=error)
    )


def notice(connection: Connection, rule_id: int, events: Sequence[Event], *, as_known: bool) -> None:
    """Bring what a rule has noticed up to what is so; `as_known`: without any of it being news.

    What is no longer so is forgotten: at once if nobody was told, after an hour otherwise (it may only flicker).
    """
    connection.execute(
        text("""
            INSERT INTO notification_noticed AS n (rule_id, kind, subject, title, detail, host_count, told_at)
            SELECT :rule_id, e.kind, e.subject, e.title, e.detail, e.host_count,
                   CASE WHEN :as_known THEN now() END
            FROM jsonb_to_recordset(CAST(:events AS jsonb))
                AS e (kind text, subject text, title text, detail text, host_count integer)
            ON CONFLICT (rule_id, kind, subject) DO UPDATE SET
                title = EXCLUDED.title, detail = EXCLUDED.detail, host_count = EXCLUDED.host_count,
                last_seen_at = now()
            WHERE n.told_at IS NULL OR n.last_seen_at < now() - interval '10 minutes'
        """),
        {"rule_id": rule_id, "events": msgspec.json.encode(events).decode(), "as_known": as_known},
    )
    connection.execute(
        text("""
            DELETE FROM notification_noticed n
            WHERE rule_id = :rule_id AND NOT (kind = ANY(:lasting) AND told_at IS NOT NULL)
              AND (told_at IS NULL OR last_seen_at < now() - interval '1 hour')
              AND NOT EXISTS (
                  SELECT FROM jsonb_to_recordset(CAST(:events AS jsonb)) AS e (kind text, subject text)
                  WHERE e.kind = n.kind AND e.subject = n.subject)
        """),
        {
            "rule_id": rule_id,
            "events": msgspec.json.encode(events).decode(),
            "lasting": sorted(LASTING),
        },
    )


def told(connection: Connection, rule_id: int) -> list[str]:
    """The subjects of lasting kinds that a rule has told."""
    noticed = notification_noticed.c
    return list(
        connection.scalars(
            select(noticed.subject).where(
                noticed.rule_id == rule_id, noticed.kind.in_(LASTING), noticed.told_at.is_not(None)
            )
        )
    )


def news(connection: Connection, rule_id: int, *, delay_minutes: int) -> list[RowMapping]:
    """What a rule has to tell, with how many seconds the oldest of it waits beyond its delay (`waited`)."""
    noticed = notification_noticed.c
    waited = func.extract("epoch", func.now() - noticed.first_seen_at) - delay_minutes * 60
    rows = connection.execute(
        select(
            *(noticed[name] for name in ("kind", "subject", "title", "detail", "host_count")),
            waited.label("waited"),
        )
        .where(noticed.rule_id == rule_id, noticed.told_at.is_(None), waited >= 0)
        .order_by(noticed.kind, noticed.host_count.desc(), noticed.subject)
    )
    return list(rows.mappings())


def tell(connection: Connection, rule: RowMapping, title: str, items: Sequence[dict[str, Any]]) -> int:
    """Put news into the outbox, once for each channel that is on, and note that they are told; the number of rows."""
    channels = list(
        connection.scalars(
            select(notification_channel.c.id)
            .where(notification_channel.c.id.in_(rule["channel_ids"]), notification_channel.c.enabled)
            .order_by(notification_channel.c.id)
        )
    )
    rows = [{"channel_id": each, "rule": rule["name"], "title": title, "items": list(items)} for each in channels]
    if rows:
        connection.execute(insert(notification), rows)
    told = [(each["kind"], each["subject"]) for each in items]
    connection.execute(
        text("""
            UPDATE notification_noticed n SET told_at = now()
            FROM unnest(CAST(:kinds AS text[]), CAST(:subjects AS text[])) AS t (kind, subject)
            WHERE n.rule_id = :rule_id AND n.kind = t.kind AND n.subject = t.subject
        """),
        {"rule_id": rule["id"], "kinds": [each[0] for each in told], "subjects": [each[1] for each in told]},
    )
    return len(rows)


def add_test(connection: Connection, channel_id: int, title: str) -> int:
    """A message to a channel that says only that it arrived; its id."""
    item = {"kind": "test", "subject": "test", "title": title, "detail": "", "host_count": 0}
    made = insert(notification).values(channel_id=channel_id, rule="", title=title, items=[item])
    number: int = connection.execute(made.returning(notification.c.id)).scalar_one()
    return number


def lease(connection: Connection, *, count: int) -> list[RowMapping]:
    """The next messages to deliver, with their channels; nobody else delivers them until the lease ends."""
    due = (
        select(notification.c.id)
        .where(
            notification.c.state == "waiting",
            notification.c.next_attempt_at <= func.now(),
            or_(notification.c.leased_until.is_(None), notification.c.leased_until < func.now()),
        )
        .order_by(notification.c.id)
        .limit(count)
        .with_for_update(skip_locked=True)
    )
    taken = list(
        connection.scalars(
            update(notification)
            .where(notification.c.id.in_(due))
            .values(
                leased_until=func.now() + text(f"interval '{LEASE_SECONDS} seconds'"),
                attempts=notification.c.attempts + 1,
            )
            .returning(notification.c.id)
        )
    )
    rows = connection.execute(
        select(notification, notification_channel.c.type, notification_channel.c.sealed)
        .join(notification_channel, notification_channel.c.id == notification.c.channel_id)
        .where(notification.c.id.in_(taken))
        .order_by(notification.c.id)
    )
    return list(rows.mappings())


def note_sent(connection: Connection, number: int) -> None:
    """It arrived."""
    connection.execute(
        update(notification)
        .where(notification.c.id == number)
        .values(state="sent", sent_at=func.now(), leased_until=None, error="")
    )


def note_failed(connection: Connection, number: int, error: str, *, pause_seconds: float | None) -> None:
    """It did not; again after the pause, or never (None)."""
    pause = func.make_interval(0, 0, 0, 0, 0, 0, pause_seconds or 0.0)
    connection.execute(
        update(notification)
        .where(notification.c.id == number)
        .values(
            state="failed" if pause_seconds is None else "waiting",
            next_attempt_at=func.now() + pause,
            leased_until=None,
            error=error[:1_000],
        )
    )


def retry(connection: Connection, number: int) -> bool:
    """Deliver a failed message again; whether there is such a one."""
    again = (
        update(notification)
        .where(notification.c.id == number, notification.c.state == "failed")
        .values(state="waiting", attempts=0, next_attempt_at=func.now())
    )
    return connection.execute(again).rowcount == 1


def undelivered(connection: Connection) -> RowMapping:
    """waiting, failed, oldest_seconds: messages by what became of them, and for how long the oldest waits."""
    waits = notification.c.state == "waiting"
    age = func.extract("epoch", func.now() - func.min(notification.c.created_at).filter(waits))
    statement = select(
        func.count().filter(waits).label("waiting"),
        func.count().filter(notification.c.state == "failed").label("failed"),
        func.coalesce(age, 0.0).label("oldest_seconds"),
    )
    return connection.execute(statement.where(notification.c.state.in_(["waiting", "failed"]))).mappings().one()


def clean(connection: Connection) -> int:
    """Forget deliveries of long ago."""
    old = notification.c.created_at < func.now() - text(f"interval '{KEPT_DAYS} days'")
    return connection.execute(delete(notification).where(old, notification.c.state != "waiting")).rowcount
