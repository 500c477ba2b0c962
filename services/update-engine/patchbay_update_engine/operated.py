"""What operators do with hosts: rename, merge, remove, judge again; and how far that has come, by job."""

from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec
from patchbay_shared.db import Database
from patchbay_shared.log import get_logger
from patchbay_shared.messages import HostsOperated
from sqlalchemy import Connection, text

from patchbay_update_engine import store
from patchbay_update_engine.clones import unmark_former_clones
from patchbay_update_engine.merges import merge_hosts

log = get_logger("update-engine")


def operate(database: Database, body: bytes, evaluate: Callable[[list[UUID]], int]) -> None:
    """HOSTS_OPERATED: one transaction for the hosts, or as many as `evaluate` takes; then the job is told."""
    wanted = msgspec.json.decode(body, type=HostsOperated)
    if wanted.action == "evaluate":
        done = evaluate(wanted.host_ids)
    else:
        with database.transaction() as connection:
            if wanted.action == "rename":
                done = rename(connection, wanted.host_ids, wanted.hostname)
            elif wanted.action == "merge":
                done = merge(connection, wanted.host_ids)
            else:
                done = remove(connection, wanted.host_ids)
    with database.transaction() as connection:
        if wanted.action == "merge":
            unmark_former_clones(connection)
        failed = len(wanted.host_ids) - done
        note_part(connection, wanted, done=done, failed=failed, message="They were gone already." if failed else "")
    log.info("hosts_operated", action=wanted.action, count=done, job_id=str(wanted.job_id))


def buried(connection: Connection, body: bytes, error: str) -> None:
    """A message that cannot be handled ends its part of the job."""
    wanted = msgspec.json.decode(body, type=HostsOperated)
    note_part(connection, wanted, done=0, failed=len(wanted.host_ids), message=error)


def note_part(connection: Connection, wanted: HostsOperated, *, done: int, failed: int, message: str) -> None:
    """What became of a part of a job; a second delivery changes nothing, a replay of a failed one does."""
    connection.execute(
        text("""
            INSERT INTO job_part (job_id, part, done_count, failed_count, message, finished_at)
            SELECT id, :part, :done, :failed, :message, clock_timestamp() FROM job WHERE id = :job_id
            ON CONFLICT (job_id, part) DO UPDATE SET done_count = EXCLUDED.done_count,
                failed_count = EXCLUDED.failed_count, message = EXCLUDED.message, finished_at = EXCLUDED.finished_at
            WHERE job_part.failed_count > EXCLUDED.failed_count
        """),
        {"job_id": wanted.job_id, "part": wanted.part, "done": done, "failed": failed, "message": message[:1_000]},
    )


def rename(connection: Connection, host_ids: Sequence[UUID], hostname: str) -> int:
    """Call hosts by a name that their reports do not change; an empty one: as they call themselves again."""
    return connection.execute(
        text("""
            UPDATE host SET
                hostname = coalesce(nullif(:hostname, ''), reported_hostname, hostname),
                reported_hostname = CASE WHEN :hostname IN ('', coalesce(reported_hostname, hostname)) THEN NULL
                                         ELSE coalesce(reported_hostname, hostname) END
            WHERE id = ANY(CAST(:ids AS uuid[]))
        """),
        {"hostname": hostname, "ids": sorted(host_ids)},
    ).rowcount


def remove(connection: Connection, host_ids: Sequence[UUID]) -> int:
    """Forget the hosts that operators removed; how many of these there were."""
    wanted = text("SELECT count(*) FROM host WHERE id = ANY(CAST(:ids AS uuid[]))")
    count: int = connection.scalar(wanted, {"ids": sorted(host_ids)}) or 0
    store.remove_hosts(connection)
    return count


def merge(connection: Connection, host_ids: Sequence[UUID]) -> int:
    """Merge these hosts, and all others that wait for it; how many of these there were."""
    wanted = text("SELECT count(*) FROM host WHERE id = ANY(CAST(:ids AS uuid[]))")
    count: int = connection.scalar(wanted, {"ids": sorted(host_ids)}) or 0
    merge_hosts(connection)
    return count
