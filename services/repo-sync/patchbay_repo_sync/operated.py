"""What an operator decides of a repository: crawled or not, security or not, linked or not."""

from uuid import UUID

import msgspec
from patchbay_shared.catalogue import ReleaseInfo
from patchbay_shared.errors import InvalidInput
from patchbay_shared.messages import RepositoryChanged, RepositoryOperated
from patchbay_shared.report import ReportRepository
from sqlalchemy import Connection, text

from patchbay_repo_sync.layout import says_security
from patchbay_repo_sync.links import link, unlink
from patchbay_repo_sync.store import CRAWLED_TYPES, request_sync


def operate(connection: Connection, decision: RepositoryOperated) -> list[RepositoryChanged]:
    """Carry out a decision; what is to be told to those who evaluate. Doing it twice changes nothing.

    Raises InvalidInput for a repository that does not exist, and for links that cannot be.
    """
    repository_id = decision.repository_id
    row = connection.execute(
        text("SELECT type, enabled, security, linked_to FROM repository WHERE id = :id FOR UPDATE"),
        {"id": repository_id},
    ).one_or_none()
    if row is None:
        raise InvalidInput(f"There is no repository {repository_id}.")
    if decision.enabled is not msgspec.UNSET and decision.enabled != row.enabled:
        _enable(connection, repository_id, row.type, enabled=decision.enabled)
    told: list[RepositoryChanged] = []
    if decision.security is not msgspec.UNSET:
        told += _label(connection, repository_id, row.security, decision.security)
    if decision.linked_to is not msgspec.UNSET and decision.linked_to != row.linked_to:
        if row.linked_to is not None:
            unlink(connection, repository_id)
        if decision.linked_to is not None and (change := link(connection, repository_id, decision.linked_to)):
            told.append(RepositoryChanged(repository_id, change.generation, change.names))
    return told


def _enable(connection: Connection, repository_id: UUID, kind: str, *, enabled: bool) -> None:
    if enabled and kind not in CRAWLED_TYPES:
        raise InvalidInput(f"Repositories of type {kind} are not crawled.")
    connection.execute(
        text("UPDATE repository SET enabled = :enabled WHERE id = :id"), {"enabled": enabled, "id": repository_id}
    )
    if enabled:
        request_sync(connection, [repository_id], force=False)


def _label(
    connection: Connection, repository_id: UUID, known: bool | None, wanted: bool | None
) -> list[RepositoryChanged]:
    label = _said(connection, repository_id) if wanted is None else wanted
    if label == known:
        return []
    generation = connection.scalar(
        text("""
            UPDATE repository SET security = :label, generation = generation + CAST(generation > 0 AS int)
            WHERE id = :id RETURNING generation
        """),
        {"label": label, "id": repository_id},
    )
    return [RepositoryChanged(repository_id, int(generation or 0))] if generation else []


def _said(connection: Connection, repository_id: UUID) -> bool | None:
    """What the first host or the distribution says, without an operator."""
    row = connection.execute(
        text("""
            SELECT r.release::text AS release, (
                SELECT f.definition::text FROM repository_reference f WHERE f.repository_id = r.id
                ORDER BY f.first_seen_at, f.component, f.architecture LIMIT 1) AS definition
            FROM repository r WHERE id = :id
        """),
        {"id": repository_id},
    ).one()
    definition = msgspec.json.decode(row.definition, type=ReportRepository) if row.definition else None
    if definition is not None and definition.security is not None:
        return definition.security
    return says_security(msgspec.json.decode(row.release, type=ReleaseInfo)) if row.release else None
