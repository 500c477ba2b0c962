"""What an operator should look at: each kind with its number and its first few, or the whole of it."""

from typing import Any

from patchbay_shared.tables import repository
from sqlalchemy import BigInteger, Connection, Subquery, Text, column, func, select, text

from patchbay_api.store import repositories
from patchbay_api.store.lifecycles import SUPPORT_OF_SETS

SHOWN = 10

# Each statement: (place, id, name, detail), in any order; place is a bigint, the smallest comes first.
_STATEMENTS: dict[str, str] = {
    "silent-hosts": """
        SELECT extract(epoch FROM last_report_at)::bigint AS place, id::text, hostname AS name, 'last report '
                   || to_char(last_report_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') AS detail
        FROM host WHERE last_report_at < now() - interval '24 hours'
    """,
    "end-of-life-hosts": f"""
        SELECT CASE s.phase WHEN 'ended' THEN 0 ELSE 1000000 END + (s.ends_on - date '1970-01-01')::bigint AS place,
               h.id::text, h.hostname AS name, s.name || ' since ' || s.ends_on AS detail
        FROM host h JOIN ({SUPPORT_OF_SETS}) s ON s.set_id = h.repository_set_id
        WHERE s.phase IN ('ended', 'extended')
    """,
    "hosts-without-repositories": """
        SELECT 0::bigint AS place, h.id::text, h.hostname AS name, h.os_name AS detail
        FROM host h JOIN repository_set s ON s.id = coalesce(h.group_repository_set_id, h.repository_set_id)
        WHERE cardinality(s.repository_ids) = 0
    """,
    "packages-in-no-repository": """
        SELECT (-sum(c.hosts))::bigint AS place, v.name AS id, v.name, sum(c.hosts) || ' hosts' AS detail
        FROM (SELECT evaluation_id, count(*) AS hosts FROM host WHERE evaluation_id IS NOT NULL GROUP BY 1) c
        JOIN evaluation e ON e.id = c.evaluation_id AND e.state_counts ? 'not-in-any-repository'
        JOIN verdict v ON v.evaluation_id = e.id AND v.state = 'not-in-any-repository'
        GROUP BY v.name
    """,
    "failing-repositories": """
        SELECT 0::bigint AS place, id::text, name, message AS detail
        FROM repository WHERE enabled AND state IN ('failing', 'untrusted')
    """,
    "failing-mirrors": """
        SELECT 0::bigint AS place, m.repository_id::text AS id, m.url AS name, m.message AS detail
        FROM mirror m JOIN repository r ON r.id = m.repository_id
        WHERE r.enabled AND m.state IN ('failing', 'untrusted')
    """,
    "lagging-mirrors": """
        SELECT 0::bigint AS place, m.repository_id::text AS id, m.url AS name, m.message AS detail
        FROM mirror m JOIN repository r ON r.id = m.repository_id
        WHERE r.enabled AND m.state = 'lagging'
    """,
    "unused-repositories": """
        SELECT 0::bigint AS place, r.id::text, r.name, r.url AS detail
        FROM repository r
        WHERE r.enabled AND NOT EXISTS (
            SELECT FROM repository_set s JOIN host h
              ON s.id IN (h.repository_set_id, h.group_repository_set_id)
            WHERE s.repository_ids @> ARRAY[r.id])
    """,
    "unlinked-equal-repositories": """
        SELECT 0::bigint AS place, a.id, a.name, a.addresses || ' addresses' AS detail
        FROM (
            SELECT min(id::text) AS id,
                   concat_ws(' ', release->>'origin', release->>'label', release->>'suite', release->>'codename')
                   AS name, count(*) FILTER (WHERE linked_to IS NULL) AS addresses
            FROM repository
            WHERE type = 'deb' AND coalesce(release->>'origin', '') <> ''
              AND coalesce(release->>'suite', release->>'codename', '') <> ''
            GROUP BY release->>'origin', release->>'label', release->>'suite', release->>'codename'
        ) a WHERE a.addresses > 1
    """,
    "shared-machine-ids": """
        SELECT hashtext(machine_id)::bigint AS place, id::text, hostname AS name, machine_id AS detail
        FROM host WHERE machine_id_shared
    """,
    # A short name is compared with the first label of a whole one.
    "reverse-dns-mismatches": """
        SELECT 0::bigint AS place, m.id::text, m.name, m.address || ' is ' || m.names[1] AS detail
        FROM (
            SELECT h.id, lower(coalesce(h.reported_hostname, h.hostname)) AS name, r.address, r.names
            FROM host h JOIN reverse_name r ON r.host_id = h.id AND r.address = h.peer_address
            WHERE r.state = 'named' AND r.checked_at > now() - interval '2 days'
              AND h.last_report_at > now() - interval '24 hours'
        ) m WHERE NOT EXISTS (
            SELECT FROM unnest(m.names) AS n
            WHERE n = m.name OR (position('.' IN n) = 0 AND n = split_part(m.name, '.', 1))
               OR (position('.' IN m.name) = 0 AND m.name = split_part(n, '.', 1)))
    """,
    "failing-feeds": """
        SELECT 0::bigint AS place, name AS id, name, message AS detail
        FROM errata_source WHERE enabled AND state IN ('failing', 'shrunk')
    """,
}
_LETTERS = """
    SELECT (-count(*))::bigint AS place, routing_key AS id, routing_key AS name, count(*) || ' messages' AS detail
    FROM dead_letter GROUP BY routing_key
"""
LISTED = tuple(_STATEMENTS)
"""Kinds that `those_of` lists; dead letters have a list of their own."""
KINDS = (*LISTED, "dead-letters")


def needing_attention(connection: Connection) -> list[dict[str, Any]]:
    """The kinds that have any, in the order above; one query a kind."""
    counted = {kind: (statement, "count(*) OVER ()") for kind, statement in _STATEMENTS.items()}
    counted["dead-letters"] = (_LETTERS, "sum(-place) OVER ()")
    found = []
    for kind, (statement, total) in counted.items():
        first = f"SELECT s.*, {total} AS total FROM ({statement}) s ORDER BY place, name, id LIMIT :shown"
        rows = connection.execute(text(first), {"shown": SHOWN}).mappings().all()
        if rows:
            examples = [{name: row[name] or "" for name in ("id", "name", "detail")} for row in rows]
            found.append({"kind": kind, "count": int(rows[0]["total"]), "examples": examples})
    return found


def those_of(kind: str) -> Subquery:
    """(place, id, name, detail): all of one of the kinds in `LISTED`; `place`, `name` and `id` order them."""
    texts = (column(name, Text) for name in ("id", "name", "detail"))
    return text(_STATEMENTS[kind]).columns(column("place", BigInteger), *texts).subquery("those")


def pipeline(connection: Connection) -> dict[str, Any]:
    """How far behind each part of the pipeline is; times are null where nothing has happened yet."""
    row = connection.execute(
        text("""
            SELECT (SELECT max(received_at) FROM receipt) AS last_report_at,
                   (SELECT max(evaluated_at) FROM evaluation) AS last_evaluation_at,
                   (SELECT count(*) FROM host WHERE evaluation_id IS NULL) AS hosts_awaiting_evaluation,
                   (SELECT percentile_cont(0.95) WITHIN GROUP (
                        ORDER BY extract(epoch FROM evaluated_at - received_at))
                    FROM (SELECT evaluated_at, received_at FROM receipt
                          WHERE state = 'evaluated' AND evaluated_at IS NOT NULL
                            AND received_at > now() - interval '1 hour' LIMIT 10000) r) AS report_lag_p95_seconds,
                   (SELECT max(finished_at) FROM repository_sync) AS last_sync_at,
                   (SELECT max(checked_at) FROM errata_source) AS last_feed_at,
                   (SELECT count(*) FROM dead_letter) AS dead_letters
        """)
    )
    crawls = connection.execute(
        select(
            func.count().filter(repositories.syncing).label("running_syncs"),
            func.count().filter(repositories.overdue).label("overdue_repositories"),
        ).select_from(repository)
    )
    return {**row.mappings().one(), **crawls.mappings().one()}
