"""Notification channels, rules and deliveries, as the pages show and change them."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from patchbay_api.notifications.events import KINDS
from patchbay_shared.db import Database
from patchbay_shared.tables import notification
from patchbay_web.presentation import NEWS
from sqlalchemy import insert

FormToken = Callable[[FlaskClient, str], str]
HOOK = "https://hooks.example.com/T0/secret-path"


@pytest.fixture
def channel(admin: FlaskClient, form_token: FormToken) -> str:
    """A webhook called `ops`; its number."""
    data = {"csrf_token": form_token(admin, "/notification-channels"), "type": "webhook", "name": "ops", "url": HOOK}
    page = admin.post("/notification-channels", data=data).text
    return re.findall(r"/notification-channels/(\d+)/test", page)[0]


def test_the_key_of_a_webhook_is_shown_once(admin: FlaskClient, form_token: FormToken) -> None:
    """And what may be secret of its address never."""
    data = {"csrf_token": form_token(admin, "/notification-channels"), "type": "webhook", "name": "ops", "url": HOOK}

    page = admin.post("/notification-channels", data=data).text

    [secret] = re.findall(r'id="secret-made" tabindex="0">([^<]+)<', page)
    again = admin.get("/notification-channels").text
    assert "hooks.example.com" in again
    assert "secret-path" not in page + again
    assert secret not in again


def test_mail_is_a_form_of_its_own_and_a_mistake_in_it_is_explained(
    admin: FlaskClient, form_token: FormToken
) -> None:
    """What was typed stays, but for the password."""
    path = "/notification-channels?type=email"
    data = {
        "csrf_token": form_token(admin, path),
        "type": "email",
        "name": "mail",
        "server": "mail.example.com",
        "port": "587",
        "security": "starttls",
        "sender": "nobody",
        "recipients": "ops@example.com, ada@example.com",
        "password": "s3cret",
    }

    refused = admin.post("/notification-channels", data=data)
    made = admin.post("/notification-channels", data={**data, "sender": "patchbay@example.com"}).text

    assert refused.status_code == 422
    assert 'value="mail.example.com"' in refused.text
    assert "s3cret" not in refused.text + made
    assert "ops@example.com, ada@example.com by mail.example.com" in made


def test_a_rule_is_made_changed_and_removed(admin: FlaskClient, channel: str, form_token: FormToken) -> None:
    """Its hosts are a link to their list; its hours read as they were written."""
    data: dict[str, Any] = {
        "csrf_token": form_token(admin, "/notification-rules/new"),
        "name": "web servers",
        "kind": ["security-update", "overdue"],
        "query": "tag:web",
        "channel": [channel],
        "digest_minutes": "60",
        "delay_minutes": "0",
        "quiet_from": "22:00",
        "quiet_until": "06:30",
        "timezone": "Europe/Berlin",
        "enabled": "true",
    }
    page = admin.post("/notification-rules/new", data=data, follow_redirects=True).text
    assert "one message in 60 min; quiet 22:00 to 06:30 Europe/Berlin" in page
    assert "/hosts?query=tag:web" in page
    [number] = set(re.findall(r"/notification-rules/(\d+)", page))

    form = admin.get(f"/notification-rules/{number}").text
    assert re.findall(r'name="kind" value="([\w-]+)" checked', form) == ["security-update", "overdue"]
    data |= {"timezone": "Nowhere"}
    refused = admin.post(f"/notification-rules/{number}", data=data)
    assert refused.status_code == 422
    assert "Not a time zone" in refused.text

    data |= {"timezone": "UTC", "enabled": ""}
    assert ">Off<" in admin.post(f"/notification-rules/{number}", data=data, follow_redirects=True).text
    gone = admin.post(f"/notification-rules/{number}/remove", data=data, follow_redirects=True).text
    assert "web servers" not in gone


def test_a_channel_says_whose_messages_it_carries_before_it_is_removed(
    admin: FlaskClient, channel: str, form_token: FormToken
) -> None:
    """A rule left without a channel says that nobody is told."""
    csrf = form_token(admin, "/notification-rules/new")
    data = {"csrf_token": csrf, "name": "all", "kind": "overdue", "channel": channel, "enabled": "true"}
    admin.post("/notification-rules/new", data=data)

    assert "1 rule will not tell anybody there any more" in admin.get("/notification-channels").text
    changed = {"csrf_token": csrf, "name": "operations"}
    assert ">Off<" in admin.post(f"/notification-channels/{channel}", data=changed, follow_redirects=True).text
    admin.post(f"/notification-channels/{channel}/remove", data={"csrf_token": csrf})
    assert "nobody" in admin.get("/notification-rules").text


def test_what_could_not_be_delivered_is_retried(
    admin: FlaskClient, channel: str, form_token: FormToken, database: Database
) -> None:
    """A test is listed at once; what failed has its reason, what it told, and a button."""
    csrf = form_token(admin, "/notifications")
    told = {"kind": "exploited-cve", "subject": "CVE-2026-1111", "title": "It is used", "detail": "", "host_count": 3}
    with database.transaction() as connection:
        connection.execute(
            insert(notification).values(
                channel_id=int(channel),
                rule="all",
                title="1 news",
                items=[told],
                state="failed",
                attempts=12,
                error="410 Gone",
            )
        )
    admin.post(f"/notification-channels/{channel}/test", data={"csrf_token": csrf})

    page = admin.get("/notifications").text
    assert "Test of the channel ops by admin" in page
    failed = admin.get("/notifications?show=failed").text
    assert "410 Gone" in failed
    assert "/cves/CVE-2026-1111" in failed
    assert "Test of the channel" not in failed
    [number] = re.findall(r"/notifications/(\d+)/retry", failed)
    admin.post(f"/notifications/{number}/retry", data={"csrf_token": csrf})
    assert "No message" not in admin.get("/notifications?show=waiting").text
    assert "410 Gone" not in admin.get("/notifications?show=failed").text


def test_who_may_not_change_rules_is_not_offered_it(ask: Callable[[str], FlaskClient]) -> None:
    """A viewer has no such entry in the menu."""
    assert "/notification-rules" not in ask("viewer").get("/hosts").text


def test_every_kind_of_news_has_words() -> None:
    """A new kind must not appear as a code."""
    assert set(NEWS) == set(KINDS)
