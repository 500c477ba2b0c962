"""A fleet with vulnerabilities in the database: what other services would have written."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from patchbay_shared.tables import (
    advisory,
    advisory_cve,
    advisory_fix,
    cve,
    errata_source,
    exploit_score,
    host,
    known_exploited,
    package,
    package_event,
    package_set,
    repository_set,
)
from patchbay_shared.versions import evr_key
from sqlalchemy import Connection, insert, select

NOW = datetime.now(UTC)
NAMESPACE = UUID("7d8e1f0a-8f0e-4f8e-9a53-0b5a7f3f8a12")


class Seed:
    """Writes what other services would have written, row by row."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._count = 0
        self._packages: dict[str, int] = {}
        connection.execute(insert(errata_source).values(name="debian-dsa", url="https://x", enabled=True))

    def host(
        self, name: str, codename: str, *packages: str, source: str | None = None, built: str = "", **more: Any
    ) -> UUID:
        """A Debian host with `name evr` packages, built from `source` at version `built`."""
        ids = [self.package(each, source=source, built=built) for each in packages]
        number = uuid5(NAMESPACE, name)
        set_id = self._one(
            package_set, package_set.c.id, digest=self._digest(), package_ids=sorted(ids), held_ids=[], config_ids=[]
        )
        os_release = {"ID": "debian", "VERSION_CODENAME": codename}
        document = {"repositories": [], "policy": {"package_manager": "apt", "os_release": os_release}}
        repositories = self._one(
            repository_set, repository_set.c.id, digest=self._digest(), repository_ids=[], document=document
        )
        self._connection.execute(
            insert(host).values(
                **{
                    "id": number, "hostname": name, "machine_id": name, "facts": {}, "os_name": f"Debian {codename}",
                    "arch": "x86_64", "kernel": "6.1", "boot_id": "", "tags": [], "content_digest": b"",
                    "package_set_id": set_id, "repository_set_id": repositories, "package_count": len(ids),
                    "first_report_at": NOW, "last_report_at": NOW, "changed_at": NOW, **more,
                }
            )
        )  # fmt: skip
        return number

    def package(self, named: str, *, source: str | None = None, built: str = "") -> int:
        """A package `name evr`; the same one again if it is there."""
        label, evr = named.split()
        if named not in self._packages:
            values = {"type": "deb", "name": label, "arch": "amd64", "evr": evr, "evr_key": evr_key("deb", evr)}
            values |= {"source_name": source or label, "source_key": evr_key("deb", built or evr)}
            self._packages[named] = self._one(package, package.c.id, digest=self._digest(), **values)
        return self._packages[named]

    def replaced(self, host_id: UUID, old: str, new: str, *, days_ago: int = 0) -> None:
        """An update that the host has reported."""
        self._connection.execute(
            insert(package_event).values(
                host_id=host_id,
                at=NOW - timedelta(days=days_ago),
                added_ids=[self.package(new)],
                removed_ids=[self.package(old)],
            )
        )

    def score(self, cve_id: str, score: float | None, *, epss: float | None = None, **more: Any) -> None:
        """What NVD and EPSS say of a CVE."""
        severity = "" if score is None else "critical" if score >= 9 else "high" if score >= 7 else "medium"
        values = {"severity": severity, "vector": "V", "cvss_version": "3.1", "provider": "x", "metrics": [], **more}
        values = {"cwes": ["CWE-79"], "state": "published", "description": "d", **values}
        self._connection.execute(insert(cve).values(id=cve_id, source="debian-dsa", digest=0, score=score, **values))
        if epss is not None:
            self._connection.execute(
                insert(exploit_score).values(cve=cve_id, score=epss, percentile=0.9, model="m", scored_on=NOW.date())
            )

    def exploited(self, cve_id: str, *, due_on: date, added_on: date | None = None) -> None:
        """An entry of CISA's catalogue."""
        values = {
            "added_on": added_on or NOW.date(),
            "due_on": due_on,
            "ransomware": False,
            "title": "",
            "action": "",
        }
        self._connection.execute(insert(known_exploited).values(cve=cve_id, **values))

    def advisory(
        self, name: str, cve_id: str, *fixes: str, kind: str = "security", days_ago: int = 0, **more: Any
    ) -> None:
        """Fixes are `codename source evr`; an evr of `-` means that there is none."""
        self._count += 1
        values = {
            "severity": more.pop("severity", "high"),
            "vendor_severity": "",
            "status": "final",
            "title": f"{name} title",
            "links": [],
        }
        self._connection.execute(
            insert(advisory).values(
                id=self._count, source="debian-dsa", name=name, part=1, digest=0, vendor="debian", type=kind,
                description="<b>text</b>", url="", issued_at=NOW - timedelta(days=days_ago), **values,
            )
        )  # fmt: skip
        self._connection.execute(insert(advisory_cve).values(advisory_id=self._count, cve=cve_id))
        for each in fixes:
            codename, source, evr = each.split()
            fixed = evr != "-"
            row = {"kind": "source", "arch": "", "module": "", "pocket": "", "note": "", "state": "fixed", **more}
            self._connection.execute(
                insert(advisory_fix).values(
                    advisory_id=self._count, ecosystem="debian", distro_release=codename, package=source,
                    evr=evr if fixed else "", evr_key=evr_key("deb", evr) if fixed else None, **row,
                )
            )  # fmt: skip

    def names(self, name: str, *cve_ids: str) -> None:
        """More CVEs of an advisory that is there."""
        number = self._connection.scalar(select(advisory.c.id).where(advisory.c.name == name))
        rows = [{"advisory_id": number, "cve": each} for each in cve_ids]
        self._connection.execute(insert(advisory_cve), rows)

    def _one(self, table: Any, column: Any, **values: Any) -> int:
        return int(self._connection.scalar(insert(table).values(**values).returning(column)) or 0)

    def _digest(self) -> bytes:
        self._count += 1
        return self._count.to_bytes(16, "big")
