"""`patchbay demo`: a fleet that does not exist, made of packages that do.

What a host has installed is drawn from the repositories that its distribution really uses, fetched as the server
fetches them (PATCHBAY_MIRROR_MAP included). The hosts enrol and report as every host does; each simulated day some
of them install their updates, some join and a few fall silent. Between the days everything that was recorded is
moved back by a day, the only thing that no host could do.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import requests
from patchbay_api.store.trends import take_snapshot
from patchbay_repo_sync.snapshot import Snapshots
from patchbay_shared.catalogue import AvailablePackage
from patchbay_shared.db import Database
from patchbay_shared.embedded import start_postgres
from patchbay_shared.errors import PatchbayError, StartupError
from patchbay_shared.report import Report, ReportPackage, StaleService
from patchbay_shared.repositories import indexes
from patchbay_shared.settings import Settings
from patchbay_shared.tables import metadata
from sqlalchemy import Date, DateTime, Table, text

from patchbay.commands.remote import unanswered
from patchbay.demo_distributions import DISTRIBUTIONS, ROLES, Distribution
from patchbay.standalone import DATABASE

PACKAGE_COUNT = 380
"""Packages of a host beside those of its role."""
TIMEOUT_SECONDS = 120
_SILENT_SHARE = 0.04
_JOINING_SHARE = 0.3
_APART_DAYS = 100_000
"""Moved by one day at once, yesterday's and today's row could meet where times are unique."""


@dataclass
class Host:
    """One host of the fleet, as it is on the present day of the simulation."""

    name: str
    tags: list[str]
    distribution: Distribution
    versions: dict[str, list[AvailablePackage]]
    """Name to the versions that its repositories have, the oldest first."""
    chance: random.Random
    joins_on: int
    diligence: float
    """Probability that it installs its updates on a given day."""
    silent_from: int | None = None
    level: dict[str, int] = field(default_factory=dict)
    """Name to the place of the installed version in `versions`."""
    boots: int = 0
    token: str = ""

    def patch(self) -> None:
        """Install most of what is outstanding."""
        for name, versions in self.versions.items():
            if self.level[name] < len(versions) - 1 and self.chance.random() < 0.9:
                self.level[name] = len(versions) - 1
        if self.chance.random() < 0.7:
            self.boots += 1

    def report(self) -> Report:
        """What it would send now."""
        packages = [
            _installed(self.versions[name][level], self.distribution) for name, level in sorted(self.level.items())
        ]
        stale = self.boots == 0 and any(self.level.values())
        services = [StaleService(name="nginx.service", pid=812, reason="it runs a libssl that was replaced")]
        return Report(
            hostname=self.name,
            packages=packages,
            repos=list(self.distribution.repositories),
            arch=self.distribution.arch,
            kernel=self.distribution.kernel,
            os=self.distribution.os_release.PRETTY_NAME,
            os_release=self.distribution.os_release,
            package_manager=self.distribution.package_manager,
            native_arch=self.distribution.native_arch,
            machine_id=UUID(int=random.Random(self.name).getrandbits(128)).hex,  # noqa: S311  (a made name)
            boot_id=UUID(int=random.Random(f"{self.name}{self.boots}").getrandbits(128)).hex,  # noqa: S311
            tags=self.tags,
            reboot_required=stale if self.distribution.package_manager == "apt" else None,
            reboot_reasons=["libc6", "linux-image-amd64"] if stale else [],
            stale_services=services if stale and "web" in self.tags else [],
            agent_version="demo",
            collect_seconds=round(self.chance.uniform(0.4, 2.5), 2),
            collected_at=datetime.now(UTC).timestamp(),
        )


def make_fleet(
    count: int, snapshots: Snapshots, *, days: int, seed: int, announce: Callable[[str], None]
) -> list[Host]:
    """The hosts, of those distributions whose repositories can be read. Raises StartupError if there are none."""
    chance = random.Random(seed)  # noqa: S311  (a reproducible fleet, nothing secret)
    readable = []
    for each in DISTRIBUTIONS:
        try:
            readable.append((each, _versions(each, snapshots)))
        except PatchbayError as exc:
            announce(f"{each.os_release.PRETTY_NAME} is left out, a repository cannot be read: {exc}")
    if not readable:
        raise StartupError(
            "No distribution's repositories can be read; name copies of them with PATCHBAY_MIRROR_MAP, "
            "for the server as well."
        )
    weights = [each.weight for each, _ in readable]
    numbers: dict[str, int] = {}
    fleet = []
    for _ in range(count):
        joins_on = chance.randrange(days) if chance.random() < _JOINING_SHARE else 0
        # Whoever falls silent has reported before: the fleet has as many hosts as were asked for.
        falls_silent = joins_on + 1 < days and chance.random() < _SILENT_SHARE
        distribution, offered = chance.choices(readable, weights)[0]
        role, site = chance.choice(list(ROLES)), chance.choice(("ams", "fra", "nyc"))
        numbers[role] = numbers.get(role, 0) + 1
        chosen = _choose(distribution, role, offered, chance)
        fleet.append(
            Host(
                name=f"{role}-{numbers[role]:02}.{site}.example.com",
                tags=[role, site, "production" if chance.random() < 0.7 else "staging"],
                distribution=distribution,
                versions=chosen,
                chance=random.Random(chance.getrandbits(64)),  # noqa: S311
                joins_on=joins_on,
                diligence=chance.choice((0.0, 0.02, 0.05, 0.12, 0.3)),
                silent_from=chance.randrange(joins_on + 1, days) if falls_silent else None,
                level={name: _first_level(versions, chance) for name, versions in chosen.items()},
            )
        )
    return fleet


class Server:
    """A running Patchbay, as hosts reach it."""

    def __init__(self, url: str, enrolment_token: str) -> None:
        self._url = url.rstrip("/")
        self._enrolment_token = enrolment_token
        self._session = requests.Session()

    def reach(self) -> None:
        """Raises StartupError if nothing answers there."""
        self._asked("GET", "/healthz", "", b"")

    def enrol(self, host: Host) -> None:
        """Get the host a token of its own. Raises StartupError with what the server says."""
        report = host.report()
        body = {"hostname": report.hostname, "machine_id": report.machine_id}
        host.token = self._post("/api/v1/enrol", self._enrolment_token, msgspec.json.encode(body))["token"]

    def send(self, host: Host) -> None:
        """Post its report. Raises StartupError with what the server says."""
        self._post("/api/v1/reports", host.token, msgspec.json.encode(host.report()))

    def _post(self, path: str, token: str, body: bytes) -> dict[str, str]:
        answer = self._asked("POST", path, token, body)
        if not answer.ok:
            raise StartupError(f"{self._url}{path} answered {answer.status_code}: {answer.text[:300]}")
        decoded: dict[str, str] = answer.json()
        return decoded

    def _asked(self, method: str, path: str, token: str, body: bytes) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        try:
            return self._session.request(
                method, self._url + path, data=body, headers=headers, timeout=TIMEOUT_SECONDS
            )
        except requests.RequestException as exc:
            raise StartupError(unanswered(self._url, exc, option="--server")) from exc


def live(fleet: Sequence[Host], server: Server, *, days: int, pass_a_day: Callable[[], None]) -> Iterator[int]:
    """Let the fleet live; yields after each day how many reports were sent on it."""
    for day in range(days):
        sent = 0
        for host in fleet:
            if host.joins_on > day or (host.silent_from is not None and day >= host.silent_from):
                continue
            if not host.token:
                server.enrol(host)
            elif host.chance.random() < host.diligence:
                host.patch()
            server.send(host)
            sent += 1
        yield sent
        if day < days - 1:
            pass_a_day()


def passing_day(owner: Database) -> Callable[[], None]:
    """A function that notes the day's figures and moves everything that was recorded into the past by a day."""

    def pass_a_day() -> None:
        with owner.transaction() as connection:
            # The figures that the API noted while the day was not over yet give way to those of its end.
            connection.execute(text("DELETE FROM fleet_snapshot WHERE at = date_trunc('hour', now())"))
            take_snapshot(connection)
            for days in (_APART_DAYS, -_APART_DAYS - 1):
                for table in _recorded():
                    columns = [c.name for c in table.columns if isinstance(c.type, DateTime | Date)]
                    moved = ", ".join(f"{name} = {name} + interval '{days} days'" for name in columns)
                    connection.execute(text(f"UPDATE {table.name} SET {moved}"))

    return pass_a_day


def _recorded() -> list[Table]:
    """The tables of what was said and concluded about hosts, and of the fleet's figures, with a time in them."""
    return [
        table
        for table in metadata.sorted_tables
        if (table.info.get("writer") in {"update-engine", "ingest"} or table.name == "fleet_snapshot")
        and any(isinstance(column.type, DateTime | Date) for column in table.columns)
    ]


def _versions(distribution: Distribution, snapshots: Snapshots) -> dict[str, list[AvailablePackage]]:
    """Name to the versions that the repositories of a distribution have, the oldest first. Raises PatchbayError."""
    template = Report(hostname="template", native_arch=distribution.native_arch, arch=distribution.arch)
    found: dict[str, dict[bytes, AvailablePackage]] = {}
    for repository in distribution.repositories:
        snapshot = snapshots.take(repository, indexes(repository, template), relations=False)
        for index in snapshot.indexes:
            for package in index.packages:
                if package.arch in distribution.package_archs:
                    found.setdefault(package.name, {})[package.evr_key] = package
    return {name: [by_key[key] for key in sorted(by_key)] for name, by_key in found.items()}


def _choose(
    distribution: Distribution, role: str, offered: dict[str, list[AvailablePackage]], chance: random.Random
) -> dict[str, list[AvailablePackage]]:
    """What a host of this role has installed: what every host has, what the role needs, and some of the rest."""
    wanted = [name for name in (*distribution.base, *ROLES[role]) if name in offered]
    several = sorted(name for name, versions in offered.items() if len(versions) > 1)
    rest = sorted(offered)
    kind = random.Random(f"{role} {distribution.os_release.ID} {chance.randrange(4)}")  # noqa: S311
    wanted += kind.sample(several, min(len(several), PACKAGE_COUNT // 6))
    wanted += kind.sample(rest, min(len(rest), PACKAGE_COUNT))
    return {name: offered[name] for name in dict.fromkeys(wanted)}


def _first_level(versions: list[AvailablePackage], chance: random.Random) -> int:
    """New hosts have most packages at an old version, some at the newest."""
    newest = len(versions) - 1
    return newest if chance.random() < 0.25 else min(newest, math.floor(chance.random() * len(versions)))


def _installed(package: AvailablePackage, distribution: Distribution) -> ReportPackage:
    epoch, colon, rest = package.evr.partition(":")
    if not colon:
        epoch, rest = "", package.evr
    version, _, release = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return ReportPackage(
        name=package.name,
        epoch=epoch,
        version=version,
        release=release,
        arch=package.arch,
        type=distribution.package_type,
        vendor=package.vendor,
        source=package.source,
        source_version=package.source_version if distribution.package_type == "deb" else None,
        content=package.content,
    )


@contextmanager
def owner_of(settings: Settings) -> Iterator[Database]:
    """The services' database as its owner; embedded, the server that `patchbay up` runs is joined."""
    embedded = None
    url = settings.database_url
    if not url:
        embedded = start_postgres(settings.data_dir.resolve() / "postgres")
        url = embedded.get_uri(DATABASE)
    owner = Database(url, service=None, roles=False)
    try:
        yield owner
    finally:
        owner.close()
        if embedded is not None:
            embedded.cleanup()
