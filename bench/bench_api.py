"""What the API and the pages cost over 10,000 hosts of the recorded fleet's shape.

The rows are what the engine would have written: the recorded hosts' package sets of 1,500 packages each, one
evaluation a host (nothing shared, the worst case), 100 verdicts for each of the first thousand; advisories and CVEs
as `advisories` has them.
"""

import argparse
import gzip
import hashlib
import re
import statistics
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psutil
import psycopg
from advisories import OUTSTANDING, advisory_name, seed_exposure, seed_feeds, seed_snapshots, sum_up
from cheroot.wsgi import Server
from databases import migrated_database
from figures import figure
from flask.testing import FlaskClient
from fleet import fleet_reports
from patchbay_api.accounts import hash_password
from patchbay_api.app import make_app
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.log import configure
from patchbay_shared.report import Report
from patchbay_shared.repositories import repository_id
from patchbay_shared.service import Context
from patchbay_shared.settings import settings_from
from patchbay_shared.versions import evr_key
from patchbay_web.app import app_of

HOSTS = 10_000
JUDGED_IN_FULL = 1_000
VERDICTS = 100
PASSWORD = "bench"
NOW = datetime.now(UTC)
STATE_OF = {90: "held", 91: "phased", 92: "kept-back", 93: "not-in-any-repository"}
"""Of a hundred verdicts; the others are outstanding."""


def seed(connection: "psycopg.Connection[Any]") -> None:
    """Write the fleet with COPY."""
    reports = list(fleet_reports().values())
    repository_set = _repositories(connection, reports[0])
    ids = _packages(connection, reports)
    sets = _package_sets(connection, reports, ids)
    number_of = {number: key for key, number in ids.items()}
    _evaluations(connection, sets, repository_set)
    _verdicts(connection, sets, number_of)
    _hosts(connection, sets, repository_set)
    seed_feeds(connection)
    seed_exposure(connection)
    seed_snapshots(
        connection, {"hosts": HOSTS, "security": HOSTS // 2, "needing_updates": HOSTS, "reboot_required": 9}
    )
    connection.execute(
        "INSERT INTO user_account (username, password_hash, role) VALUES ('bench', %s, 'admin')",
        (hash_password(PASSWORD),),
    )
    connection.commit()
    connection.autocommit = True
    connection.execute("VACUUM ANALYZE")


def _repositories(connection: "psycopg.Connection[Any]", report: Report) -> int:
    definitions = report.repos or []
    ids = sorted({repository_id(each) for each in definitions})
    for identity, definition in {repository_id(each): each for each in definitions}.items():
        connection.execute(
            "INSERT INTO repository (id, type, name, url, suite, security, state, checked_at, next_sync_at)"
            " VALUES (%s, 'deb', %s, %s, %s, %s, 'ok', now(), now() + interval '1 h')",
            (identity, definition.id, definition.urls[0], definition.suite, definition.security),
        )
    document = {"repositories": msgspec.to_builtins(definitions), "policy": {"package_manager": "apt"}}
    return _one(
        connection,
        "INSERT INTO repository_set (digest, repository_ids, document) VALUES ('bench', %s, %s) RETURNING id",
        (ids, msgspec.json.encode(document).decode()),
    )


def _packages(connection: "psycopg.Connection[Any]", reports: list[Report]) -> dict[tuple[str, str, str], int]:
    keys = sorted({(p.name, p.arch, p.evr) for report in reports for p in report.packages or []})
    with connection.cursor().copy("COPY package (digest, type, name, arch, evr, evr_key) FROM STDIN") as copy:
        for name, arch, evr in keys:
            digest = hashlib.blake2b(f"{name} {arch} {evr}".encode(), digest_size=16).digest()
            copy.write_row((digest, "deb", name, arch, evr, evr_key("deb", evr)))
    rows = connection.execute("SELECT name, arch, evr, id FROM package").fetchall()
    return {(name, arch, evr): number for name, arch, evr, number in rows}


def _package_sets(
    connection: "psycopg.Connection[Any]", reports: list[Report], ids: dict[tuple[str, str, str], int]
) -> list[tuple[int, list[int]]]:
    found = []
    for report in reports:
        members = sorted(ids[p.name, p.arch, p.evr] for p in report.packages or [])
        number = _one(
            connection,
            "INSERT INTO package_set (digest, package_ids, held_ids, config_ids) VALUES (%s, %s, '{}', '{}')"
            " RETURNING id",
            (report.hostname.encode(), members),
        )
        found.append((number, members))
    return found


def _evaluations(
    connection: "psycopg.Connection[Any]", sets: list[tuple[int, list[int]]], repository_set: int
) -> None:
    columns = (
        "id, package_set_id, repository_set_id, machine_id, catalogue_generations, incomplete_count, rules_version,"
        " listed_count, security_count, state_counts, evaluated_at"
    )
    with connection.cursor().copy(f"COPY evaluation ({columns}) FROM STDIN") as copy:
        for number in range(HOSTS):
            listed, fixes = (0, 0) if number % 5 == 0 else (VERDICTS - 4, number % 40)
            others = {"held": 1 + number % 7, "phased": 1 + number % 11, "not-in-any-repository": 1 + number % 13}
            states = {"outstanding": listed, **others} if listed else {}
            copy.write_row(
                (
                    number + 1, sets[number % len(sets)][0], repository_set, f"{number:032x}", [1], 0, 1,
                    listed, fixes, msgspec.json.encode(states).decode(), NOW,
                )
            )  # fmt: skip


def _verdicts(
    connection: "psycopg.Connection[Any]",
    sets: list[tuple[int, list[int]]],
    packages: dict[int, tuple[str, str, str]],
) -> None:
    columns = (
        "evaluation_id, package_id, name, arch, installed, candidate, candidate_arch, repository, repositories,"
        " state, listed, security, advisories, rule, why"
    )
    with connection.cursor().copy(f"COPY verdict ({columns}) FROM STDIN") as copy:
        for number in range(JUDGED_IN_FULL):
            for place, package in enumerate(sets[number % len(sets)][1][:VERDICTS]):
                name, arch, evr = packages[package]
                state = STATE_OF.get(place, "outstanding")
                copy.write_row(
                    (
                        number + 1, package, name, arch, evr, evr + "+deb12u1", arch, "bookworm-security",
                        ["bookworm-security"], state, state == "outstanding", place < 30,
                        [advisory_name((30 * number + place) % OUTSTANDING)] if place < 30 else [], "apt.candidate",
                        f"bookworm-security offers {evr}+deb12u1 at priority 500, newer than {evr}.",
                    )
                )  # fmt: skip


def _hosts(connection: "psycopg.Connection[Any]", sets: list[tuple[int, list[int]]], repository_set: int) -> None:
    ids = [uuid.UUID(int=0xA0000000000040008000000000000000 + number) for number in range(HOSTS)]
    facts = msgspec.json.encode({"os_release": {"ID": "debian", "VERSION_ID": "12"}, "package_manager": "apt"})
    columns = (
        "id, hostname, machine_id, facts, os_name, arch, kernel, boot_id, tags, content_digest, package_set_id,"
        " repository_set_id, evaluation_id, package_count, first_report_at, last_report_at, changed_at"
    )
    with connection.cursor().copy(f"COPY host ({columns}) FROM STDIN") as copy:
        for number, identity in enumerate(ids):
            reported = NOW - timedelta(seconds=number * 9)
            chosen, members = sets[number % len(sets)]
            copy.write_row(
                (
                    identity, f"host-{number:05}.example.com", f"{number:032x}", facts.decode(),
                    f"Debian GNU/Linux {12 - number % 3}", "x86_64", "6.1.0-28-amd64", "", ["production"],
                    number.to_bytes(4), chosen, repository_set, number + 1, len(members), *[reported] * 3,
                )
            )  # fmt: skip
    with connection.cursor().copy(
        "COPY reboot_verdict (host_id, required, rule, why, boot_id, judged_at) FROM STDIN"
    ) as copy:
        for number, identity in enumerate(ids):
            copy.write_row((identity, number % 4 == 0, "kernel.newer", "An older kernel is running.", "", NOW))
    columns = "host_id, client, only_client, only_server, difference_count, reported_at, compared_at"
    with connection.cursor().copy(f"COPY opinion ({columns}) FROM STDIN") as copy:
        for number, identity in enumerate(ids):
            copy.write_row((identity, "[]", "[]", "[]", int(number % 100 == 0), NOW, NOW))
    with connection.cursor().copy("COPY receipt (id, host_id, state, bytes, received_at) FROM STDIN") as copy:
        for number, identity in enumerate(ids):
            copy.write_row((uuid.uuid4(), identity, "evaluated", 20_000, NOW - timedelta(seconds=number * 9)))


def _one(connection: "psycopg.Connection[Any]", statement: str, values: tuple[Any, ...]) -> int:
    row = connection.execute(statement.encode(), values).fetchone()
    assert row is not None
    return int(row[0])


def p95_ms(ask: Callable[[], Any], rounds: int) -> list[float]:
    """95th percentile of each fifth of the rounds, in milliseconds, after three to warm up."""
    for _ in range(3):
        ask()
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - started) * 1_000)
    fifth = rounds // 5
    return [statistics.quantiles(taken[n * fifth : (n + 1) * fifth], n=20)[-1] for n in range(5)]


def signed_in(api: FlaskClient) -> FlaskClient:
    answer = api.post("/api/v1/sessions", json={"username": "bench", "password": PASSWORD})
    assert answer.json is not None
    api.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {answer.json['token']}"
    return api


def getter(client: FlaskClient, path: str) -> Callable[[], None]:
    def ask() -> None:
        answer = client.get(path)
        if answer.status_code != 200:
            raise SystemExit(f"{path}: {answer.status_code} {answer.text[:200]}")

    return ask


def measure_api(client: FlaskClient, host: str, rounds: int) -> None:
    listed = getter(client, "/api/v1/hosts?security=true&sort=-security")
    figure("api_hosts_p95_ms", p95_ms(listed, rounds), "ms", target="< 60")
    figure("api_dashboard_p95_ms", p95_ms(getter(client, "/api/v1/dashboard"), rounds), "ms", target="< 60")
    paths = [f"/api/v1/hosts/{host}{part}" for part in ("", "/updates", "/packages", "/repositories", "/receipts")]
    worst = max((p95_ms(getter(client, path), rounds) for path in paths), key=statistics.median)
    figure("api_host_p95_ms", worst, "ms", target="< 80")


def measure_export(client: FlaskClient) -> None:
    """How much the process grows while it streams all hosts as CSV to somebody who keeps nothing."""
    process = psutil.Process()
    peaks = []
    for _ in range(3):
        before = highest = process.memory_info().rss
        rows = 0
        answer = client.get("/api/v1/hosts?format=csv", buffered=False)
        for chunk in answer.iter_encoded():
            rows += chunk.count(b"\n")
            highest = max(highest, process.memory_info().rss)
        answer.close()
        if rows != HOSTS + 1:
            raise SystemExit(f"The export has {rows} lines.")
        peaks.append((highest - before) / 1_000_000)
    figure("api_csv_peak_mb", peaks, "MB", target="< 50")


def measure_pages(client: FlaskClient, host: str, rounds: int) -> None:
    """The slowest page, with the API behind it over a loopback port."""
    tabs = [
        f"/hosts/{host}?tab={tab}"
        for tab in ("updates", "packages", "repositories", "reports", "facts", "cves", "timeline")
    ]
    paths = ["/", "/hosts", "/hosts?state=held", "/hosts?show=differs", "/repositories", "/reports", *tabs]
    paths += [
        "/packages",
        "/releases",
        "/trends",
        "/attention",
        "/hosts/facets",
        "/advisories",
        "/advisories?show=all",
    ]
    paths += ["/cves", "/cves?severity=high", "/cves?show=all", "/cves?show=all&severity=high"]
    paths += ["/search?q=host-00", "/search?q=2026-1"]
    taken = {path: p95_ms(getter(client, path), rounds) for path in paths}
    slowest = max(taken, key=lambda path: statistics.median(taken[path]))
    figure(
        "web_page_p95_ms",
        taken[slowest],
        "ms",
        target="< 150",
        peer=f"the slowest is {slowest.replace(host, '<id>')}",
    )
    sizes = {path: len(client.get(path).data) / 1_000 for path in paths}
    largest = max(sizes, key=lambda path: sizes[path])
    name = f"the largest is {largest.replace(host, '<id>')}"
    figure("web_html_kilobytes", sizes[largest], "kB", target="< 200", peer=name)
    figure("web_first_load_kilobytes", first_load(client) / 1_000, "kB", target="< 500")


def first_load(client: FlaskClient) -> int:
    """Bytes of the dashboard and of everything that it names, compressed as a proxy does."""
    page = client.get("/")
    named = set(re.findall(r'(?:href|src)="(/static/[^"#]+)', page.text))
    bodies = [page.data, *(client.get(each.replace("&amp;", "&")).data for each in named)]
    return sum(len(gzip.compress(body)) for body in bodies)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    configure(level="error", style="json")
    host = str(uuid.UUID(int=0xA0000000000040008000000000000001))
    with migrated_database() as (_, uri):
        with psycopg.connect(uri) as connection:
            seed(connection)
        sum_up(uri)
        database = Database(uri, service="api", roles=True)
        api = make_app(Context(settings_from({}, api_requests_per_minute=0), database, Bus("memory://")))
        measure_api(signed_in(api.test_client()), host, rounds)
        measure_export(signed_in(api.test_client()))
        server = Server(("127.0.0.1", 0), api)
        server.prepare()
        threading.Thread(target=server.serve, daemon=True).start()
        url = f"http://127.0.0.1:{server.bind_addr[1]}"
        browser = app_of(settings_from({}, api_url=url, secret_key="k" * 32)).test_client()
        token = signed_in(api.test_client()).environ_base["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
        browser.set_cookie("patchbay", token)
        measure_pages(browser, host, rounds // 2)
        server.stop()
        database.close()


if __name__ == "__main__":
    main()
