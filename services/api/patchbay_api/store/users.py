"""Accounts and custom roles as an administrator sees them, in SQL."""

from typing import Any

from patchbay_shared.tables import (
    api_token,
    oidc_identity,
    second_factor,
    user_account,
    user_role,
    user_session,
)
from sqlalchemy import Connection, RowMapping, Select, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from patchbay_api.store.accounts import has_second_factor
from patchbay_api.store.tokens import living

_LOCK = 0x75736572  # advisory lock: changes of who may what happen one after the other


def lock(connection: Connection) -> None:
    """Wait for other changes of accounts and roles: that an administrator remains is judged over all of them."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def users() -> Select[Any]:
    """Select of every account, with what hangs on it."""
    sessions = select(func.count()).where(
        user_session.c.user_id == user_account.c.id, user_session.c.expires_at > func.now()
    )
    tokens = select(func.count()).where(api_token.c.user_id == user_account.c.id, living)
    return select(
        user_account.c.id,
        user_account.c.username,
        user_account.c.role,
        user_account.c.scope,
        user_account.c.disabled,
        user_account.c.must_change_password,
        oidc_identity.c.subject.label("oidc_subject"),
        (user_account.c.password_hash != "").label("has_password"),
        has_second_factor.label("second_factor"),
        func.coalesce(user_account.c.locked_until > func.now(), False).label("waiting"),
        user_account.c.created_at,
        user_account.c.last_sign_in_at,
        sessions.scalar_subquery().label("session_count"),
        tokens.scalar_subquery().label("token_count"),
    ).outerjoin(oidc_identity, oidc_identity.c.user_id == user_account.c.id)


def user_by_id(connection: Connection, user_id: int) -> RowMapping | None:
    """One account as `users` has it."""
    return connection.execute(users().where(user_account.c.id == user_id)).mappings().one_or_none()


def user_of_subject(connection: Connection, subject: str) -> RowMapping | None:
    """The account that is linked to this subject of OpenID Connect."""
    return connection.execute(users().where(oidc_identity.c.subject == subject)).mappings().one_or_none()


def add_user(connection: Connection, **values: Any) -> int | None:
    """The id of a new account; None if the name is taken."""
    statement = insert(user_account).values(**values).on_conflict_do_nothing()
    made: int | None = connection.scalar(statement.returning(user_account.c.id))
    return made


def change_user(connection: Connection, user_id: int, **values: Any) -> None:
    """Set columns of an account."""
    connection.execute(update(user_account).where(user_account.c.id == user_id).values(**values))


def link(connection: Connection, user_id: int, subject: str | None) -> bool:
    """Link an account to a subject of OpenID Connect in place of what it was linked to; False if that is taken."""
    connection.execute(delete(oidc_identity).where(oidc_identity.c.user_id == user_id))
    if subject is None:
        return True
    statement = insert(oidc_identity).values(user_id=user_id, subject=subject).on_conflict_do_nothing()
    return connection.scalar(statement.returning(oidc_identity.c.user_id)) is not None


def delete_user(connection: Connection, user_id: int) -> None:
    """The account is no more, nor its sessions and tokens."""
    connection.execute(delete(user_account).where(user_account.c.id == user_id))


def administrator_count(connection: Connection) -> int:
    """How many accounts may sign in, see every host and manage all the others."""
    wanted = select(func.count()).where(
        user_account.c.role == "admin", user_account.c.disabled.is_(False), user_account.c.scope.is_(None)
    )
    return connection.scalar(wanted) or 0


def drop_second_factor(connection: Connection, user_id: int) -> bool:
    """Whether there was one."""
    return connection.execute(delete(second_factor).where(second_factor.c.user_id == user_id)).rowcount == 1


def custom_roles(connection: Connection) -> list[RowMapping]:
    """Every role that is not built in, by name."""
    return list(connection.execute(select(user_role).order_by(user_role.c.name)).mappings())


def custom_role(connection: Connection, name: str) -> RowMapping | None:
    """One of them."""
    return connection.execute(select(user_role).where(user_role.c.name == name)).mappings().one_or_none()


def role_user_counts(connection: Connection) -> dict[str, int]:
    """Role to the number of accounts that have it; absent: none."""
    rows = connection.execute(select(user_account.c.role, func.count()).group_by(user_account.c.role))
    return {row[0]: row[1] for row in rows}


def add_role(connection: Connection, **values: Any) -> bool:
    """False if the name is taken."""
    statement = insert(user_role).values(**values).on_conflict_do_nothing().returning(user_role.c.name)
    return connection.scalar(statement) is not None


def change_role(connection: Connection, name: str, **values: Any) -> None:
    """Set columns of a role."""
    connection.execute(update(user_role).where(user_role.c.name == name).values(**values))


def delete_role(connection: Connection, name: str) -> None:
    """The role is no more."""
    connection.execute(delete(user_role).where(user_role.c.name == name))


def set_password(connection: Connection, user_id: int, password_hash: str, *, must_change: bool) -> None:
    """Store a new password; failures of the old one are forgotten."""
    change_user(
        connection,
        user_id,
        password_hash=password_hash,
        must_change_password=must_change,
        password_changed_at=func.now(),
        failed_sign_in_count=0,
        locked_until=None,
    )
