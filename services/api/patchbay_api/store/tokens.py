"""API tokens in SQL."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from patchbay_shared.tables import api_token, user_account
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, func, insert, or_, select, update

from patchbay_api.store.accounts import TOUCH_AFTER, principal_columns, with_role

COLUMNS = (
    api_token.c.id,
    api_token.c.name,
    api_token.c.prefix,
    api_token.c.permissions,
    api_token.c.scope,
    api_token.c.created_at,
    api_token.c.expires_at,
    api_token.c.last_used_at,
    api_token.c.last_used_from,
    api_token.c.revoked_at,
)

living: ColumnElement[bool] = and_(
    api_token.c.revoked_at.is_(None), func.coalesce(api_token.c.expires_at > func.now(), True)
)
"""It is neither revoked nor expired."""


def token_owner(connection: Connection, token_hash: bytes) -> RowMapping | None:
    """The person whose living token this is, if both still may, with what each of the two narrows."""
    return (
        connection.execute(
            select(
                *principal_columns,
                api_token.c.id.label("token_id"),
                api_token.c.name.label("token_name"),
                api_token.c.permissions.label("token_permissions"),
                api_token.c.scope.label("token_scope"),
                or_(api_token.c.last_used_at.is_(None), api_token.c.last_used_at < func.now() - TOUCH_AFTER).label(
                    "idle"
                ),
            )
            .select_from(with_role.join(api_token, api_token.c.user_id == user_account.c.id))
            .where(
                api_token.c.token_hash == token_hash,
                living,
                user_account.c.disabled.is_(False),
            )
        )
        .mappings()
        .one_or_none()
    )


def touch_token(connection: Connection, token_id: int, *, address: str) -> None:
    """Note that the token is in use, and from where."""
    connection.execute(
        update(api_token).where(api_token.c.id == token_id).values(last_used_at=func.now(), last_used_from=address)
    )


def api_tokens() -> Select[Any]:
    """Select of everybody's tokens with their owners' names."""
    return select(*COLUMNS, user_account.c.username.label("owner")).join(
        user_account, user_account.c.id == api_token.c.user_id
    )


def add_token(
    connection: Connection,
    *,
    user_id: int,
    name: str,
    token_hash: bytes,
    prefix: str,
    permissions: Sequence[str] | None,
    scope: Sequence[str] | None,
    expires_in_seconds: int | None,
) -> RowMapping:
    """The new token, as COLUMNS."""
    expires_at = func.now() + timedelta(seconds=expires_in_seconds) if expires_in_seconds else None
    return (
        connection.execute(
            insert(api_token)
            .values(
                user_id=user_id,
                name=name,
                token_hash=token_hash,
                prefix=prefix,
                permissions=permissions,
                scope=scope,
                expires_at=expires_at,
            )
            .returning(*COLUMNS)
        )
        .mappings()
        .one()
    )


def revoke_token(connection: Connection, token_id: int, *, user_id: int | None) -> bool:
    """Whether there is such a token (of this person, if one is given); revoking twice changes nothing."""
    statement = update(api_token).where(api_token.c.id == token_id)
    if user_id is not None:
        statement = statement.where(api_token.c.user_id == user_id)
    found = connection.execute(statement.values(revoked_at=func.coalesce(api_token.c.revoked_at, func.now())))
    return found.rowcount == 1
