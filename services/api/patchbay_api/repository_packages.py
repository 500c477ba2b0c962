"""What one repository offers."""

from typing import Any
from uuid import UUID

from flask import abort
from marshmallow import Schema, fields
from patchbay_shared.tables import available_package, repository_index
from sqlalchemy import collate

from patchbay_api.paging import Key, Number, Page, PageQuery, fetch_page, page_of, text_field
from patchbay_api.resource import Resource, context
from patchbay_api.store import repositories as store

repository_packages = Resource("repository-packages", "What one repository offers.")


class OfferQuery(PageQuery):
    """Which packages; they are in byte order of their names, of each the newest version first."""

    q = text_field("What the name begins with.")
    component = text_field("Only this component (apt).")
    architecture = text_field("Only indexes of this architecture (apt).")


class OfferedPackage(Schema):
    """An entry of an index."""

    name = fields.String(required=True)
    arch = fields.String(required=True)
    version = fields.String(required=True)
    source = fields.String(
        required=True, allow_none=True, metadata={"description": "Source package; null: of the same name."}
    )
    component = fields.String(required=True, metadata={"description": "apt; else empty"})
    architecture = fields.String(required=True, metadata={"description": "Of the index; apt; else empty"})


@repository_packages.get(
    "/repositories/<uuid:repository_id>/packages",
    page_of(OfferedPackage, "OfferedPackagePage"),
    query=OfferQuery,
    permission="repositories.read",
)
def list_repository_packages(query: dict[str, Any], repository_id: UUID) -> Page:
    """List the packages of a repository."""
    table, index = available_package.c, repository_index.c
    statement = store.packages_of(repository_id)
    if query.get("q"):
        statement = statement.where(table.name.startswith(query["q"], autoescape=True))
    if "component" in query:
        statement = statement.where(index.component == query["component"])
    if "architecture" in query:
        statement = statement.where(index.architecture == query["architecture"])
    with context().database.transaction() as connection:
        if store.repository_by_id(connection, repository_id) is None:
            abort(404, f"There is no repository {repository_id}; no host names it any more.")
        return fetch_page(
            connection,
            statement,
            [
                Key(collate(table.name, "C"), str),
                Key(table.evr_key, bytes, descending=True),
                Key(table.arch, str),
                Key(table.index_id, Number),
                Key(table.digest, Number),
            ],
            sort="name",
            limit=query["limit"],
            cursor=query.get("cursor"),
        )
