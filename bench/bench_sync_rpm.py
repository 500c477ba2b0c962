"""Figures of repo-sync: an rpm-md repository of 20,000 made packages into an embedded PostgreSQL.

    python bench/bench_sync_rpm.py [--rounds N] [--packages N]

The repository is written by createrepo_c's own writers. The floor of a figure is createrepo_c's whole-file reader and
a bare COPY of the same rows, in the same run on the same machine.
"""

import argparse
import hashlib
import statistics
import time
from pathlib import Path
from random import Random
from typing import Any

import createrepo_c as cr
import msgspec
import psycopg
from bench_sync import bare_copy, stored_rows, timed
from databases import migrated_database
from figures import CpuMeter, figure
from patchbay_repo_sync import store
from patchbay_repo_sync.sync import Syncer
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.log import configure
from patchbay_shared.report import ReportRepository
from patchbay_shared.repositories import repository_id
from patchbay_shared.settings import settings_from

SOURCE = ReportRepository(id="made", type="rpm-md", name="made", urls=["http://repos.test/rpm"])
_ARCHES = ("x86_64", "x86_64", "x86_64", "noarch", "i686")


def made_package(number: int, random: Random, *, bumped: bool) -> Any:
    """A package as dense in relations as Fedora's: some provides, a dozen requires, a few files."""
    package = cr.Package()
    package.name = f"package-{number // 2}"
    package.arch = _ARCHES[number % len(_ARCHES)]
    package.epoch = "0"
    package.version = f"{random.randint(0, 30)}.{number % 2}.{random.randint(0, 99)}"
    package.release = f"{random.randint(1, 40)}.fc40" + (".1" if bumped else "")
    identity = f"{number} {package.version} {package.release}"
    package.pkgId = hashlib.sha256(identity.encode()).hexdigest()
    package.checksum_type = "sha256"
    package.summary = "A package of the benchmark"
    package.description = "A package that nobody installs. " * 8
    package.rpm_sourcerpm = f"source-{number // 5}-{package.version}-{package.release}.src.rpm"
    package.rpm_vendor = "Fedora Project"
    package.rpm_license = "MIT"
    package.location_href = f"Packages/{package.name}-{package.version}-{package.release}.{package.arch}.rpm"
    own = (package.name, "EQ", "0", package.version, package.release, False)
    package.provides = [own, (f"{package.name}({package.arch})", *own[1:])]
    package.requires = [
        (f"lib{random.randint(0, 4_000)}.so.{each}()(64bit)", None, None, None, None, False) for each in range(12)
    ]
    package.files = [(None, "/usr/bin/", f"tool-{number}"), (None, "/etc/", f"tool-{number}.conf")]
    return package


def write_repository(folder: Path, count: int, *, bump_every: int = 0) -> Path:
    """Write repodata with createrepo_c; of one package in `bump_every` the release differs. Gives primary's path."""
    data = folder / "repodata"
    data.mkdir(parents=True, exist_ok=True)
    primary = data / "primary.xml.gz"
    primary.unlink(missing_ok=True)
    writer = cr.PrimaryXmlFile(str(primary))
    writer.set_num_of_pkgs(count)
    random = Random(1)
    for number in range(count):
        writer.add_pkg(made_package(number, random, bumped=bool(bump_every) and number % bump_every == 0))
    writer.close()
    repomd = cr.Repomd()
    repomd.revision = str(int(time.time()))
    record = cr.RepomdRecord("primary", str(primary))
    record.fill(cr.SHA256)
    repomd.set_record(record)
    (data / "repomd.xml").write_text(repomd.xml_dump())
    return primary


def bare_parse(primary: Path) -> int:
    """createrepo_c's own reader, every package kept."""
    found: list[Any] = []
    cr.xml_parse_primary(str(primary), pkgcb=found.append, do_files=True)
    return len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--packages", type=int, default=20_000)
    options = parser.parse_args()
    configure(level="error", style="json")
    with migrated_database() as (folder, uri):
        measure(folder, uri, options.rounds, options.packages)


def measure(folder: Path, uri: str, rounds: int, count: int) -> None:
    mirror = folder / "mirror"
    settings = settings_from({}, mirror_map=f"http://repos.test/rpm={mirror}")
    database = Database(uri, service="repo-sync", roles=True)
    syncer = Syncer(settings, database, Bus("memory://"), random=Random(1))
    meter = CpuMeter(folder / "postgres")
    fresh: list[float] = []
    cpu: list[float] = []
    unchanged: list[float] = []
    changed: list[float] = []
    floors: list[float] = []
    floors_cpu: list[float] = []

    def sync() -> None:
        with database.transaction() as connection:
            store.request_sync(connection, [repository_id(SOURCE)], force=False)
        if not syncer.sync_next():
            raise SystemExit("nothing was due")

    for _ in range(rounds):
        primary = write_repository(mirror, count)
        forget(uri, database)
        before = meter.seconds()
        fresh.append(timed(sync))
        cpu.append(meter.seconds() - before)
        unchanged += [1_000 * timed(sync) for _ in range(5)]
        before = meter.seconds()
        floors.append(timed(lambda path=primary: bare_parse(path)))
        floors_cpu.append(meter.seconds() - before)
        write_repository(mirror, count, bump_every=100)
        changed.append(timed(sync))
        rows = stored_rows(uri)
        before = meter.seconds()
        floors[-1] += bare_copy(uri, rows)
        floors_cpu[-1] += meter.seconds() - before
        if len(rows) != count:
            raise SystemExit(f"{len(rows)} packages were stored instead of {count}")
    floor = statistics.median(floors)
    peer = "createrepo_c's xml_parse_primary and a bare COPY of the same rows"
    figure("sync_rpm_s", fresh, "s", target="<= 2 x floor", floor=floor, peer=peer)
    figure("sync_rpm_ratio", [each / floor for each in fresh], "x", target="<= 2", floor=1.0, peer=peer)
    figure("sync_rpm_cpu_s", cpu, "s", target="<= 2 x floor", floor=statistics.median(floors_cpu))
    figure("sync_rpm_unchanged_ms", unchanged, "ms", target="<= 50")
    middle = statistics.median(fresh)
    figure("sync_rpm_changed_ratio", [each / middle for each in changed], "x", target="<= 0.25")
    database.close()


def forget(uri: str, database: Database) -> None:
    """An empty catalogue that has just learnt of the repository."""
    with psycopg.connect(uri, autocommit=True) as owner:
        owner.execute("TRUNCATE repository, mirror, repository_index, available_package, repository_sync")
        owner.execute(
            "INSERT INTO repository_reference VALUES (%s, '', '', %s) ON CONFLICT DO NOTHING",
            (repository_id(SOURCE), msgspec.json.encode(SOURCE).decode()),
        )
    with database.transaction() as connection:
        store.learn(connection)


if __name__ == "__main__":
    main()
