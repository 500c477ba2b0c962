"""Documents that must say what the code says."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from patchbay_api.app import openapi_document
from patchbay_shared.settings import Settings, markdown
from patchbay_shared.tables import metadata

from patchbay.services import SERVICES

CHECKOUT = Path(__file__).parents[2]
DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").glob("*.md"), CHECKOUT / "agent" / "README.md"])


def test_every_setting_has_its_line_of_documentation() -> None:
    """docs/settings.md holds the table that `patchbay settings --markdown` prints."""
    assert markdown() in (CHECKOUT / "docs" / "settings.md").read_text()
    assert all(each.metadata["doc"].endswith(".") for each in fields(Settings))


def test_the_openapi_document_is_current() -> None:
    """docs/openapi.json is what the code gives: `patchbay openapi > docs/openapi.json`."""
    assert json.loads((CHECKOUT / "docs" / "openapi.json").read_text()) == openapi_document()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    """A relative link names a file of the checkout."""
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text())
    missing = [target for target in targets if not (document.parent / target).exists()]

    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tables_have_heads_and_headings_stand_alone(document: Path) -> None:
    """An empty line within a table ends it: what follows would be text with bars, also in the built-in help."""
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    headless = re.findall(r"\n\n(\|.*)\n(?!\|[ :|-]+\|\n)", text)
    crowded = re.findall(r"[^\n]\n(#+ .*)", text)

    assert (headless, crowded) == ([], [])


def test_each_service_says_which_tables_it_writes() -> None:
    """A room's table of contents and the tables' writers agree."""
    said = {service.name: set(service.writes) for service in SERVICES}
    held: dict[str, set[str]] = {service.name: set() for service in SERVICES}
    for table in metadata.sorted_tables:
        held[table.info["writer"]].add(table.name)

    assert said == held
