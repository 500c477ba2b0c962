"""docs/query.md says what the code reads."""

from pathlib import Path

from patchbay_api.query.compile import condition_of
from patchbay_api.query.documentation import VOCABULARIES, markdown

CHECKOUT = Path(__file__).parents[2]


def test_the_page_of_the_query_language_is_current() -> None:
    """docs/query.md is what `patchbay query-language` prints."""
    assert (CHECKOUT / "docs" / "query.md").read_text() == markdown()


def test_every_example_of_the_page_is_a_query() -> None:
    """Each field's own example compiles to a condition of its own: none is taken for nothing."""
    for vocabulary in VOCABULARIES.values():
        for field in vocabulary.fields:
            assert str(condition_of(field.example, vocabulary)) != str(condition_of("", vocabulary)), field.example
