"""People, their sessions and enrolment tokens, in SQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from patchbay_shared.tables import (
    enrolment_token,
    evaluation,
    host,
    host_approval,
    host_credential,
    second_factor,
    user_account,
    user_role,
    user_session,
)
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

LOCK_AFTER_COUNT = 5
"""Failed attempts in a row before the first pause."""
FIRST_PAUSE_SECONDS = 30
LONGEST_PAUSE_SECONDS = 900

TOUCH_AFTER = timedelta(minutes=1)
"""The last use of a session or a token is noted at most this often."""

has_second_factor: ColumnElement[bool] = (
    select(second_factor.c.user_id)
    .where(second_factor.c.user_id == user_account.c.id, second_factor.c.confirmed_at.is_not(None))
    .exists()
)

TOKEN_COLUMNS = (
    enrolment_token.c.id,
    enrolment_token.c.name,
    enrolment_token.c.use_limit,
    enrolment_token.c.networks,
    enrolment_token.c.tags,
    enrolment_token.c.created_at,
    enrolment_token.c.expires_at,
)


def begin_attempt(connection: Connection, username: str) -> RowMapping | None:
    """Count an attempt to sign in, before the password is looked at, so that parallel guesses count too.

    None for a user that is unknown, disabled or paused. `sign_in_succeeded` takes the count back.
    """
    count = user_account.c.failed_sign_in_count
    pause_seconds = func.least(
        LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * func.power(2, count + 1 - LOCK_AFTER_COUNT)
    )
    return (
        connection.execute(
            update(user_account)
            .where(
                user_account.c.username == username,
                user_account.c.disabled.is_(False),
                or_(user_account.c.locked_until.is_(None), user_account.c.locked_until <= func.now()),
            )
            .values(
                failed_sign_in_count=func.least(count + 1, 50),
                locked_until=case(
                    (count + 1 >= LOCK_AFTER_COUNT, func.now() + pause_seconds * timedelta(seconds=1)), else_=None
                ),
            )
            .returning(
                user_account.c.id,
                user_account.c.username,
                user_account.c.password_hash,
                has_second_factor.label("second_factor"),
            )
        )
        .mappings()
        .one_or_none()
    )


def forget_attempt(connection: Connection, user_id: int) -> None:
    """Take back what `begin_attempt` counted, and only that: the password was right, but nobody has signed in yet."""
    count = user_account.c.failed_sign_in_count
    connection.execute(
        update(user_account)
        .where(user_account.c.id == user_id)
        .values(failed_sign_in_count=func.greatest(count - 1, 0), locked_until=None)
    )


def sign_in_succeeded(connection: Connection, user_id: int, *, password_hash: str | None) -> None:
    """Forget the failures; `password_hash` replaces the stored one where its parameters are outdated."""
    values: dict[str, Any] = {"failed_sign_in_count": 0, "locked_until": None, "last_sign_in_at": func.now()}
    if password_hash:
        values["password_hash"] = password_hash
    connection.execute(update(user_account).where(user_account.c.id == user_id).values(**values))


def add_session(
    connection: Connection, user_id: int, token_hash: bytes, *, seconds: int, address: str, user_agent: str
) -> datetime:
    """Keep a session and return its end; sessions that have ended are removed on the way."""
    connection.execute(delete(user_session).where(user_session.c.expires_at < func.now()))
    expires_at: datetime = connection.execute(
        insert(user_session)
        .values(
            token_hash=token_hash,
            user_id=user_id,
            address=address,
            user_agent=user_agent,
            expires_at=func.now() + timedelta(seconds=seconds),
        )
        .returning(user_session.c.expires_at)
    ).scalar_one()
    return expires_at


def session_owner(connection: Connection, token_hash: bytes) -> RowMapping | None:
    """The person whose session this is, if both still may, with the permissions of a role that is not built in."""
    return (
        connection.execute(
            select(
                *principal_columns,
                user_account.c.must_change_password,
                has_second_factor.label("second_factor"),
                (user_account.c.password_hash != "").label("has_password"),
                (user_session.c.last_used_at < func.now() - TOUCH_AFTER).label("idle"),
            )
            .select_from(with_role.join(user_session, user_session.c.user_id == user_account.c.id))
            .where(
                user_session.c.token_hash == token_hash,
                user_session.c.expires_at > func.now(),
                user_account.c.disabled.is_(False),
            )
        )
        .mappings()
        .one_or_none()
    )


principal_columns: tuple[ColumnElement[Any], ...] = (
    user_account.c.id,
    user_account.c.username,
    user_account.c.role,
    user_account.c.scope,
    user_role.c.permissions.label("role_permissions"),
)
with_role = user_account.outerjoin(user_role, user_role.c.name == user_account.c.role)


def touch_session(connection: Connection, token_hash: bytes) -> None:
    """Note that the session is in use."""
    connection.execute(
        update(user_session).where(user_session.c.token_hash == token_hash).values(last_used_at=func.now())
    )


session_id: ColumnElement[str] = func.encode(func.substring(user_session.c.token_hash, 1, 8), "hex")
"""What names a session to its owner: a part of the hash, from which nobody can tell the token."""


def sessions_of(user_id: int) -> Select[Any]:
    """Select of a person's living sessions."""
    return select(
        session_id.label("id"),
        user_session.c.token_hash,
        user_session.c.address,
        user_session.c.user_agent,
        user_session.c.created_at,
        user_session.c.last_used_at,
        user_session.c.expires_at,
    ).where(user_session.c.user_id == user_id, user_session.c.expires_at > func.now())


def end_session(connection: Connection, token_hash: bytes) -> None:
    """The session with this token is no more."""
    connection.execute(delete(user_session).where(user_session.c.token_hash == token_hash))


def end_session_of(connection: Connection, user_id: int, name: str) -> bool:
    """Whether the person had such a session; it is no more."""
    ended = connection.execute(delete(user_session).where(session_id == name, user_session.c.user_id == user_id))
    return ended.rowcount == 1


def end_sessions(connection: Connection, user_id: int, *, but: bytes | None = None) -> int:
    """End all sessions of a person, but the one with this token hash; how many there were."""
    statement = delete(user_session).where(user_session.c.user_id == user_id)
    if but is not None:
        statement = statement.where(user_session.c.token_hash != but)
    return connection.execute(statement).rowcount


def add_enrolment_token(
    connection: Connection,
    name: str,
    token_hash: bytes,
    *,
    expires_in_seconds: int | None,
    use_limit: int | None = None,
    networks: Sequence[str] = (),
    tags: Sequence[str] = (),
) -> RowMapping:
    """The new token, as TOKEN_COLUMNS."""
    expires_at = func.now() + timedelta(seconds=expires_in_seconds) if expires_in_seconds else None
    return (
        connection.execute(
            insert(enrolment_token)
            .values(
                name=name,
                token_hash=token_hash,
                expires_at=expires_at,
                use_limit=use_limit,
                networks=list(networks),
                tags=list(tags),
            )
            .returning(*TOKEN_COLUMNS)
        )
        .mappings()
        .one()
    )


def enrolment_tokens() -> Select[Any]:
    """Select of every enrolment token, with the count of hosts that it let in."""
    enrolled = (
        select(func.count()).where(host_credential.c.enrolment_token_id == enrolment_token.c.id).scalar_subquery()
    )
    return select(
        *TOKEN_COLUMNS,
        enrolment_token.c.revoked_at,
        enrolled.label("host_count"),
    )


def enrolment_token_exists(connection: Connection, token_id: int) -> bool:
    """Whether there is such a token, revoked or not."""
    return bool(connection.scalar(select(func.count()).where(enrolment_token.c.id == token_id)))


def hosts_of_token(token_id: int) -> Select[Any]:
    """Hosts that enrolled with a token, each with how far its first report has come."""
    return (
        select(
            host_credential.c.host_id,
            host_credential.c.hostname,
            host_credential.c.enrolled_at,
            (host_credential.c.pending & host_approval.c.host_id.is_(None)).label("waiting"),
            host.c.first_report_at,
            evaluation.c.evaluated_at,
            evaluation.c.listed_count.label("updates"),
        )
        .select_from(
            host_credential.outerjoin(host_approval, host_approval.c.host_id == host_credential.c.host_id)
            .outerjoin(host, host.c.id == host_credential.c.host_id)
            .outerjoin(evaluation, evaluation.c.id == host.c.evaluation_id)
        )
        .where(host_credential.c.enrolment_token_id == token_id, host_credential.c.revoked_at.is_(None))
    )


def revoke_enrolment_token(connection: Connection, token_id: int) -> bool:
    """Whether there is such a token; revoking twice changes nothing."""
    found = connection.execute(
        update(enrolment_token)
        .where(enrolment_token.c.id == token_id)
        .values(revoked_at=func.coalesce(enrolment_token.c.revoked_at, func.now()))
    )
    return found.rowcount == 1
