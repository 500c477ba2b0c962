"""Second factors, sign-ins that are under way, and failures by address, in SQL."""

from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_address, ip_network

from patchbay_shared.tables import pending_sign_in, second_factor, sign_in_failure, user_account
from sqlalchemy import Connection, RowMapping, any_, case, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

WINDOW = timedelta(minutes=15)
"""For as long an address's failures are counted together."""


def factor_of(connection: Connection, user_id: int) -> RowMapping | None:
    """A person's second factor, confirmed or not."""
    return (
        connection.execute(select(second_factor).where(second_factor.c.user_id == user_id)).mappings().one_or_none()
    )


def propose(connection: Connection, user_id: int, sealed: bytes) -> bool:
    """Keep a secret until it is confirmed, in place of one that never was; False if there is a confirmed one."""
    made = insert(second_factor).values(user_id=user_id, sealed=sealed, recovery_hashes=[])
    statement = made.on_conflict_do_update(
        index_elements=["user_id"],
        set_={"sealed": made.excluded.sealed, "created_at": func.now()},
        where=second_factor.c.confirmed_at.is_(None),
    )
    return connection.scalar(statement.returning(second_factor.c.user_id)) is not None


def confirm(connection: Connection, user_id: int, *, step: int, recovery_hashes: Sequence[bytes]) -> None:
    """From now on it is asked for."""
    connection.execute(
        update(second_factor)
        .where(second_factor.c.user_id == user_id)
        .values(confirmed_at=func.now(), used_step=step, recovery_hashes=list(recovery_hashes))
    )


def take_step(connection: Connection, user_id: int, step: int) -> bool:
    """Whether no code of this step or a later one was taken before; this one is taken now."""
    taken = connection.execute(
        update(second_factor)
        .where(second_factor.c.user_id == user_id, second_factor.c.used_step < step)
        .values(used_step=step)
    )
    return taken.rowcount == 1


def take_recovery_code(connection: Connection, user_id: int, hashed: bytes) -> bool:
    """Whether it was one of the person's recovery codes; it is none any more."""
    codes = second_factor.c.recovery_hashes
    taken = connection.execute(
        update(second_factor)
        .where(second_factor.c.user_id == user_id, literal(hashed) == any_(codes))
        .values(recovery_hashes=func.array_remove(codes, hashed))
    )
    return taken.rowcount == 1


def replace_recovery_codes(connection: Connection, user_id: int, hashes: Sequence[bytes]) -> None:
    """The old ones are worth nothing."""
    connection.execute(
        update(second_factor).where(second_factor.c.user_id == user_id).values(recovery_hashes=list(hashes))
    )


def begin(
    connection: Connection,
    token_hash: bytes,
    *,
    kind: str,
    seconds: int,
    user_id: int | None = None,
    sealed: bytes | None = None,
) -> None:
    """Remember a sign-in that has its next step to come; those that never had it are removed on the way."""
    connection.execute(delete(pending_sign_in).where(pending_sign_in.c.expires_at < func.now()))
    connection.execute(
        insert(pending_sign_in).values(
            token_hash=token_hash,
            kind=kind,
            user_id=user_id,
            sealed=sealed,
            expires_at=func.now() + timedelta(seconds=seconds),
        )
    )


def pending(connection: Connection, token_hash: bytes, *, kind: str) -> RowMapping | None:
    """A sign-in that is under way, with the name of the person if it has come so far."""
    return (
        connection.execute(
            select(pending_sign_in, user_account.c.username)
            .outerjoin(user_account, user_account.c.id == pending_sign_in.c.user_id)
            .where(
                pending_sign_in.c.token_hash == token_hash,
                pending_sign_in.c.kind == kind,
                pending_sign_in.c.expires_at > func.now(),
            )
        )
        .mappings()
        .one_or_none()
    )


def end(connection: Connection, token_hash: bytes) -> bool:
    """Whether it was still under way; it is over."""
    ended = connection.execute(delete(pending_sign_in).where(pending_sign_in.c.token_hash == token_hash))
    return ended.rowcount == 1


def count_attempt(connection: Connection, source: str) -> int:
    """Count an attempt from an address before it is judged; how many there are that were not taken back."""
    over = sign_in_failure.c.counted_since < func.now() - WINDOW
    count: int = connection.execute(
        insert(sign_in_failure)
        .values(source=source, failure_count=1, counted_since=func.now())
        .on_conflict_do_update(
            index_elements=["source"],
            set_={
                "failure_count": case((over, 1), else_=sign_in_failure.c.failure_count + 1),
                "counted_since": case((over, func.now()), else_=sign_in_failure.c.counted_since),
            },
        )
        .returning(sign_in_failure.c.failure_count)
    ).scalar_one()
    return count


def take_back_attempt(connection: Connection, source: str) -> None:
    """It was no failure; and what is long over is forgotten on the way."""
    connection.execute(
        update(sign_in_failure)
        .where(sign_in_failure.c.source == source)
        .values(failure_count=func.greatest(sign_in_failure.c.failure_count - 1, 0))
    )
    connection.execute(delete(sign_in_failure).where(sign_in_failure.c.counted_since < func.now() - 2 * WINDOW))


def source_of(address: str) -> str:
    """What attempts are counted by: an IPv4 address, or the network that an IPv6 customer has all of.

    >>> source_of("192.0.2.7"), source_of("2001:db8:1:2:3:4:5:6"), source_of("::ffff:192.0.2.7")
    ('192.0.2.7', '2001:db8:1:2::/64', '192.0.2.7')
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 6 and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return str(parsed) if parsed.version == 4 else str(ip_network((parsed, 64), strict=False))
