"""Which CVEs touch which hosts, in SQL: fixes of the distributions against installed versions.

The API asks it of one host or of one CVE, errata counts it over the fleet: both must say the same. A package is
compared by the release of its host and by the updateinfo of its repositories: by source name and source version
where the distribution names sources, else by binary name and architecture. What a vendor's tracker says of a CVE
and a package counts before its advisories; of several advisories that name a CVE, each has to be applied.
"""

STATES = (
    "fix-available",
    "restart-pending",
    "restricted",
    "open",
    "undetermined",
    "no-fix-planned",
    "fixed",
    "not-affected",
    "waived",
)
"""From the one that an administrator can do most about. restart-pending: the fix is on disk, but the old kernel or a
service that was started before still runs; restricted: only in a pocket such as Ubuntu's ESM."""

RESTART, UNDETERMINED, FIXED, NOT_AFFECTED, WAIVED = 1, 4, 6, 7, 8
"""Places in `STATES`; below FIXED a CVE touches the host."""

REPOSITORY = "repository"
"""Stands for the ecosystem of fixes that one repository's updateinfo publishes; the release is its id then."""

LEVELS = ("low", "medium", "high", "critical")

DEFAULT_DAYS = {"exploited": 14, "critical": 15, "high": 30, "medium": 90, "low": 180}
"""Days to fix where no policy says otherwise. Critical and high: CISA's BOD 19-02; exploited: BOD 22-01."""

EXPOSED_TAGS = ("internet-facing", "exposed", "dmz", "public")
"""Tags that say that others can reach a host: its CVEs come before the same ones of a host without."""


def past(when: str) -> str:
    """SQL of a time that a publisher gave, its clock a day ahead at most: what is further ahead is no time at all.

    A date in years to come would put off the day from which a host counts as exposed, and with it every due date.
    """
    return f"CASE WHEN {when} <= now() THEN {when} WHEN {when} < now() + interval '1 day' THEN now() END"


FIXES = f"""
    SELECT f.*, a.type, a.name AS advisory, a.severity, {past("a.issued_at")} AS issued_at
    FROM advisory_fix f JOIN advisory a ON a.id = f.advisory_id
    WHERE a.type IN ('security', 'cve') AND a.status <> 'retracted'
"""
BY_SOURCE = "f.kind = 'source' AND p.source_name = f.package"
BY_BINARY = """
    f.kind = 'binary' AND p.name = f.package AND f.arch IN ('', p.arch)
    AND CASE WHEN f.module <> '' THEN starts_with(p.details->>'modularitylabel', f.module || ':')
             WHEN p.details->>'modularitylabel' <> '' THEN f.evr LIKE '%.module%'
             ELSE f.evr NOT LIKE '%.module%' END
"""
SOURCE_KEY = "coalesce(p.source_key, p.evr_key)"


def rank(key: str) -> str:
    """SQL of the place in `STATES` that a fix `f` gives an installed version; '' is a version without an order."""
    return f"""
        CASE WHEN f.state = 'not-affected' THEN {NOT_AFFECTED}
             WHEN {key} = '' AND f.evr_key IS NOT NULL THEN {UNDETERMINED}
             WHEN f.introduced_key > {key} THEN {NOT_AFFECTED}
             WHEN f.evr_key <= {key} THEN {FIXED}
             WHEN f.evr_key IS NOT NULL THEN CASE f.pocket WHEN '' THEN 0 ELSE 2 END
             ELSE CASE f.state WHEN 'open' THEN 3 WHEN 'no-fix-planned' THEN 5 ELSE 4 END END
    """


KERNEL = r"""
    CASE p.type
        WHEN 'deb' THEN CASE WHEN p.source_name LIKE 'linux%' AND p.name ~ '^linux-.*[0-9]+\.[0-9]+'
            THEN p.source_name END
        WHEN 'rpm' THEN CASE WHEN p.name ~ '^kernel(-|$)'
            AND p.name !~ '-(headers|tools|libs|srpm|abi|firmware|docs?|macros|source|syms|tools-libs)(-|$)'
            THEN p.name END
    END
"""
"""SQL of what a package of a kernel is installed beside older ones as; null: it is no such package."""

RUNS = """
    CASE WHEN t.kernel = '' THEN t.restart
         WHEN d.type = 'deb' THEN right(d.name, length(t.kernel) + 1) = '-' || t.kernel
         ELSE split_part(t.kernel, '+', 1) = regexp_replace(d.evr, '^[0-9]+:', '') || '.' || d.arch
              OR starts_with(regexp_replace(d.evr, '^[0-9]+:', '') || '.',
                             regexp_replace(t.kernel, '-[a-z][a-z0-9_]*$', '') || '.') END
"""
"""SQL of whether the host `t` runs the kernel that the package `d` holds; SUSE leaves the rebuild out of `uname`."""

ACTIVE = "x.ended_at IS NULL AND (x.expires_at IS NULL OR x.expires_at > now())"
"""SQL of whether an exception `x` holds: an expired one no longer does, without anybody doing anything."""

TAGS = "h.tags || coalesce(hl.tags, CAST(ARRAY[] AS text[]))"
"""SQL of the tags of a host `h`: those that it reports and those of its label `hl`, which operators gave it."""


def scope_of(name: str, place: str = "t") -> str:
    """SQL of whether a host's row (host_id, tags, group_id) is in the scope of an exception or a policy."""
    return (
        f"CASE {name}.scope WHEN 'host' THEN {name}.target = {place}.host_id::text"
        f" WHEN 'tag' THEN {name}.target = ANY({place}.tags)"
        f" WHEN 'group' THEN {name}.target = {place}.group_id::text END"
    )


STALE_NAMES = r"""
    ARRAY[s.value->>'package', file, regexp_replace(file, '\.so.*$', ''),
          regexp_replace(file, '^(lib.*[^0-9])\.so\.([0-9]+).*$', '\1\2'),
          regexp_replace(file, '^(lib.*[0-9])\.so\.([0-9]+).*$', '\1-\2')]
"""
"""SQL of the packages that a replaced file may be of: the agent's own word, else by Debian's names of libraries."""


def days(level: str) -> str:
    """SQL of a policy's days for a level: the strictest of those for the host's tags, else the fleet's."""
    return f"coalesce(min(y.{level}_days) FILTER (WHERE y.scope <> 'fleet'), min(y.{level}_days), 0)"


PLANNED = "SELECT set_config('enable_nestloop', 'off', true), set_config('jit', 'off', true)"
"""To be run in the transaction before `host_cves`: the sizes of its steps cannot be estimated, and a nested loop over
two of them costs the square of a host's CVEs."""


def host_cves(*, of_one_cve: bool = False) -> str:
    """SQL of one row a host and a CVE that its packages are named for, fixed ones as well.

    Parameters: host_ids, levels (`LEVELS`), exposed_tags (`EXPOSED_TAGS`); of_one_cve: cve, and package_ids, the
    packages that it is about. `priority` is greater for what comes first: exploited, then EPSS, CVSS, age and
    exposure, each in bands, so that none of them is drowned by noise in another. `vendor_level` is the place in
    `LEVELS`, from 1, of the severity of the worst advisory; 0: none rates it.
    """
    if not of_one_cve:
        return _HOST_CVES.format(fixes=FIXES, these="true", this="true")
    named = "AND f.advisory_id IN (SELECT advisory_id FROM advisory_cve WHERE cve = :cve)"
    return _HOST_CVES.format(
        fixes=FIXES + named, these="p.id = ANY(CAST(:package_ids AS integer[]))", this="ac.cve = :cve"
    )


_HOST_CVES = f"""
    WITH target AS MATERIALIZED (
        SELECT h.id AS host_id, h.kernel, {TAGS} AS tags, hl.group_id, h.package_set_id,
               h.repository_set_id, rs.ecosystem,
               coalesce(rv.required, h.reboot_required, false) AS restart,
               CASE jsonb_typeof(h.facts->'stale_services') WHEN 'array' THEN h.facts->'stale_services'
                    ELSE '[]' END AS stale
        FROM host h
        JOIN repository_set rs ON rs.id = h.repository_set_id
        LEFT JOIN reboot_verdict rv ON rv.host_id = h.id
        LEFT JOIN host_label hl ON hl.host_id = h.id
        WHERE h.id = ANY(CAST(:host_ids AS uuid[]))
    ), pairs AS MATERIALIZED (
        SELECT DISTINCT package_set_id, repository_set_id FROM target
    ), places AS MATERIALIZED (
        SELECT q.*, rs.ecosystem, rs.distro_release
        FROM pairs q JOIN repository_set rs ON rs.id = q.repository_set_id WHERE rs.ecosystem IS NOT NULL
        UNION ALL
        SELECT q.*, '{REPOSITORY}', u.repository_id::text
        FROM pairs q JOIN repository_set rs ON rs.id = q.repository_set_id
        JOIN errata_source u ON u.repository_id = ANY(rs.repository_ids)
    ), installed AS MATERIALIZED (
        SELECT l.package_set_id, l.repository_set_id, l.ecosystem, l.distro_release, p.*
        FROM places l
        JOIN package_set ps ON ps.id = l.package_set_id
        JOIN package p ON p.id = ANY(ps.package_ids) AND {{these}}
    ), matched AS (
        SELECT p.package_set_id, p.repository_set_id, p.id, f.advisory_id, f.type AS said, f.advisory, f.severity,
               f.issued_at, f.kind, f.evr_key, {rank(SOURCE_KEY)} AS rank
        FROM installed p JOIN ({{fixes}}) f
          ON f.ecosystem = p.ecosystem AND f.distro_release = p.distro_release AND {BY_SOURCE}
        UNION ALL
        SELECT p.package_set_id, p.repository_set_id, p.id, f.advisory_id, f.type, f.advisory, f.severity,
               f.issued_at, f.kind, f.evr_key, {rank("p.evr_key")}
        FROM installed p JOIN ({{fixes}}) f
          ON f.ecosystem = p.ecosystem AND f.distro_release = p.distro_release AND {BY_BINARY}
    ), named AS MATERIALIZED (
        SELECT m.*, ac.cve,
               bool_or(m.said = 'cve') OVER (PARTITION BY ac.cve, m.id, m.package_set_id, m.repository_set_id)
                   AS tracked
        FROM matched m JOIN advisory_cve ac ON ac.advisory_id = m.advisory_id AND {{this}}
    ), decided AS (
        SELECT n.package_set_id, n.repository_set_id, n.cve, n.id, min(n.rank) AS rank
        FROM named n WHERE n.said = 'cve' OR NOT n.tracked
        GROUP BY n.package_set_id, n.repository_set_id, n.cve, n.id
    ), judged AS MATERIALIZED (
        SELECT d.*, p.type, p.name, p.arch, p.evr, p.source_name,
               k.kernel IS NOT NULL AND d.rank < {FIXED} AND bool_or(d.rank = {FIXED}) OVER (
                   PARTITION BY d.package_set_id, d.repository_set_id, d.cve, k.kernel) AS leftover
        FROM decided d JOIN package p ON p.id = d.id, LATERAL (SELECT {KERNEL} AS kernel) k
    ), stale AS MATERIALIZED (
        SELECT t.host_id, s.value->>'name' AS service, name
        FROM target t, jsonb_array_elements(t.stale) s,
             LATERAL (SELECT regexp_replace(split_part(s.value->>'reason', ' ', 1), '^.*/', '') AS file) b,
             unnest({STALE_NAMES}) name
        WHERE name <> ''
        UNION ALL
        SELECT t.host_id, 'the kernel', name FROM target t,
             unnest(ARRAY['linux', 'linux-lts', 'linux-zen', 'linux-hardened']) name
        WHERE t.restart AND t.ecosystem = 'arch'
    ), replaced AS MATERIALIZED (
        SELECT DISTINCT ON (s.host_id, p.name, p.arch) s.host_id, s.service, p.name, p.arch, p.evr_key,
               {SOURCE_KEY} AS source_key
        FROM stale s
        JOIN package_event e ON e.host_id = s.host_id
        JOIN package p ON p.id = ANY(e.removed_ids) AND s.name IN (p.name, p.source_name)
        ORDER BY s.host_id, p.name, p.arch, e.at DESC
    ), running AS MATERIALIZED (
        SELECT r.host_id, n.cve, n.id, array_agg(DISTINCT r.service ORDER BY r.service) AS services,
               array_agg(DISTINCT n.advisory) FILTER (WHERE n.said = 'security') AS advisories
        FROM replaced r
        JOIN target t ON t.host_id = r.host_id
        JOIN named n ON n.package_set_id = t.package_set_id AND n.repository_set_id = t.repository_set_id
             AND n.rank = {FIXED} AND CASE n.kind WHEN 'source' THEN r.source_key ELSE r.evr_key END < n.evr_key
        JOIN package p ON p.id = n.id AND p.name = r.name AND p.arch = r.arch
        GROUP BY r.host_id, n.cve, n.id
    ), here AS (
        SELECT t.host_id, t.tags, d.cve, d.id, d.name, d.evr, d.source_name, r.services,
               CASE WHEN d.leftover THEN CASE WHEN {RUNS} THEN {RESTART} ELSE {FIXED} END
                    WHEN d.rank = {FIXED} AND r.cve IS NOT NULL THEN {RESTART} ELSE d.rank END AS rank
        FROM target t
        JOIN judged d ON d.package_set_id = t.package_set_id AND d.repository_set_id = t.repository_set_id
        LEFT JOIN running r ON r.host_id = t.host_id AND r.cve = d.cve AND r.id = d.id
    ), summed AS MATERIALIZED (
        SELECT host_id, tags, cve, min(rank) AS rank,
               coalesce(array_agg(DISTINCT name || ' ' || evr ORDER BY name || ' ' || evr)
                   FILTER (WHERE rank < {FIXED}), array_agg(DISTINCT name || ' ' || evr)) AS packages,
               array_agg(DISTINCT name) FILTER (WHERE rank < {FIXED}) AS names,
               array_agg(DISTINCT source_name) FILTER (WHERE rank < {FIXED}) AS sources,
               array_agg(DISTINCT id) FILTER (WHERE rank < {FIXED}) AS ids
        FROM here GROUP BY host_id, tags, cve
    ), told AS (
        SELECT s.host_id, s.cve,
               array_agg(DISTINCT n.advisory ORDER BY n.advisory) FILTER (WHERE n.said = 'security') AS advisories,
               min(n.issued_at) FILTER (WHERE n.evr_key IS NOT NULL) AS fixed_at,
               min(n.issued_at) AS issued_at,
               max(array_position(CAST(:levels AS text[]), n.severity)) AS level
        FROM summed s
        JOIN target t ON t.host_id = s.host_id
        JOIN named n ON n.package_set_id = t.package_set_id AND n.repository_set_id = t.repository_set_id
             AND n.cve = s.cve AND n.id = ANY(s.ids)
             AND (n.rank < {FIXED} OR (s.rank = {RESTART} AND n.rank = {FIXED}))
        WHERE s.rank < {FIXED}
        GROUP BY s.host_id, s.cve
    ), arrived AS (
        SELECT s.host_id, s.cve, max(e.at) AS installed_at
        FROM summed s JOIN package_event e ON e.host_id = s.host_id AND e.added_ids && s.ids
        WHERE s.rank < {FIXED}
        GROUP BY s.host_id, s.cve
    ), waivers AS MATERIALIZED (
        SELECT t.host_id, x.kind, x.subject, x.id
        FROM target t JOIN risk_exception x ON {ACTIVE}
             AND {scope_of("x")}
    ), policy AS (
        SELECT t.host_id, {", ".join(f"{days(level)} AS {level}_days" for level in DEFAULT_DAYS)}
        FROM target t
        JOIN (SELECT scope, target, {", ".join(f"{level}_days" for level in DEFAULT_DAYS)} FROM remediation_policy
              UNION ALL SELECT 'fleet', '', {", ".join(str(each) for each in DEFAULT_DAYS.values())}
              WHERE NOT EXISTS (SELECT 1 FROM remediation_policy WHERE scope = 'fleet')) y
          ON y.scope = 'fleet' OR {scope_of("y")}
        GROUP BY t.host_id
    ), rated AS (
        SELECT s.host_id, s.cve, s.rank, s.packages, coalesce(o.advisories, '{{{{}}}}') AS advisories,
               c.score, coalesce(c.severity, '') AS cvss_severity, coalesce(c.vector, '') AS vector,
               coalesce(c.cvss_version, '') AS cvss_version, coalesce(c.cwes, '{{{{}}}}') AS cwes,
               k.cve IS NOT NULL AS known_exploited, k.due_on, ({past("k.added_on")})::date AS added_on,
               e.score AS epss, e.percentile,
               coalesce((CAST(:levels AS text[]))[o.level], nullif(nullif(c.severity, ''), 'none'), '') AS severity,
               coalesce(o.level, 0) AS vendor_level,
               greatest(coalesce(o.issued_at, c.published_at), v.installed_at) AS since,
               greatest(coalesce(o.fixed_at, c.published_at), v.installed_at) AS fixable_at,
               s.rank < {FIXED} AND w.id IS NOT NULL AS waived, w.id AS exception_id,
               s.tags && CAST(:exposed_tags AS text[]) AS reachable,
               y.exploited_days, y.critical_days, y.high_days, y.medium_days, y.low_days
        FROM summed s
        LEFT JOIN told o ON o.host_id = s.host_id AND o.cve = s.cve
        LEFT JOIN arrived v ON v.host_id = s.host_id AND v.cve = s.cve
        LEFT JOIN policy y ON y.host_id = s.host_id
        LEFT JOIN LATERAL (
            SELECT score, severity, vector, cvss_version, cwes, {past("published_at")} AS published_at
            FROM cve WHERE cve.id = s.cve
            ORDER BY score IS NULL, updated_at DESC NULLS LAST LIMIT 1) c ON true
        LEFT JOIN known_exploited k ON k.cve = s.cve
        LEFT JOIN exploit_score e ON e.cve = s.cve
        LEFT JOIN LATERAL (
            SELECT coalesce(
                min(x.id) FILTER (WHERE x.kind = 'cve' AND x.subject = s.cve),
                CASE WHEN o.advisories <@ array_agg(x.subject) FILTER (WHERE x.kind = 'advisory')
                     THEN min(x.id) FILTER (WHERE x.kind = 'advisory' AND x.subject = ANY(o.advisories)) END,
                CASE WHEN s.names <@ array_agg(x.subject) FILTER (WHERE x.kind = 'package')
                       OR s.sources <@ array_agg(x.subject) FILTER (WHERE x.kind = 'package')
                     THEN min(x.id) FILTER (WHERE x.kind = 'package'
                                              AND x.subject = ANY(s.names || s.sources)) END) AS id
            FROM waivers x WHERE x.host_id = s.host_id) w ON true
    )
    SELECT host_id, cve, CASE WHEN waived THEN {WAIVED} ELSE rank END AS rank, packages, advisories, score,
           coalesce(score, 0) AS sort_score, severity, cvss_severity, vector, cvss_version, cwes, known_exploited,
           due_on, epss, percentile AS epss_percentile, since, waived, exception_id,
           due_by, coalesce(due_by, DATE '9999-12-31') AS sort_due,
           NOT waived AND coalesce(due_by < current_date, false) AS overdue,
           CASE WHEN rank >= {FIXED} THEN 0 ELSE
               CASE WHEN known_exploited THEN 10000 ELSE 0 END
               + 1000 * CASE WHEN epss >= 0.5 THEN 3 WHEN epss >= 0.1 THEN 2 WHEN epss >= 0.01 THEN 1 ELSE 0 END
               + 100 * CASE WHEN score >= 9 THEN 4 WHEN score >= 7 THEN 3 WHEN score >= 4 THEN 2 WHEN score > 0 THEN 1
                            ELSE coalesce(array_position(CAST(:levels AS text[]), severity), 0) END
               + 10 * CASE WHEN since < now() - interval '90 days' THEN 3
                           WHEN since < now() - interval '30 days' THEN 2
                           WHEN since < now() - interval '7 days' THEN 1 ELSE 0 END
               + CASE WHEN reachable THEN 1 ELSE 0 END END AS priority, vendor_level
    FROM rated, LATERAL (
        SELECT CASE WHEN rank < {FIXED} THEN least(
            CASE WHEN known_exploited THEN least(
                due_on, greatest(added_on, fixable_at::date) + nullif(exploited_days, 0)) END,
            CASE WHEN rank <= {RESTART} THEN fixable_at::date + nullif(CASE severity
                WHEN 'critical' THEN critical_days WHEN 'high' THEN high_days WHEN 'low' THEN low_days
                ELSE medium_days END, 0) END) END AS due_by) u
"""
