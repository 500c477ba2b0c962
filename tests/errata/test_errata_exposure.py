"""The counts of each host's vulnerabilities, and what makes them be counted again."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from patchbay_errata.exposure import count_exposures
from patchbay_shared.db import Database
from patchbay_shared.tables import advisory, cve, host, host_exposure, known_exploited, risk_exception
from sqlalchemy import insert, select, update
from vulnerable_fleet import NOW, Seed

CVE = "CVE-2024-0001"


class Counted:
    """Three hosts of one release, of which two have an overdue CVE."""

    def __init__(self, database_of: Callable[[str | None], Database]) -> None:
        self.owner = database_of(None)
        self.run = count_exposures(database_of("errata"))
        with self.owner.transaction() as connection:
            made = Seed(connection)
            made.advisory("DSA-1-1", CVE, "bookworm bash 5.2-9", days_ago=100)
            made.advisory("DSA-2-1", "CVE-2024-0002", "bookworm bash 5.2-9")
            made.exploited("CVE-2024-0002", due_on=NOW.date() + timedelta(days=5))
            self.hosts = {
                name: made.host(name, "bookworm", f"bash {evr}", tags=tags)
                for name, evr, tags in (("a", "5.2-1", ["lab"]), ("b", "5.2-1", []), ("c", "5.2-9", []))
            }

    def count(self) -> None:
        self.run(threading.Event())

    def rows(self) -> dict[UUID, tuple[int, ...]]:
        table = host_exposure.c
        columns = (table.exposed_count, table.fixable_count, table.exploited_count, table.overdue_count)
        with self.owner.transaction() as connection:
            found = connection.execute(select(table.host_id, *columns, table.waived_count))
            return {row[0]: tuple(row[1:]) for row in found}


@pytest.fixture
def counted(database_of: Callable[[str | None], Database]) -> Counted:
    return Counted(database_of)


def test_each_hosts_cves_are_counted(counted: Counted) -> None:
    """Exposed, fixable, exploited, overdue, waived; and the first by priority is named."""
    counted.count()

    vulnerable = (2, 2, 1, 1, 0)
    assert counted.rows() == {
        counted.hosts["a"]: vulnerable,
        counted.hosts["b"]: vulnerable,
        counted.hosts["c"]: (0, 0, 0, 0, 0),
    }
    with counted.owner.transaction() as connection:
        worst = connection.scalars(select(host_exposure.c.worst_cve).order_by(host_exposure.c.worst_cve)).all()
    assert worst == ["", "CVE-2024-0002", "CVE-2024-0002"]


def test_an_exception_moves_a_cve_to_the_waived_ones_and_its_end_brings_it_back(counted: Counted) -> None:
    """Also when it only expires: nobody has to touch it."""
    counted.count()
    with counted.owner.transaction() as connection:
        values = {"owner": "Ann", "reason": "lab", "created_by": "ann", "expires_at": NOW + timedelta(days=1)}
        connection.execute(
            insert(risk_exception).values(kind="cve", subject=CVE, scope="tag", target="lab", **values)
        )
    counted.count()
    assert counted.rows()[counted.hosts["a"]] == (1, 1, 1, 0, 1)
    assert counted.rows()[counted.hosts["b"]] == (2, 2, 1, 1, 0)

    with counted.owner.transaction() as connection:
        connection.execute(update(risk_exception).values(expires_at=NOW - timedelta(hours=1)))
    counted.count()

    assert counted.rows()[counted.hosts["a"]] == (2, 2, 1, 1, 0)


def test_what_did_not_change_is_not_counted_again(counted: Counted) -> None:
    """A host that reports something else is; the others keep the time of their counts."""
    counted.count()
    with counted.owner.transaction() as connection:
        before = dict(connection.execute(select(host_exposure.c.host_id, host_exposure.c.counted_at)).all())  # type: ignore[arg-type]
        connection.execute(update(host).where(host.c.id == counted.hosts["b"]).values(tags=["moved"]))

    counted.count()

    with counted.owner.transaction() as connection:
        after = dict(connection.execute(select(host_exposure.c.host_id, host_exposure.c.counted_at)).all())  # type: ignore[arg-type]
    assert {number for number in after if after[number] != before[number]} == {counted.hosts["b"]}


def test_dates_ahead_of_the_clock_put_nothing_off(counted: Counted) -> None:
    """Advisories and CISA's entries of the year 2199 leave what else is known; no host counts as exposed later."""
    later = datetime(2199, 1, 1, tzinfo=UTC)
    with counted.owner.transaction() as connection:
        connection.execute(update(advisory).values(issued_at=later))
        connection.execute(
            update(known_exploited).values(added_on=later.date(), due_on=later.date() + timedelta(days=14))
        )
        values = {
            "source": "debian-dsa",
            "digest": 0,
            "state": "published",
            "description": "",
            "severity": "critical",
        }
        values |= {"vector": "", "cvss_version": "", "provider": "", "metrics": [], "cwes": []}
        for number in (CVE, "CVE-2024-0002"):
            connection.execute(insert(cve).values(id=number, published_at=NOW - timedelta(days=200), **values))

    counted.count()

    assert [row for row in counted.rows().values() if row[0]] == [(2, 2, 1, 2, 0)] * 2


def test_a_clock_that_is_a_little_ahead_means_now(counted: Counted) -> None:
    """Nothing is due at once because its advisory is of this evening in another zone."""
    with counted.owner.transaction() as connection:
        connection.execute(update(advisory).values(issued_at=NOW + timedelta(hours=6)))

    counted.count()

    assert {row[3] for row in counted.rows().values()} == {0}
