"""The enrolments of a host, and the end of its token, in SQL."""

from typing import Any
from uuid import UUID

from patchbay_shared.tables import enrolment_token, host_credential, host_merge, host_token_revocation
from sqlalchemy import Connection, RowMapping, Select, case, func, or_, select
from sqlalchemy.dialects.postgresql import insert

STATES = ("valid", "replaced", "revoked")


def enrolments(host_id: UUID) -> Select[Any]:
    """Every time that a host, or one that was merged into it, was let in."""
    merged = select(host_merge.c.host_id).where(host_merge.c.into_id == host_id)
    return (
        select(
            host_credential.c.hostname,
            host_credential.c.machine_id,
            host_credential.c.shared_token,
            host_credential.c.enrolled_at,
            enrolment_token.c.name.label("enrolment_token"),
            case(
                (host_credential.c.revoked_at.is_not(None), "replaced"),
                (host_credential.c.expires_at <= func.now(), "replaced"),
                (host_token_revocation.c.revoked_at >= host_credential.c.enrolled_at, "revoked"),
                else_="valid",
            ).label("state"),
        )
        .select_from(
            host_credential.outerjoin(
                enrolment_token, enrolment_token.c.id == host_credential.c.enrolment_token_id
            ).outerjoin(host_token_revocation, host_token_revocation.c.host_id == host_id)
        )
        .where(or_(host_credential.c.host_id == host_id, host_credential.c.host_id.in_(merged)))
    )


def revoke_token(connection: Connection, host_id: UUID, *, by: str) -> RowMapping:
    """Void what a host has now; revoking again voids what it has got since."""
    values = {"revoked_by": by, "revoked_at": func.now()}
    return (
        connection.execute(
            insert(host_token_revocation)
            .values(host_id=host_id, **values)
            .on_conflict_do_update(index_elements=[host_token_revocation.c.host_id], set_=values)
            .returning(host_token_revocation)
        )
        .mappings()
        .one()
    )
