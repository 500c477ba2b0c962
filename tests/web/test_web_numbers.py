"""Each number is a link to the list that gives that number."""

import html
import re
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from patchbay_shared.db import Database
from patchbay_shared.exposure import REPOSITORY
from patchbay_shared.tables import (
    api_token,
    available_package,
    errata_source,
    host_credential,
    lifecycle,
    repository,
    repository_index,
    repository_set,
    repository_sync,
    user_account,
)
from patchbay_shared.versions import evr_key
from sqlalchemy import cast, func, insert, select, update
from sqlalchemy.dialects.postgresql import JSONB

_NUMBER = r"([\d\u202f]+)"
_TARGET = r'<a[^>]* href="(/(?:hosts|packages|repositories|users|attention/|feeds|end-of-life)[^"]*)"[^>]*>'
_LINK = re.compile(rf"{_TARGET}(?:(?!</a>).)*?(?<=>){_NUMBER}(?: [A-Za-z ]+)?(?:</(?:span|strong)>)?</a>")
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
    found = [
        (html.unescape(target), count)
        for target, count in _LINK.findall(admin.get(path.format(crawled=crawled)).text)
    ]
    found = [
        (target, count)
        for target, count in found
        if count != "0" and not re.fullmatch("/packages/[^?]+|/repositories/[^/]+", target)
    ]

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
