"""What the engine does with each message: decode, one transaction, call, publish after the commit."""

import threading
import time
from datetime import UTC, datetime
from itertools import groupby
from uuid import UUID

import msgspec
from patchbay_shared import metrics
from patchbay_shared.bus import Bus, Delivery
from patchbay_shared.db import Database
from patchbay_shared.log import get_logger
from patchbay_shared.messages import (
    ADVISORIES_CHANGED,
    HOST_EVALUATED,
    HOSTS_OPERATED,
    JUDGING_REPOSITORIES_CHANGED,
    REPORT_RECEIVED,
    REPOSITORY_REFERENCED,
    AdvisoriesChanged,
    EvaluationRequested,
    HostEvaluated,
    ReportReceived,
    ReportRefused,
    RepositoryChanged,
    RepositoryNudge,
)
from patchbay_shared.report_body import report_in
from patchbay_shared.settings import Settings
from sqlalchemy import Connection

from patchbay_update_engine import operated, release_advisories, sections, store
from patchbay_update_engine.catalogues import Catalogues
from patchbay_update_engine.clones import mark_clones, unmark_former_clones
from patchbay_update_engine.conclusions import compare_waiting_opinions, conclude_from_report
from patchbay_update_engine.evaluate.catalog import InstalledPackage
from patchbay_update_engine.evaluate.unordered import note_of
from patchbay_update_engine.evaluations import (
    StaleHost,
    evaluation_of,
    hosts_awaiting_evaluation,
    hosts_by_id,
    note_unaffected,
)
from patchbay_update_engine.group_sets import apply_decisions, judging_set
from patchbay_update_engine.kept import keep_report, remove_old_reports
from patchbay_update_engine.merges import merge_hosts, merged_into
from patchbay_update_engine.sets import (
    InstalledSet,
    PackageMemory,
    RepositorySet,
    load_package_set,
    load_repository_set,
    note_unchecked,
    store_package_set,
    store_repository_set,
)

log = get_logger("update-engine")

RECEIPT_DAYS = 90
EVENT_DAYS = 730


class _Merged(Exception):
    """The host of a report is gone: it was merged into another."""

    def __init__(self, into_id: UUID) -> None:
        super().__init__(str(into_id))
        self.into_id = into_id


class Engine:
    """The handlers and the memory they share; one a process."""

    def __init__(self, settings: Settings, database: Database, bus: Bus) -> None:
        self._database = database
        self._bus = bus
        self._max_bytes = settings.report_max_expanded_bytes
        self._kept_reports = settings.kept_reports
        self._kept_report_days = settings.kept_report_days
        self._packages = PackageMemory()
        self._catalogues = Catalogues(settings.catalogue_cache_packages)

    def report_received(self, delivery: Delivery) -> None:
        """REPORT_RECEIVED: store the report and decide what is outstanding."""
        header = msgspec.json.decode(str(delivery.headers["report"]), type=ReportReceived)
        with self._database.transaction() as connection:
            evaluation_id = store.touch_unchanged_host(connection, header)
            if evaluation_id is not None:
                store.store_receipt(
                    connection, header, "evaluated", unchanged=True, reason=header.note, evaluation_id=evaluation_id
                )
                metrics.REPORTS_HANDLED.labels("unchanged").inc()
                self._log_stored(header, evaluation_id, changed=False)
                return
        self.store_report(header, delivery.body)

    def store_report(self, header: ReportReceived, body: bytes, *, again: bool = False) -> None:
        """Store a report (`body` as it travels) and decide; `again` renews the receipt that it has already.

        One of a host that was merged into another meanwhile is stored as a report of that one.
        """
        try:
            self._store_report(header, body, again=again)
        except _Merged as exc:
            self._store_report(msgspec.structs.replace(header, host_id=exc.into_id), body, again=again)

    def _store_report(self, header: ReportReceived, body: bytes, *, again: bool) -> None:
        stages = metrics.StageClock(since=time.time() if again else header.received_at)
        if not again:
            stages.ended("queue")
        report = report_in(body, limit=self._max_bytes)
        if header.tags:
            report = msgspec.structs.replace(report, tags=list(dict.fromkeys([*report.tags, *header.tags])))
        stages.ended("decode")
        with self._database.transaction() as connection:
            host = store.lock_host(connection, header.host_id, received_at=header.received_at)
            if host is not None and host.is_newer:
                store.store_receipt(
                    connection, header, "superseded", reason="A newer report of this host is already stored."
                )
                metrics.REPORTS_HANDLED.labels("superseded").inc()
                return
            if host is None and (into_id := merged_into(connection, header.host_id)):
                raise _Merged(into_id)
            if host is None and (reason := store.removal_of(connection, header.host_id)):
                store.store_receipt(connection, header, "refused", reason=reason, again=again)
                metrics.REPORTS_HANDLED.labels("refused").inc()
                return
            digests = host.section_digests if host else {}
            if reason := sections.refusal_of(header, digests):
                store.store_receipt(connection, header, "refused", reason=reason, again=again)
                metrics.REPORTS_HANDLED.labels("refused").inc()
                return
            digests = sections.digests_after(header, report, digests)
            keeps_repositories = host is not None and sections.keeps_repositories(header, report)
            if host is not None and header.left_out:
                stored = load_repository_set(connection, host.repository_set_id)
                report = sections.completed(report, header, stored)
            ids: dict[bytes, int] = {}
            packages: dict[int, InstalledPackage] = {}
            if report.packages is not None:
                installed, ids, packages = store_package_set(connection, report.packages, self._packages)
            elif host is not None:
                installed = load_package_set(connection, host.package_set_id, self._packages)
            else:
                reason = "A host's first report must list its packages."
                store.store_receipt(connection, header, "refused", reason=reason, again=again)
                metrics.REPORTS_HANDLED.labels("refused").inc()
                return
            if host is not None and keeps_repositories:
                repository_set = load_repository_set(connection, host.repository_set_id)
            else:
                repository_set = store_repository_set(connection, report)
            store.store_host(connection, header, report, installed, repository_set, digests)
            if host is not None and host.package_set_id != installed.id:
                store.store_package_event(
                    connection, header.host_id, header.received_at, host.package_set_id, installed
                )
            judged_by = judging_set(connection, header.host_id, repository_set)
            stages.ended("store")
            evaluation_id = evaluation_of(
                connection, installed, judged_by, self._catalogues, machine_id=report.machine_id
            )
            stages.ended("evaluate")
            store.set_evaluation(connection, [header.host_id], evaluation_id)
            conclude_from_report(connection, header, report, installed)
            compare_waiting_opinions(connection, [header.host_id])
            reason = " ".join(
                filter(None, (header.note, note_of(installed.packages, package_manager=report.package_manager)))
            )
            store.store_receipt(
                connection, header, "evaluated", reason=reason, evaluation_id=evaluation_id, again=again
            )
            if not again:
                keep_report(
                    connection,
                    *sections.whole(connection, header, report, body, installed.id),
                    count=self._kept_reports,
                )
        with self._database.transaction() as connection:
            mark_clones(connection, report.machine_id)
        metrics.REPORTS_HANDLED.labels("evaluated").inc()
        if not again:
            metrics.EVALUATION_LAG_SECONDS.observe(max(0.0, time.time() - header.received_at))
        self._packages.remember(ids, packages)
        if repository_set.new_references:
            self._bus.publish(REPOSITORY_REFERENCED, msgspec.json.encode(RepositoryNudge()))
        self._bus.publish(HOST_EVALUATED, msgspec.json.encode(HostEvaluated(header.host_id, evaluation_id)))
        self._log_stored(header, evaluation_id, changed=True)

    def _log_stored(self, header: ReportReceived, evaluation_id: int, *, changed: bool) -> None:
        log.info(
            "report_stored",
            host_id=str(header.host_id),
            receipt_id=str(header.receipt_id),
            evaluation_id=evaluation_id,
            changed=changed,
        )

    def report_refused(self, delivery: Delivery) -> None:
        """REPORT_REFUSED: a receipt that says why ingest did not take a report."""
        refused = msgspec.json.decode(delivery.body, type=ReportRefused)
        header = ReportReceived(refused.receipt_id, refused.host_id, refused.received_at, "", refused.size_bytes)
        with self._database.transaction() as connection:
            store.store_receipt(connection, header, "refused", reason=refused.reason)

    def recalculate(self, delivery: Delivery) -> None:
        """REPOSITORY_CHANGED, ADVISORIES_CHANGED or JUDGING_REPOSITORIES_CHANGED."""
        if delivery.routing_key == JUDGING_REPOSITORIES_CHANGED:
            self.evaluate_stale(threading.Event())
        elif delivery.routing_key == ADVISORIES_CHANGED:
            self.advisories_changed(delivery)
        else:
            self.repository_changed(delivery)

    def advisories_changed(self, delivery: Delivery) -> None:
        """ADVISORIES_CHANGED: judge again exactly the sets that hold a package whose advisories changed."""
        message = msgspec.json.decode(delivery.body, type=AdvisoriesChanged)
        for change in message.changes:
            with self._database.transaction() as connection:
                moved = release_advisories.note_unaffected(connection, change)
            log.info("evaluations_unaffected", source=message.source, release=change.distro_release, count=moved)
        self.evaluate_stale(threading.Event())

    def repository_changed(self, delivery: Delivery) -> None:
        """REPOSITORY_CHANGED: judge again exactly the sets that hold one of the changed names."""
        change = msgspec.json.decode(delivery.body, type=RepositoryChanged)
        if change.names is not None:
            with self._database.transaction() as connection:
                moved = note_unaffected(connection, change.repository_id, change.generation, change.names)
            log.info("evaluations_unaffected", repository_id=str(change.repository_id), count=moved)
        self.evaluate_stale(threading.Event())

    def evaluation_requested(self, delivery: Delivery) -> None:
        """EVALUATION_REQUESTED: judge the named hosts with the catalogue as it is now."""
        self.evaluate_hosts(msgspec.json.decode(delivery.body, type=EvaluationRequested).host_ids)

    def evaluate_hosts(self, host_ids: list[UUID]) -> int:
        """Judge these hosts with the catalogue as it is now; how many of them there are."""
        with self._database.transaction() as connection:
            hosts = hosts_by_id(connection, host_ids)
        self._evaluate(hosts, threading.Event())
        return len(hosts)

    def evaluate_stale(self, stop: threading.Event) -> None:
        """The sweep: every host whose evaluation is of an older catalogue, of older rules or other repositories."""
        with self._database.transaction() as connection:
            note_unchecked(connection)
            moved = apply_decisions(connection)
        if moved:
            log.info("judging_repositories_changed", host_count=moved)
        while not stop.is_set():
            with self._database.transaction() as connection:
                hosts = hosts_awaiting_evaluation(connection)
            if not hosts:
                return
            self._evaluate(hosts, stop)

    def message_died(self, delivery: Delivery) -> None:
        """MESSAGE_DEAD: keep the message, and give a lost report its receipt."""
        headers = dict(delivery.headers)
        now = datetime.now(UTC)
        routing_key = str(headers.get("x-patchbay-routing-key") or headers.get("x-first-death-routing-key") or "")
        error = str(headers.get("x-patchbay-error") or "The message ended its consumer repeatedly.")
        queue = str(headers.get("x-patchbay-queue") or headers.get("x-first-death-queue") or delivery.routing_key)
        first = headers.get("x-patchbay-first-at")
        with self._database.transaction() as connection:
            store.store_dead_letter(
                connection,
                queue=queue,
                routing_key=routing_key,
                headers=headers,
                body=delivery.body,
                error=error,
                attempts=int(headers.get("x-patchbay-attempts", 0)),
                first_at=datetime.fromtimestamp(float(first), UTC) if first else now,
                last_at=now,
            )
            if "report" in headers:
                header = msgspec.json.decode(str(headers["report"]), type=ReportReceived)
                store.store_receipt(connection, header, "refused", reason=error)
            if routing_key == HOSTS_OPERATED:
                operated.buried(connection, delivery.body, error)
        log.error("message_buried", queue=queue, routing_key=routing_key or REPORT_RECEIVED, error=error)

    def remove_hosts(self, stop: threading.Event) -> None:
        """HOST_REMOVED, and its sweep: forget the hosts that operators have removed; their receipts stay."""
        with self._database.transaction() as connection:
            removed = store.remove_hosts(connection)
        if removed:
            log.info("hosts_removed", count=removed)

    def merge_hosts(self, stop: threading.Event) -> None:
        """The sweep of merges: hosts that operators have merged into others give these what is kept of them."""
        with self._database.transaction() as connection:
            merged = merge_hosts(connection)
        if merged:
            with self._database.transaction() as connection:
                unmark_former_clones(connection)
            log.info("hosts_merged", count=merged)

    def clean(self, stop: threading.Event) -> None:
        """Remove what is past its retention."""
        with self._database.transaction() as connection:
            removed = store.clean(connection, receipt_days=RECEIPT_DAYS, event_days=EVENT_DAYS)
            removed["report_body"] = remove_old_reports(connection, days=self._kept_report_days)
        with self._database.transaction() as connection:
            unmark_former_clones(connection)
        log.info("cleaned", **removed)

    def _evaluate(self, hosts: list[StaleHost], stop: threading.Event) -> None:
        """One transaction a pair of sets, so that a long sweep holds no locks and loses nothing when stopped."""
        evaluated: list[HostEvaluated] = []
        repository_set: RepositorySet | None = None
        for (repository_set_id, package_set_id), group in groupby(
            sorted(hosts, key=lambda each: (each.repository_set_id, each.package_set_id)),
            key=lambda each: (each.repository_set_id, each.package_set_id),
        ):
            if stop.is_set():
                return
            members = list(group)
            with self._database.transaction() as connection:
                if repository_set is None or repository_set.id != repository_set_id:
                    repository_set = load_repository_set(connection, repository_set_id)
                installed = load_package_set(connection, package_set_id, self._packages)
                evaluated += self._evaluate_members(connection, installed, repository_set, members)
        for each in evaluated:
            self._bus.publish(HOST_EVALUATED, msgspec.json.encode(each))

    def _evaluate_members(
        self,
        connection: Connection,
        installed: InstalledSet,
        repository_set: RepositorySet,
        members: list[StaleHost],
    ) -> list[HostEvaluated]:
        done: dict[int, list[StaleHost]] = {}
        for each in members:
            evaluation_id = evaluation_of(
                connection, installed, repository_set, self._catalogues, machine_id=each.machine_id
            )
            done.setdefault(evaluation_id, []).append(each)
        for evaluation_id, same in done.items():
            store.set_evaluation(connection, [each.host_id for each in same], evaluation_id)
        compare_waiting_opinions(connection, [each.host_id for each in members])
        return [HostEvaluated(each.host_id, number) for number, same in done.items() for each in same]
