"""From a stored advisory to the verdict of a host: errata's store and the engine on one database."""

import hashlib
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import zstandard
from patchbay_errata.advisory import Advisory, Fix
from patchbay_errata.feeds import wanted_feeds
from patchbay_errata.outstanding import rate_outstanding
from patchbay_errata.sources_table import register
from patchbay_errata.store import Outcome, store_advisories
from patchbay_shared.bus import Bus, Delivery
from patchbay_shared.db import Database
from patchbay_shared.messages import AdvisoriesChanged, AdvisoryChange, ReportReceived
from patchbay_shared.receipts import new_receipt_id
from patchbay_shared.report import OsRelease, Report, ReportPackage, ReportRepository
from patchbay_shared.repositories import repository_id
from patchbay_shared.settings import settings_from
from patchbay_shared.tables import available_package, cve, repository, repository_index
from patchbay_shared.versions import evr_key
from patchbay_update_engine.handlers import Engine
from sqlalchemy import insert, text

MAIN = ReportRepository(id="main", type="deb", urls=["http://deb.example.org/debian"], suite="bookworm")
BOOKWORM = OsRelease(ID="debian", VERSION_ID="12", VERSION_CODENAME="bookworm")


class Fleet:
    """One Debian host with bash and zsh, of which main has newer versions; nothing is labelled security."""

    def __init__(self, database_of: Callable[[str | None], Database]) -> None:
        self.errata = database_of("errata")
        self.owner = database_of(None)
        bus = Bus("memory://")
        bus.publish = lambda *_, **__: None  # type: ignore[method-assign]  # nobody listens
        self.engine = Engine(settings_from({}), database_of("update-engine"), bus)
        with self.errata.transaction() as connection:
            register(connection, wanted_feeds(settings_from({}), 2026))
        with self.owner.transaction() as connection:
            number = repository_id(MAIN)
            connection.execute(
                insert(repository).values(
                    id=number, type="deb", name="main", url=MAIN.urls[0], generation=1, state="ok"
                )
            )
            index_id = connection.scalar(
                insert(repository_index)
                .values(repository_id=number, component="main", architecture="amd64", present=True)
                .returning(repository_index.c.id)
            )
            for position, (name, evr) in enumerate((("bash", "5.2-2"), ("zsh", "5.9-2"))):
                row = {"index_id": index_id, "name": name, "arch": "amd64", "evr": evr, "digest": position}
                connection.execute(insert(available_package).values(evr_key=evr_key("deb", evr), **row))

    def report(self, os_release: OsRelease = BOOKWORM) -> None:
        packages = [
            ReportPackage(name=name, version=version, release="1", arch="amd64", type="deb")
            for name, version in (("bash", "5.2"), ("zsh", "5.9"))
        ]
        report = Report(
            hostname="d1", arch="x86_64", native_arch="amd64", package_manager="apt", os_release=os_release,
            packages=packages, repos=[MAIN],
        )  # fmt: skip
        content = msgspec.msgpack.encode(report)
        digest = hashlib.sha256(content).hexdigest()
        header = ReportReceived(new_receipt_id(), uuid.uuid4(), time.time(), digest, len(content))
        headers = {"report": msgspec.json.encode(header).decode()}
        self.engine.report_received(Delivery("report.received", headers, zstandard.compress(content)))

    def publish(self, *fixes: Fix, **more: Any) -> Outcome:
        given: dict[str, Any] = {"id": "DSA-1-1", "vendor": "debian", "cves": ("CVE-2024-0001",)} | more
        record = Advisory(fixes=fixes, **given)
        with self.errata.transaction() as connection:
            return store_advisories(connection, "debian-dsa", [record])

    def announce(self, outcome: Outcome) -> None:
        changes = [
            AdvisoryChange(*key, outcome.generations[key], sorted(names)) for key, names in outcome.touched.items()
        ]
        body = msgspec.json.encode(AdvisoriesChanged("debian-dsa", changes))
        self.engine.recalculate(Delivery("advisories.changed", {}, body))

    def rated(self) -> list[tuple[Any, ...]]:
        """What errata's job says of the outstanding security updates."""
        rate_outstanding(self.errata)(threading.Event())
        return self.rows("SELECT severity, issued_at FROM outstanding_security")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.owner.transaction() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def security(self) -> list[tuple[Any, ...]]:
        return self.rows("SELECT name, advisories FROM verdict WHERE security ORDER BY name")


@pytest.fixture
def fleet(database_of: Callable[[str | None], Database]) -> Fleet:
    return Fleet(database_of)


def bash(evr: str = "5.2-2", *, distro_release: str = "bookworm") -> Fix:
    return Fix("debian", distro_release, "bash", "source", evr)


def test_an_advisory_makes_an_unlabelled_update_security(fleet: Fleet) -> None:
    """Exactly the package that it names, with the advisory in the verdict and in its reason."""
    fleet.publish(bash())

    fleet.report()

    assert fleet.security() == [("bash", ["DSA-1-1"])]
    [(why,)] = fleet.rows("SELECT why FROM verdict WHERE name = 'bash'")
    assert "DSA-1-1" in why
    assert fleet.rows("SELECT security_count FROM evaluation") == [(1,)]


def test_outstanding_security_updates_are_rated_by_their_advisories(fleet: Fleet) -> None:
    """The worst severity and the oldest date; again when an advisory is rated anew, though it fixes the same."""
    issued = datetime(2026, 1, 31, tzinfo=UTC)
    fleet.report()
    assert fleet.rated() == []

    fleet.announce(fleet.publish(bash(), issued_at=issued))
    assert fleet.rated() == [("unknown", issued)]

    fleet.publish(bash(), issued_at=issued, severity="critical")
    assert fleet.rated() == [("critical", issued)]
    assert fleet.rated() == [("critical", issued)]


def test_what_the_vendor_does_not_rate_is_rated_by_its_worst_cve(fleet: Fleet) -> None:
    """Debian's advisories have no severity: its tracker or NVD rates their CVEs. The vendor's word is first."""
    with fleet.errata.transaction() as connection:
        for name, severity in (("CVE-2026-1", "low"), ("CVE-2026-2", "high")):
            values = {"id": name, "source": "nvd-modified", "severity": severity}
            values |= {"digest": 1, "state": "published", "description": "", "vector": "", "cvss_version": "3.1"}
            connection.execute(insert(cve).values(**values, provider="nvd@nist.gov", metrics=[], cwes=[]))
    fleet.report()

    fleet.announce(fleet.publish(bash(), cves=("CVE-2026-1", "CVE-2026-2")))
    assert [severity for severity, _ in fleet.rated()] == ["high"]

    with fleet.errata.transaction() as connection:
        record = Advisory("CVE-2026-2", "debian", type="cve", severity="critical", cves=("CVE-2026-2",))
        store_advisories(connection, "debian-tracker", [record])
        connection.execute(text("UPDATE outstanding_security SET basis = ''"))
    assert [severity for severity, _ in fleet.rated()] == ["critical"]

    fleet.publish(bash(), cves=("CVE-2026-1", "CVE-2026-2"), severity="medium")
    assert [severity for severity, _ in fleet.rated()] == ["medium"]


def test_a_date_to_come_is_no_age(fleet: Fleet) -> None:
    """A publisher's wrong clock must not make a fix look new for years."""
    fleet.publish(bash(), issued_at=datetime(2999, 1, 1, tzinfo=UTC), severity="low")
    fleet.report()

    assert fleet.rated() == [("low", None)]


def test_an_advisory_for_another_release_decides_nothing(fleet: Fleet) -> None:
    """bullseye's fix is not bookworm's."""
    fleet.publish(bash(distro_release="bullseye"))

    fleet.report()

    assert fleet.security() == []


def test_a_new_advisory_judges_waiting_hosts_again(fleet: Fleet) -> None:
    """The message names the package, and the host that has it changes its mind."""
    fleet.report()
    assert fleet.security() == []

    fleet.announce(fleet.publish(bash()))

    assert fleet.security() == [("bash", ["DSA-1-1"])]


def test_an_advisory_of_no_installed_package_judges_nothing_again(fleet: Fleet) -> None:
    """The evaluation is only moved on to the new generation."""
    fleet.report()
    [before] = fleet.rows("SELECT evaluated_at FROM evaluation")

    fleet.announce(fleet.publish(Fix("debian", "bookworm", "nginx", "source", "1.22-9")))

    assert fleet.rows("SELECT evaluated_at FROM evaluation") == [before]
    assert fleet.rows("SELECT advisory_generation FROM evaluation") == [(1,)]


def test_the_sweep_finds_what_a_lost_message_would_have_said(fleet: Fleet) -> None:
    """The generations differ, so the host is stale."""
    fleet.report()
    fleet.publish(bash())

    fleet.engine.evaluate_stale(threading.Event())

    assert fleet.security() == [("bash", ["DSA-1-1"])]


def test_an_old_debian_that_does_not_name_its_release_is_known_by_number(fleet: Fleet) -> None:
    """jessie's os-release has no VERSION_CODENAME."""
    fleet.publish(bash(distro_release="jessie"))

    fleet.report(OsRelease(ID="debian", VERSION_ID="8"))

    assert fleet.security() == [("bash", ["DSA-1-1"])]
