"""Where notifications go: channels, their secrets, and who may see them."""

import json
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from notification_office import NEVER, Office, Receiver


@pytest.mark.parametrize(
    "url",
    ["json://x.example", "dbus://", "syslog://", "slack://?", "mailto://a@b.example?pgpkey=/etc/passwd", "x"],
)
def test_services_that_would_do_something_here_are_refused(office: Office, url: str) -> None:
    """Only those that speak to the network, and that do not read this machine's files."""
    answer = office.admin.post("/api/v1/notification-channels", json={"name": "x", "type": "apprise", "url": url})

    assert (answer.status_code, answer.json["pointer"]) == (422, "$.json.url")


def test_secrets_of_channels_are_sealed_and_never_shown(office: Office, receiver: Receiver) -> None:
    """Neither by the API, nor in the database, nor in the audit, which is kept for good."""
    office.channel(type="webhook", url=receiver.url + "?key=t0psecret", secret="s3cret")

    listed = office.admin.get("/api/v1/notification-channels").text
    with office.database.transaction() as connection:
        stored = str(connection.exec_driver_sql("SELECT * FROM notification_channel").all())
        stored += str(connection.exec_driver_sql("SELECT * FROM audit_event").all())

    assert "add_notification_channel" in stored
    assert "t0psecret" not in listed + stored
    assert "s3cret" not in listed + stored


def test_a_webhook_without_a_secret_gets_one_that_is_shown_once(office: Office, receiver: Receiver) -> None:
    """Unsigned messages are not made."""
    made = office.channel(type="webhook", url=receiver.url)

    assert len(made["secret"]) > 30
    assert made["secret"] not in office.admin.get("/api/v1/notification-channels").text


def test_a_channel_can_be_tested(office: Office, receiver: Receiver) -> None:
    """The message goes the way of all others."""
    channel = office.hook(receiver)
    queued = office.admin.post(f"/api/v1/notification-channels/{channel}/test")

    office.notifier.deliver(NEVER)

    assert queued.status_code == 202
    assert json.loads(receiver.got[0][1])["title"] == "Test of the channel hook by admin"
    assert office.admin.get(f"/api/v1/notifications/{queued.json['id']}").json["state"] == "sent"


def test_channels_are_changed_and_dropped(office: Office, receiver: Receiver) -> None:
    """One that is off gets nothing."""
    channel = office.hook(receiver)
    office.rule("host-silent", channel=channel)
    office.admin.patch(f"/api/v1/notification-channels/{channel}", json={"enabled": False, "name": "off"})
    office.look()

    assert office.rows() == []
    assert office.admin.delete(f"/api/v1/notification-channels/{channel}").status_code == 204
    assert office.admin.get("/api/v1/notification-channels").json["items"] == []


def test_viewers_see_no_channels(ask: Callable[[str], FlaskClient]) -> None:
    """Operators see them, administrators make them."""
    assert ask("viewer").get("/api/v1/notification-channels").status_code == 403
    assert ask("operator").post("/api/v1/notification-channels", json={}).status_code == 403
