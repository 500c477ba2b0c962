"""Packages over the whole fleet: which there are, their versions, and which hosts have them."""

from typing import Any
from uuid import UUID

from flask import abort
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from patchbay_shared.tables import host
from sqlalchemy import collate, select

from patchbay_api.paging import Key, Page, PageQuery, fetch_page, page_of, text_field
from patchbay_api.resource import Resource, context
from patchbay_api.store import packages as store

packages = Resource("packages", "Packages over the whole fleet: where installed, where available, what they fix.")

SHORTEST_PREFIX = 2


class PackagesQuery(PageQuery):
    """Which packages; they are in byte order of their names."""

    q = text_field("What the name begins with.")
    offered = fields.Boolean(
        load_default=False,
        metadata={"description": "Also packages that no host ever had and some repository offers; needs `q`."},
    )

    @validates_schema
    def narrow(self, data: dict[str, Any], **_: Any) -> None:
        """Everything that all repositories offer is no list for anybody."""
        if data["offered"] and len(data.get("q") or "") < SHORTEST_PREFIX:
            raise ValidationError("With `offered`, give at least the first two letters.", "q")


class Newest(Schema):
    """The newest version that any repository offers, of one type."""

    type = fields.String(required=True, metadata={"description": "deb, rpm, pacman or gentoo"})
    version = fields.String(required=True)


class PackageSummary(Schema):
    """A package by its name, whatever the distribution."""

    name = fields.String(required=True)
    host_count = fields.Integer(required=True, metadata={"description": "Hosts that have it."})
    installed_version_count = fields.Integer(
        required=True, metadata={"description": "Different versions and architectures on them."}
    )
    repository_count = fields.Integer(required=True, metadata={"description": "Repositories that offer it."})
    newest = fields.List(fields.Nested(Newest), required=True)


class OfferingRepository(Schema):
    """A repository that offers a version."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    suite = fields.String(required=True)
    component = fields.String(required=True)


class VersionFix(Schema):
    """An advisory of which a version is the first that fixes it."""

    source = fields.String(required=True, metadata={"description": "The feed; with `name` the advisory's address."})
    name = fields.String(required=True)
    severity = fields.String(required=True)
    cves = fields.List(fields.String(), required=True)


class PackageVersion(Schema):
    """One version of a package."""

    type = fields.String(required=True)
    arch = fields.String(required=True)
    version = fields.String(required=True)
    source = fields.String(required=True, metadata={"description": "Source package"})
    host_count = fields.Integer(required=True, metadata={"description": "Hosts that have exactly this version."})
    repositories = fields.List(fields.Nested(OfferingRepository), required=True)
    fixes = fields.List(
        fields.Nested(VersionFix),
        required=True,
        metadata={"description": "Advisories that older versions do not fix and this one does."},
    )


class VersionQuery(PageQuery):
    """Which versions; by type, the newest first."""

    installed = fields.Boolean(
        load_default=False, metadata={"description": "true: only those that some host has installed."}
    )


class PackageHostQuery(PageQuery):
    """Which hosts, in order of their names."""

    version = text_field("Exactly this version, as listed.")
    type = fields.String(
        validate=validate.OneOf(sorted(store.SCHEMES)), metadata={"description": "Only packages of this type."}
    )


class PackageHost(Schema):
    """A host that has the package."""

    id = fields.UUID(required=True)
    hostname = fields.String(required=True)
    os = fields.String(required=True)
    versions = fields.List(fields.String(), required=True, metadata={"description": "Each with its architecture."})


@packages.get(
    "/packages", page_of(PackageSummary, "PackageSummaryPage"), query=PackagesQuery, permission="hosts.read"
)
def list_packages(query: dict[str, Any]) -> Page:
    """List packages by name, with where they are."""
    found = store.names(query.get("q") or "", offered=query["offered"])
    with context().database.transaction() as connection:
        page = fetch_page(
            connection,
            select(found.c.name),
            [Key(collate(found.c.name, "C"), str)],
            sort="name",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
        described = store.summaries(connection, [row["name"] for row in page.items])
    items = [{"name": row["name"], **described[row["name"]]} for row in page.items]
    return Page(items, page.next_cursor, page.total_count)


@packages.get(
    "/packages/<path:name>/versions",
    page_of(PackageVersion, "PackageVersionPage"),
    query=VersionQuery,
    permission="hosts.read",
)
def list_package_versions(query: dict[str, Any], name: str) -> Page:
    """List the versions of a package, installed or available."""
    found = store.versions(name, installed=query["installed"])
    with context().database.transaction() as connection:
        _require(connection, name)
        page = fetch_page(
            connection,
            select(found),
            [Key(found.c.type, str), Key(found.c.evr_key, bytes, descending=True), Key(found.c.arch, str)],
            sort="version",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
        return Page(store.describe_versions(connection, name, page.items), page.next_cursor, page.total_count)


@packages.get(
    "/packages/<path:name>/hosts",
    page_of(PackageHost, "PackageHostPage"),
    query=PackageHostQuery,
    permission="hosts.read",
)
def list_package_hosts(query: dict[str, Any], name: str) -> Page:
    """List the hosts that have a package."""
    with context().database.transaction() as connection:
        _require(connection, name)
        ids = store.ids_of(connection, name, type_=query.get("type"), version=query.get("version"))
        return fetch_page(
            connection,
            store.hosts_with(ids),
            [Key(host.c.hostname, str), Key(host.c.id, UUID)],
            sort="hostname",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )


def _require(connection: Any, name: str) -> None:
    if "\0" in name or not store.exists(connection, name):
        abort(404, f"No host has, and no repository offers, a package called {name[:100]!r}.")
