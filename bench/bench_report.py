"""CPU of one report, from its 202 to its committed verdict, database included, with the catalogue warm."""

import time
import uuid

import msgspec
from figures import figure
from fleet import Installation, fleet_reports, installation
from patchbay_ingest.intake import content_of
from patchbay_shared.messages import REPORT_RECEIVED, ReportReceived
from patchbay_shared.receipts import new_receipt_id
from patchbay_shared.report import Report

IDENTICAL_ROUNDS = 50


def send(made: Installation, host_id: uuid.UUID, report: Report) -> None:
    """What ingest does after it has decided on 202; returns when the verdict is committed."""
    content = content_of(report)
    header = ReportReceived(new_receipt_id(), host_id, time.time(), content.digest.hex(), len(content.body), None)
    made.bus.publish(REPORT_RECEIVED, content.body, {"report": msgspec.json.encode(header).decode()}, wait=True)


def cpu_ms(made: Installation, host_id: uuid.UUID, report: Report) -> float:
    before = made.meter.seconds()
    send(made, host_id, report)
    return (made.meter.seconds() - before) * 1_000


def database_kb(made: Installation) -> float:
    [(size,)] = made.rows("SELECT pg_database_size(current_database())")
    return float(size) / 1_000


def main() -> None:
    reports = fleet_reports()
    with installation() as made:
        send(made, uuid.uuid4(), reports["own"])
        made.wait_until_crawled()
        send(made, uuid.uuid4(), reports["d01"])  # the catalogue is warm now
        fresh = []
        hosts = {}
        empty = database_kb(made)
        for name in [f"d{number:02}" for number in range(2, 21)]:
            hosts[name] = uuid.uuid4()
            fresh.append(cpu_ms(made, hosts[name], reports[name]))
        grown = (database_kb(made) - empty) / len(hosts)
        identical = []
        for _ in range(5):
            before = made.meter.seconds()
            for turn in range(IDENTICAL_ROUNDS):
                name = f"d{turn % 19 + 2:02}"
                send(made, hosts[name], reports[name])
            identical.append((made.meter.seconds() - before) * 1_000 / IDENTICAL_ROUNDS)
        [(listed,)] = made.rows(
            "SELECT min(listed_count) FROM evaluation JOIN host h ON h.evaluation_id = evaluation.id"
        )
        if not listed:
            raise SystemExit("A host has no updates: the catalogue was not used, the figures mean nothing.")
    figure("report_fresh_cpu_ms", fresh, "ms", target="< 95", peer="Patchman 4.0.19: 14,300")
    target = "for a host with packages that no other has, its kept report included"
    figure("report_database_kb", grown, "kB", target=target)
    figure("report_identical_cpu_ms", identical, "ms", target="< 5", peer="Patchman 4.0.19: 8,100")


if __name__ == "__main__":
    main()
