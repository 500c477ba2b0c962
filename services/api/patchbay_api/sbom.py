"""A host's inventory as a software bill of materials (CycloneDX 1.5)."""

import uuid
from typing import Any
from uuid import UUID

import msgspec
from marshmallow import Schema, fields
from patchbay_shared.purl import purl_of
from patchbay_shared.report import OsRelease
from patchbay_shared.tables import package, package_set
from sqlalchemy import Connection, func, select

from patchbay_api.hosts import host_or_404
from patchbay_api.resource import Resource, context

sbom = Resource("sbom", "A host's inventory for other tools.")

_NAMESPACE = uuid.UUID("3b0f3c0a-0f0e-5c57-9a8e-6d8d4a3c2b11")


class Bill(Schema):
    """CycloneDX 1.5 in JSON; the names are that format's own."""

    bomFormat = fields.String(required=True)  # noqa: N815  (the format's own name)
    specVersion = fields.String(required=True)  # noqa: N815
    serialNumber = fields.String(  # noqa: N815
        required=True, metadata={"description": "The same for as long as the same packages are installed."}
    )
    version = fields.Integer(required=True)
    metadata = fields.Dict(keys=fields.String(), required=True)
    components = fields.List(fields.Dict(keys=fields.String()), required=True)


@sbom.get("/hosts/<uuid:host_id>/sbom", Bill, permission="hosts.read")
def get_host_sbom(host_id: UUID) -> dict[str, Any]:
    """Show what is installed on a host as a CycloneDX document with package URLs."""
    with context().database.transaction() as connection:
        host = host_or_404(connection, host_id)
        release = msgspec.convert(host["facts"].get("os_release") or {}, OsRelease)
        components = [_system(release)] if release.ID else []
        components += _packages(connection, host["package_set_id"], release)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": uuid.uuid5(_NAMESPACE, f"{host_id} {host['package_set_id']}").urn,
        "version": 1,
        "metadata": {
            "timestamp": host["changed_at"].isoformat(),
            "tools": {"components": [{"type": "application", "name": "Patchbay"}]},
            "component": {"type": "device", "bom-ref": str(host_id), "name": host["hostname"]},
        },
        "components": components,
    }


def _system(release: OsRelease) -> dict[str, Any]:
    system = {"type": "operating-system", "bom-ref": "operating-system", "name": release.ID}
    if release.VERSION_ID:
        system["version"] = release.VERSION_ID
    if release.PRETTY_NAME:
        system["description"] = release.PRETTY_NAME
    return system


def _packages(connection: Connection, package_set_id: int, release: OsRelease) -> list[dict[str, Any]]:
    chosen = select(func.unnest(package_set.c.package_ids)).where(package_set.c.id == package_set_id)
    rows = connection.execute(
        select(package.c.id, package.c.type, package.c.name, package.c.arch, package.c.evr)
        .where(package.c.id.in_(chosen))
        .order_by(package.c.name, package.c.arch, package.c.evr_key, package.c.id)
    )
    found = []
    for row in rows:
        component = {"type": "library", "bom-ref": f"package-{row.id}", "name": row.name, "version": row.evr}
        if purl := purl_of(row.type, row.name, row.arch, row.evr, release):
            component["purl"] = purl
        found.append(component)
    return found
