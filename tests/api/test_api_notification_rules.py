"""Who is told what: rules that look for news."""

from datetime import UTC, datetime, time, timedelta
from types import ModuleType
from typing import Any

import pytest
from notification_office import NEVER, Office, Receiver
from patchbay_api.notifications.rules import is_quiet, title_of
from patchbay_shared.tables import (
    advisory,
    advisory_cve,
    advisory_fix,
    errata_source,
    host_exposure,
    known_exploited,
    notification_rule,
)
from patchbay_shared.versions import evr_key
from sqlalchemy import insert, select, update


def _expose(office: Office) -> None:
    """Two CVEs of openssl that are known to be exploited, one of them for long; one host is overdue."""
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


def test_news_are_told_once(office: Office, receiver: Receiver) -> None:
    """However often a rule looks."""
    office.rule("host-silent", channel=office.hook(receiver))

    for _ in range(3):
        office.look()
        office.notifier.deliver(NEVER)

    assert len(receiver.got) == 1


def test_what_was_so_before_the_rule_is_no_news(office: Office, receiver: Receiver) -> None:
    """Unless the rule asks for it."""
    office.rule("host-silent", channel=office.hook(receiver), include_present=False)
    office.look()
    assert office.told() == []

    office.silence("mail", hours=40)
    office.look()

    assert office.told() == [str(office.fleet.hosts["mail.example.com"])]


def test_an_advisory_on_many_hosts_is_one_item(office: Office, receiver: Receiver) -> None:
    """With the number of hosts and the packages: nobody reads a line a host."""
    office.rule("security-update", channel=office.hook(receiver))

    office.look()

    [row] = office.rows()
    found = {each["subject"]: (each["host_count"], each["detail"]) for each in row.items}
    assert found == {"DSA-5764-1": (4, "libssl3, openssl"), "DSA-5901-1": (4, "openssl")}
    assert row.title == "Patchbay: 2 security updates"


def test_a_rule_concerns_the_hosts_of_its_query(office: Office, receiver: Receiver) -> None:
    """Tags and groups, also those that operators gave."""
    office.rule("security-update", channel=office.hook(receiver), query="tag:web")

    office.look()

    assert {each["host_count"] for row in office.rows() for each in row.items} == {2}


def test_a_query_that_cannot_be_read_is_refused(office: Office, receiver: Receiver) -> None:
    """When the rule is made, with the place."""
    body = {
        "name": "x",
        "kinds": ["host-silent"],
        "channel_ids": [office.hook(receiver)],
        "query": "tag:web colour:red",
    }

    answer = office.admin.post("/api/v1/notification-rules", json=body)

    assert (answer.status_code, "colour" in answer.json["detail"]) == (422, True)


def test_a_delay_leaves_out_what_passes_by_itself(office: Office, receiver: Receiver) -> None:
    """Only what has been so for so long is told."""
    office.rule("host-silent", channel=office.hook(receiver), delay_minutes=30)
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
    office.rule("host-silent", channel=office.hook(receiver), digest_minutes=60)
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
    office.rule("host-silent", channel=office.hook(receiver), quiet_from="22:00", quiet_until="06:00")

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
    office.rule("host-silent", channel=office.hook(receiver))
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
    office.rule("mirror-stale", "dead-letters", channel=office.hook(receiver))

    office.look()

    [row] = office.rows()
    assert [(each["kind"], each["host_count"]) for each in row.items] == [
        ("dead-letters", 0),
        ("dead-letters", 0),
        ("mirror-stale", 2),
    ]


def test_overdue_hosts_and_newly_exploited_cves_are_events(office: Office, receiver: Receiver) -> None:
    """An exploited CVE with the number of hosts that it touches; one of long ago is no news."""
    _expose(office)
    office.rule("overdue", "exploited-cve", channel=office.hook(receiver))

    office.look()
    office.look()

    assert sorted((each["title"], each["host_count"]) for row in office.rows() for each in row.items) == [
        ("CVE-2026-0001 is being exploited", 6),
        ("mail.example.com has overdue vulnerabilities", 1),
    ]


def test_a_changed_rule_starts_anew(office: Office, receiver: Receiver) -> None:
    """With other hosts, what is so then is not news."""
    rule = office.rule("host-silent", channel=office.hook(receiver), query="tag:web", include_present=False)
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
    body = {"name": "x", "kinds": ["host-silent"], "channel_ids": [office.hook(receiver)], **change}

    answer = office.admin.post("/api/v1/notification-rules", json=body)

    assert answer.status_code == 422
    assert answer.json["pointer"].startswith(f"$.json.{field}")


def test_two_replicas_tell_once(office: Office, receiver: Receiver) -> None:
    """A rule that another process is looking at is passed over."""
    rule = office.rule("host-silent", channel=office.hook(receiver))
    with office.database.transaction() as connection:
        connection.execute(select(notification_rule).where(notification_rule.c.id == rule).with_for_update())
        office.look()

        assert office.rows() == []


def test_a_title_sums_up_several_kinds() -> None:
    """In the order of the items."""
    items = [{"kind": "host-silent"}, {"kind": "dead-letters"}, {"kind": "host-silent"}]

    assert title_of(items) == "Patchbay: 2 silent hosts, 1 kind of dead letters"


_QUERIES = [
    "os:debian",
    "security>0",
    "package:openssl<3.0.18",
    "seen<30d",
    "not group:lab",
    "tag:web or name:mail",
    "cve:CVE-2026-0001 security>0",
    'os:"debian" (tag:web or not reboot:yes)',
]


@pytest.mark.parametrize("query", _QUERIES)
def test_a_rule_is_asked_in_the_query_language(office: Office, receiver: Receiver, query: str) -> None:
    """It concerns exactly the hosts that the list of hosts finds by the same query."""
    _expose(office)
    office.admin.post("/api/v1/groups", json={"name": "lab"})
    office.admin.patch(f"/api/v1/hosts/{office.fleet.hosts['web-01.example.com']}", json={"group": "lab"})
    for name in office.fleet.hosts:
        office.silence(name.split(".")[0], hours=40)
    expected = {each["id"] for each in office.admin.get("/api/v1/hosts", query_string={"query": query}).json["items"]}
    office.rule("host-silent", channel=office.hook(receiver), query=query)

    office.look()

    assert set(office.told()) == expected
    assert expected


def test_a_rule_costs_one_query_for_its_hosts(office: Office, receiver: Receiver) -> None:
    """However many terms it has, and however many hosts they find."""
    channel = office.hook(receiver)
    office.rule("host-silent", channel=channel, include_present=False)
    office.look()
    without = office.statements(office.look)
    rule = office.admin.get("/api/v1/notification-rules").json["items"][0]["id"]
    change = {"query": "os:debian security>=0 package:openssl<99 not group:lab"}
    assert office.admin.patch(f"/api/v1/notification-rules/{rule}", json=change).status_code == 200
    office.look()

    assert office.statements(office.look) == without + 1


@pytest.mark.parametrize(
    ("query", "position", "length"),
    [("tag:web colour:red", 8, 10), ("security>many", 9, 4), ("(tag:web", 0, 1), ("seen<soon not group:lab", 5, 4)],
)
def test_a_mistake_in_a_rules_query_is_pointed_at(
    office: Office, receiver: Receiver, query: str, position: int, length: int
) -> None:
    """When the rule is made, and when it is changed."""
    rule = office.rule("host-silent", channel=office.hook(receiver))
    body = {"name": "x", "kinds": ["host-silent"], "channel_ids": [1], "query": query}

    answers = [
        office.admin.post("/api/v1/notification-rules", json=body),
        office.admin.patch(f"/api/v1/notification-rules/{rule}", json={"query": query}),
    ]

    for answer in answers:
        assert (answer.status_code, answer.json["pointer"]) == (422, "$.json.query")
        assert (answer.json["position"], answer.json["length"]) == (position, length)


def test_a_rule_that_cannot_be_read_any_more_says_so_and_the_others_go_on(office: Office, receiver: Receiver) -> None:
    """As one that an older version took."""
    channel = office.hook(receiver)
    broken = office.rule("host-silent", channel=channel, name="broken")
    office.rule("host-silent", channel=channel, name="sound")
    with office.database.transaction() as connection:
        connection.execute(
            update(notification_rule).where(notification_rule.c.id == broken).values(query="colour:red")
        )

    office.look()

    rules = {each["name"]: each["error"] for each in office.admin.get("/api/v1/notification-rules").json["items"]}
    assert "colour" in rules["broken"]
    assert (rules["sound"], [row.rule for row in office.rows()]) == ("", ["sound"])
