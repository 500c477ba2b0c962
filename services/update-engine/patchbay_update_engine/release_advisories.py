"""SQL of the errata service's advisories, as the engine reads them: one distribution release at a time."""

import msgspec
from patchbay_shared.db import driver
from patchbay_shared.messages import AdvisoryChange
from sqlalchemy import Connection, text

from patchbay_update_engine.evaluate.advisories import ReleaseFix


class AdvisoryRelease(msgspec.Struct, frozen=True):
    """The distribution release of a repository set's hosts, and how new what is known of it is."""

    ecosystem: str
    distro_release: str
    generation: int
    """0: nothing is known of it."""


def release_of(connection: Connection, repository_set_id: int) -> AdvisoryRelease:
    """The release of a stored set."""
    row = connection.execute(
        text("""
            SELECT rs.ecosystem, rs.distro_release, coalesce(ar.generation, 0) AS generation
            FROM repository_set rs LEFT JOIN advisory_release ar USING (ecosystem, distro_release)
            WHERE rs.id = :id
        """),
        {"id": repository_set_id},
    ).one()
    return AdvisoryRelease(row.ecosystem or "", row.distro_release or "", row.generation)


def security_fixes(connection: Connection, release: AdvisoryRelease) -> list[ReleaseFix]:
    """Every available fix of a security advisory for the release."""
    with driver(connection).cursor(binary=True) as cursor:
        cursor.execute(
            """
            SELECT a.name, f.kind, f.package, f.arch, f.module, f.evr_key
            FROM advisory_fix f JOIN advisory a ON a.id = f.advisory_id
            WHERE f.ecosystem = %s AND f.distro_release = %s AND f.state = 'fixed' AND f.evr_key IS NOT NULL
              AND a.type = 'security' AND a.status = 'final'
            ORDER BY a.name, a.part
            """,
            (release.ecosystem, release.distro_release),
        )
        return [ReleaseFix(*row) for row in cursor]


def note_unaffected(connection: Connection, change: AdvisoryChange) -> int:
    """Move evaluations past a change that touches none of their packages, without judging them again.

    Exactly those that were made of the generation before; returns how many.
    """
    moved = connection.execute(
        text("""
            WITH touched AS (
                SELECT coalesce(array_agg(id), '{}') AS ids FROM package
                WHERE name = ANY(CAST(:names AS text[])) OR source_name = ANY(CAST(:names AS text[]))
            )
            UPDATE evaluation e SET advisory_generation = :generation
            FROM repository_set rs, package_set ps, touched
            WHERE rs.ecosystem = :ecosystem AND rs.distro_release = :distro_release
              AND e.repository_set_id = rs.id AND ps.id = e.package_set_id
              AND e.advisory_generation = :generation - 1 AND NOT ps.package_ids && touched.ids
        """),
        {
            "names": change.names,
            "generation": change.generation,
            "ecosystem": change.ecosystem,
            "distro_release": change.distro_release,
        },
    )
    return moved.rowcount
