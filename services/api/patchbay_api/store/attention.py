"""What an operator should look at: each kind with its number and its first few."""

from typing import Any

from sqlalchemy import Connection, text

from patchbay_api.store.lifecycles import SUPPORT_OF_SETS

SHOWN = 10

# Each statement: (id, name, detail, total), `SHOWN` rows at most; total counts all of them.
_STATEMENTS: dict[str, str] = {
    "silent-hosts": """
        SELECT id::text, hostname AS name, 'last report '
                   || to_char(last_report_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') AS detail,
               count(*) OVER () AS total
        FROM host WHERE last_report_at < now() - interval '24 hours' ORDER BY last_report_at LIMIT :shown
    """,
    "end-of-life-hosts": f"""
        SELECT h.id::text, h.hostname AS name, s.name || ' since ' || s.ends_on AS detail, count(*) OVER () AS total
        FROM host h JOIN ({SUPPORT_OF_SETS}) s ON s.set_id = h.repository_set_id
        WHERE s.phase IN ('ended', 'extended') ORDER BY s.phase, s.ends_on, h.hostname LIMIT :shown
    """,
    "hosts-without-repositories": """
        SELECT h.id::text, h.hostname AS name, h.os_name AS detail, count(*) OVER () AS total
        FROM host h JOIN repository_set s ON s.id = coalesce(h.group_repository_set_id, h.repository_set_id)
        WHERE cardinality(s.repository_ids) = 0 ORDER BY h.hostname LIMIT :shown
    """,
    "packages-in-no-repository": """
        SELECT v.name AS id, v.name, sum(c.hosts) || ' hosts' AS detail, count(*) OVER () AS total
        FROM (SELECT evaluation_id, count(*) AS hosts FROM host WHERE evaluation_id IS NOT NULL GROUP BY 1) c
        JOIN evaluation e ON e.id = c.evaluation_id AND e.state_counts ? 'not-in-any-repository'
        JOIN verdict v ON v.evaluation_id = e.id AND v.state = 'not-in-any-repository'
        GROUP BY v.name ORDER BY sum(c.hosts) DESC, v.name LIMIT :shown
    """,
    "failing-repositories": """
        SELECT id::text, name, message AS detail, count(*) OVER () AS total
        FROM repository WHERE enabled AND state IN ('failing', 'untrusted') ORDER BY name, id LIMIT :shown
    """,
    "failing-mirrors": """
        SELECT m.repository_id::text AS id, m.url AS name, m.message AS detail, count(*) OVER () AS total
        FROM mirror m JOIN repository r ON r.id = m.repository_id
        WHERE r.enabled AND m.state IN ('failing', 'untrusted') ORDER BY m.url, m.id LIMIT :shown
    """,
    "lagging-mirrors": """
        SELECT m.repository_id::text AS id, m.url AS name, m.message AS detail, count(*) OVER () AS total
        FROM mirror m JOIN repository r ON r.id = m.repository_id
        WHERE r.enabled AND m.state = 'lagging' ORDER BY m.url, m.id LIMIT :shown
    """,
    "unused-repositories": """
        SELECT r.id::text, r.name, r.url AS detail, count(*) OVER () AS total
        FROM repository r
        WHERE r.enabled AND NOT EXISTS (
            SELECT FROM repository_set s JOIN host h
              ON s.id IN (h.repository_set_id, h.group_repository_set_id)
            WHERE s.repository_ids @> ARRAY[r.id])
        ORDER BY r.name, r.id LIMIT :shown
    """,
    "unlinked-equal-repositories": """
        SELECT a.id, a.name, a.addresses || ' addresses' AS detail, count(*) OVER () AS total
        FROM (
            SELECT min(id::text) AS id,
                   concat_ws(' ', release->>'origin', release->>'label', release->>'suite', release->>'codename')
                   AS name, count(*) FILTER (WHERE linked_to IS NULL) AS addresses
            FROM repository
            WHERE type = 'deb' AND coalesce(release->>'origin', '') <> ''
              AND coalesce(release->>'suite', release->>'codename', '') <> ''
            GROUP BY release->>'origin', release->>'label', release->>'suite', release->>'codename'
        ) a WHERE a.addresses > 1 ORDER BY a.name LIMIT :shown
    """,
    "shared-machine-ids": """
        SELECT id::text, hostname AS name, machine_id AS detail, count(*) OVER () AS total
        FROM host WHERE machine_id_shared ORDER BY machine_id, hostname LIMIT :shown
    """,
    # A short name is compared with the first label of a whole one.
    "reverse-dns-mismatches": """
        SELECT m.id::text, m.name, m.address || ' is ' || m.names[1] AS detail, count(*) OVER () AS total
        FROM (
            SELECT h.id, lower(coalesce(h.reported_hostname, h.hostname)) AS name, r.address, r.names
            FROM host h JOIN reverse_name r ON r.host_id = h.id AND r.address = h.peer_address
            WHERE r.state = 'named' AND r.checked_at > now() - interval '2 days'
              AND h.last_report_at > now() - interval '24 hours'
        ) m WHERE NOT EXISTS (
            SELECT FROM unnest(m.names) AS n
            WHERE n = m.name OR (position('.' IN n) = 0 AND n = split_part(m.name, '.', 1))
               OR (position('.' IN m.name) = 0 AND m.name = split_part(n, '.', 1)))
        ORDER BY m.name, m.id LIMIT :shown
    """,
    "failing-feeds": """
        SELECT name AS id, name, message AS detail, count(*) OVER () AS total
        FROM errata_source WHERE enabled AND state IN ('failing', 'shrunk') ORDER BY name LIMIT :shown
    """,
    "dead-letters": """
        SELECT routing_key AS id, routing_key AS name, count(*) || ' messages' AS detail,
               (sum(count(*)) OVER ())::bigint AS total
        FROM dead_letter GROUP BY routing_key ORDER BY count(*) DESC, routing_key LIMIT :shown
    """,
}
KINDS = tuple(_STATEMENTS)


def needing_attention(connection: Connection) -> list[dict[str, Any]]:
    """The kinds that have any, in the order above; one query a kind."""
    found = []
    for kind, statement in _STATEMENTS.items():
        rows = connection.execute(text(statement), {"shown": SHOWN}).mappings().all()
        if rows:
            examples = [{name: row[name] or "" for name in ("id", "name", "detail")} for row in rows]
            found.append({"kind": kind, "count": int(rows[0]["total"]), "examples": examples})
    return found


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
                   (SELECT count(*) FROM repository_sync WHERE result = 'running') AS running_syncs,
                   (SELECT count(*) FROM repository WHERE enabled AND next_sync_at < now() - interval '1 hour')
                   AS overdue_repositories,
                   (SELECT max(checked_at) FROM errata_source) AS last_feed_at,
                   (SELECT count(*) FROM dead_letter) AS dead_letters
        """)
    )
    return dict(row.mappings().one())
