"""A small fleet in the database: what other services would have written, so that the API has it to read."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4, uuid5

import msgspec
import zstandard
from patchbay_shared.db import Database
from patchbay_shared.report import ReportRepository
from patchbay_shared.repositories import repository_id
from patchbay_shared.tables import (
    dead_letter,
    evaluation,
    host,
    host_credential,
    mirror,
    opinion,
    package,
    package_set,
    reboot_verdict,
    receipt,
    report_body,
    repository,
    repository_index,
    repository_set,
    repository_sync,
    verdict,
)
from patchbay_shared.versions import evr_key
from sqlalchemy import Connection, insert

_NAMESPACE = UUID("3e6c1f0a-8f0e-4f8e-9a53-0b5a7f3f8a11")
NOW = datetime.now(UTC)
WAITING = UUID("5f1f3c6e-0d0c-4f4b-9d6e-1f2a3b4c5d6e")

MAIN = ReportRepository(
    id="deb.example.org/debian bookworm main",
    type="deb",
    urls=["http://deb.example.org/debian"],
    suite="bookworm",
    components=["main", "contrib"],
)
SECURITY = ReportRepository(
    id="security.debian.org bookworm-security main",
    type="deb",
    urls=["http://security.debian.org/debian-security"],
    suite="bookworm-security",
    components=["main"],
)
VENDOR = ReportRepository(
    id="download.docker.com bookworm stable",
    type="deb",
    urls=["https://download.docker.com/linux/debian"],
    suite="bookworm",
    components=["stable"],
)
OLD = ReportRepository(
    id="old backports", type="deb", urls=["http://old.example.org/debian"], suite="stretch", enabled=False
)

PACKAGES = [  # name, installed, candidate, repository, security advisories, state, rule, why
    (
        "openssl",
        "3.0.15-1~deb12u1",
        "3.0.17-1~deb12u2",
        SECURITY.id,
        ["DSA-5764-1", "DSA-5901-1"],
        "outstanding",
        "apt.candidate",
        "bookworm-security offers 3.0.17-1~deb12u2 at priority 500, newer than 3.0.15-1~deb12u1.",
    ),
    (
        "libssl3",
        "3.0.15-1~deb12u1",
        "3.0.17-1~deb12u2",
        SECURITY.id,
        ["DSA-5764-1"],
        "outstanding",
        "apt.candidate",
        "bookworm-security offers 3.0.17-1~deb12u2 at priority 500, newer than 3.0.15-1~deb12u1.",
    ),
    (
        "curl",
        "7.88.1-10+deb12u7",
        "7.88.1-10+deb12u12",
        MAIN.id,
        [],
        "outstanding",
        "apt.candidate",
        "bookworm offers 7.88.1-10+deb12u12 at priority 500, newer than 7.88.1-10+deb12u7.",
    ),
    (
        "docker-ce",
        "5:27.3.1-1~debian.12~bookworm",
        "5:28.0.4-1~debian.12~bookworm",
        VENDOR.id,
        [],
        "held",
        "apt.hold",
        "The package is on hold in dpkg's selections, so apt keeps 5:27.3.1-1~debian.12~bookworm.",
    ),
    (
        "systemd",
        "252.30-1~deb12u2",
        "252.38-1~deb12u1",
        MAIN.id,
        [],
        "phased",
        "apt.phased",
        "The update is rolled out to 40 % of machines, and this one is not among them yet.",
    ),
    (
        "internal-monitor",
        "1.4.2",
        None,
        None,
        [],
        "not-in-any-repository",
        "apt.absent",
        "No enabled repository has a package of this name; it was installed from a file or its repository is gone.",
    ),
]
CURRENT = [
    "adduser",
    "apt",
    "base-files",
    "bash",
    "coreutils",
    "dpkg",
    "grep",
    "gzip",
    "nginx",
    "tar",
    "vim",
    "zlib1g",
]

HOSTS = [  # name, os, arch, hours since the last report, packages outstanding, reboot, second set of repositories
    ("web-01.example.com", "Debian GNU/Linux 12 (bookworm)", "x86_64", 0.1, 6, True, True),
    ("web-02.example.com", "Debian GNU/Linux 12 (bookworm)", "x86_64", 0.3, 3, False, False),
    ("db-01.example.com", "Debian GNU/Linux 12 (bookworm)", "x86_64", 0.7, 0, False, False),
    ("build-arm.example.com", "Ubuntu 24.04.1 LTS", "aarch64", 30, 1, None, True),
    ("mail.example.com", "Rocky Linux 9.5 (Blue Onyx)", "x86_64", 2, 2, False, False),
    ("new.example.com", "openSUSE Leap 15.6", "x86_64", 0.01, None, False, False),
]


@dataclass(frozen=True)
class Fleet:
    """Ids of what was seeded, by name."""

    hosts: dict[str, UUID]
    repositories: dict[str, UUID]
    receipt: UUID


def seed_fleet(database: Database, hosts: list[tuple[str, str, str, float, int | None, bool | None, bool]]) -> Fleet:
    """Write `hosts` (see HOSTS) with their packages, repositories and verdicts, as the owner of the tables."""
    with database.transaction() as connection:
        _repositories(connection)
        ids = _packages(connection)
        sets = [
            _repository_set(connection, [MAIN, SECURITY]),
            _repository_set(connection, [MAIN, SECURITY, VENDOR, OLD]),
        ]
        package_sets: dict[int, int] = {}
        evaluations: dict[tuple[int, int], int] = {}
        found: dict[str, UUID] = {}
        for name, os_name, arch, hours, outstanding, reboot, second in hosts:
            count = outstanding or 0
            if count not in package_sets:
                package_sets[count] = _package_set(connection, ids, count)
            pair = (package_sets[count], sets[second])
            if outstanding is not None and pair not in evaluations:
                evaluations[pair] = _evaluation(connection, pair, ids, count)
            found[name] = uuid5(_NAMESPACE, name)
            at = NOW - timedelta(hours=hours)
            connection.execute(
                insert(host).values(
                    id=found[name],
                    hostname=name,
                    machine_id=hashlib.md5(name.encode()).hexdigest(),
                    facts={
                        "os_release": {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": os_name},
                        "package_manager": "apt",
                        "agent_version": "0.1.0",
                        "foreign_archs": ["i386"],
                        "reboot_reasons": ["linux-image-6.1.0-28-amd64 was replaced"] if reboot else [],
                        "stale_services": [{"name": "nginx.service", "pid": 812, "reason": "libssl.so.3 replaced"}],
                    },
                    os_name=os_name,
                    arch=arch,
                    kernel="6.1.0-28-amd64",
                    boot_id="7b1f3c6e-0d0c-4f4b-9d6e-1f2a3b4c5d6e",
                    tags=["production", "web"] if name.startswith("web") else ["production"],
                    reboot_required=reboot,
                    content_digest=name.encode(),
                    package_set_id=pair[0],
                    repository_set_id=pair[1],
                    evaluation_id=evaluations.get(pair) if outstanding is not None else None,
                    package_count=len(ids),
                    first_report_at=NOW - timedelta(days=90),
                    last_report_at=at,
                    changed_at=at - timedelta(hours=5),
                )
            )
        _conclusions(connection, next(iter(found.values())))
        receipt_id = _receipts(connection, next(iter(found.values())))
    return Fleet(found, {each.id: repository_id(each) for each in (MAIN, SECURITY, VENDOR)}, receipt_id)


def _receipts(connection: Connection, host_id: UUID) -> UUID:
    """The first host's reports, each with another outcome; the id of the newest, which is kept."""
    reason = "The report is older than the one that is stored; a clock may have been set back."
    outcomes = [  # state, unchanged, reason, minutes ago, seconds until stored and evaluated
        ("evaluated", False, "", 6, 0.04, 1.3),
        ("evaluated", True, "", 66, 0.01, 0.01),
        ("superseded", False, reason, 70, 0.03, None),
        ("stored", False, "", 126, 0.2, None),
        ("refused", False, "$.packages[17].version: it must not be empty.", 186, None, None),
    ]
    ids = [uuid4() for _ in outcomes]
    for number, (state, unchanged, why, minutes, stored, evaluated) in zip(ids, outcomes, strict=True):
        at = NOW - timedelta(minutes=minutes)
        connection.execute(
            insert(receipt).values(
                id=number,
                host_id=host_id,
                state=state,
                unchanged=unchanged,
                reason=why,
                bytes=18_220,
                received_at=at,
                stored_at=at + timedelta(seconds=stored) if stored else None,
                evaluated_at=at + timedelta(seconds=evaluated) if evaluated else None,
            )
        )
    kept = {"hostname": "web-01.example.com", "packages": [{"name": "curl", "version": "7.88.1"}], "repos": []}
    connection.execute(
        insert(report_body).values(
            receipt_id=ids[0],
            host_id=host_id,
            received_at=NOW - timedelta(minutes=6),
            header={},
            body=zstandard.compress(msgspec.msgpack.encode(kept)),
        )
    )
    return ids[0]


def seed_dead_letters(database: Database) -> list[int]:
    """A report and a nudge that could not be handled, as the owner of the tables."""
    letters = [
        ("report.received", "update-engine.reports", "KeyError: 'packages'", b"\x28\xb5\x2f\xfd" * 400),
        ("repository.changed", "update-engine.recalculation", "InvalidInput: not a nudge", b'{"generation": -1}'),
    ]
    with database.transaction() as connection:
        return [
            connection.execute(
                insert(dead_letter)
                .values(
                    queue=queue,
                    routing_key=routing_key,
                    headers={"attempt": "3"},
                    body=body,
                    error=error,
                    attempts=3,
                    first_at=NOW - timedelta(minutes=40),
                    last_at=NOW - timedelta(minutes=38),
                )
                .returning(dead_letter.c.id)
            ).scalar_one()
            for routing_key, queue, error, body in letters
        ]


def _conclusions(connection: Connection, host_id: UUID) -> None:
    """What the engine concluded for the first host, and one host that waits for approval."""
    connection.execute(
        insert(reboot_verdict).values(
            host_id=host_id,
            required=True,
            rule="kernel.newer",
            why="The host runs kernel 6.1.0-28-amd64, but linux-image-6.1.0-31-amd64 is installed: restart into it.",
            boot_id="7b1f3c6e-0d0c-4f4b-9d6e-1f2a3b4c5d6e",
            judged_at=NOW,
        )
    )
    connection.execute(
        insert(opinion).values(
            host_id=host_id,
            client=[{"name": "curl", "to": "7.88.1-10+deb12u12"}],
            only_client=[],
            only_server=[{"name": "openssl", "to": "3.0.17-1~deb12u2", "arch": "amd64"}],
            difference_count=1,
            reported_at=NOW,
            compared_at=NOW,
        )
    )
    connection.execute(
        insert(host_credential).values(
            token_hash=b"waiting",
            host_id=WAITING,
            hostname="waiting.example.com",
            machine_id="0123456789abcdef0123456789abcdef",
            pending=True,
            enrolled_at=NOW - timedelta(hours=3),
        )
    )


def _repositories(connection: Connection) -> None:
    described = [
        (MAIN, False, "ok", "Release signed by Debian Stable Release Key (12/bookworm).", 63_466),
        (SECURITY, True, "ok", "Release signed by Debian Security Archive Key (12/bookworm).", 9_118),
        (VENDOR, False, "failing", "The mirror answered 503 Service Unavailable for dists/bookworm/InRelease.", 412),
    ]
    for definition, is_security, state, message, count in described:
        identity = repository_id(definition)
        connection.execute(
            insert(repository).values(
                id=identity,
                type="deb",
                name=definition.id,
                url=definition.urls[0],
                suite=definition.suite,
                security=is_security,
                generation=7,
                state=state,
                message=message,
                failure_count=4 if state == "failing" else 0,
                release={
                    "origin": "Docker" if definition is VENDOR else "Debian",
                    "suite": definition.suite,
                    "codename": "bookworm",
                },
                checked_at=NOW - timedelta(minutes=12),
                changed_at=NOW - timedelta(hours=9),
            )
        )
        connection.execute(insert(mirror).values(repository_id=identity, url=definition.urls[0], rank=0, state=state))
        connection.execute(
            insert(repository_index).values(
                repository_id=identity,
                component=definition.components[0],
                architecture="amd64",
                package_count=count,
                present=True,
                changed_at=NOW - timedelta(hours=9),
            )
        )
        connection.execute(
            insert(repository_sync).values(
                repository_id=identity,
                started_at=NOW - timedelta(minutes=12),
                finished_at=NOW - timedelta(minutes=11),
                result="failed" if state == "failing" else "changed",
                message=message,
                transferred_bytes=1_204_331,
                added_count=14,
                removed_count=3,
            )
        )


def _packages(connection: Connection) -> dict[str, int]:
    named = [(name, installed) for name, installed, *_ in PACKAGES] + [(name, "1.2.3-4") for name in CURRENT]
    found = {}
    for name, evr in named:
        found[name] = connection.execute(
            insert(package)
            .values(
                digest=hashlib.blake2b(name.encode(), digest_size=16).digest(),
                type="deb",
                name=name,
                arch="amd64",
                evr=evr,
                evr_key=evr_key("deb", evr),
                details={"source": "openssl"} if name == "libssl3" else None,
            )
            .returning(package.c.id)
        ).scalar_one()
    return found


def _package_set(connection: Connection, ids: dict[str, int], outstanding: int) -> int:
    number: int = connection.execute(
        insert(package_set)
        .values(
            digest=f"set {outstanding}".encode(),
            package_ids=sorted(ids.values()),
            held_ids=[ids["docker-ce"]] if outstanding > 3 else [],
            config_ids=[],
        )
        .returning(package_set.c.id)
    ).scalar_one()
    return number


def _repository_set(connection: Connection, definitions: list[ReportRepository]) -> int:
    number: int = connection.execute(
        insert(repository_set)
        .values(
            digest=f"{len(definitions)}".encode(),
            repository_ids=sorted(repository_id(each) for each in definitions if each.enabled),
            document={"repositories": msgspec.to_builtins(definitions), "policy": {"package_manager": "apt"}},
        )
        .returning(repository_set.c.id)
    ).scalar_one()
    return number


def _evaluation(connection: Connection, pair: tuple[int, int], ids: dict[str, int], outstanding: int) -> int:
    shown = PACKAGES[:outstanding]
    states: dict[str, int] = {}
    for each in shown:
        states[each[5]] = states.get(each[5], 0) + 1
    listed = [each for each in shown if each[5] == "outstanding"]
    number: int = connection.execute(
        insert(evaluation)
        .values(
            package_set_id=pair[0],
            repository_set_id=pair[1],
            catalogue_generations=[7, 7],
            incomplete_count=0,
            rules_version=1,
            listed_count=len(listed),
            security_count=sum(1 for each in listed if each[4]),
            state_counts=states,
            evaluated_at=NOW - timedelta(minutes=11),
        )
        .returning(evaluation.c.id)
    ).scalar_one()
    for name, installed, candidate, origin, advisories, state, rule, why in shown:
        connection.execute(
            insert(verdict).values(
                evaluation_id=number,
                package_id=ids[name],
                name=name,
                arch="amd64",
                installed=installed,
                candidate=candidate,
                candidate_arch="amd64" if candidate else None,
                repository=origin,
                repositories=[origin] if origin else [],
                state=state,
                listed=state == "outstanding",
                security=bool(advisories),
                advisories=advisories,
                security_repository=SECURITY.id if advisories else None,
                rule=rule,
                why=why,
            )
        )
    return number
