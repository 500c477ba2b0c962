"""Keeping a lease while its work runs."""

import os
import socket
import threading
import uuid
from types import TracebackType
from typing import Self
from uuid import UUID

import structlog
from patchbay_shared.db import Database
from patchbay_shared.errors import Unavailable

from patchbay_repo_sync.store import extend_lease

_log = structlog.get_logger(__name__)

LEASE_SECONDS = 60.0
"""How long a repository stays with a worker that gives no sign of life."""


def new_owner() -> str:
    """A name for one worker thread, unique among all replicas and restarts."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


class Heartbeat:
    """Extends a lease every third of its time until the `with` block ends; `lost` is set if another has taken it."""

    def __init__(
        self, database: Database, repository_id: UUID, owner: str, *, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self.lost = threading.Event()
        self._database = database
        self._repository_id = repository_id
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lease {repository_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(self._lease_seconds / 3):
            try:
                with self._database.transaction() as connection:
                    held = extend_lease(connection, self._repository_id, self._owner, self._lease_seconds)
            except Unavailable as exc:
                _log.warning("lease_not_extended", error=str(exc))
                continue
            if not held:
                self.lost.set()
                return
