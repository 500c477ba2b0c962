"""Decide what is outstanding for a pair of sets, and store it: `evaluation` and `verdict`."""

from collections import Counter
from uuid import UUID

import msgspec
from patchbay_shared.catalogue import AdvisoryPackage
from patchbay_shared.db import driver
from patchbay_shared.metrics import EVALUATIONS
from sqlalchemy import Connection, text

from patchbay_update_engine.catalogues import Catalogues, CompiledCatalog
from patchbay_update_engine.evaluate.unordered import judge_packages
from patchbay_update_engine.evaluate.verdict import State, Verdict
from patchbay_update_engine.sets import InstalledSet, RepositorySet

RULES_VERSION = 2
"""Raised with every change of the rules: the sweep then evaluates every host anew."""

_VERDICT_COLUMNS = (
    "evaluation_id, package_id, name, arch, installed, candidate, candidate_arch, repository, repositories, state, "
    "listed, security, advisories, security_repository, rule, why"
)


def evaluation_of(
    connection: Connection,
    installed: InstalledSet,
    repository_set: RepositorySet,
    catalogues: Catalogues,
    *,
    machine_id: str,
) -> int:
    """The id of the pair's evaluation, computed unless the stored one is of this catalogue and these rules."""
    compiled = catalogues.catalog_of(connection, repository_set)
    judged_as = machine_id if compiled.phased else ""
    current = connection.scalar(
        text("""
            SELECT id FROM evaluation
            WHERE package_set_id = :package_set_id AND repository_set_id = :repository_set_id
              AND machine_id = :machine_id AND catalogue_generations = CAST(:generations AS bigint[])
              AND rules_version = :rules_version AND advisory_generation = :advisory_generation
        """),
        {
            "package_set_id": installed.id,
            "repository_set_id": repository_set.id,
            "machine_id": judged_as,
            "generations": compiled.generations,
            "advisory_generation": compiled.advisory_generation,
            "rules_version": RULES_VERSION,
        },
    )
    EVALUATIONS.labels("computed" if current is None else "reused").inc()
    if current is not None:
        return int(current)
    verdicts = judge(installed, compiled, machine_id=judged_as)
    return _store(connection, installed.id, repository_set.id, judged_as, compiled, verdicts)


def judge(installed: InstalledSet, compiled: CompiledCatalog, *, machine_id: str) -> list[Verdict]:
    """The verdicts of a set. While repositories are still to be crawled, nothing is called repository-less; where
    hosts' reports stand in for one, nothing is newer than the repositories either."""
    verdicts = judge_packages(compiled.catalog, installed.packages, machine_id=machine_id)
    unfounded = {State.NOT_IN_ANY_REPOSITORY} if compiled.incomplete_count else set()
    if compiled.reported:
        unfounded.add(State.NEWER_THAN_REPOSITORY)
    return [_as_reported(each, compiled) for each in verdicts if each.state not in unfounded]


def _as_reported(verdict: Verdict, compiled: CompiledCatalog) -> Verdict:
    """The verdict, saying so if its candidate is known from hosts' reports alone."""
    homes = {*verdict.repositories, *([verdict.repository] if verdict.repository else [])}
    if not homes or not homes <= compiled.reported.keys():
        return verdict
    why = (
        f"{verdict.why} This version is known only from hosts' reports: the server cannot read {verdict.repository}."
    )
    update = AdvisoryPackage(verdict.name, verdict.candidate_arch or verdict.arch, verdict.candidate or "")
    if verdict.security or not any(update in compiled.reported[each] for each in homes):
        return msgspec.structs.replace(verdict, why=why)
    return msgspec.structs.replace(
        verdict, security=True, why=f"{why} A host's package manager calls it a security fix."
    )


def _store(
    connection: Connection,
    package_set_id: int,
    repository_set_id: int,
    machine_id: str,
    compiled: CompiledCatalog,
    verdicts: list[Verdict],
) -> int:
    listed = [each for each in verdicts if each.listed]
    evaluation_id = int(
        connection.execute(
            text("""
                INSERT INTO evaluation (package_set_id, repository_set_id, machine_id, catalogue_generations,
                    advisory_generation, incomplete_count, rules_version, listed_count, security_count,
                    state_counts, evaluated_at)
                VALUES (:package_set_id, :repository_set_id, :machine_id, CAST(:generations AS bigint[]),
                    :advisory_generation, :incomplete_count, :rules_version, :listed_count, :security_count,
                    CAST(:state_counts AS jsonb), clock_timestamp())
                ON CONFLICT (package_set_id, repository_set_id, machine_id) DO UPDATE SET
                    catalogue_generations = EXCLUDED.catalogue_generations,
                    advisory_generation = EXCLUDED.advisory_generation,
                    incomplete_count = EXCLUDED.incomplete_count, rules_version = EXCLUDED.rules_version,
                    listed_count = EXCLUDED.listed_count, security_count = EXCLUDED.security_count,
                    state_counts = EXCLUDED.state_counts, evaluated_at = EXCLUDED.evaluated_at
                RETURNING id
            """),
            {
                "package_set_id": package_set_id,
                "repository_set_id": repository_set_id,
                "machine_id": machine_id,
                "generations": compiled.generations,
                "advisory_generation": compiled.advisory_generation,
                "incomplete_count": compiled.incomplete_count,
                "rules_version": RULES_VERSION,
                "listed_count": len(listed),
                "security_count": sum(each.security for each in listed),
                "state_counts": msgspec.json.encode(Counter(each.state for each in verdicts)).decode(),
            },
        )
        .one()
        .id
    )
    connection.execute(text("DELETE FROM verdict WHERE evaluation_id = :id"), {"id": evaluation_id})
    with (
        driver(connection).cursor() as cursor,
        cursor.copy(f"COPY verdict ({_VERDICT_COLUMNS}) FROM STDIN") as copy,
    ):
        for each in verdicts:
            copy.write_row(
                (
                    evaluation_id, each.package_id or 0, each.name, each.arch, each.installed, each.candidate,
                    each.candidate_arch, each.repository, list(each.repositories), str(each.state), each.listed,
                    each.security, list(each.advisories), each.security_repository, each.rule, each.why,
                )
            )  # fmt: skip
    return evaluation_id


class StaleHost(msgspec.Struct, frozen=True):
    """A host whose evaluation is not of the catalogue, or of the rules, as they are now."""

    host_id: UUID
    package_set_id: int
    repository_set_id: int
    """What it is judged by: its own, or that of its operating system's group."""
    machine_id: str
    evaluation_id: int | None


_STALE = """
    SELECT h.id AS host_id, h.package_set_id, now.id AS repository_set_id, h.machine_id, h.evaluation_id
    FROM host h
    JOIN (
        SELECT rs.id, rs.ecosystem, rs.distro_release,
               array_agg(coalesce(r.generation, 0) ORDER BY u.position) FILTER (WHERE u.id IS NOT NULL) AS generations
        FROM repository_set rs
        LEFT JOIN LATERAL unnest(rs.repository_ids) WITH ORDINALITY u (id, position) ON true
        LEFT JOIN repository r ON r.id = u.id
        GROUP BY rs.id
    ) now ON now.id = coalesce(h.group_repository_set_id, h.repository_set_id)
    LEFT JOIN advisory_release ar ON ar.ecosystem = now.ecosystem AND ar.distro_release = now.distro_release
    LEFT JOIN evaluation e ON e.id = h.evaluation_id
    WHERE (e.id IS NULL OR e.advisory_generation <> coalesce(ar.generation, 0)
           OR e.rules_version <> :rules_version OR e.catalogue_generations <> coalesce(now.generations, '{}')
           OR e.package_set_id <> h.package_set_id OR e.repository_set_id <> now.id)
"""


def hosts_awaiting_evaluation(connection: Connection, limit: int = 10_000) -> list[StaleHost]:
    """Found by comparing what was judged with what there is: whatever message was lost, this finds it."""
    rows = connection.execute(
        text(_STALE + " ORDER BY now.id, h.package_set_id LIMIT :limit"),
        {"rules_version": RULES_VERSION, "limit": limit},
    )
    return [StaleHost(**row._mapping) for row in rows]


def hosts_by_id(connection: Connection, host_ids: list[UUID]) -> list[StaleHost]:
    """The same, for hosts that somebody named."""
    rows = connection.execute(
        text("""
            SELECT id AS host_id, package_set_id, coalesce(group_repository_set_id, repository_set_id)
                   AS repository_set_id, machine_id, evaluation_id
            FROM host WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY 3, package_set_id
        """),
        {"ids": host_ids},
    )
    return [StaleHost(**row._mapping) for row in rows]


def note_unaffected(connection: Connection, repository_id: UUID, generation: int, names: list[str]) -> int:
    """Move evaluations past a change that touches none of their packages, without judging them again.

    Exactly those that were made of the generation before; returns how many.
    """
    package_ids = list(connection.scalars(text("SELECT id FROM package WHERE name = ANY(:names)"), {"names": names}))
    moved = connection.execute(
        text("""
            UPDATE evaluation e SET catalogue_generations[p.position] = :generation
            FROM repository_set rs
            CROSS JOIN LATERAL (SELECT array_position(rs.repository_ids, CAST(:repository_id AS uuid)) AS position) p,
                package_set ps
            WHERE rs.repository_ids @> ARRAY[CAST(:repository_id AS uuid)]
              AND rs.document->'policy'->>'package_manager' <> 'zypper'
              AND e.repository_set_id = rs.id AND ps.id = e.package_set_id
              AND e.catalogue_generations[p.position] = :generation - 1 AND :generation > 1
              AND NOT ps.package_ids && CAST(:package_ids AS integer[])
        """),
        {"repository_id": repository_id, "generation": generation, "package_ids": package_ids},
    )
    return moved.rowcount
