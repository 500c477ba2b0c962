"""SQL of exceptions and of the policies that due dates follow from."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from patchbay_shared.exposure import TAGS, scope_of
from patchbay_shared.tables import host, host_group, remediation_policy, risk_exception
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    ScalarSelect,
    Select,
    Text,
    case,
    cast,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

_table = risk_exception.c
_state: ColumnElement[str] = case(
    (_table.ended_at.is_not(None), "ended"), (_table.expires_at <= func.now(), "expired"), else_="active"
)


def exceptions(*, state: str | None = None, subject: str | None = None, host_id: UUID | None = None) -> Select[Any]:
    """Exceptions with their states; with `host_id` those in whose scope that host is."""
    name = case(
        (_table.scope == "tag", _table.target),
        (_table.scope == "host", _name(_table.target, host.c.hostname, host.c.id)),
        else_=_name(_table.target, host_group.c.name, host_group.c.id),
    )
    statement = select(risk_exception, _state.label("state"), name.label("target_name"))
    if state:
        statement = statement.where(_state == state)
    if subject:
        statement = statement.where(_table.subject == subject)
    if host_id:
        statement = statement.where(
            text(f"""EXISTS (
                SELECT 1 FROM (SELECT h.id AS host_id, {TAGS} AS tags, hl.group_id
                               FROM host h LEFT JOIN host_label hl ON hl.host_id = h.id WHERE h.id = :host_id) t
                WHERE {scope_of("risk_exception")})""").bindparams(host_id=host_id)
        )
    return statement


def _name(target: ColumnElement[str], name: ColumnElement[str], number: ColumnElement[Any]) -> ScalarSelect[str]:
    return select(name).where(cast(number, Text) == target).scalar_subquery()


def exception_by_id(connection: Connection, exception_id: int) -> RowMapping | None:
    """One exception, or None."""
    return connection.execute(exceptions().where(_table.id == exception_id)).mappings().one_or_none()


def add_exception(
    connection: Connection,
    *,
    by: str,
    kind: str,
    subject: str,
    scope: str,
    target: str,
    owner: str,
    reason: str,
    expires_at: datetime | None,
) -> RowMapping | None:
    """The new exception."""
    values = {"kind": kind, "subject": subject.strip(), "scope": scope, "owner": owner.strip(), "created_by": by}
    values["target"] = str(UUID(target)) if scope == "host" else target.strip()
    number = connection.scalar(
        insert(risk_exception).values(**values, reason=reason.strip(), expires_at=expires_at).returning(_table.id)
    )
    return exception_by_id(connection, number or 0)


def end_exception(connection: Connection, exception_id: int, *, by: str) -> RowMapping | None:
    """The exception, ended now if it was not before; None if there is none."""
    connection.execute(
        update(risk_exception)
        .where(_table.id == exception_id, _table.ended_at.is_(None))
        .values(ended_at=func.now(), ended_by=by)
    )
    return exception_by_id(connection, exception_id)


def policies() -> Select[Any]:
    """Every policy that somebody has set, with the name of its group."""
    table = remediation_policy.c
    group = _name(table.target, host_group.c.name, host_group.c.id)
    name = case((table.scope == "group", group), else_=table.target)
    return select(remediation_policy, name.label("target_name"))


def set_policy(
    connection: Connection, *, by: str, scope: str, target: str, days: Mapping[str, int | None]
) -> RowMapping:
    """The policy of the fleet, a tag or a group, replaced or made."""
    values = {**days, "changed_by": by, "changed_at": func.now()}
    number = connection.scalar(
        upsert(remediation_policy)
        .values(scope=scope, target=target, **values)
        .on_conflict_do_update(index_elements=["scope", "target"], set_=values)
        .returning(remediation_policy.c.id)
    )
    return connection.execute(policies().where(remediation_policy.c.id == number)).mappings().one()


def remove_policy(connection: Connection, policy_id: int) -> bool:
    """Whether there was one."""
    return connection.execute(delete(remediation_policy).where(remediation_policy.c.id == policy_id)).rowcount > 0
