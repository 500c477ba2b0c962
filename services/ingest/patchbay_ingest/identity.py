"""Who is reporting: enrolment, and the tokens that speak for one host.

Known tokens are remembered, so a report from a known host needs no database: while PostgreSQL is away,
what was true when it was last asked goes on being true.
"""

import hashlib
import secrets
import time
import uuid
from collections import OrderedDict
from threading import Lock
from uuid import UUID

from patchbay_shared.db import Database
from patchbay_shared.errors import Unavailable
from patchbay_shared.log import get_logger

from patchbay_ingest import store

log = get_logger("ingest")

RECHECK_SECONDS = 30.0
REMEMBERED_TOKENS = 200_000


class Unauthenticated(Exception):
    """No token, or one that speaks for nobody (401); the message says which."""


def hash_of(token: str) -> bytes:
    """What is stored of a token; 256 random bits need no salt."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


class Identity:
    """The memory of one ingest process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[bytes, tuple[UUID, float]] = OrderedDict()
        self._lock = Lock()

    def host_of(self, token: str) -> UUID:
        """The host that a token speaks for. Raises Unauthenticated; Unavailable if only PostgreSQL could tell."""
        token_hash = hash_of(token)
        with self._lock:
            known = self._known.get(token_hash)
        if known and time.monotonic() - known[1] < RECHECK_SECONDS:
            return known[0]
        try:
            with self._database.transaction() as connection:
                host_id = store.host_of_token(connection, token_hash)
        except Unavailable:
            if known is None:
                raise
            return known[0]
        with self._lock:
            if host_id is None:
                self._known.pop(token_hash, None)
            else:
                self._known[token_hash] = (host_id, time.monotonic())
                self._known.move_to_end(token_hash)
                while len(self._known) > REMEMBERED_TOKENS:
                    self._known.popitem(last=False)
        if host_id is None:
            raise Unauthenticated("This host token is not known or has been revoked; enrol the host again.")
        return host_id

    def enrol(self, token: str, *, hostname: str, machine_id: str) -> tuple[UUID, str]:
        """Exchange an enrolment token for (host id, host token). Raises Unauthenticated.

        A machine that enrols again under its name stays the same host, and its former token ends.
        """
        host_token = secrets.token_urlsafe(32)
        with self._database.transaction() as connection:
            token_id = store.enrolment_token_id(connection, hash_of(token))
            if token_id is None:
                raise Unauthenticated("This enrolment token is not known, has expired or has been revoked.")
            before = store.enrolled_host(connection, hostname=hostname, machine_id=machine_id)
            host_id = before or uuid.uuid4()
            store.replace_credential(
                connection,
                host_id=host_id,
                token_hash=hash_of(host_token),
                token_id=token_id,
                hostname=hostname,
                machine_id=machine_id,
            )
        log.info("host_enrolled", host_id=str(host_id), hostname=hostname, again=before is not None)
        return host_id, host_token
