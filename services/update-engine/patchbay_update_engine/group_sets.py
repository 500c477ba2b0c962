"""Hosts that are judged by the repositories of their operating system's group instead of their own.

What operators decided is theirs (`os_group`, `os_group_repository`, `os_variant_group`, `host_repository_choice`).
Of it and of a host's own policy the engine makes a repository set, and points the host at it. The set that the host
reported stays what it is.
"""

from uuid import UUID

import msgspec
from patchbay_shared.report import ReportRepository
from patchbay_shared.repositories import TYPES
from sqlalchemy import Connection, text

from patchbay_update_engine.sets import (
    RepositorySet,
    RepositorySetDocument,
    intern_repository_set,
    load_repository_set,
)

_WANTED = """
    SELECT h.id AS host_id, h.repository_set_id, h.group_repository_set_id, g.id AS group_id, g.generation,
           m.set_id, m.generation AS made_of
    FROM host h
    LEFT JOIN host_repository_choice c ON c.host_id = h.id
    LEFT JOIN os_variant_group v ON v.os_name = h.os_name AND v.arch = h.arch
    LEFT JOIN os_group g ON g.id = v.group_id AND NOT coalesce(c.use_host_repos, g.use_host_repos)
        AND EXISTS (SELECT FROM os_group_repository r WHERE r.group_id = g.id)
    LEFT JOIN group_repository_set m ON m.own_set_id = h.repository_set_id AND m.group_id = g.id
"""
"""Each host with the group that it is to be judged by, if any. A group without repositories judges nobody."""


def judging_set(connection: Connection, host_id: UUID, own: RepositorySet) -> RepositorySet:
    """The set that a host is judged by: its own (`own`, just stored), or that of its group; noted in its row."""
    row = connection.execute(text(_WANTED + "WHERE h.id = :host_id"), {"host_id": host_id}).one()
    set_id = None
    if row.group_id is not None:
        current = row.set_id is not None and row.made_of == row.generation
        set_id = row.set_id if current else _make(connection, own, row.group_id, row.generation)
    if set_id != row.group_repository_set_id:
        connection.execute(
            text("UPDATE host SET group_repository_set_id = :set_id WHERE id = :host_id"),
            {"set_id": set_id, "host_id": host_id},
        )
    return own if set_id is None else load_repository_set(connection, set_id)


def apply_decisions(connection: Connection) -> int:
    """Point every host at the set that operators want it judged by; the number of hosts for which that changed."""
    outdated = connection.execute(
        text(f"""
            SELECT DISTINCT repository_set_id, group_id, generation FROM ({_WANTED}) w
            WHERE group_id IS NOT NULL AND made_of IS DISTINCT FROM generation
            ORDER BY 1, 2
        """)
    ).all()
    for row in outdated:
        _make(connection, load_repository_set(connection, row.repository_set_id), row.group_id, row.generation)
    moved = connection.execute(
        text(f"""
            SELECT host_id, repository_set_id, set_id FROM ({_WANTED}) w
            WHERE group_repository_set_id IS DISTINCT FROM set_id
        """)
    ).all()
    if not moved:
        return 0
    return connection.execute(
        text("""
            UPDATE host SET group_repository_set_id = l.set_id
            FROM (
                SELECT h.id, w.set_id
                FROM host h
                JOIN unnest(CAST(:hosts AS uuid[]), CAST(:own_sets AS integer[]), CAST(:sets AS integer[]))
                    AS w (host_id, own_set_id, set_id) ON w.host_id = h.id AND w.own_set_id = h.repository_set_id
                ORDER BY h.id FOR UPDATE OF h
            ) l
            WHERE host.id = l.id
        """),
        {
            "hosts": [row.host_id for row in moved],
            "own_sets": [row.repository_set_id for row in moved],
            "sets": [row.set_id for row in moved],
        },
    ).rowcount


def _make(connection: Connection, own: RepositorySet, group_id: int, generation: int) -> int:
    """The set of a group's repositories under a host's own policy, made if it is new."""
    document = RepositorySetDocument(
        repositories=_definitions(connection, group_id), policy=own.document.policy, known=True
    )
    made = intern_repository_set(connection, document)
    connection.execute(
        text("""
            INSERT INTO group_repository_set (own_set_id, group_id, generation, set_id)
            VALUES (:own_set_id, :group_id, :generation, :set_id)
            ON CONFLICT (own_set_id, group_id) DO UPDATE SET
                generation = EXCLUDED.generation, set_id = EXCLUDED.set_id
        """),
        {"own_set_id": own.id, "group_id": group_id, "generation": generation, "set_id": made.id},
    )
    return made.id


def _definitions(connection: Connection, group_id: int) -> list[ReportRepository]:
    """The group's repositories as the first host that named each has it, with every component that any host reads.

    One that no host names any more has no address: it counts as not crawled, so the verdicts are called incomplete.
    """
    rows = connection.execute(
        text("""
            SELECT r.repository_id, r.priority, r.position,
                   (array_agg(f.definition::text ORDER BY f.first_seen_at, f.component, f.architecture))[1]
                   AS definition,
                   array_agg(DISTINCT f.component) FILTER (WHERE f.component <> '') AS components
            FROM os_group_repository r LEFT JOIN repository_reference f USING (repository_id)
            WHERE r.group_id = :group_id
            GROUP BY r.repository_id, r.priority, r.position ORDER BY r.position, r.repository_id
        """),
        {"group_id": group_id},
    )
    found = []
    for row in rows:
        if row.definition is None:
            found.append(ReportRepository(id=str(row.repository_id), type="unknown"))
            continue
        definition = msgspec.json.decode(row.definition, type=ReportRepository)
        changes: dict[str, object] = {"enabled": True, "order": row.position}
        if TYPES.get(definition.type) == "deb":
            changes |= {"components": row.components or definition.components, "arch": None}
        if row.priority is not None:
            changes["priority"] = row.priority
        found.append(msgspec.structs.replace(definition, **changes))
    return found
