"""Reading and storing advisory feeds, and asking which hosts a CVE touches.

The feed is as large as Debian's tracker and as varied as its records: the recorded entries, repeated under other
names. Its ratio is of a whole crawl (decode, store, with indexes) to what nobody can leave out: decoding the JSON
with the same library and a COPY of as many bare rows.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
from databases import migrated_database
from figures import figure, shared_folder
from patchbay_api.store.vulnerabilities import TOUCHING, packages_judged_for
from patchbay_errata.advisory import Rejected
from patchbay_errata.feeds import wanted_feeds
from patchbay_errata.sources import debian
from patchbay_errata.sources_table import register
from patchbay_errata.store import store_advisories
from patchbay_shared.db import Database
from patchbay_shared.log import configure
from patchbay_shared.settings import settings_from
from patchbay_shared.versions import evr_key

SOURCES = 4_000
CVES_A_SOURCE = 8
HOSTS = 10_000
PACKAGES_A_HOST = 800


def tracker(folder: Path) -> bytes:
    """A tracker of SOURCES packages made of the recorded entries."""
    recorded = json.loads((folder / "debian" / "tracker-json" / "debian.json").read_text())
    entries = [entry for cves in recorded.values() for entry in cves.values()]
    made: dict[str, Any] = {}
    for number in range(SOURCES):
        made[f"source{number}"] = {
            f"CVE-{2010 + place}-{number + 10_000}": dict(entries[(number + place) % len(entries)])
            for place in range(CVES_A_SOURCE)
        }
        releases = made[f"source{number}"][f"CVE-2010-{number + 10_000}"]
        releases["releases"] = {
            "bookworm": {"status": "resolved", "fixed_version": f"1.{number}-2", "urgency": "low", "repositories": {}}
        }
    return json.dumps(made).encode()


def crawl(database: Database, feed: bytes) -> None:
    with database.transaction() as connection:
        store_advisories(connection, "debian-tracker", debian.tracker(feed, Rejected()))


def decode(feed: bytes) -> int:
    return len(msgspec.json.decode(feed))


def bare_copy(uri: str) -> float:
    """COPY of the stored rows into tables without indexes."""
    tables = ("advisory", "advisory_fix", "advisory_cve")
    with psycopg.connect(uri) as connection:
        rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
        started = time.perf_counter()
        for table in tables:
            connection.execute(f"CREATE TEMP TABLE bare_{table} (LIKE {table})")
            with connection.cursor().copy(f"COPY bare_{table} FROM STDIN") as copy:
                for row in rows[table]:
                    copy.write_row(row)
        return time.perf_counter() - started


def peak_mb(uri: str, feed: Path) -> float:
    """Highest resident size of a process that reads and stores the feed once and does nothing else."""
    program = f"""
from pathlib import Path
from patchbay_errata.advisory import Rejected
from patchbay_errata.sources import debian
from patchbay_errata.store import store_advisories
from patchbay_shared.db import Database
database = Database({uri!r}, service="errata", roles=True)
with database.transaction() as connection:
    store_advisories(connection, "debian-tracker", debian.tracker(Path({str(feed)!r}).read_bytes(), Rejected()))
[line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(int(line.split()[1]) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def seed_fleet(uri: str) -> None:
    """HOSTS hosts, each with a package set of its own out of one package a source, older or newer than its fix."""
    random = Random(1)
    with psycopg.connect(uri) as connection:
        with connection.cursor().copy(
            "COPY package (digest, type, name, arch, evr, evr_key, source_name, source_key) FROM STDIN"
        ) as copy:
            for number in range(SOURCES):
                for release in (1, 2):
                    evr = f"1.{number}-{release}"
                    key = evr_key("deb", evr)
                    digest = (number * 2 + release).to_bytes(16, "big")
                    copy.write_row((digest, "deb", f"p{number}", "amd64", evr, key, f"source{number}", key))
        ids = [row[0] for row in connection.execute("SELECT id FROM package ORDER BY id")]
        policy = {"package_manager": "apt", "os_release": {"ID": "debian", "VERSION_CODENAME": "bookworm"}}
        document = json.dumps({"repositories": [], "policy": policy})
        connection.execute(
            "INSERT INTO repository_set (digest, repository_ids, document) VALUES ('x', '{}', %s)", (document,)
        )
        [repositories] = connection.execute("SELECT id FROM repository_set").fetchone() or [0]
        with connection.cursor().copy(
            "COPY package_set (digest, package_ids, held_ids, config_ids) FROM STDIN"
        ) as copy:
            for number in range(HOSTS):
                chosen = sorted(random.sample(ids, PACKAGES_A_HOST))
                copy.write_row((number.to_bytes(16, "big"), chosen, [], []))
        sets = [row[0] for row in connection.execute("SELECT id FROM package_set")]
        with connection.cursor().copy(
            "COPY host (id, hostname, machine_id, facts, os_name, arch, kernel, boot_id, tags, content_digest, "
            "package_set_id, repository_set_id, package_count, first_report_at, last_report_at, changed_at) "
            "FROM STDIN"
        ) as copy:
            for number, set_id in enumerate(sets):
                copy.write_row(
                    (uuid4(), f"h{number}", "", "{}", "", "", "", "", [], b"", set_id, repositories, 1) + ("now",) * 3
                )
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def cve_hosts(database: Database, cve: str) -> int:
    with database.transaction() as connection:
        found = connection.execute(packages_judged_for(connection, cve).hosts(TOUCHING).order_by("hostname")).all()
    return len(found)


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def register_feeds(uri: str) -> None:
    owner = Database(uri, service=None, roles=False)
    with owner.transaction() as connection:
        register(connection, wanted_feeds(settings_from({}), 2026))
    owner.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    configure(level="error", style="json")
    feed = tracker(shared_folder() / "feeds")
    with migrated_database() as (folder, uri):
        register_feeds(uri)
        (folder / "feed.json").write_bytes(feed)
        database = Database(uri, service="errata", roles=True)
        peak = peak_mb(uri, folder / "feed.json")
        unchanged = [timed(lambda: crawl(database, feed)) for _ in range(rounds)]
        fresh = []
        for _ in range(rounds):
            with psycopg.connect(uri, autocommit=True) as connection:
                connection.execute("TRUNCATE advisory CASCADE")
            fresh.append(timed(lambda: crawl(database, feed)))
        floor = timed(lambda: decode(feed)) + bare_copy(uri)
        database.close()
        seed_fleet(uri)
        reader = Database(uri, service="api", roles=True)
        asked = [f"CVE-2010-{10_000 + number}" for number in range(0, SOURCES, SOURCES // 40)]
        found = [cve_hosts(reader, cve) for cve in asked]
        if not all(found):
            raise SystemExit("A CVE touches no host: the figures mean nothing.")
        answers = [1_000 * timed(lambda cve=cve: cve_hosts(reader, cve)) for cve in asked]  # type: ignore[misc]  # bound at once
        reader.close()
    size = len(feed) / 1e6
    peer = f"decoding the {size:.0f} MB and COPY of the same rows into tables without indexes"
    figure("feed_s", fresh, "s", target="<= 3 x floor", floor=floor)
    figure("feed_ratio", [each / floor for each in fresh], "x", target="<= 3", peer=peer, floor=1.0)
    figure("feed_unchanged_s", unchanged, "s", target="the same bytes under another ETag", floor=floor)
    figure("feed_peak_mb", peak, "MB", target="<= 300")
    figure("cve_hosts_ms", answers, "ms", target=f"<= 50 of {HOSTS} hosts, {sum(found) // len(found)} found")


if __name__ == "__main__":
    main()
