"""Each number is a link to the list that gives that number."""

import html
import re
import threading
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from patchbay_errata.exposure import count_exposures
from patchbay_shared.db import Database
from patchbay_shared.exposure import REPOSITORY
from patchbay_shared.tables import (
    api_token,
    available_package,
    errata_source,
    host_credential,
    lifecycle,
    package_event,
    repository,
    repository_index,
    repository_set,
    repository_sync,
    risk_exception,
    user_account,
)
from patchbay_shared.versions import evr_key
from sqlalchemy import cast, func, insert, select, update
from sqlalchemy.dialects.postgresql import JSONB
from vulnerable_fleet import NOW, Seed

_NUMBER = r"([\d\u202f]+)"
_TARGET = (
    r'<a[^>]* href="(/(?:hosts|packages|repositories|users|attention/|feeds|end-of-life|exceptions)[^"]*)"[^>]*>'
)
_LINK = re.compile(rf"{_TARGET}(?:(?!</a>).)*?(?<=>)(?:all )?{_NUMBER}(?: [A-Za-z ]+)?(?:</(?:span|strong)>)?</a>")
_FOOT = re.compile(rf'<div class="pb-foot">\s*<span class="pb-sub">{_NUMBER} ')


@pytest.fixture
def named(fleet: Any, database: Database) -> Any:
    """The fleet, its releases known."""
    with database.transaction() as connection:
        release = cast({"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm"}, JSONB)
        document = func.jsonb_set(cast(repository_set.c.document, JSONB), ["policy", "os_release"], release)
        connection.execute(update(repository_set).values(document=document))
        today = datetime.now(UTC).date()
        for ecosystem, version, name, days in (
            ("debian", "12", "Debian 12", 100),
            (REPOSITORY, r"://download\.docker\.com/", "Docker 27", 300),
        ):
            connection.execute(
                insert(lifecycle).values(
                    ecosystem=ecosystem, version=version, codename="", name=name, source="test",
                    ends_on=today + timedelta(days=days),
                )
            )  # fmt: skip
        for name, state in (("debian-dsa", "failing"), ("usn", "shrunk"), ("kev", "ok")):
            connection.execute(
                insert(errata_source).values(name=name, url="https://feeds.example.org", enabled=True, state=state)
            )
        owner = select(user_account.c.id).where(user_account.c.username == "viewer").scalar_subquery()
        for name, revoked_at in (("nightly", None), ("weekly", None), ("gone", func.now())):
            token = insert(api_token).values(
                user_id=owner, name=name, token_hash=name.encode(), prefix=name, revoked_at=revoked_at
            )
            connection.execute(token)
    return fleet


@pytest.fixture
def crawled(named: Any, database: Database, fleet_seed: ModuleType) -> UUID:
    """One of its repositories: it is being read, leads another one, and its indexes hold what they say."""
    found: UUID = named.repositories[fleet_seed.MAIN.id]
    with database.transaction() as connection:
        connection.execute(update(repository_index).values(package_count=2))
        number = connection.execute(
            insert(repository_index)
            .values(repository_id=found, component="contrib", architecture="amd64", package_count=1, present=True)
            .returning(repository_index.c.id)
        ).scalar_one()
        for index in connection.scalars(select(repository_index.c.id)):
            for name in ("openssl", "curl") if index != number else ("nginx",):
                offer = {"index_id": index, "name": name, "evr": "1-1", "evr_key": evr_key("deb", "1-1"), "digest": 1}
                connection.execute(insert(available_package).values(arch="amd64", **offer))
        connection.execute(
            update(repository)
            .where(repository.c.id == found)
            .values(leased_until=func.now() + timedelta(hours=1), next_sync_at=func.now() - timedelta(hours=2))
        )
        other = named.repositories[fleet_seed.SECURITY.id]
        connection.execute(
            update(repository)
            .where(repository.c.id == other)
            .values(linked_to=found, next_sync_at=func.now() - timedelta(hours=2))
        )
        for hours in range(12):
            connection.execute(
                insert(repository_sync).values(
                    repository_id=found, started_at=func.now() - timedelta(hours=hours), result="changed"
                )
            )
    return found


@pytest.mark.parametrize(
    ("path", "least"),
    [
        ("/hosts?columns=updates.security.packages", 10),
        ("/hosts/facets", 8),
        ("/releases", 2),
        ("/releases?tab=systems", 8),
        ("/releases?tab=domains", 3),
        ("/repositories", 3),
        ("/packages", 10),
        ("/packages/openssl", 1),
        ("/search?q=openssl", 1),
        ("/search?q=curl", 1),
        ("/repositories/{crawled}", 6),
        ("/queues", 2),
        ("/attention", 5),
        ("/end-of-life", 5),
        ("/users", 2),
        ("/roles", 2),
    ],
)
def test_each_number_is_that_of_the_list_it_leads_to(
    admin: FlaskClient, crawled: UUID, path: str, least: int
) -> None:
    """Every count of the page is asked for; the foot of the list says the same."""
    _assert_led(admin, admin.get(path.format(crawled=crawled)).text, least)


@pytest.mark.parametrize(
    ("action", "least"), [("tag", 2), ("group", 2), ("evaluate", 2), ("refresh", 2), ("delete", 1)]
)
def test_the_numbers_of_an_act_on_many_hosts_are_those_of_their_lists(
    admin: FlaskClient, fleet: Any, form_token: Any, action: str, least: int
) -> None:
    """Before it is done, while it is, and in the list of jobs; removed hosts have no list."""
    data = {"csrf_token": form_token(admin, "/hosts/act"), "action": action, "query": "web", "tags": "frontend"}
    asked = admin.post("/hosts/act", data=data).text
    followed = admin.post("/hosts/act", data={**data, "confirmed": "true"}, follow_redirects=True).text

    _assert_led(admin, asked, 1)
    _assert_led(admin, followed + admin.get("/jobs").text, least if action != "delete" else 0)
    assert ("query=job" in followed) == (action not in {"refresh", "delete"})


def test_the_numbers_of_a_merge_are_those_of_the_other_hosts_lists(
    admin: FlaskClient, fleet: Any, form_token: Any, database: Database
) -> None:
    """Its changes, receipts, kept reports and the exceptions that are for it alone."""
    path, other = f"/hosts/{fleet.hosts['db-01.example.com']}", fleet.hosts["web-01.example.com"]
    with database.transaction() as connection:
        for scope, target in (("host", str(other)), ("tag", "web")):
            values = {"kind": "cve", "subject": "CVE-2026-1", "owner": "Ann", "reason": "lab", "created_by": "ann"}
            connection.execute(insert(risk_exception).values(scope=scope, target=target, **values))
        connection.execute(insert(package_event).values(host_id=other, at=NOW, added_ids=[1], removed_ids=[]))

    asked = admin.post(f"{path}/merge", data={"csrf_token": form_token(admin, path), "other": "web-01.example.com"})

    _assert_led(admin, asked.text, 4)


def test_the_numbers_of_a_hosts_cves_are_those_of_its_list(admin: FlaskClient, database: Database) -> None:
    """Of its row, of its page and of the dashboard; what is waived is in none of them."""
    with database.transaction() as connection:
        seed = Seed(connection)
        for number, days_ago in ((1, 400), (2, 300), (3, 0), (4, 400)):
            cve, advisory = f"CVE-2026-000{number}", f"DSA-{number}-1"
            seed.advisory(advisory, cve, f"bookworm bash 5.2-{number + 1}", days_ago=days_ago)
        seed.exploited("CVE-2026-0001", due_on=NOW.date() - timedelta(days=9))
        seed.exploited("CVE-2026-0004", due_on=NOW.date() - timedelta(days=9))
        found = seed.host("web", "bookworm", "bash 5.2-1")
        values = {"kind": "cve", "subject": "CVE-2026-0004", "owner": "Ann", "reason": "lab", "created_by": "ann"}
        connection.execute(insert(risk_exception).values(scope="host", target=str(found), **values))
    count_exposures(database)(threading.Event())

    for path, least in (("/hosts?columns=cves.overdue", 3), ("/", 2)):
        page = admin.get(path).text
        assert f"/hosts/{found}?tab=cves&amp;only=overdue" in page
        _assert_led(admin, page, least)


def test_a_host_beside_another_one_is_narrowed_to_each_kind_of_difference(admin: FlaskClient, fleet: Any) -> None:
    """Each tile leads to as many packages as it says, and its statements to where they are from."""
    path = f"/hosts/{fleet.hosts['web-01.example.com']}"
    page = admin.get(f"{path}?tab=compare&host=db-01.example.com").text

    _assert_led(admin, page, 1)
    pills = re.findall(r'<a href="([^"]+)" class="card pb-pill', page)
    assert pills[1] == f"{path}?show=security"
    for target in pills:
        assert admin.get(html.unescape(target)).status_code == 200


def _assert_led(admin: FlaskClient, page: str, least: int) -> None:
    """At least so many numbers of the page are links, each to a list of as many."""
    found = [(html.unescape(target), count) for target, count in _LINK.findall(page) if count != "0"]
    found = [each for each in found if not re.fullmatch("/packages/[^?]+|/repositories/[^/]+", each[0])]

    assert len(found) >= least
    for target, count in found:
        answer = admin.get(target)
        assert answer.status_code == 200, target
        assert _FOOT.findall(answer.text)[:1] == [count], target


def test_a_host_that_enrolled_anew_is_approved_on_its_page(
    admin: FlaskClient, fleet: Any, database: Database, form_token: Any
) -> None:
    """Its page says that it waits; one click lets it in and comes back."""
    path = f"/hosts/{fleet.hosts['db-01.example.com']}"
    assert "waits for approval" not in admin.get(path).text
    with database.transaction() as connection:
        connection.execute(
            insert(host_credential).values(
                token_hash=b"anew",
                host_id=fleet.hosts["db-01.example.com"],
                hostname="db-01.example.com",
                machine_id="",
                pending=True,
            )
        )
    assert "waits for approval" in admin.get(path).text

    data = {"csrf_token": form_token(admin, path), "back": path}
    answer = admin.post(f"/hosts/add/{fleet.hosts['db-01.example.com']}/approve", data=data)

    assert (answer.status_code, answer.location) == (303, path)
    assert "waits for approval" not in admin.get(path).text
