"""Every operation of the API says in one table who may ask it."""

from access_table import ACCESS
from patchbay_api.app import openapi_document

_METHODS = {"get", "post", "patch", "put", "delete"}


def test_every_operation_has_its_line_in_the_table_of_access() -> None:
    """tests/support/access_table.py: who adds an operation says there who may ask it, and the API is held to it."""
    operations = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, each in openapi_document()["paths"].items()
        for method in each.keys() & _METHODS
    }

    assert {"lacks a line": operations - ACCESS.keys(), "has none any more": ACCESS.keys() - operations} == {
        "lacks a line": set(),
        "has none any more": set(),
    }
