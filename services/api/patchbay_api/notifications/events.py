"""What is so now, by kind of event: each subject once, with the number of hosts that it concerns."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from patchbay_shared.exposure import FIXED
from patchbay_shared.tables import host, known_exploited
from sqlalchemy import Connection, func, select, text

from patchbay_api.store.vulnerabilities import packages_judged_for

LASTING = frozenset({"exploited-cve"})
"""Kinds whose subjects do not come and go: once told, never again."""


@dataclass(frozen=True)
class Event:
    """One thing that is so."""

    kind: str
    subject: str
    title: str
    detail: str
    host_count: int


_HOSTS = "(CAST(:hosts AS uuid[]) IS NULL OR h.id = ANY(CAST(:hosts AS uuid[])))"

# Each statement: (subject, title, detail, host_count) for the hosts of the rule.
_STATEMENTS: dict[str, str] = {
    "security-update": f"""
        WITH judged AS (
            SELECT evaluation_id, count(*) AS hosts FROM host h
            WHERE evaluation_id IS NOT NULL AND {_HOSTS} GROUP BY 1
        ), fixes AS (
            SELECT DISTINCT v.evaluation_id, j.hosts, v.name, v.candidate, a.advisory
            FROM verdict v JOIN judged j USING (evaluation_id)
            LEFT JOIN LATERAL unnest(v.advisories) AS a (advisory) ON true
            WHERE v.listed AND v.security
        ), named AS (
            SELECT coalesce(advisory, name || ' ' || candidate) AS subject, advisory, name, evaluation_id, hosts
            FROM fixes
        )
        SELECT subject, 'Security update ' || subject AS title,
               string_agg(DISTINCT name, ', ' ORDER BY name) AS detail,
               (SELECT sum(hosts) FROM (SELECT DISTINCT o.evaluation_id, o.hosts FROM named o
                                        WHERE o.subject = n.subject) e)::integer AS host_count
        FROM named n GROUP BY subject
    """,
    "host-silent": f"""
        SELECT h.id::text AS subject, h.hostname || ' is silent' AS title,
               'Its last report came ' || to_char(h.last_report_at, 'YYYY-MM-DD HH24:MI') || ' UTC.' AS detail,
               1 AS host_count
        FROM host h WHERE h.last_report_at < now() - interval '24 hours' AND {_HOSTS}
    """,
    "overdue": f"""
        SELECT h.id::text AS subject, h.hostname || ' has overdue vulnerabilities' AS title,
               x.overdue_count || ' past their due date; first: ' || x.worst_cve AS detail, 1 AS host_count
        FROM host h JOIN host_exposure x ON x.host_id = h.id WHERE x.overdue_count > 0 AND {_HOSTS}
    """,
    "mirror-stale": f"""
        SELECT 'repository ' || r.id AS subject, r.name || ' is ' || r.state AS title, r.message AS detail,
               u.hosts::integer AS host_count
        FROM repository r CROSS JOIN LATERAL (
            SELECT count(*) AS hosts FROM repository_set s
            JOIN host h ON coalesce(h.group_repository_set_id, h.repository_set_id) = s.id
            WHERE s.repository_ids @> ARRAY[r.id] AND {_HOSTS}) u
        WHERE r.enabled AND r.state IN ('failing', 'untrusted') AND (CAST(:hosts AS uuid[]) IS NULL OR u.hosts > 0)
        UNION ALL
        SELECT 'mirror ' || m.id, m.url || ' is ' || m.state, m.message, u.hosts::integer
        FROM mirror m JOIN repository r ON r.id = m.repository_id CROSS JOIN LATERAL (
            SELECT count(*) AS hosts FROM repository_set s
            JOIN host h ON coalesce(h.group_repository_set_id, h.repository_set_id) = s.id
            WHERE s.repository_ids @> ARRAY[r.id] AND {_HOSTS}) u
        WHERE r.enabled AND r.state = 'ok' AND m.state IN ('failing', 'untrusted', 'lagging')
          AND (CAST(:hosts AS uuid[]) IS NULL OR u.hosts > 0)
    """,
    "dead-letters": """
        SELECT routing_key AS subject, count(*) || ' messages of ' || routing_key || ' could not be handled' AS title,
               (array_agg(error ORDER BY last_at DESC))[1] AS detail, 0 AS host_count
        FROM dead_letter WHERE CAST(:hosts AS uuid[]) IS NULL OR true GROUP BY routing_key
    """,
}
EXPLOITED = "exploited-cve"
NEW_FOR_DAYS = 60
"""A CVE that was known to be exploited for longer than that is not newly so."""
KINDS = (*_STATEMENTS, EXPLOITED)


def present(
    connection: Connection,
    kinds: Sequence[str],
    hosts: Sequence[UUID] | None,
    *,
    told: Collection[str] = (),
) -> list[Event]:
    """What is so now, of these kinds and hosts (None: all); exploited CVEs that were `told` are left out."""
    found = _exploited(connection, hosts, told) if EXPLOITED in kinds else []
    for kind in kinds:
        if kind == EXPLOITED:
            continue
        rows = connection.execute(text(_STATEMENTS[kind]), {"hosts": None if hosts is None else list(hosts)})
        found += [Event(kind, row.subject, row.title, row.detail or "", row.host_count or 0) for row in rows]
    return found


def _exploited(connection: Connection, hosts: Sequence[UUID] | None, told: Collection[str]) -> list[Event]:
    """CVEs that became known to be exploited lately and that touch one of the hosts; each is looked at by itself."""
    lately = known_exploited.c.added_on > func.current_date() - NEW_FOR_DAYS
    rows = connection.execute(
        select(known_exploited.c.cve, known_exploited.c.title)
        .where(lately, known_exploited.c.cve.not_in(list(told)))
        .order_by(known_exploited.c.cve)
    ).all()
    found = []
    for row in rows:
        touched = packages_judged_for(connection, row.cve).hosts(range(FIXED))
        if hosts is not None:
            touched = touched.where(host.c.id.in_(hosts))
        count = connection.scalar(select(func.count()).select_from(touched.subquery())) or 0
        if count:
            found.append(Event(EXPLOITED, row.cve, f"{row.cve} is being exploited", row.title, count))
    return found
