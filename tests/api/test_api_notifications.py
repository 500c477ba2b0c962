"""Who is told what: rules that look, the outbox, and what receivers get."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from flask import Flask
from flask.testing import FlaskClient
from patchbay_api.notifications.rules import Notifier, is_quiet, title_of
from patchbay_api.notifications.senders import signature
from patchbay_shared.db import Database
from patchbay_shared.service import Context
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import (
    advisory,
    advisory_cve,
    advisory_fix,
    errata_source,
    host,
    host_exposure,
    known_exploited,
    notification,
    notification_noticed,
    notification_rule,
)
from patchbay_shared.versions import evr_key
from sqlalchemy import func, insert, select, update

NEVER = threading.Event()


class Receiver:
    """A webhook's receiver on loopback: what it got, and what it answers."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


class Mailbox:
    """An SMTP server's memory."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.port = 0

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.mails.append(envelope)
        return "250 taken"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    """An SMTP server on a port of its own."""
    box = Mailbox()
    listening = socket.create_server(("127.0.0.1", 0))
    box.port = listening.getsockname()[1]
    loop = asyncio.new_event_loop()
    loop.run_until_complete(loop.create_server(lambda: SMTP(box, loop=loop), sock=listening))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield box
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    listening.close()


class Office:
    """The API with rules and channels, and its jobs run by hand."""

    def __init__(self, app: Flask, admin: FlaskClient, database: Database, fleet: Any) -> None:
        self.admin, self.database, self.fleet = admin, database, fleet
        self._context: Context = app.extensions["patchbay"]
        self.notifier = self.with_networks("127.0.0.0/8")

    def with_networks(self, networks: str) -> Notifier:
        settings = settings_from({}, secret_key="k" * 32, notify_allowed_networks=networks)
        return Notifier(Context(settings, self._context.database, self._context.bus))

    def channel(self, **values: Any) -> Any:
        made = self.admin.post("/api/v1/notification-channels", json={"name": "hook", **values})
        assert made.status_code == 201, made.json
        return made.json

    def rule(self, *kinds: str, channel: int, **values: Any) -> int:
        body = {"name": "rule", "kinds": list(kinds), "channel_ids": [channel], "include_present": True, **values}
        made = self.admin.post("/api/v1/notification-rules", json=body)
        assert made.status_code == 201, made.json
        return int(made.json["id"])

    def look(self, **more: Any) -> None:
        self.notifier.look(NEVER, **more)

    def rows(self) -> list[Any]:
        with self.database.transaction() as connection:
            return list(connection.execute(select(notification).order_by(notification.c.id)))

    def told(self) -> list[str]:
        return [each["subject"] for row in self.rows() for each in row.items]

    def age(self, minutes: int) -> None:
        """Let what was noticed have been noticed earlier."""
        with self.database.transaction() as connection:
            earlier = timedelta(minutes=minutes)
            connection.execute(
                update(notification_noticed).values(
                    first_seen_at=notification_noticed.c.first_seen_at - earlier,
                    last_seen_at=notification_noticed.c.last_seen_at - earlier,
                )
            )

    def silence(self, name: str, *, hours: float) -> None:
        with self.database.transaction() as connection:
            connection.execute(
                update(host)
                .where(host.c.hostname == f"{name}.example.com")
                .values(last_report_at=datetime.now(UTC) - timedelta(hours=hours))
            )


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A local receiver of webhooks."""
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def office(
    database_of: Callable[[str | None], Database],
    database: Database,
    app: Flask,
    ask: Callable[[str], FlaskClient],
    fleet_seed: ModuleType,
) -> Office:
    """Six hosts, one of them silent; four outstanding security advisories."""
    context: Context = app.extensions["patchbay"]
    app.extensions["patchbay"] = Context(settings_from({}, secret_key="k" * 32), context.database, context.bus)
    return Office(app, ask("admin"), database, fleet_seed.seed_fleet(database, fleet_seed.HOSTS))


def _hook(office: Office, receiver: Receiver) -> int:
    return int(office.channel(type="webhook", url=receiver.url, secret="s3cret")["id"])


def test_a_webhook_gets_a_signed_message(office: Office, receiver: Receiver) -> None:
    """The receiver can tell who sent it, and when."""
    office.rule("host-silent", channel=_hook(office, receiver))

    office.look()
    office.notifier.deliver(NEVER)

    [(headers, body)] = receiver.got
    assert headers["X-Patchbay-Signature"] == signature("s3cret", headers["X-Patchbay-Timestamp"], body)
    message = json.loads(body)
    assert (message["rule"], message["title"]) == ("rule", "build-arm.example.com is silent")
    assert office.rows()[0].state == "sent"


def test_news_are_told_once(office: Office, receiver: Receiver) -> None:
    """However often a rule looks."""
    office.rule("host-silent", channel=_hook(office, receiver))

    for _ in range(3):
        office.look()
        office.notifier.deliver(NEVER)

    assert len(receiver.got) == 1


def test_what_was_so_before_the_rule_is_no_news(office: Office, receiver: Receiver) -> None:
    """Unless the rule asks for it."""
    office.rule("host-silent", channel=_hook(office, receiver), include_present=False)
    office.look()
    assert office.told() == []

    office.silence("mail", hours=40)
    office.look()

    assert office.told() == [str(office.fleet.hosts["mail.example.com"])]


def test_an_advisory_on_many_hosts_is_one_item(office: Office, receiver: Receiver) -> None:
    """With the number of hosts and the packages: nobody reads a line a host."""
    office.rule("security-update", channel=_hook(office, receiver))

    office.look()

    [row] = office.rows()
    found = {each["subject"]: (each["host_count"], each["detail"]) for each in row.items}
    assert found == {"DSA-5764-1": (4, "libssl3, openssl"), "DSA-5901-1": (4, "openssl")}
    assert row.title == "Patchbay: 2 security updates"


def test_a_rule_concerns_the_hosts_of_its_query(office: Office, receiver: Receiver) -> None:
    """Tags and groups, also those that operators gave."""
    office.rule("security-update", channel=_hook(office, receiver), query="tag:web")

    office.look()

    assert {each["host_count"] for row in office.rows() for each in row.items} == {2}


def test_a_query_that_cannot_be_read_is_refused(office: Office, receiver: Receiver) -> None:
    """When the rule is made, with the place."""
    body = {
        "name": "x",
        "kinds": ["host-silent"],
        "channel_ids": [_hook(office, receiver)],
        "query": "tag:web colour:red",
    }

    answer = office.admin.post("/api/v1/notification-rules", json=body)

    assert (answer.status_code, "colour" in answer.json["detail"]) == (422, True)


def test_a_delay_leaves_out_what_passes_by_itself(office: Office, receiver: Receiver) -> None:
    """Only what has been so for so long is told."""
    office.rule("host-silent", channel=_hook(office, receiver), delay_minutes=30)
    office.silence("mail", hours=40)
    office.look()
    office.age(20)
    office.silence("mail", hours=0)
    office.look()
    office.age(20)

    office.look()

    assert office.told() == [str(office.fleet.hosts["build-arm.example.com"])]


def test_a_digest_collects_news_into_one_message(office: Office, receiver: Receiver) -> None:
    """From the first of them on."""
    office.rule("host-silent", channel=_hook(office, receiver), digest_minutes=60)
    office.look()
    office.age(59)
    office.silence("mail", hours=40)
    office.look()
    assert office.rows() == []

    office.age(2)
    office.look()

    [row] = office.rows()
    assert (len(row.items), row.title) == (2, "Patchbay: 2 silent hosts")


def test_in_quiet_hours_news_wait(office: Office, receiver: Receiver) -> None:
    """And are told afterwards."""
    office.rule("host-silent", channel=_hook(office, receiver), quiet_from="22:00", quiet_until="06:00")

    office.look(now=datetime(2026, 1, 1, 23, 0, tzinfo=UTC))
    assert office.rows() == []
    office.look(now=datetime(2026, 1, 2, 7, 0, tzinfo=UTC))

    assert len(office.rows()) == 1


@pytest.mark.parametrize(
    ("start", "end", "zone", "hour", "expected"),
    [
        (time(22), time(6), "UTC", 23, True),
        (time(22), time(6), "UTC", 5, True),
        (time(22), time(6), "UTC", 6, False),
        (time(12), time(13), "UTC", 12, True),
        (time(12), time(13), "UTC", 13, False),
        (time(22), time(6), "Europe/Berlin", 21, True),
        (None, None, "UTC", 3, False),
    ],
)
def test_quiet_hours_are_those_of_the_zone(
    start: time | None, end: time | None, zone: str, hour: int, expected: bool
) -> None:
    """Over midnight too."""
    rule: Any = {"quiet_from": start, "quiet_until": end, "timezone": zone}

    assert is_quiet(rule, datetime(2026, 1, 15, hour, 0, tzinfo=UTC)) is expected


def test_what_flickers_is_told_once(office: Office, receiver: Receiver) -> None:
    """What was told and comes back within the hour is not news; later it is."""
    office.rule("host-silent", channel=_hook(office, receiver))
    office.look()
    for hours in (0, 40):
        office.silence("build-arm", hours=hours)
        office.look()
    assert len(office.rows()) == 1

    office.silence("build-arm", hours=0)
    office.age(61)
    office.look()
    office.silence("build-arm", hours=40)
    office.look()

    assert len(office.rows()) == 2


def test_stale_mirrors_and_dead_letters_are_events(
    office: Office, receiver: Receiver, fleet_seed: ModuleType
) -> None:
    """Of a repository with the hosts that read it."""
    fleet_seed.seed_dead_letters(office.database)
    office.rule("mirror-stale", "dead-letters", channel=_hook(office, receiver))

    office.look()

    [row] = office.rows()
    assert [(each["kind"], each["host_count"]) for each in row.items] == [
        ("dead-letters", 0),
        ("dead-letters", 0),
        ("mirror-stale", 2),
    ]


def test_overdue_hosts_and_newly_exploited_cves_are_events(office: Office, receiver: Receiver) -> None:
    """An exploited CVE with the number of hosts that it touches; one of long ago is no news."""
    release = {"ecosystem": "debian", "distro_release": "bookworm"}
    counts = dict.fromkeys(
        ("exposed_count", "fixable_count", "restart_count", "exploited_count", "waived_count", "overdue_count"), 1
    )
    with office.database.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE repository_set SET document = jsonb_set(document, '{policy,os_release}',"
            """ '{"ID": "debian", "VERSION_CODENAME": "bookworm"}', true)"""
        )
        connection.exec_driver_sql("UPDATE package SET source_name = coalesce(details->>'source', name)")
        connection.execute(insert(errata_source).values(name="debian", url="http://x.example", enabled=True))
        connection.execute(
            insert(advisory).values(
                id=1, source="debian", name="DSA-5901-1", part=1, digest=1, vendor="Debian", type="security",
                severity="high", vendor_severity="", status="final", title="", description="", url="", links=[],
            )
        )  # fmt: skip
        for cve, days in (("CVE-2026-0001", 3), ("CVE-2020-0001", 900)):
            connection.execute(insert(advisory_cve).values(advisory_id=1, cve=cve))
            added = datetime.now(UTC).date() - timedelta(days=days)
            connection.execute(
                insert(known_exploited).values(cve=cve, added_on=added, ransomware=False, title="OpenSSL", action="")
            )
        connection.execute(
            insert(advisory_fix).values(
                advisory_id=1, package="openssl", kind="source", arch="", module="", pocket="", state="fixed",
                evr="3.0.17-1~deb12u2", evr_key=evr_key("deb", "3.0.17-1~deb12u2"), note="", **release,
            )
        )  # fmt: skip
        connection.execute(
            insert(host_exposure).values(
                host_id=office.fleet.hosts["mail.example.com"], basis="x", worst_cve="CVE-2026-0001",
                counted_at=datetime.now(UTC), **counts,
            )
        )  # fmt: skip
    office.rule("overdue", "exploited-cve", channel=_hook(office, receiver))

    office.look()
    office.look()

    assert sorted((each["title"], each["host_count"]) for row in office.rows() for each in row.items) == [
        ("CVE-2026-0001 is being exploited", 6),
        ("mail.example.com has overdue vulnerabilities", 1),
    ]


def test_a_message_is_not_lost_when_the_receiver_fails(office: Office, receiver: Receiver) -> None:
    """It is tried again, with a pause, and the log says why."""
    office.rule("host-silent", channel=_hook(office, receiver))
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
    office.rule("host-silent", channel=_hook(office, receiver))
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
    office.rule("host-silent", channel=_hook(office, receiver))
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
    office.rule("host-silent", channel=_hook(office, receiver))
    office.look()

    office.with_networks("").deliver(NEVER)

    assert receiver.got == []
    assert "PATCHBAY_NOTIFY_ALLOWED_NETWORKS" in office.rows()[0].error


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


@pytest.mark.parametrize(
    "url",
    ["json://x.example", "dbus://", "syslog://", "slack://?", "mailto://a@b.example?pgpkey=/etc/passwd", "x"],
)
def test_services_that_would_do_something_here_are_refused(office: Office, url: str) -> None:
    """Only those that speak to the network, and that do not read this machine's files."""
    answer = office.admin.post("/api/v1/notification-channels", json={"name": "x", "type": "apprise", "url": url})

    assert (answer.status_code, answer.json["pointer"]) == (422, "$.json.url")


def test_secrets_of_channels_are_sealed_and_never_shown(office: Office, receiver: Receiver) -> None:
    """Neither by the API nor in the database."""
    office.channel(type="webhook", url=receiver.url + "?key=t0psecret", secret="s3cret")

    listed = office.admin.get("/api/v1/notification-channels").text
    with office.database.transaction() as connection:
        stored = str(connection.exec_driver_sql("SELECT * FROM notification_channel").all())

    assert "t0psecret" not in listed + stored
    assert "s3cret" not in listed + stored


def test_a_webhook_without_a_secret_gets_one_that_is_shown_once(office: Office, receiver: Receiver) -> None:
    """Unsigned messages are not made."""
    made = office.channel(type="webhook", url=receiver.url)

    assert len(made["secret"]) > 30
    assert made["secret"] not in office.admin.get("/api/v1/notification-channels").text


def test_a_channel_can_be_tested(office: Office, receiver: Receiver) -> None:
    """The message goes the way of all others."""
    channel = _hook(office, receiver)
    queued = office.admin.post(f"/api/v1/notification-channels/{channel}/test")

    office.notifier.deliver(NEVER)

    assert queued.status_code == 202
    assert json.loads(receiver.got[0][1])["title"] == "Test of the channel hook by admin"
    assert office.admin.get(f"/api/v1/notifications/{queued.json['id']}").json["state"] == "sent"


def test_channels_are_changed_and_dropped(office: Office, receiver: Receiver) -> None:
    """One that is off gets nothing."""
    channel = _hook(office, receiver)
    office.rule("host-silent", channel=channel)
    office.admin.patch(f"/api/v1/notification-channels/{channel}", json={"enabled": False, "name": "off"})
    office.look()

    assert office.rows() == []
    assert office.admin.delete(f"/api/v1/notification-channels/{channel}").status_code == 204
    assert office.admin.get("/api/v1/notification-channels").json["items"] == []


def test_a_changed_rule_starts_anew(office: Office, receiver: Receiver) -> None:
    """With other hosts, what is so then is not news."""
    rule = office.rule("host-silent", channel=_hook(office, receiver), query="tag:web", include_present=False)
    office.look()
    changed = office.admin.patch(f"/api/v1/notification-rules/{rule}", json={"query": "not tag:web"})
    office.look()

    assert (changed.json["query"], office.rows()) == ("not tag:web", [])
    assert office.admin.delete(f"/api/v1/notification-rules/{rule}").status_code == 204


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"kinds": ["weather"]}, "kinds"),
        ({"channel_ids": [12345]}, "channel_ids"),
        ({"quiet_from": "22:00:00"}, "quiet_until"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"digest_minutes": -1}, "digest_minutes"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(
    office: Office, receiver: Receiver, change: dict[str, Any], field: str
) -> None:
    """422 with the place."""
    body = {"name": "x", "kinds": ["host-silent"], "channel_ids": [_hook(office, receiver)], **change}

    answer = office.admin.post("/api/v1/notification-rules", json=body)

    assert answer.status_code == 422
    assert answer.json["pointer"].startswith(f"$.json.{field}")


def test_two_replicas_tell_once(office: Office, receiver: Receiver) -> None:
    """A rule that another process is looking at is passed over."""
    rule = office.rule("host-silent", channel=_hook(office, receiver))
    with office.database.transaction() as connection:
        connection.execute(select(notification_rule).where(notification_rule.c.id == rule).with_for_update())
        office.look()

        assert office.rows() == []


def test_a_title_sums_up_several_kinds() -> None:
    """In the order of the items."""
    items = [{"kind": "host-silent"}, {"kind": "dead-letters"}, {"kind": "host-silent"}]

    assert title_of(items) == "Patchbay: 2 silent hosts, 1 kinds of dead letters"


def test_viewers_see_no_channels(ask: Callable[[str], FlaskClient]) -> None:
    """Operators see them, administrators make them."""
    assert ask("viewer").get("/api/v1/notification-channels").status_code == 403
    assert ask("operator").post("/api/v1/notification-channels", json={}).status_code == 403
