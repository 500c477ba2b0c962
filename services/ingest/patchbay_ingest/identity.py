"""Who is reporting: enrolment, the tokens that speak for one host, and clients that share a token.

A host that enrols has a token of its own. A patchman-client has no way to enrol: it presents an enrolment
token with every report, and is the host of its name among those that use that token.

Known tokens are remembered, so a report from a known host needs no database: while PostgreSQL is away,
what was true when it was last asked goes on being true.
"""

import hashlib
import secrets
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from threading import Lock
from typing import Generic, TypeVar
from uuid import UUID

import msgspec
from patchbay_shared.db import Database
from patchbay_shared.errors import Unavailable
from patchbay_shared.log import get_logger
from sqlalchemy import Connection

from patchbay_ingest import store

log = get_logger("ingest")

RECHECK_SECONDS = 30.0
REMEMBERED_TOKENS = 200_000
ROTATION_DAYS = 30
"""How long a host may go on with its former token if it never uses its new one."""
_ANONYMOUS = "protocol1"
Value = TypeVar("Value")


class Unauthenticated(Exception):
    """No token, or one that speaks for nobody (401); the message says which."""


class Forbidden(Exception):
    """The token is known, but it may not be used so (403); the message says why."""


class Caller(msgspec.Struct, frozen=True):
    """A host that may report."""

    host_id: UUID
    tags: list[str] = []
    """Given by the operator to every host of its enrolment token."""
    pending: bool = False
    """An operator has yet to approve it."""


def require_approved(caller: Caller) -> None:
    """Raises Forbidden while the host awaits an operator's approval."""
    if caller.pending:
        raise Forbidden("This host awaits approval by an operator; its reports are not stored until then.")


class _Enrolment(msgspec.Struct, frozen=True):
    id: int
    use_limit: int | None
    networks: list[str]
    tags: list[str]


class _Speaker(msgspec.Struct, frozen=True):
    """What a token is: one host's, or a shared one."""

    caller: Caller | None = None
    enrolment: _Enrolment | None = None


class _Memory(Generic[Value]):
    """What the database said, for RECHECK_SECONDS, and for as long as it is away."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, tuple[Value, float]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: bytes, ask: Callable[[], Value | None]) -> Value | None:
        with self._lock:
            known = self._known.get(key)
        if known and time.monotonic() - known[1] < RECHECK_SECONDS:
            return known[0]
        try:
            value = ask()
        except Unavailable:
            if known is None:
                raise
            return known[0]
        with self._lock:
            if value is None:
                self._known.pop(key, None)
            else:
                self._known[key] = (value, time.monotonic())
                self._known.move_to_end(key)
                while len(self._known) > REMEMBERED_TOKENS:
                    self._known.popitem(last=False)
        return value


def hash_of(token: str) -> bytes:
    """What is stored of a token; 256 random bits need no salt."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def within(address: str, networks: Sequence[str]) -> bool:
    """Whether an address is in one of the networks (CIDR)."""
    try:
        peer = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(peer, "ipv4_mapped", None)
    return any((mapped or peer) in ip_network(each) for each in networks)


class Identity:
    """The memory of one ingest process."""

    def __init__(self, database: Database, *, approve_hosts: bool = False) -> None:
        self._database = database
        self._approve_hosts = approve_hosts
        self._speakers: _Memory[_Speaker] = _Memory()
        self._clients: _Memory[Caller] = _Memory()

    def host_of(self, token: str) -> Caller:
        """The host that a token speaks for. Raises Unauthenticated; Unavailable if only PostgreSQL could tell."""
        speaker = self._speaker(token)
        if speaker.caller is None:
            raise Unauthenticated(
                "This is an enrolment token; enrol the host with it, and report with its own token."
            )
        return speaker.caller

    def require_known(self, token: str) -> Caller | None:
        """The host whose own token this is; None for an enrolment token. Raises Unauthenticated."""
        return self._speaker(token).caller

    def client_of(self, token: str, hostname: str, *, peer: str) -> Caller:
        """The host of that name that reports with a token: its own one, or an enrolment token that hosts share.

        A new name is a new host, as far as the token lets hosts in. Raises Unauthenticated, Forbidden.
        """
        speaker = self._speaker(token)
        if speaker.caller:
            return speaker.caller
        assert speaker.enrolment is not None  # noqa: S101  (for mypy: a speaker is either)
        enrolment = speaker.enrolment
        _require_network(enrolment, peer)
        return self._client(hash_of(f"{token}\n{hostname}"), hostname, enrolment)

    def anonymous_of(self, hostname: str) -> Caller:
        """The host of that name among those that need no token at all."""
        return self._client(hash_of(f"{_ANONYMOUS}\n{hostname}"), hostname, None)

    def known_client(self, token: str, hostname: str) -> UUID | None:
        """The host of `client_of` or `anonymous_of` (no token), if it is known already. Never raises."""
        try:
            caller = self._speaker(token).caller if token else None
            if caller:
                return caller.host_id
            token_hash = hash_of(f"{token or _ANONYMOUS}\n{hostname}")
            with self._database.transaction() as connection:
                found = store.credentials(connection, [token_hash]).get(token_hash)
        except (Unavailable, Unauthenticated):
            return None
        return found.host_id if found is not None and not (found.revoked or found.removed) else None

    def enrol(self, token: str, *, hostname: str, machine_id: str, peer: str) -> tuple[Caller, str]:
        """Exchange an enrolment token for a host and its token. Raises Unauthenticated, Forbidden.

        A machine that enrols again under its name stays the same host, and its former token ends.
        """
        host_token = secrets.token_urlsafe(32)
        with self._database.transaction() as connection:
            enrolment = self._enrolment(connection, hash_of(token))
            if enrolment is None:
                raise Unauthenticated("This enrolment token is not known, has expired or has been revoked.")
            _require_network(enrolment, peer)
            before = store.enrolled_host(connection, hostname=hostname, machine_id=machine_id, token_id=enrolment.id)
            if before is None:
                _require_use(connection, enrolment)
            pending = self._approve_hosts and before is None
            host_id = before or uuid.uuid4()
            store.replace_credential(
                connection,
                host_id=host_id,
                token_hash=hash_of(host_token),
                token_id=enrolment.id,
                hostname=hostname,
                machine_id=machine_id,
                pending=pending,
            )
        log.info("host_enrolled", host_id=str(host_id), hostname=hostname, again=before is not None)
        return Caller(host_id, enrolment.tags, pending), host_token

    def rotate(self, token: str) -> str:
        """A new token for the host that presents a valid one of its own. Raises Unauthenticated, Unavailable.

        The former one ends with the first use of the new one, so a host that never got the answer is not locked out.
        """
        caller = self.host_of(token)
        require_approved(caller)
        host_token = secrets.token_urlsafe(32)
        with self._database.transaction() as connection:
            given = store.add_successor(
                connection, token_hash=hash_of(token), successor_hash=hash_of(host_token), valid_days=ROTATION_DAYS
            )
        if not given:
            raise Unauthenticated("This host token has been revoked; enrol the host again.")
        log.info("host_token_rotated", host_id=str(caller.host_id))
        return host_token

    def _speaker(self, token: str) -> _Speaker:
        token_hash = hash_of(token)

        def ask() -> _Speaker | None:
            with self._database.transaction() as connection:
                found = store.credentials(connection, [token_hash]).get(token_hash)
                if found is not None and not (found.revoked or found.removed or found.shared_token):
                    if found.unused:
                        store.end_predecessor(connection, token_hash)
                    return _Speaker(caller=Caller(found.host_id, list(found.tags), found.pending))
                enrolment = self._enrolment(connection, token_hash)
                return _Speaker(enrolment=enrolment) if enrolment else None

        speaker = self._speakers.get(token_hash, ask)
        if speaker is None:
            raise Unauthenticated("This host token is not known or has been revoked; enrol the host again.")
        return speaker

    def _enrolment(self, connection: Connection, token_hash: bytes) -> _Enrolment | None:
        row = store.usable_enrolment_token(connection, token_hash)
        return _Enrolment(row.id, row.use_limit, list(row.networks), list(row.tags)) if row else None

    def _client(self, token_hash: bytes, hostname: str, enrolment: _Enrolment | None) -> Caller:
        def ask() -> Caller | None:
            with self._database.transaction() as connection:
                found = store.credentials(connection, [token_hash]).get(token_hash)
                if found is None:
                    self._let_in(connection, token_hash, hostname, enrolment)
                    found = store.credentials(connection, [token_hash])[token_hash]
                elif found.removed and not found.revoked:
                    store.readmit_shared(
                        connection, host_id=uuid.uuid4(), token_hash=token_hash, pending=self._approve_hosts
                    )
                    found = store.credentials(connection, [token_hash])[token_hash]
            if found.revoked:
                return None
            return Caller(found.host_id, list(found.tags), found.pending)

        caller = self._clients.get(token_hash, ask)
        if caller is None:
            raise Forbidden(
                f"The host {hostname} may not report with this token any more: it has enrolled with a token of its "
                "own, or an operator has revoked it."
            )
        return caller

    def _let_in(self, connection: Connection, token_hash: bytes, hostname: str, enrolment: _Enrolment | None) -> None:
        if enrolment is not None:
            _require_use(connection, enrolment)
        host_id = uuid.uuid4()
        store.add_shared_credential(
            connection,
            host_id=host_id,
            token_hash=token_hash,
            token_id=enrolment.id if enrolment else None,
            hostname=hostname,
            pending=self._approve_hosts,
        )
        log.info("host_let_in", host_id=str(host_id), hostname=hostname)


def _require_network(enrolment: _Enrolment, peer: str) -> None:
    if enrolment.networks and not within(peer, enrolment.networks):
        raise Forbidden(
            f"This enrolment token may not be used from {peer}; it is for {', '.join(enrolment.networks)}."
        )


def _require_use(connection: Connection, enrolment: _Enrolment) -> None:
    if enrolment.use_limit is not None and store.lock_uses(connection, enrolment.id) >= enrolment.use_limit:
        raise Forbidden(
            f"This enrolment token has let in the {enrolment.use_limit:,} hosts that it may; make another one."
        )
