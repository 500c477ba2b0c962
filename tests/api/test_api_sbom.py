"""A host's inventory for other tools."""

import json
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient
from patchbay_ingest.wire.sbom import CYCLONEDX, report_of
from patchbay_shared.db import Database


@pytest.fixture
def fleet(database: Database, fleet_seed: ModuleType) -> Any:
    """The six hosts of fleet_seed."""
    return fleet_seed.seed_fleet(database, fleet_seed.HOSTS)


def test_an_exported_inventory_is_one_that_ingest_reads(viewer: FlaskClient, fleet: Any) -> None:
    """The same packages there and back."""
    host_id = fleet.hosts["web-01.example.com"]
    installed = viewer.get(f"/api/v1/hosts/{host_id}/packages?limit=500").json["items"]

    bill = viewer.get(f"/api/v1/hosts/{host_id}/sbom").json

    assert bill["bomFormat"] == "CycloneDX"
    report, _ = report_of(json.dumps(bill).encode(), CYCLONEDX)
    assert report.hostname == "web-01.example.com"
    assert sorted((each.name, each.evr) for each in report.packages or []) == sorted(
        (each["name"], each["version"]) for each in installed
    )


def test_an_unchanged_inventory_keeps_its_serial_number(viewer: FlaskClient, fleet: Any) -> None:
    """So that other tools can tell."""
    path = f"/api/v1/hosts/{fleet.hosts['web-01.example.com']}/sbom"

    assert viewer.get(path).json == viewer.get(path).json


def test_the_inventory_of_an_unknown_host_is_not_found(viewer: FlaskClient) -> None:
    """404."""
    assert viewer.get("/api/v1/hosts/11111111-1111-4111-8111-111111111111/sbom").status_code == 404
