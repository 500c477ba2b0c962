"""Advisories and CVEs at the size of the real feeds, and what they are to the fleet of `bench_api`.

100,000 rated CVEs with their EPSS, 1,500 of them exploited; 20,000 advisories of three CVEs and 40,000 records of a
tracker; a host has 400 CVEs, 50 hosts in a row have different ones.
"""

import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
from patchbay_errata.totals import Totals
from patchbay_shared.db import Database
from patchbay_shared.exposure import STATES

CVES = 100_000
EXPLOITED = 1_500
ADVISORIES = 20_000
RECORDS = 40_000
SETS = 50
CVES_OF_A_HOST = 400
OUTSTANDING = 500
"""Of so many advisories the fix is outstanding on some host: the newest ones."""
SEVERITIES = ("low", "medium", "high", "critical", "")
NOW = datetime.now(UTC)


def advisory_name(number: int) -> str:
    """The newest advisory has the number 0."""
    return f"DSA-{ADVISORIES - number}-1"


def seed_feeds(connection: "psycopg.Connection[Any]") -> None:
    """Write what the feeds give."""
    for name in ("debian", "nvd"):
        connection.execute(
            "INSERT INTO errata_source (name, url, enabled, state) VALUES (%s, 'https://example.com/', true, 'ok')",
            (name,),
        )
    _cves(connection)
    columns = (
        "id, source, name, part, digest, vendor, type, severity, vendor_severity, status, title, description, url,"
        " issued_at, links"
    )
    with connection.cursor().copy(f"COPY advisory ({columns}) FROM STDIN") as copy:
        for number in range(ADVISORIES + RECORDS):
            severity = SEVERITIES[number % 5]
            kind, name = ("security", advisory_name(number))
            if number >= ADVISORIES:
                kind, name = ("cve", _cve(number - ADVISORIES))
            copy.write_row(
                (
                    number, "debian", name, 1, number, "Debian", kind, severity, severity, "final",
                    f"{name}: security update", "Several problems were found. " * 20, f"https://example.com/{name}",
                    NOW - timedelta(hours=number), [],
                )
            )  # fmt: skip
    with connection.cursor().copy("COPY advisory_cve (advisory_id, cve) FROM STDIN") as copy:
        for number in range(ADVISORIES):
            for place in range(3):
                copy.write_row((number, _cve(3 * number + place)))
        for number in range(RECORDS):
            copy.write_row((ADVISORIES + number, _cve(number)))


def seed_exposure(connection: "psycopg.Connection[Any]") -> None:
    """Write what errata concludes of the hosts and their verdicts, which are there."""
    ids = [uuid.UUID(int=0xB0000000000040008000000000000000 + number) for number in range(SETS)]
    with connection.cursor().copy("COPY exposure_set (id, cves, ranks, levels) FROM STDIN") as copy:
        for number, identity in enumerate(ids):
            chosen = [_cve(number * 40 + place) for place in range(CVES_OF_A_HOST)]
            ranks = [place % len(STATES) for place in range(CVES_OF_A_HOST)]
            copy.write_row((identity, chosen, ranks, [place % 5 for place in range(CVES_OF_A_HOST)]))
    hosts = connection.execute("SELECT id FROM host ORDER BY id").fetchall()
    columns = (
        "host_id, basis, exposed_count, fixable_count, restart_count, exploited_count, overdue_count, waived_count,"
        " next_due_on, worst_cve, counted_at, exposure_set_id"
    )
    with connection.cursor().copy(f"COPY host_exposure ({columns}) FROM STDIN") as copy:
        for number, (host,) in enumerate(hosts):
            copy.write_row(
                (
                    host, "bench", 300, number % 50, number % 9, number % 4, number % 25, int(number % 17 == 0),
                    NOW.date() + timedelta(days=number % 30), _cve(number % 50), NOW, ids[number % SETS],
                )
            )  # fmt: skip
    connection.execute(
        "INSERT INTO outstanding_security (evaluation_id, basis, severity, issued_at)"
        " SELECT id, 'bench', (ARRAY['low', 'medium', 'high', 'critical', 'unknown'])[1 + id % 5],"
        " now() - (id % 200) * interval '1 day' FROM evaluation WHERE security_count > 0"
    )


def sum_up(uri: str) -> None:
    """Have errata index the CVEs and sum up what touches the hosts, as it does every few seconds."""
    database = Database(uri, service="errata", roles=True)
    Totals(database).run(threading.Event())
    database.close()


def seed_snapshots(connection: "psycopg.Connection[Any]", figures: dict[str, int]) -> None:
    """A year of the fleet's figures: every hour of a fortnight, before that a day apart."""
    moments = [NOW - timedelta(hours=hour) for hour in range(24 * 14)]
    moments += [NOW - timedelta(days=day) for day in range(14, 366)]
    rows = [("fleet", "")] + [("os", f"Debian GNU/Linux {version}") for version in (10, 11, 12)]
    rows += [(kind, value) for kind, values in _PARTS.items() for value in values]
    document = msgspec.json.encode(figures).decode()
    with connection.cursor().copy("COPY fleet_snapshot (at, dimension, value, figures) FROM STDIN") as copy:
        for moment in moments:
            for kind, value in rows:
                copy.write_row((moment, kind, value, document if kind in {"fleet", "os"} else '{"updates": 100}'))


_PARTS = {
    "severity": ("unknown", "low", "medium", "high", "critical"),
    "age": ("week", "month", "quarter", "older", "unknown"),
}


def _cves(connection: "psycopg.Connection[Any]") -> None:
    columns = (
        "id, source, digest, state, description, score, severity, vector, cvss_version, provider, metrics, cwes,"
        " published_at, updated_at"
    )
    with connection.cursor().copy(f"COPY cve ({columns}) FROM STDIN") as copy:
        for number in range(CVES):
            severity = SEVERITIES[number * 7 % 5]
            copy.write_row(
                (
                    _cve(number), "nvd", number, "published", "A flaw was found in a parser. " * 10,
                    number % 100 / 10 if severity else None, severity, "CVSS:3.1/AV:N", "3.1", "NVD", "[]", [],
                    NOW - timedelta(hours=number), NOW - timedelta(hours=number),
                )
            )  # fmt: skip
    with connection.cursor().copy("COPY exploit_score (cve, score, percentile, model) FROM STDIN") as copy:
        for number in range(CVES):
            copy.write_row((_cve(number), number * 31 % 1000 / 1000, number % 100 / 100, "v2025"))
    with connection.cursor().copy(
        "COPY known_exploited (cve, added_on, ransomware, title, action) FROM STDIN"
    ) as copy:
        for number in range(EXPLOITED):
            copy.write_row((_cve(number * 60), NOW.date(), False, "A flaw", "Update."))


def _cve(number: int) -> str:
    return f"CVE-{2026 - number // 10_000}-{10_000 + number % 10_000}"
