"""Which enrolled hosts wait for an operator, and who let them in, in SQL."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from patchbay_shared.tables import enrolment_token, host_approval, host_credential
from sqlalchemy import ColumnElement, Connection, FromClause, RowMapping, Select, and_, func, select
from sqlalchemy.dialects.postgresql import insert

_waiting: ColumnElement[bool] = and_(
    host_credential.c.pending, host_credential.c.revoked_at.is_(None), host_approval.c.host_id.is_(None)
)
_with_approval: FromClause = host_credential.outerjoin(
    host_approval, host_approval.c.host_id == host_credential.c.host_id
)


def waiting_hosts() -> Select[Any]:
    """Hosts whose reports are refused until somebody approves them."""
    return (
        select(
            host_credential.c.host_id,
            host_credential.c.hostname,
            host_credential.c.machine_id,
            host_credential.c.enrolled_at,
            enrolment_token.c.name.label("enrolment_token"),
        )
        .select_from(
            _with_approval.outerjoin(enrolment_token, enrolment_token.c.id == host_credential.c.enrolment_token_id)
        )
        .where(_waiting)
    )


def waiting_count(connection: Connection) -> int:
    """How many there are."""
    return connection.scalar(select(func.count()).select_from(_with_approval).where(_waiting)) or 0


def waits(connection: Connection, host_id: UUID) -> bool:
    """Whether this host does."""
    return bool(
        connection.scalar(
            select(func.count()).select_from(_with_approval).where(_waiting, host_credential.c.host_id == host_id)
        )
    )


def is_enrolled(connection: Connection, host_id: UUID) -> bool:
    """Whether a host has enrolled under this id."""
    return bool(connection.scalar(select(func.count()).where(host_credential.c.host_id == host_id)))


def approve(connection: Connection, host_id: UUID, *, by: str) -> RowMapping:
    """The approval; the first one stays."""
    connection.execute(insert(host_approval).values(host_id=host_id, approved_by=by).on_conflict_do_nothing())
    return connection.execute(select(host_approval).where(host_approval.c.host_id == host_id)).mappings().one()


def approve_all(connection: Connection, host_ids: Sequence[UUID], *, by: str) -> None:
    """Let all these hosts in; earlier approvals stay."""
    rows = [{"host_id": each, "approved_by": by} for each in sorted(host_ids)]
    connection.execute(insert(host_approval).on_conflict_do_nothing(), rows)
