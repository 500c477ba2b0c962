"""Hosts that were cloned from each other: several report one machine-id.

The flag of other hosts is set in a transaction of its own, their rows locked in the order of their ids, so
that two clones which report at the same moment never wait for each other.
"""

from sqlalchemy import Connection, text


def mark_clones(connection: Connection, machine_id: str) -> int:
    """Flag every host with this machine-id, if there are several; the number newly flagged."""
    if not machine_id:
        return 0
    return connection.execute(
        text("""
            UPDATE host SET machine_id_shared = true WHERE id IN (
                SELECT id FROM host WHERE machine_id = :machine_id AND NOT machine_id_shared
                  AND (SELECT count(*) FROM host WHERE machine_id = :machine_id) > 1
                ORDER BY id FOR UPDATE)
        """),
        {"machine_id": machine_id},
    ).rowcount


def unmark_former_clones(connection: Connection) -> int:
    """Take the flag from hosts that have their machine-id to themselves again; the number of them."""
    return connection.execute(
        text("""
            UPDATE host SET machine_id_shared = false WHERE id IN (
                SELECT h.id FROM host h WHERE h.machine_id_shared AND NOT EXISTS (
                    SELECT FROM host o WHERE o.machine_id = h.machine_id AND o.id <> h.id AND h.machine_id <> '')
                ORDER BY h.id FOR UPDATE)
        """)
    ).rowcount
