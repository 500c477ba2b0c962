"""The recorded fleet (20 different Debian hosts of 1,500 packages) as reports, over the recorded mirror."""

import json
import lzma
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from databases import migrated_database
from figures import CpuMeter, shared_folder
from patchbay_repo_sync.service import SERVICE as REPO_SYNC
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.log import configure
from patchbay_shared.report import OsRelease, Report, ReportPackage, ReportRepository
from patchbay_shared.service import Context, WorkerThreads
from patchbay_shared.settings import Settings, settings_from
from patchbay_update_engine.service import SERVICE as UPDATE_ENGINE
from sqlalchemy import text


def fleet_reports() -> dict[str, Report]:
    """Host name to report, in the order of the recording."""
    with lzma.open(shared_folder() / "bench" / "hosts.jsonl.xz", "rt") as file:
        return {(host := json.loads(line))["hostname"].split(".")[0]: _report(host) for line in file}


def _report(host: dict[str, Any]) -> Report:
    return Report(
        hostname=host["hostname"],
        arch=host["arch"],
        kernel=host["kernel"],
        os=host["os"],
        os_release=OsRelease(ID="debian", VERSION_ID="12", VERSION_CODENAME="bookworm", PRETTY_NAME=host["os"]),
        package_manager="apt",
        native_arch="amd64",
        machine_id=host["hostname"].ljust(32, "0"),
        packages=[
            ReportPackage(
                name=each["name"], version=each["version"], release=each["release"], epoch=each["epoch"],
                arch=each["arch"], type="deb",
            )
            for each in host["packages"]
        ],
        repos=[_repository(each["urls"][0]) for each in host["repos"]],
    )  # fmt: skip


def _repository(url: str) -> ReportRepository:
    base, _, rest = url.partition("/dists/")
    suite, component, _ = rest.split("/")
    return ReportRepository(
        id=suite, type="deb", urls=[base], suite=suite, components=[component], arch=["amd64"],
        security=suite.endswith("-security"),
    )  # fmt: skip


class Installation:
    """Engine and repo-sync over an embedded PostgreSQL, in this process."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.owner = Database(uri, service=None, roles=False)
        mirror = shared_folder() / "oracle" / "repos" / "apt"
        self.settings: Settings = settings_from({}, mirror_map=f"http://127.0.0.1:58000={mirror}")
        self.bus = Bus("memory://", timeout_seconds=120)
        self.bus.declare()
        self.meter = CpuMeter(folder / "postgres")
        self._workers = []
        for service in (UPDATE_ENGINE, REPO_SYNC):
            assert service.workers is not None
            context = Context(self.settings, Database(uri, service=service.name, roles=True), self.bus)
            self._workers.append(WorkerThreads(context, service.workers(context)))
        for each in self._workers:
            each.start()

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.owner.transaction() as connection:
            return [tuple(row) for row in connection.execute(text(query), values)]

    def wait_until_crawled(self, *, within_seconds: float = 300) -> None:
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            waiting = self.rows("SELECT count(*) FROM host h JOIN evaluation e ON e.id = h.evaluation_id "
                                "WHERE e.incomplete_count > 0")  # fmt: skip
            if waiting == [(0,)]:
                return
            threading.Event().wait(0.2)
        raise SystemExit("The repositories were not crawled in time.")

    def stop(self) -> None:
        for each in self._workers:
            each.stop()


@contextmanager
def installation() -> Iterator[Installation]:
    configure(level="error", style="json")
    with migrated_database() as (folder, uri):
        made = Installation(folder, uri)
        try:
            yield made
        finally:
            made.stop()
