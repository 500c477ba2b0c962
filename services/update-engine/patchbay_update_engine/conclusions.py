"""What follows for one host beside its updates: the restart verdict, and the two opinions (SQL and calls)."""

from uuid import UUID

import msgspec
from patchbay_shared.messages import ReportReceived
from patchbay_shared.report import FAMILY_OF_MANAGER, ClientUpdate, Report
from sqlalchemy import Connection, text

from patchbay_update_engine.evaluate.opinion import ListedUpdate, compare_opinions
from patchbay_update_engine.evaluate.reboot import judge_reboot
from patchbay_update_engine.sets import InstalledSet


def conclude_from_report(
    connection: Connection, header: ReportReceived, report: Report, installed: InstalledSet
) -> None:
    """Judge the restart, and keep the client's own list until it can be compared."""
    verdict = judge_reboot(
        running=report.kernel,
        family=FAMILY_OF_MANAGER.get(report.package_manager, ""),
        installed=installed.packages,
        host_says=report.reboot_required,
        host_reasons=report.reboot_reasons,
    )
    connection.execute(
        text("""
            INSERT INTO reboot_verdict (host_id, required, rule, why, boot_id, judged_at)
            VALUES (:host_id, :required, :rule, :why, :boot_id, now())
            ON CONFLICT (host_id) DO UPDATE SET required = EXCLUDED.required, rule = EXCLUDED.rule,
                why = EXCLUDED.why, boot_id = EXCLUDED.boot_id, judged_at = EXCLUDED.judged_at
        """),
        {
            "host_id": header.host_id,
            "required": verdict.required,
            "rule": verdict.rule,
            "why": verdict.why,
            "boot_id": report.boot_id,
        },
    )
    if report.updates is None:
        connection.execute(text("DELETE FROM opinion WHERE host_id = :host_id"), {"host_id": header.host_id})
        return
    connection.execute(
        text("""
            INSERT INTO opinion (host_id, client, reported_at) VALUES (:host_id, CAST(:client AS jsonb), now())
            ON CONFLICT (host_id) DO UPDATE SET client = EXCLUDED.client, reported_at = EXCLUDED.reported_at,
                only_client = NULL, only_server = NULL, difference_count = NULL, compared_at = NULL
        """),
        {"host_id": header.host_id, "client": msgspec.json.encode(report.updates).decode()},
    )


def compare_waiting_opinions(connection: Connection, host_ids: list[UUID]) -> None:
    """Compare the lists of those hosts that were not compared yet and whose repositories are all crawled.

    Once a report: what the catalogue learns later is no difference of opinion. Nor is it one where a host is
    judged by other repositories than its package manager reads.
    """
    waiting = connection.execute(
        text("""
            SELECT o.host_id, h.evaluation_id, o.client::text AS client
            FROM opinion o JOIN host h ON h.id = o.host_id JOIN evaluation e ON e.id = h.evaluation_id
            WHERE o.host_id = ANY(CAST(:host_ids AS uuid[])) AND o.compared_at IS NULL AND e.incomplete_count = 0
              AND h.group_repository_set_id IS NULL
            ORDER BY o.host_id FOR UPDATE OF o
        """),
        {"host_ids": host_ids},
    ).all()
    if not waiting:
        return
    listed: dict[int, list[ListedUpdate]] = {each.evaluation_id: [] for each in waiting}
    for row in connection.execute(
        text("""
            SELECT evaluation_id, name, candidate, coalesce(candidate_arch, arch) AS arch FROM verdict
            WHERE evaluation_id = ANY(:ids) AND listed
        """),
        {"ids": sorted(listed)},
    ):
        listed[row.evaluation_id].append(ListedUpdate(row.name, row.candidate or "", row.arch))
    differences = {
        each.host_id: compare_opinions(
            msgspec.json.decode(each.client, type=list[ClientUpdate]), listed[each.evaluation_id]
        )
        for each in waiting
    }
    connection.execute(
        text("""
            UPDATE opinion o SET only_client = d.only_client, only_server = d.only_server,
                difference_count = d.difference_count, compared_at = now()
            FROM unnest(CAST(:host_ids AS uuid[]), CAST(:only_client AS jsonb[]), CAST(:only_server AS jsonb[]),
                CAST(:counts AS integer[])) AS d (host_id, only_client, only_server, difference_count)
            WHERE o.host_id = d.host_id
        """),
        {
            "host_ids": list(differences),
            "only_client": [msgspec.json.encode(each.only_client).decode() for each in differences.values()],
            "only_server": [msgspec.json.encode(each.only_server).decode() for each in differences.values()],
            "counts": [each.count for each in differences.values()],
        },
    )
