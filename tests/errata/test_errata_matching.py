"""Traps of matching: which fix is meant for which installed package."""

import io
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import zstandard
from patchbay_errata.advisory import Fix, Rejected
from patchbay_errata.exposure import count_exposures
from patchbay_errata.sources import csaf, oval
from patchbay_errata.updateinfo import read_updateinfo
from patchbay_shared.catalogue import AdvisoryPackage, IndexContent, RepositoryAdvisory
from patchbay_shared.db import Database
from patchbay_shared.errors import InvalidInput
from patchbay_shared.exposure import EXPOSED_TAGS, LEVELS, STATES, host_cves
from patchbay_shared.source_packages import source_of
from patchbay_shared.tables import host, package, package_set, repository, repository_index, repository_set
from patchbay_shared.versions import evr_key
from sqlalchemy import Connection, delete, insert, text, update
from vulnerable_fleet import NOW

CVE = "CVE-2024-0001"


class RpmFleet:
    """Hosts of rpm distributions, and repositories with updateinfo."""

    def __init__(self, database_of: Callable[[str | None], Database]) -> None:
        self.owner = database_of(None)
        self.errata = database_of("errata")
        self._count = 0

    def repository(self, *advisories: RepositoryAdvisory) -> UUID:
        number = uuid4()
        with self.owner.transaction() as connection:
            connection.execute(
                insert(repository).values(
                    id=number, type="rpm-md", name="r", url=f"https://r.example/{number}", generation=1, state="ok"
                )
            )
            connection.execute(
                insert(repository_index).values(
                    repository_id=number, component="", architecture="", present=True, content=_packed(advisories)
                )
            )
        return number

    def publish(self, number: UUID, *advisories: RepositoryAdvisory) -> None:
        """What the repository says from now on."""
        with self.owner.transaction() as connection:
            connection.execute(update(repository_index).values(content=_packed(advisories)))
            connection.execute(update(repository).where(repository.c.id == number).values(generation=2))

    def host(self, os_id: str, version: str, *packages: str, repositories: list[UUID], label: str = "") -> UUID:
        number = uuid4()
        with self.owner.transaction() as connection:
            ids = [self._package(connection, each, label) for each in packages]
            set_id = self._one(
                connection, package_set, digest=self._digest(), package_ids=sorted(ids), held_ids=[], config_ids=[]
            )
            release = {"ID": os_id, "VERSION_ID": version}
            repositories_id = self._one(
                connection, repository_set, digest=self._digest(), repository_ids=sorted(repositories),
                document={"repositories": [], "policy": {"package_manager": "dnf", "os_release": release}},
            )  # fmt: skip
            connection.execute(
                insert(host).values(
                    id=number, hostname=str(number), machine_id="", facts={}, os_name=os_id, arch="x86_64", kernel="",
                    boot_id="", tags=[], content_digest=b"", package_set_id=set_id, package_count=len(ids),
                    repository_set_id=repositories_id, first_report_at=NOW, last_report_at=NOW, changed_at=NOW,
                )
            )  # fmt: skip
        return number

    def read(self) -> None:
        read_updateinfo(self.errata)(threading.Event())

    def states(self, host_id: UUID) -> dict[str, str]:
        parameters = {"host_ids": [host_id], "levels": list(LEVELS), "exposed_tags": list(EXPOSED_TAGS)}
        with self.owner.transaction() as connection:
            return {row.cve: STATES[row.rank] for row in connection.execute(text(host_cves()), parameters)}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.owner.transaction() as connection:
            return [tuple(row) for row in connection.execute(text(sql))]

    def _package(self, connection: Connection, nevra: str, label: str) -> int:
        name, evr, arch = nevra.split()
        values = {"type": "rpm", "name": name, "arch": arch, "evr": evr, "evr_key": evr_key("rpm", evr)}
        details = {"modularitylabel": label} if label else None
        return self._one(connection, package, digest=self._digest(), details=details, source_name=name, **values)

    def _one(self, connection: Connection, table: Any, **values: Any) -> int:
        return int(connection.scalar(insert(table).values(**values).returning(table.c.id)) or 0)

    def _digest(self) -> bytes:
        self._count += 1
        return self._count.to_bytes(16, "big")


def _packed(advisories: tuple[RepositoryAdvisory, ...]) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode(IndexContent(advisories=list(advisories))))


def update_of(*packages: str, **more: Any) -> RepositoryAdvisory:
    """A security update of `name evr arch` packages."""
    module = more.pop("module", "")
    listed = [AdvisoryPackage(*each.split()[:1], each.split()[2], each.split()[1], module) for each in packages]
    values = {
        "id": "ALAS-2024-1",
        "type": "security",
        "severity": "Important",
        "issued_at": "2024-01-02 03:04",
        **more,
    }
    return RepositoryAdvisory(cves=[CVE], packages=listed, **values)


@pytest.fixture
def fleet(database_of: Callable[[str | None], Database]) -> RpmFleet:
    return RpmFleet(database_of)


def test_updateinfo_is_for_hosts_of_its_repository_only(fleet: RpmFleet) -> None:
    """AL2's advisory is not AL2023's, and the same package on RHEL is not Rocky's."""
    amazon2 = fleet.repository(update_of("bash 5.2-2.amzn2 x86_64"))
    amazon2023 = fleet.repository()
    old = fleet.host("amzn", "2", "bash 5.2-1.amzn2 x86_64", repositories=[amazon2])
    new = fleet.host("amzn", "2023", "bash 5.2-1.amzn2023 x86_64", repositories=[amazon2023])
    rocky = fleet.host("rocky", "9", "bash 5.2-1.el9 x86_64", repositories=[])

    fleet.read()

    assert (fleet.states(old), fleet.states(new), fleet.states(rocky)) == ({CVE: "fix-available"}, {}, {})
    assert fleet.rows("SELECT vendor, severity, issued_at::date::text FROM advisory") == [
        ("amazon", "high", "2024-01-02")
    ]


def test_updateinfo_that_changed_is_read_again_and_what_is_gone_is_forgotten(fleet: RpmFleet) -> None:
    """A retracted update fixes nothing, but stays listed; with its repository it goes."""
    number = fleet.repository(update_of("bash 5.2-2 x86_64"))
    host_id = fleet.host("fedora", "42", "bash 5.2-1 x86_64", repositories=[number])
    fleet.read()
    assert fleet.states(host_id) == {CVE: "fix-available"}

    fleet.publish(number, update_of("bash 5.2-2 x86_64", status="retracted"))
    fleet.read()
    assert fleet.states(host_id) == {}
    assert fleet.rows("SELECT status FROM advisory") == [("retracted",)]

    with fleet.owner.transaction() as connection:
        connection.execute(delete(repository))
    fleet.read()
    assert fleet.rows("SELECT name FROM errata_source WHERE repository_id IS NOT NULL") == []


def test_what_updateinfo_says_is_not_announced(fleet: RpmFleet) -> None:
    """The engine reads the repository itself."""
    fleet.repository(update_of("bash 5.2-2 x86_64"))

    fleet.read()

    assert fleet.rows("SELECT * FROM advisory_release") == []


def test_one_bad_update_is_put_aside_and_the_others_stored(fleet: RpmFleet) -> None:
    """With its id and the reason; a date that is none costs nothing but itself."""
    good = update_of("bash 5.2-2 x86_64", issued_at="tomorrow")
    fleet.repository(good, update_of("bash 1:2:3-4 x86_64", id="BAD-1"))

    fleet.read()

    assert fleet.rows("SELECT name, issued_at FROM advisory") == [("ALAS-2024-1", None)]
    [(count, rejected)] = fleet.rows(
        "SELECT rejected_count, rejected FROM errata_source WHERE repository_id IS NOT NULL"
    )
    assert (count, rejected[0][0]) == (1, "BAD-1")


@pytest.mark.parametrize(
    ("label", "module", "evr", "found"),
    [
        ("ruby:2.5:8010:abc", "ruby:2.6", "2.6.9-1.module+el8", False),
        ("ruby:2.6:8010:abc", "ruby:2.6", "2.6.9-1.module+el8", True),
        ("", "ruby:2.6", "2.6.9-1.module+el8", False),
        ("ruby:2.6:8010:abc", "", "2.6.9-1.el8", False),
        ("", "", "2.6.9-1.module+el8", False),
        ("", "", "2.6.9-1.el8", True),
    ],
)
def test_a_module_streams_fix_is_for_packages_of_that_stream(
    fleet: RpmFleet, label: str, module: str, evr: str, found: bool
) -> None:
    """And a plain fix for plain packages: ruby 2.5 does not need 2.6's."""
    number = fleet.repository(update_of(f"ruby {evr} x86_64", module=module))
    host_id = fleet.host("rhel", "8.9", "ruby 2.5.1-1.el8 x86_64", repositories=[number], label=label)

    fleet.read()

    assert bool(fleet.states(host_id)) is found


def test_a_fix_for_another_architecture_is_none(fleet: RpmFleet) -> None:
    """One updateinfo lists the packages of every architecture of its tree."""
    number = fleet.repository(update_of("bash 5.2-2 aarch64", "tool 2-1 noarch"))
    other = fleet.host("fedora", "42", "bash 5.2-1 x86_64", repositories=[number])
    anywhere = fleet.host("fedora", "42", "tool 1-1 noarch", repositories=[number])

    fleet.read()

    assert (fleet.states(other), fleet.states(anywhere)) == ({}, {CVE: "fix-available"})


def test_an_advisory_without_packages_is_kept_and_touches_nobody(fleet: RpmFleet) -> None:
    """Fedora's modular updates name their packages in the title only."""
    number = fleet.repository(update_of())
    host_id = fleet.host("fedora", "29", "ant 1-1 noarch", repositories=[number])

    fleet.read()

    assert (fleet.states(host_id), fleet.rows("SELECT count(*) FROM advisory")) == ({}, [(1,)])


def test_the_old_kernel_of_an_rpm_host_runs_beside_the_fixed_one(fleet: RpmFleet) -> None:
    """Kernels are installed side by side; uname says which one counts."""
    number = fleet.repository(update_of("kernel-core 5.14.0-503.el9 x86_64"))
    packages = ["kernel-core 5.14.0-427.el9 x86_64", "kernel-core 5.14.0-503.el9 x86_64"]
    host_id = fleet.host("centos", "9", *packages, repositories=[number])
    fleet.read()
    for running, state in (("5.14.0-427.el9.x86_64", "restart-pending"), ("5.14.0-503.el9.x86_64", "fixed")):
        with fleet.owner.transaction() as connection:
            connection.execute(update(host).values(kernel=running))

        assert fleet.states(host_id) == {CVE: state}


def test_new_updateinfo_is_counted(fleet: RpmFleet) -> None:
    """The host that uses the repository is counted again."""
    number = fleet.repository()
    fleet.host("fedora", "42", "bash 5.2-1 x86_64", repositories=[number])
    count = count_exposures(fleet.errata)
    fleet.read()
    count(threading.Event())

    fleet.publish(number, update_of("bash 5.2-2 x86_64"))
    fleet.read()
    count(threading.Event())

    assert fleet.rows("SELECT exposed_count FROM host_exposure") == [(1,)]


@pytest.mark.parametrize(
    ("source", "version", "named"),
    [
        ("linux-signed-amd64", "6.1.119+1", ("linux", "6.1.119-1")),
        ("linux-signed-arm64", "6.11.10+1~bpo12+1", ("linux", "6.11.10-1~bpo12+1")),
        ("linux-signed", "5.15.0-91.101", ("linux", "5.15.0-91.101")),
        ("linux-signed-hwe-6.5", "6.5.0-14.14~22.04.1", ("linux-hwe-6.5", "6.5.0-14.14~22.04.1")),
        ("fwupd-amd64-signed", "1:1.4+1", ("fwupd", "1:1.4-1")),
        ("grub-efi-amd64-signed", "1+2.06+13+deb12u1", ("grub2", "2.06-13+deb12u1")),
        ("openssl", "3.0.1-1", ("openssl", "3.0.1-1")),
    ],
)
def test_a_signed_package_is_known_by_the_source_that_was_signed(
    source: str, version: str, named: tuple[str, str]
) -> None:
    """Advisories name linux, never linux-signed-amd64."""
    assert source_of(source, version) == named


def test_a_module_of_suse_is_for_every_product_that_has_it() -> None:
    """Basesystem 15 SP4 is part of SLES, SLED and SLES for SAP; LTSS is a product of its own."""
    assert {each for each, _ in csaf.suse_releases("SUSE Linux Enterprise Module for Basesystem 15 SP4")} == {
        "sles",
        "sled",
        "sles_sap",
    }
    assert csaf.suse_releases("SUSE Linux Enterprise Server 12 SP5-LTSS")[0][1] == ""


OVAL = """<oval_definitions xmlns="http://oval.mitre.org/XMLSchema/oval-definitions-5"><definitions>
<definition class="patch" id="d:1"><metadata><title>ALSA-2024:1: ruby</title>
<reference source="ALSA" ref_id="ALSA-2024:1"/><advisory><severity>Moderate</severity></advisory></metadata>
<criteria operator="AND"><criterion test_ref="t:0" comment="AlmaLinux 8 is installed"/>
<criterion test_ref="t:0" comment="Module ruby:2.6 is enabled"/>
<criterion test_ref="t:1" comment="ruby is earlier than 0:2.6.9-1"/></criteria></definition>%s</definitions>
<tests><rpminfo_test id="t:1"><object object_ref="o:1"/><state state_ref="s:1"/></rpminfo_test></tests>
<objects><rpminfo_object id="o:1"><name>ruby</name></rpminfo_object></objects>
<states><rpminfo_state id="s:1"><evr datatype="evr_string" operation="less than">0:2.6.9-1</evr></rpminfo_state>
</states></oval_definitions>"""


def test_oval_says_platform_and_module_beside_the_package() -> None:
    """An advisory without a date is kept without one."""
    [found] = oval.definitions(io.BytesIO((OVAL % "").encode()), Rejected())

    assert found.fixes == (Fix("almalinux", "8", "ruby", "binary", "0:2.6.9-1", module="ruby:2.6"),)
    assert (found.id, found.severity, found.issued_at) == ("ALSA-2024:1", "medium", None)


@pytest.mark.parametrize(
    "data",
    [
        "<html><body>moved</body></html>",
        (OVAL % "")[:700],
        '<!DOCTYPE x [<!ENTITY a "aaaa">]>' + OVAL % "&a;",
        '{"definitions": []}',
        "<oval_definitions/>",
        OVAL % ("<a>" * 100 + "</a>" * 100),
    ],
)
def test_what_is_no_oval_is_refused_whole(data: str) -> None:
    """A web page, half a file, an entity bomb, JSON, nothing at all, a tower of elements."""
    with pytest.raises(InvalidInput):
        list(oval.definitions(io.BytesIO(data.encode()), Rejected()))
