"""SQL of ingest: enrolment tokens are read, host credentials are read and written."""

from uuid import UUID

from patchbay_shared.tables import enrolment_token, host_credential
from sqlalchemy import Connection, func, insert, or_, select, update


def host_of_token(connection: Connection, token_hash: bytes) -> UUID | None:
    """The host that a token speaks for; None if it is unknown or revoked."""
    return connection.scalar(
        select(host_credential.c.host_id).where(
            host_credential.c.token_hash == token_hash, host_credential.c.revoked_at.is_(None)
        )
    )


def enrolment_token_id(connection: Connection, token_hash: bytes) -> int | None:
    """The id of a usable enrolment token; None if it is unknown, expired or revoked."""
    return connection.scalar(
        select(enrolment_token.c.id).where(
            enrolment_token.c.token_hash == token_hash,
            enrolment_token.c.revoked_at.is_(None),
            or_(enrolment_token.c.expires_at.is_(None), enrolment_token.c.expires_at > func.now()),
        )
    )


def enrolled_host(connection: Connection, *, hostname: str, machine_id: str) -> UUID | None:
    """The host that this machine enrolled as before: same machine-id and same name; else it is another host."""
    if not machine_id:
        return None
    return connection.scalar(
        select(host_credential.c.host_id)
        .where(host_credential.c.machine_id == machine_id, host_credential.c.hostname == hostname)
        .order_by(host_credential.c.enrolled_at.desc())
        .limit(1)
    )


def replace_credential(
    connection: Connection, *, host_id: UUID, token_hash: bytes, token_id: int, hostname: str, machine_id: str
) -> None:
    """Give a host a new token; its former ones are revoked."""
    connection.execute(
        update(host_credential)
        .where(host_credential.c.host_id == host_id, host_credential.c.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )
    connection.execute(
        insert(host_credential).values(
            token_hash=token_hash,
            host_id=host_id,
            enrolment_token_id=token_id,
            hostname=hostname,
            machine_id=machine_id,
        )
    )
