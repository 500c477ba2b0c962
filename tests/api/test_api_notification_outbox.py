"""The outbox: what receivers get, and what becomes of what they do not take."""

import json
import socket
from datetime import UTC, datetime, timedelta

import pytest
from notification_office import NEVER, Mailbox, Office, Receiver
from patchbay_api.notifications.senders import signature
from patchbay_shared import metrics
from patchbay_shared.tables import (
    notification,
)
from sqlalchemy import func, select, update


def test_a_webhook_gets_a_signed_message(office: Office, receiver: Receiver) -> None:
    """The receiver can tell who sent it, and when."""
    office.rule("host-silent", channel=office.hook(receiver))

    office.look()
    office.notifier.deliver(NEVER)

    [(headers, body)] = receiver.got
    assert headers["X-Patchbay-Signature"] == signature("s3cret", headers["X-Patchbay-Timestamp"], body)
    message = json.loads(body)
    assert (message["rule"], message["title"]) == ("rule", "build-arm.example.com is silent")
    assert office.rows()[0].state == "sent"


def test_a_message_is_not_lost_when_the_receiver_fails(office: Office, receiver: Receiver) -> None:
    """It is tried again, with a pause, and the log says why."""
    office.rule("host-silent", channel=office.hook(receiver))
    office.look()
    receiver.status = 503
    office.notifier.deliver(NEVER)
    [row] = office.rows()
    assert (row.state, row.attempts, row.error) == ("waiting", 1, "The receiver answered 503.")
    assert row.next_attempt_at > datetime.now(UTC)

    receiver.status = 200
    with office.database.transaction() as connection:
        connection.execute(update(notification).values(next_attempt_at=func.now()))
    office.notifier.deliver(NEVER)

    assert office.rows()[0].state == "sent"


def test_a_leased_message_of_a_dead_process_is_sent_by_another(office: Office, receiver: Receiver) -> None:
    """When the lease has ended, and not before."""
    office.rule("host-silent", channel=office.hook(receiver))
    office.look()
    with office.database.transaction() as connection:
        connection.execute(update(notification).values(leased_until=func.now() + timedelta(minutes=1)))
    office.notifier.deliver(NEVER)
    assert receiver.got == []

    with office.database.transaction() as connection:
        connection.execute(update(notification).values(leased_until=func.now() - timedelta(minutes=1)))
    office.notifier.deliver(NEVER)

    assert len(receiver.got) == 1


@pytest.mark.parametrize("status", [302, 404, 410])
def test_what_a_receiver_refuses_is_given_up_and_can_be_tried_again(
    office: Office, receiver: Receiver, status: int
) -> None:
    """A redirect is no acceptance, and is not followed."""
    office.rule("host-silent", channel=office.hook(receiver))
    office.look()
    receiver.status = status
    office.notifier.deliver(NEVER)
    [row] = office.rows()
    assert (row.state, str(status) in row.error, len(receiver.got)) == ("failed", True, 1)

    receiver.status = 200
    assert office.admin.post(f"/api/v1/notifications/{row.id}/retry").status_code == 202
    office.notifier.deliver(NEVER)

    found = office.admin.get(f"/api/v1/notifications/{row.id}").json
    assert (found["state"], found["channel"]) == ("sent", "hook")


def test_nothing_is_sent_to_addresses_that_are_not_allowed(office: Office, receiver: Receiver) -> None:
    """Loopback, private and metadata addresses only where the operator allows them."""
    office.rule("host-silent", channel=office.hook(receiver))
    office.look()

    office.with_networks("").deliver(NEVER)

    assert receiver.got == []
    assert "PATCHBAY_NOTIFY_ALLOWED_NETWORKS" in office.rows()[0].error


def test_why_a_webhook_failed_does_not_say_its_address(office: Office) -> None:
    """Its path is the receiver's secret; everybody who may see deliveries reads the error."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/services/T0/path-s3cret"
        channel = office.channel(type="webhook", url=url)
        office.rule("host-silent", channel=channel["id"])
        office.look()

        office.notifier.deliver(NEVER)

    assert office.rows()[0].error == "127.0.0.1 refused the connection."


def test_mail_goes_through_the_server_of_the_channel(office: Office, mailbox: Mailbox) -> None:
    """Subject, sender, recipients and a line an item."""
    mail = {
        "server": "127.0.0.1", "port": mailbox.port, "security": "none",
        "sender": "patchbay@example.com", "recipients": ["ops@example.com"],
    }  # fmt: skip
    made = office.channel(type="email", mail=mail)
    office.rule("host-silent", channel=made["id"])
    office.look()

    office.notifier.deliver(NEVER)

    [envelope] = mailbox.mails
    assert (envelope.mail_from, envelope.rcpt_tos) == ("patchbay@example.com", ["ops@example.com"])
    assert b"build-arm.example.com is silent" in envelope.content
    assert made["address"] == "ops@example.com by 127.0.0.1"


def test_chat_services_are_reached_by_apprise(office: Office, receiver: Receiver) -> None:
    """ntfy speaks plain HTTP."""
    receiver.status = 200
    url = receiver.url.replace("http://", "ntfy://").replace("/hook", "/topic")
    office.rule("host-silent", channel=office.channel(type="apprise", url=url)["id"])
    office.look()

    office.notifier.deliver(NEVER)

    assert b"build-arm.example.com is silent" in receiver.got[0][1]


def test_what_waits_and_what_was_given_up_is_measured(office: Office, receiver: Receiver) -> None:
    """For an alarm: nobody reads the log of deliveries."""
    channel = office.hook(receiver)
    for _ in range(3):
        office.admin.post(f"/api/v1/notification-channels/{channel}/test")
    with office.database.transaction() as connection:
        first = select(func.min(notification.c.id)).scalar_subquery()
        connection.execute(update(notification).where(notification.c.id == first).values(state="failed"))
        connection.execute(update(notification).values(created_at=func.now() - timedelta(minutes=5)))

    readings = office.gauges()

    assert readings[metrics.NOTIFICATIONS] == {"waiting": 2, "failed": 1}
    assert 300 <= readings[metrics.NOTIFICATIONS_OLDEST][""] < 360
    office.notifier.deliver(NEVER)
    readings = office.gauges()
    assert readings[metrics.NOTIFICATIONS] == {"waiting": 0, "failed": 1}
    assert readings[metrics.NOTIFICATIONS_OLDEST] == {"": 0}
