"""Operating systems of the fleet: releases, variants, and groups of them that repositories are attached to."""

from typing import Any
from uuid import UUID

import msgspec
from flask import abort
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from patchbay_shared.messages import JUDGING_REPOSITORIES_CHANGED, JudgingRepositoriesChanged
from patchbay_shared.tables import os_group
from sqlalchemy import Connection, RowMapping, select
from werkzeug.exceptions import UnprocessableEntity

from patchbay_api.auth import principal
from patchbay_api.hosts import Requested, Support, host_or_404
from patchbay_api.paging import STORABLE, Key, Page, PageQuery, fetch_page, page_of
from patchbay_api.resource import Resource, context
from patchbay_api.store import os_groups as store

os_groups = Resource("operating-systems", "Operating systems, groups of them with repositories, and domains.")

MOST_MEMBERS = 500
_ID = "<int(max=2147483647):group_id>"


class Counted(Schema):
    """Hosts in numbers."""

    host_count = fields.Integer(required=True)
    hosts_with_updates = fields.Integer(required=True)
    hosts_with_security_updates = fields.Integer(required=True)
    silent_count = fields.Integer(required=True, metadata={"description": "The last report is older than a day."})


class OsVariant(Counted):
    """An operating system and an architecture, as hosts report them."""

    os = fields.String(required=True)
    arch = fields.String(required=True)
    group_id = fields.Integer(required=True, allow_none=True)
    group = fields.String(required=True, allow_none=True)


class DistroRelease(Counted):
    """A release of a distribution, as its advisories name it."""

    ecosystem = fields.String(required=True, metadata={"description": "os-release ID; empty: the hosts do not say"})
    distro_release = fields.String(required=True, metadata={"description": "bookworm, 24.04, 9; empty: it rolls"})
    variants = fields.List(fields.String(), required=True, metadata={"description": "As its hosts call it."})
    support = fields.Nested(
        Support, required=True, allow_none=True, metadata={"description": "null: no calendar has it."}
    )


class Domain(Counted):
    """A DNS domain of hosts."""

    domain = fields.String(required=True, metadata={"description": "empty: hosts without one"})


class OsGroup(Schema):
    """Variants whose hosts may be judged by the same repositories."""

    id = fields.Integer(required=True)
    name = fields.String(required=True)
    use_host_repos = fields.Boolean(
        required=True,
        metadata={"description": "false: its hosts are judged by the group's repositories instead of their own."},
    )
    variant_count = fields.Integer(required=True)
    repository_count = fields.Integer(required=True)
    changed_by = fields.String(required=True)
    changed_at = fields.AwareDateTime(required=True)


class GroupVariant(Schema):
    """A member of a group."""

    os = fields.String(required=True)
    arch = fields.String(required=True)
    hosts = fields.Integer(required=True)


class GroupRepository(Schema):
    """A repository of a group."""

    repository_id = fields.UUID(required=True)
    name = fields.String(required=True)
    url = fields.String(required=True)
    suite = fields.String(required=True)
    state = fields.String(required=True)
    priority = fields.Integer(
        required=True, allow_none=True, metadata={"description": "null: as the first host that named it has it"}
    )


class OsGroupDetail(OsGroup):
    """With its members and its repositories in order."""

    variants = fields.List(fields.Nested(GroupVariant), required=True)
    repositories = fields.List(fields.Nested(GroupRepository), required=True)
    judged_host_count = fields.Integer(
        required=True, metadata={"description": "Hosts that are judged by these repositories now."}
    )


def _text(longest: int, **arguments: Any) -> fields.String:
    return fields.String(
        required=True, validate=[validate.Length(1, longest), validate.Regexp(STORABLE)], **arguments
    )


class NewOsGroup(Schema):
    """A group to be made."""

    name = _text(100)
    use_host_repos = fields.Boolean(load_default=True)


class WantedVariant(Schema):
    """A variant, as listed by `GET /os-variants`."""

    os = _text(500)
    arch = fields.String(required=True, validate=[validate.Length(max=100), validate.Regexp(STORABLE)])


class WantedRepository(Schema):
    """A repository to attach."""

    repository_id = fields.UUID(required=True)
    priority = fields.Integer(
        load_default=None,
        allow_none=True,
        validate=validate.Range(-32_768, 32_767),
        metadata={"description": "In the package manager's own terms; null: as the first host that named it has it."},
    )


class OsGroupChange(Schema):
    """What is not named stays as it is."""

    name = fields.String(validate=[validate.Length(1, 100), validate.Regexp(STORABLE)])
    use_host_repos = fields.Boolean()
    variants = fields.List(
        fields.Nested(WantedVariant),
        validate=validate.Length(max=MOST_MEMBERS),
        metadata={"description": "All of its variants; a variant leaves the group that it was in."},
    )
    repositories = fields.List(
        fields.Nested(WantedRepository),
        validate=validate.Length(max=MOST_MEMBERS),
        metadata={"description": "All of its repositories, in order (pacman takes the first that has a package)."},
    )

    @validates_schema
    def meaningful(self, data: dict[str, Any], **_: Any) -> None:
        """Neither empty nor with repetitions."""
        if not data:
            raise ValidationError("Say what to change.", "name")
        ids = [each["repository_id"] for each in data.get("repositories", [])]
        if len(ids) != len(set(ids)):
            raise ValidationError("A repository is named twice.", "repositories")


class RepositoryChoice(Schema):
    """By which repositories one host is judged."""

    use_host_repos = fields.Boolean(
        required=True,
        allow_none=True,
        metadata={"description": "true: its own; false: its operating system's group's; null: as its group says."},
    )


@os_groups.get("/os-variants", page_of(OsVariant, "OsVariantPage"), query=PageQuery, permission="hosts.read")
def list_os_variants(query: dict[str, Any]) -> Page:
    """List operating systems and architectures of the fleet, with the group that each is in."""
    return _page(store.variants(), ("os", "arch"), query)


@os_groups.get(
    "/distro-releases", page_of(DistroRelease, "DistroReleasePage"), query=PageQuery, permission="hosts.read"
)
def list_distro_releases(query: dict[str, Any]) -> Page:
    """List releases of distributions with their hosts and how long they are supported."""
    page = _page(store.distro_releases(), ("ecosystem", "distro_release"), query)
    with context().database.transaction() as connection:
        known = store.lifecycles_of(connection, [row for row in page.items if isinstance(row, RowMapping)])
    items = []
    for row in page.items:
        version = row["version_id"] or ""
        supports = (known.get((row["ecosystem"], each)) for each in (version, version.partition(".")[0]))
        items.append({**row, "support": next((each for each in supports if each), None)})
    return Page(items, page.next_cursor, page.total_count)


@os_groups.get("/domains", page_of(Domain, "DomainPage"), query=PageQuery, permission="hosts.read")
def list_domains(query: dict[str, Any]) -> Page:
    """List the DNS domains of hosts."""
    return _page(store.domains(), ("domain",), query)


@os_groups.get("/os-groups", page_of(OsGroup, "OsGroupPage"), query=PageQuery, permission="repositories.read")
def list_os_groups(query: dict[str, Any]) -> Page:
    """List groups of operating systems."""
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            store.groups(),
            [Key(os_group.c.name, str)],
            sort="name",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


@os_groups.post("/os-groups", OsGroupDetail, status=201, body=NewOsGroup, permission="repositories.operate")
def add_os_group(body: dict[str, Any]) -> dict[str, Any]:
    """Make a group; it judges nobody before it has variants and repositories."""
    with context().database.transaction() as connection:
        group_id = store.add_group(connection, **body, by=principal().username)
        if group_id is None:
            raise _refused("name", f"A group is called {body['name']!r} already.")
        return _group_or_404(connection, group_id)


@os_groups.get(f"/os-groups/{_ID}", OsGroupDetail, permission="repositories.read")
def get_os_group(group_id: int) -> dict[str, Any]:
    """Show one group."""
    with context().database.transaction() as connection:
        return _group_or_404(connection, group_id)


@os_groups.patch(
    f"/os-groups/{_ID}", OsGroupDetail, status=200, body=OsGroupChange, permission="repositories.operate"
)
def change_os_group(body: dict[str, Any], group_id: int) -> dict[str, Any]:
    """Change a group; its hosts are judged anew."""
    with context().database.transaction() as connection:
        _group_or_404(connection, group_id)
        if "name" in body and store.name_taken(connection, body["name"], but=group_id):
            raise _refused("name", f"A group is called {body['name']!r} already.")
        wanted = body.get("repositories", [])
        if unknown := store.unknown_repositories(connection, [each["repository_id"] for each in wanted]):
            raise _refused("repositories", f"There is no repository {unknown[0]}; see GET /api/v1/repositories.")
        own: dict[str, Any] = {name: body[name] for name in ("name", "use_host_repos") if name in body}
        store.change_group(connection, group_id, own, by=principal().username)
        if "variants" in body:
            store.set_variants(connection, group_id, body["variants"])
        if "repositories" in body:
            store.set_repositories(connection, group_id, wanted)
        changed = _group_or_404(connection, group_id)
    _tell_the_engine()
    return changed


@os_groups.delete(f"/os-groups/{_ID}", permission="repositories.operate")
def drop_os_group(group_id: int) -> None:
    """Drop a group; its hosts are judged by their own repositories again."""
    with context().database.transaction() as connection:
        if not store.drop_group(connection, group_id):
            abort(404, f"There is no group {group_id}.")
    _tell_the_engine()


@os_groups.patch(
    "/hosts/<uuid:host_id>/repositories", Requested, status=202, body=RepositoryChoice, permission="hosts.operate"
)
def choose_host_repositories(body: dict[str, Any], host_id: UUID) -> dict[str, Any]:
    """Decide by which repositories a host is judged; it is judged anew."""
    with context().database.transaction() as connection:
        host_or_404(connection, host_id)
        store.choose_for_host(connection, host_id, **body, by=principal().username)
    _tell_the_engine()
    return {"id": host_id, "requested": "evaluation"}


def _page(statement: Any, keys: tuple[str, ...], query: dict[str, Any]) -> Page:
    rows = statement.subquery()
    with context().database.transaction() as connection:
        return fetch_page(
            connection,
            select(rows),
            [Key(rows.c[name], str) for name in keys],
            sort=keys[0],
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


def _group_or_404(connection: Connection, group_id: int) -> dict[str, Any]:
    found = store.group_by_id(connection, group_id)
    if found is None:
        abort(404, f"There is no group {group_id}.")
    return found


def _tell_the_engine() -> None:
    context().bus.publish(JUDGING_REPOSITORIES_CHANGED, msgspec.json.encode(JudgingRepositoriesChanged()))


def _refused(field: str, complaint: str) -> UnprocessableEntity:
    error = UnprocessableEntity()
    error.data = {"messages": {"json": {field: [complaint]}}}  # type: ignore[attr-defined]
    return error
