"""A worker killed while it swaps: the real signal, a real second process."""

import os
import subprocess
import sys
from typing import Any

MAIN = ("main", "amd64")
OLD = ["bash 5.2-1 amd64", "curl 8.1-1 amd64", "zlib 1.3-1 amd64"]
WORKER = """
import sys, threading
from patchbay_repo_sync import swap
from patchbay_repo_sync.sync import Syncer
from patchbay_shared.bus import Bus
from patchbay_shared.db import Database
from patchbay_shared.settings import settings_from

def wait_for_the_end(*args, **named):
    print("packages written", flush=True)
    threading.Event().wait()

swap._update_repository = wait_for_the_end
settings = settings_from()
Syncer(settings, Database(sys.argv[1], service="repo-sync", roles=True), Bus("memory://")).sync_next()
"""


def test_a_killed_worker_leaves_the_old_generation(world: Any, apt_mirror: Any, database_url: str) -> None:
    """SIGKILL between writing the packages and the commit; another worker goes on after the lease."""
    number = world.refer(apt_mirror.source(), MAIN)
    world.sync()
    apt_mirror.indexes[MAIN] = [apt_mirror.stanza("bash", "5.3-1")]
    apt_mirror.fields["Date"] = "Fri, 20 Nov 2026 10:00:00 UTC"
    apt_mirror.publish()
    with world.owner.transaction() as connection:
        connection.exec_driver_sql("UPDATE repository SET next_sync_at = now()")

    environment = {**os.environ, "PATCHBAY_FETCH_ALLOWED_NETWORKS": "127.0.0.0/8"}
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, database_url], stdout=subprocess.PIPE, text=True, env=environment
    ) as worker:
        assert worker.stdout is not None
        lines = (line for line in worker.stdout if "packages written" in line)
        assert next(lines, None), "the worker ended by itself"
        worker.kill()

    assert world.packages() == OLD
    assert not world.syncer().sync_next(), "the dead worker's lease still runs"
    with world.owner.transaction() as connection:
        connection.exec_driver_sql("UPDATE repository SET leased_until = now() - interval '1 second'")
    assert world.syncer().sync_next()
    assert world.packages() == ["bash 5.3-1 amd64"]
    assert (world.repository()["id"], world.repository()["generation"]) == (number, 2)
