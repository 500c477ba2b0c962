"""What is outstanding on one host, and why; what is installed, and from where."""

from typing import Any
from uuid import UUID

from marshmallow import Schema, fields, validate
from patchbay_shared.report import ReportRepository
from patchbay_shared.repositories import location, repository_id
from patchbay_shared.tables import package, verdict
from sqlalchemy import RowMapping

from patchbay_api.conventions.lists import WholeList
from patchbay_api.hosts import host_or_404
from patchbay_api.paging import Key, Number, Page, PageQuery, fetch_page, page_of, query_field, text_field
from patchbay_api.query.compile import condition_of
from patchbay_api.query.content import PACKAGES, UPDATES
from patchbay_api.resource import Resource, context
from patchbay_api.store import hosts as store
from patchbay_api.store import vulnerabilities
from patchbay_api.store.os_groups import choice_of_host
from patchbay_api.update_urgency import BY_FIXES, SORTS, Fixes, in_order, subject_of, urgency
from patchbay_api.verdict_states import STATES

host_updates = Resource("host-content", "What is installed on one host, what is outstanding, and from where.")


class UpdateQuery(PageQuery):
    """Which verdicts, in which order."""

    sort = fields.String(
        load_default="-urgency",
        validate=validate.OneOf([sign + name for name in SORTS for sign in ("", "-")]),
        metadata={
            "description": "Sort key; `-` in front: descending. `-urgency`: known exploited, overdue, by severity,"
            " security fixes, the others. `since`: how long the oldest of the CVEs has been open; `due_by`: its date;"
            " `cves`, `advisories`: how many; `state`: in the order of its values. Equal ones are in order of their"
            " names; what has no date comes last."
        },
    )

    listed = fields.Boolean(
        metadata={"description": "Whether the package manager itself lists it as an available update."}
    )
    security = fields.Boolean(metadata={"description": "Whether it is a security fix."})
    state = fields.String(validate=validate.OneOf(STATES), metadata={"description": "Only this state."})
    query = query_field()
    q = text_field("Part of the package's name.")


class Update(Schema):
    """The verdict on one installed package. Packages that are simply up to date have none."""

    name = fields.String(required=True)
    arch = fields.String(required=True)
    installed = fields.String(required=True, metadata={"description": "`[epoch:]version[-release]`"})
    candidate = fields.String(
        required=True, allow_none=True, metadata={"description": "The version that would be installed."}
    )
    candidate_arch = fields.String(required=True, allow_none=True)
    repository = fields.String(
        required=True, allow_none=True, metadata={"description": "Where from; named as the host names it."}
    )
    repositories = fields.List(
        fields.String(), required=True, metadata={"description": "Every enabled repository that has the candidate."}
    )
    state = fields.String(required=True, validate=validate.OneOf(STATES))
    listed = fields.Boolean(required=True)
    security = fields.Boolean(required=True)
    advisories = fields.List(fields.String(), required=True)
    security_repository = fields.String(
        required=True, allow_none=True, metadata={"description": "The security repository that decided `security`."}
    )
    cves = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Those that it fixes on this host and that nobody waives; the worst first."},
    )
    severity = fields.String(
        required=True, metadata={"description": "The worst of theirs; empty: nobody rated them, or there is none."}
    )
    known_exploited = fields.Boolean(required=True, metadata={"description": "One of them is."})
    since = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "How long the oldest of them has been open."}
    )
    due_by = fields.Date(required=True, allow_none=True, metadata={"description": "The earliest date of theirs."})
    overdue = fields.Boolean(required=True, metadata={"description": "`due_by` is past."})
    why = fields.String(required=True, metadata={"description": "The rule and the data that decided."})
    rule = fields.String(required=True, metadata={"description": "Stable code of that rule."})


class PackageQuery(PageQuery):
    """Which packages; they are in order of name and architecture."""

    query = query_field()
    q = text_field("Part of the package's name.")


class InstalledPackage(Schema):
    """One installed package."""

    name = fields.String(required=True)
    arch = fields.String(required=True)
    version = fields.String(required=True)
    type = fields.String(required=True, metadata={"description": "deb, rpm, pacman or gentoo"})
    source = fields.String(required=True, metadata={"description": "Source package"})
    held = fields.Boolean(required=True)
    state = fields.String(required=True, allow_none=True, metadata={"description": "null: up to date"})
    candidate = fields.String(required=True, allow_none=True)


class HostRepository(Schema):
    """One repository as the host configures it, with what is known of it."""

    repository_id = fields.UUID(required=True)
    id = fields.String(required=True, metadata={"description": "As the host calls it."})
    name = fields.String(required=True)
    type = fields.String(required=True)
    url = fields.String(required=True)
    suite = fields.String(required=True)
    components = fields.List(fields.String(), required=True)
    enabled = fields.Boolean(required=True)
    priority = fields.Integer(required=True, allow_none=True)
    security = fields.Boolean(
        required=True, allow_none=True, metadata={"description": "Holds security fixes; null: nobody said."}
    )
    origin = fields.String(required=True, metadata={"description": "host: it configures it; group: see `group`"})
    judging = fields.Boolean(required=True, metadata={"description": "The host's updates are judged by it."})
    known = fields.Boolean(
        required=True, metadata={"description": "`GET /repositories/{repository_id}` has more; false: never crawled."}
    )
    state = fields.String(required=True, metadata={"description": "pending, ok, failing, reported or untrusted"})
    message = fields.String(required=True)
    generation = fields.Integer(required=True, allow_none=True)
    checked_at = fields.AwareDateTime(required=True, allow_none=True)
    changed_at = fields.AwareDateTime(required=True, allow_none=True)


class HostRepositories(WholeList):
    """All repositories of a host, in its order."""

    items = fields.List(fields.Nested(HostRepository), required=True)
    use_host_repos = fields.Boolean(
        required=True, metadata={"description": "It is judged by its own repositories, not by its group's."}
    )
    choice = fields.Boolean(
        required=True, allow_none=True, metadata={"description": "What was decided for this host; null: nothing."}
    )
    group_id = fields.Integer(required=True, allow_none=True, metadata={"description": "Of its operating system."})
    group = fields.String(required=True, allow_none=True)


@host_updates.get(
    "/hosts/<uuid:host_id>/updates", page_of(Update, "UpdatePage"), query=UpdateQuery, permission="hosts.read"
)
def list_host_updates(query: dict[str, Any], host_id: UUID) -> Page:
    """List the verdicts on a host's packages."""
    with context().database.transaction() as connection:
        statement = store.verdicts(host_or_404(connection, host_id)["evaluation_id"])
        for name in ("listed", "security", "state"):
            if name in query:
                statement = statement.where(verdict.c[name] == query[name])
        if query.get("q"):
            statement = statement.where(verdict.c.name.icontains(query["q"], autoescape=True))
        if query.get("query"):
            statement = statement.where(condition_of(query["query"], UPDATES))
        sort: str = query["sort"]
        fixes: Fixes = {}
        if every := sort.removeprefix("-") in BY_FIXES:
            fixes = vulnerabilities.fixed_by_updates(connection, host_id)
        statement, keys = in_order(statement, fixes, sort)
        page = fetch_page(connection, statement, keys, sort=sort, limit=query["limit"], cursor=query.get("cursor"))
        if not every:
            security = {subject_of(row) for row in page.items if row["security"]}
            fixes = vulnerabilities.fixed_by_updates(connection, host_id, security) if security else {}
    items = [{**row, **urgency(fixes.get(subject_of(row), []) if row["security"] else [])} for row in page.items]
    return Page(items, page.next_cursor, page.total_count)


@host_updates.get(
    "/hosts/<uuid:host_id>/packages",
    page_of(InstalledPackage, "PackagePage"),
    query=PackageQuery,
    permission="hosts.read",
)
def list_host_packages(query: dict[str, Any], host_id: UUID) -> Page:
    """List what is installed on a host."""
    with context().database.transaction() as connection:
        found = host_or_404(connection, host_id)
        statement = store.packages(found["package_set_id"], found["evaluation_id"])
        if query.get("q"):
            statement = statement.where(package.c.name.icontains(query["q"], autoescape=True))
        if query.get("query"):
            statement = statement.where(condition_of(query["query"], PACKAGES))
        return fetch_page(
            connection,
            statement,
            [Key(package.c.name, str), Key(package.c.arch, str), Key(package.c.id, Number)],
            sort="name",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


@host_updates.get("/hosts/<uuid:host_id>/repositories", HostRepositories, permission="hosts.read")
def list_host_repositories(host_id: UUID) -> dict[str, Any]:
    """List a host's repositories in its own order; then those of its group, where it is judged by them."""
    with context().database.transaction() as connection:
        set_id = host_or_404(connection, host_id)["own_repository_set_id"]
        decided = choice_of_host(connection, host_id)
        by_group = decided["group_set_id"] is not None
        entries = [(each, "host", not by_group) for each in store.configured_repositories(connection, set_id)]
        if by_group:
            group = store.configured_repositories(connection, decided["group_set_id"])
            entries += [(each, "group", True) for each in group]
        known = store.known_repositories(connection, {repository_id(each) for each, _, _ in entries})
    return {
        "items": [
            {**_host_repository(each, known.get(repository_id(each))), "origin": origin, "judging": judging}
            for each, origin, judging in entries
        ],
        "use_host_repos": not by_group,
        "choice": decided["choice"],
        "group_id": decided["group_id"],
        "group": decided["group"],
    }


def _host_repository(configured: ReportRepository, known: RowMapping | None) -> dict[str, Any]:
    labelled = known["security"] if known else None
    return {
        "repository_id": repository_id(configured),
        "id": configured.id,
        "name": configured.name or configured.id,
        "type": configured.type,
        "url": location(configured),
        "suite": configured.suite or "",
        "components": configured.components,
        "enabled": configured.enabled,
        "priority": configured.priority,
        "security": configured.security if labelled is None else labelled,
        "known": known is not None,
        "state": known["state"] if known else "pending",
        "message": known["message"] if known else "",
        "generation": known["generation"] if known else None,
        "checked_at": known["checked_at"] if known else None,
        "changed_at": known["changed_at"] if known else None,
    }
