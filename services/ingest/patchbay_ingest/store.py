"""SQL of ingest: host credentials are read and written; tokens, approvals, receipts and verdicts are read."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from patchbay_shared.tables import (
    enrolment_token,
    evaluation,
    host,
    host_approval,
    host_credential,
    host_merge,
    host_removal,
    host_token_revocation,
    receipt,
    verdict,
)
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql

_usable: ColumnElement[bool] = and_(
    enrolment_token.c.revoked_at.is_(None),
    or_(enrolment_token.c.expires_at.is_(None), enrolment_token.c.expires_at > func.now()),
)
_pending: ColumnElement[bool] = and_(host_credential.c.pending, host_approval.c.host_id.is_(None))


_speaks_for: ColumnElement[UUID] = func.coalesce(
    select(host_merge.c.into_id).where(host_merge.c.host_id == host_credential.c.host_id).scalar_subquery(),
    host_credential.c.host_id,
)
"""The host of a credential: the one that it was merged into, if it was."""
_removed: ColumnElement[bool] = select(host_removal.c.host_id).where(host_removal.c.host_id == _speaks_for).exists()


_revoked: ColumnElement[bool] = (
    select(host_token_revocation.c.host_id)
    .where(
        host_token_revocation.c.host_id == _speaks_for,
        host_token_revocation.c.revoked_at >= host_credential.c.enrolled_at,
    )
    .exists()
)


_predecessor = host_credential.alias("predecessor")
_awaits_first_use: ColumnElement[bool] = (
    select(_predecessor.c.token_hash)
    .where(
        _predecessor.c.host_id == host_credential.c.host_id,
        _predecessor.c.replaced_by == host_credential.c.token_hash,
        _predecessor.c.revoked_at.is_(None),
    )
    .exists()
)


def credentials(connection: Connection, token_hashes: Collection[bytes]) -> dict[bytes, Row[Any]]:
    """Token hash to (host_id, revoked, removed, pending, shared_token, unused, tags) of those that are known.

    A host that shares an enrolment token with others may report for as long as that token may be used.
    """
    revoked = or_(
        host_credential.c.revoked_at.is_not(None),
        and_(host_credential.c.expires_at.is_not(None), host_credential.c.expires_at <= func.now()),
        _revoked,
        and_(host_credential.c.shared_token, enrolment_token.c.id.is_not(None), not_(_usable)),
    )
    rows = connection.execute(
        select(
            host_credential.c.token_hash,
            _speaks_for.label("host_id"),
            revoked.label("revoked"),
            _removed.label("removed"),
            _pending.label("pending"),
            host_credential.c.shared_token,
            _awaits_first_use.label("unused"),
            func.coalesce(enrolment_token.c.tags, text("'{}'::text[]")).label("tags"),
        )
        .select_from(
            host_credential.outerjoin(
                enrolment_token, enrolment_token.c.id == host_credential.c.enrolment_token_id
            ).outerjoin(host_approval, host_approval.c.host_id == host_credential.c.host_id)
        )
        .where(host_credential.c.token_hash.in_(list(token_hashes)))
    )
    return {bytes(row.token_hash): row for row in rows}


def usable_enrolment_token(connection: Connection, token_hash: bytes) -> Row[Any] | None:
    """(id, use_limit, networks, tags) of an enrolment token; None if it is unknown, expired or revoked."""
    wanted: Select[Any] = select(
        enrolment_token.c.id, enrolment_token.c.use_limit, enrolment_token.c.networks, enrolment_token.c.tags
    )
    return connection.execute(wanted.where(enrolment_token.c.token_hash == token_hash, _usable)).one_or_none()


def lock_uses(connection: Connection, token_id: int) -> int:
    """How many hosts a token has let in; nobody else lets one in with it until the transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('enrolment_token', :id))"), {"id": token_id}
    )
    return (
        connection.scalar(
            select(func.count(host_credential.c.host_id.distinct())).where(
                host_credential.c.enrolment_token_id == token_id
            )
        )
        or 0
    )


def enrolled_host(connection: Connection, *, hostname: str, machine_id: str, token_id: int) -> UUID | None:
    """The host that this machine was known as before; else it is another host.

    Either it enrolled with the same machine-id and name, or it reported with the same token under that
    name before it had a token of its own.
    """
    same_machine = and_(host_credential.c.machine_id == machine_id, literal(machine_id) != "")
    reported = and_(
        host_credential.c.shared_token,
        host_credential.c.enrolment_token_id == token_id,
    )
    name = func.lower(host_credential.c.hostname)
    return connection.scalar(
        select(_speaks_for)
        .where(name == hostname.lower(), or_(same_machine, reported), not_(_removed))
        .order_by(same_machine.desc(), host_credential.c.enrolled_at.desc())
        .limit(1)
    )


def replace_credential(
    connection: Connection,
    *,
    host_id: UUID,
    token_hash: bytes,
    token_id: int,
    hostname: str,
    machine_id: str,
    pending: bool,
) -> None:
    """Give a host a new token; its former ones are revoked."""
    connection.execute(
        update(host_credential)
        .where(_speaks_for == host_id, host_credential.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )
    connection.execute(
        insert(host_credential).values(
            token_hash=token_hash,
            host_id=host_id,
            enrolment_token_id=token_id,
            hostname=hostname,
            machine_id=machine_id,
            pending=pending,
        )
    )


def add_successor(connection: Connection, *, token_hash: bytes, successor_hash: bytes, valid_days: int) -> bool:
    """Give a host a second token; the first one ends with the second one's first use, else in so many days.

    A successor that it was given before is revoked: nobody has used it. False if the first token is not valid.
    """
    connection.execute(
        select(host_credential.c.token_hash).where(host_credential.c.token_hash == token_hash).with_for_update()
    )
    found = credentials(connection, [token_hash]).get(token_hash)
    if found is None or found.revoked or found.removed or found.shared_token:
        return False
    given_before = select(_predecessor.c.replaced_by).where(_predecessor.c.token_hash == token_hash).scalar_subquery()
    connection.execute(
        update(host_credential)
        .where(host_credential.c.token_hash == given_before, host_credential.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )
    copied = ("host_id", "enrolment_token_id", "hostname", "machine_id", "pending")
    connection.execute(
        insert(host_credential).from_select(
            ["token_hash", *copied],
            select(literal(successor_hash), *(host_credential.c[name] for name in copied)).where(
                host_credential.c.token_hash == token_hash
            ),
        )
    )
    connection.execute(
        update(host_credential)
        .where(host_credential.c.token_hash == token_hash)
        .values(replaced_by=successor_hash, expires_at=func.now() + func.make_interval(0, 0, 0, valid_days))
    )
    return True


def end_predecessor(connection: Connection, token_hash: bytes) -> None:
    """Revoke the token that this one follows."""
    connection.execute(
        update(host_credential)
        .where(host_credential.c.replaced_by == token_hash, host_credential.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )


def add_shared_credential(
    connection: Connection, *, host_id: UUID, token_hash: bytes, token_id: int | None, hostname: str, pending: bool
) -> None:
    """Let a host without a token of its own report; another process may have done so at the same moment."""
    connection.execute(
        postgresql.insert(host_credential)
        .values(
            token_hash=token_hash,
            host_id=host_id,
            enrolment_token_id=token_id,
            hostname=hostname,
            machine_id="",
            shared_token=True,
            pending=pending,
        )
        .on_conflict_do_nothing()
    )


def readmit_shared(connection: Connection, *, host_id: UUID, token_hash: bytes, pending: bool) -> None:
    """Take a host that was removed, and reports again with its shared token, for another one."""
    connection.execute(
        update(host_credential)
        .where(host_credential.c.token_hash == token_hash, _removed)
        .values(host_id=host_id, pending=pending, enrolled_at=func.now())
    )


def section_digests(connection: Connection, host_id: UUID) -> dict[str, str]:
    """Section to the digest of what is stored of it; empty for a host of which nothing is stored."""
    return connection.scalar(select(host.c.section_digests).where(host.c.id == host_id)) or {}


def outcome(connection: Connection, receipt_id: UUID) -> tuple[Row[Any], Sequence[Row[Any]]] | None:
    """A receipt (state, unchanged, reason, incomplete_count) and its listed updates; None while there is none."""
    wanted: Select[Any] = (
        select(
            receipt.c.state,
            receipt.c.unchanged,
            receipt.c.reason,
            receipt.c.evaluation_id,
            func.coalesce(evaluation.c.incomplete_count, 0).label("incomplete_count"),
        )
        .select_from(receipt.outerjoin(evaluation, evaluation.c.id == receipt.c.evaluation_id))
        .where(receipt.c.id == receipt_id)
    )
    found = connection.execute(wanted).one_or_none()
    if found is None:
        return None
    updates: Select[Any] = (
        select(
            verdict.c.name,
            verdict.c.arch,
            verdict.c.installed,
            verdict.c.candidate,
            verdict.c.security,
            verdict.c.repository,
            verdict.c.why,
        )
        .where(verdict.c.evaluation_id == found.evaluation_id, verdict.c.listed)
        .order_by(verdict.c.name, verdict.c.arch, verdict.c.installed)
    )
    return found, connection.execute(updates).all()
