"""The API keeps to its own document, whatever is sent to it."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from patchbay_api.app import openapi_document
from patchbay_shared.db import Database
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

HELD = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
KEPT_ALIVE = "DELETE /api/v1/sessions/current"
"""Signing out would end the session that the other operations are asked with."""


def _bounded(max_examples: int) -> settings:
    return settings(
        max_examples=max_examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.timeout(900)  # every operation, forty requests each
@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.name.lower()
)
def test_no_input_makes_the_api_leave_its_document(
    app: Flask,
    ask: Callable[[str], FlaskClient],
    database: Database,
    fleet_seed: ModuleType,
    mode: GenerationMode,
) -> None:
    """Generated requests, valid and not: no 5xx, no undocumented status, no answer of another shape."""
    fleet = fleet_seed.seed_fleet(database, fleet_seed.HOSTS)
    [_, letter] = fleet_seed.seed_dead_letters(database)
    real = {
        "receipt_id": fleet.receipt,
        "letter_id": letter,
        "host_id": fleet.hosts["web-01.example.com"],
        "repository_id": next(iter(fleet.repositories.values())),
    }
    authorization = ask("admin").environ_base["HTTP_AUTHORIZATION"]
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)
    checks = [CHECKS.get_one(name) for name in HELD]
    asked = 0

    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.label == KEPT_ALIVE:
            continue

        @_bounded(20)
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: Any) -> None:
            nonlocal asked
            for existing in (False, True):
                if existing:
                    case.path_parameters |= {name: str(real[name]) for name in case.path_parameters if name in real}
                case.headers["Authorization"] = authorization
                case.headers["Accept-Encoding"] = "identity"  # the client of WSGI applications unpacks nothing
                case.validate_response(case.call(), checks=checks)
                asked += 1

        try:
            holds()
        except Unsatisfiable:  # nothing that it takes can be wrong
            if mode is GenerationMode.POSITIVE:
                raise

    assert asked > 200


def test_every_operation_documents_its_errors_as_problems() -> None:
    """401 where a session is needed, 422 and 503 everywhere, each as application/problem+json."""
    document = openapi_document()
    answers = document["components"]["responses"]

    for path, operations in document["paths"].items():
        for method in operations.keys() & {"get", "post", "delete"}:
            statuses = operations[method]["responses"]
            assert {"401", "422", "503"} <= statuses.keys(), f"{method} {path}"
    assert all(
        "application/problem+json" in each["content"] for name, each in answers.items() if name != "NOT_MODIFIED"
    )
