"""Linked repositories: one archive that hosts configure under several addresses, crawled once for all of them.

The *leader* is crawled; its mirrors are its own and then those of the *followers*. Whatever is swapped in for the
leader is copied to the followers, in the same transaction and without another download. Followers keep their id,
their indexes and their generation, so nothing else in Patchbay has to know of links.
"""

from uuid import UUID

import msgspec
from patchbay_shared.catalogue import ReleaseInfo
from patchbay_shared.errors import InvalidInput
from sqlalchemy import Connection, text

from patchbay_repo_sync.store import LINKED_RANK, request_sync
from patchbay_repo_sync.swap import MAX_TOLD_NAMES, Change

_COLUMNS = (
    "name, arch, evr, evr_key, digest, source, source_version, vendor, phased_percentage, content, obsoletes,"
    " relations"
)


def identity(release: ReleaseInfo | None) -> tuple[str, str, str, str] | None:
    """What two addresses of one apt archive have in common; None where a Release file names nothing."""
    if release is None or not (release.origin and (release.suite or release.codename)):
        return None
    return (release.origin, release.label, release.suite, release.codename)


def link(connection: Connection, follower: UUID, leader: UUID) -> Change | None:
    """Let `leader`'s syncs serve `follower`; what the follower gains and loses by it, None if nothing.

    Raises InvalidInput unless both are crawled apt repositories of the same identity that are not linked otherwise.
    """
    rows = connection.execute(
        text("""
            SELECT id, type, linked_to, release::text AS release,
                EXISTS (SELECT FROM repository f WHERE f.linked_to = r.id AND f.id <> :follower) AS leads
            FROM repository r WHERE id = :follower OR id = :leader ORDER BY id FOR UPDATE
        """),
        {"follower": follower, "leader": leader},
    )
    found = {row.id: row for row in rows}
    if len(found) != 2 or any(row.type != "deb" for row in found.values()):
        raise InvalidInput("Two different apt repositories can be linked, and nothing else.")
    identities = [identity(_release(found[each].release)) for each in (follower, leader)]
    if identities[0] is None or identities[0] != identities[1]:
        raise InvalidInput("Their Release files do not name the same archive, so they cannot be linked.")
    if found[leader].linked_to is not None or found[follower].leads:
        raise InvalidInput("A repository that is linked to another cannot lead, and one that leads cannot follow.")
    connection.execute(
        # A crawl of its own that is under way loses its lease, and with it its result.
        text("UPDATE repository SET linked_to = :leader, lease_owner = NULL, leased_until = NULL WHERE id = :id"),
        {"leader": leader, "id": follower},
    )
    adopt(connection, leader)
    request_sync(connection, [leader], force=False)
    return next((change for each, change in copy_to_followers(connection, leader) if each == follower), None)


def unlink(connection: Connection, follower: UUID) -> None:
    """Let a repository be crawled by itself again, at once; what it has stays until then."""
    connection.execute(
        text("""
            DELETE FROM mirror m USING repository r WHERE r.id = :id AND m.repository_id = r.linked_to
                AND m.rank >= :rank AND m.url IN (SELECT url FROM mirror WHERE repository_id = :id)
        """),
        {"id": follower, "rank": LINKED_RANK},
    )
    connection.execute(text("UPDATE repository SET linked_to = NULL WHERE id = :id"), {"id": follower})
    request_sync(connection, [follower], force=True)


def adopt(connection: Connection, leader: UUID) -> None:
    """Give a leader what its followers need: their indexes and, behind its own, their mirrors."""
    connection.execute(
        text("""
            INSERT INTO repository_index (repository_id, component, architecture)
            SELECT DISTINCT CAST(:id AS uuid), i.component, i.architecture
            FROM repository_index i JOIN repository f ON f.id = i.repository_id
            WHERE f.linked_to = :id ORDER BY 2, 3 ON CONFLICT DO NOTHING
        """),
        {"id": leader},
    )
    connection.execute(
        text("""
            INSERT INTO mirror (repository_id, url, rank)
            SELECT CAST(:id AS uuid), m.url, least(32767, :rank + m.rank)
            FROM mirror m JOIN repository f ON f.id = m.repository_id
            WHERE f.linked_to = :id ORDER BY m.url ON CONFLICT DO NOTHING
        """),
        {"id": leader, "rank": LINKED_RANK},
    )


def copy_to_followers(connection: Connection, leader: UUID) -> list[tuple[UUID, Change]]:
    """Make the followers' indexes what the leader's are; each follower with its change, if there was one."""
    followers = connection.scalars(
        text("SELECT id FROM repository WHERE linked_to = :id ORDER BY id"), {"id": leader}
    ).all()
    changes = ((follower, _copied(connection, leader, follower)) for follower in followers)
    return [(follower, change) for follower, change in changes if change is not None]


def _copied(connection: Connection, leader: UUID, follower: UUID) -> Change | None:
    names: set[str] = set()
    added = removed = 0
    content_differs = False
    pairs = connection.execute(
        text("""
            SELECT mine.id, theirs.id AS source, mine.content IS DISTINCT FROM theirs.content AS differs
            FROM repository_index mine JOIN repository_index theirs USING (component, architecture)
            WHERE mine.repository_id = :follower AND theirs.repository_id = :leader ORDER BY mine.id
        """),
        {"follower": follower, "leader": leader},
    ).all()
    for pair in pairs:
        gone, came = _copy_packages(connection, pair.source, pair.id)
        names.update(gone, came)
        removed, added = removed + len(gone), added + len(came)
        content_differs = content_differs or pair.differs
        connection.execute(
            text("""
                UPDATE repository_index mine SET present = theirs.present, path = theirs.path,
                    content = theirs.content, checksum = theirs.checksum,
                    package_count = theirs.package_count, changed_at = theirs.changed_at
                FROM repository_index theirs WHERE mine.id = :target AND theirs.id = :source
            """),
            {"target": pair.id, "source": pair.source},
        )
    return _new_generation(connection, leader, follower, names, (added, removed), everything=content_differs)


def _copy_packages(connection: Connection, source: int, target: int) -> tuple[list[str], list[str]]:
    """The names of the rows that went and of those that came."""
    ids = {"source": source, "target": target}
    gone = connection.scalars(
        text("""
            DELETE FROM available_package mine WHERE index_id = :target AND NOT EXISTS (
                SELECT FROM available_package theirs WHERE theirs.index_id = :source AND theirs.digest = mine.digest)
            RETURNING name
        """),
        ids,
    ).all()
    came = connection.scalars(
        text(f"""
            INSERT INTO available_package (index_id, {_COLUMNS})
            SELECT :target, {_COLUMNS} FROM available_package theirs WHERE index_id = :source AND NOT EXISTS (
                SELECT FROM available_package mine WHERE mine.index_id = :target AND mine.digest = theirs.digest)
            RETURNING name
        """),
        ids,
    ).all()
    return list(gone), list(came)


def _new_generation(
    connection: Connection,
    leader: UUID,
    follower: UUID,
    names: set[str],
    counts: tuple[int, int],
    *,
    everything: bool,
) -> Change | None:
    changed = everything or bool(names)
    generation = connection.scalar(
        text("""
            UPDATE repository mine SET generation = mine.generation + CAST(:changed AS int),
                changed_at = CASE WHEN :changed THEN now() ELSE mine.changed_at END,
                release = theirs.release, verified_by = theirs.verified_by, published_at = theirs.published_at,
                state = theirs.state, message = theirs.message, checked_at = theirs.checked_at,
                failure_count = theirs.failure_count
            FROM repository theirs WHERE mine.id = :follower AND theirs.id = :leader RETURNING mine.generation
        """),
        {"changed": changed, "follower": follower, "leader": leader},
    )
    if not changed:
        return None
    told = None if everything or len(names) > MAX_TOLD_NAMES else sorted(names)
    return Change(int(generation or 0), True, *counts, told)


def _release(document: str | None) -> ReleaseInfo | None:
    return msgspec.json.decode(document, type=ReleaseInfo) if document else None
