"""The built-in handbook."""

from pathlib import Path

from flask.testing import FlaskClient
from patchbay_web.handbook import handbook, search


def test_every_page_of_docs_is_in_the_handbook(admin: FlaskClient) -> None:
    """Rendered, with anchors that links can name."""
    docs = Path(__file__).parents[2] / "docs"

    assert set(handbook()) == {path.stem for path in docs.glob("*.md")}
    assert '<h2 id="states">' in admin.get("/help/verdicts").text


def test_links_between_pages_stay_in_the_handbook() -> None:
    """A relative link to a file would lead nowhere."""
    assert 'href="/help/repositories"' in handbook()["deploy"].html
    assert not [page.name for page in handbook().values() if '.md"' in page.html]


def test_a_search_finds_the_section_that_is_about_it(admin: FlaskClient) -> None:
    """Every word has to be there; titles weigh most."""
    assert search("mirror map")[0].page.name == "repositories"
    assert search("mirror xyzzy") == []
    assert "No section has all of these words" in admin.get("/help?q=xyzzy").text


def test_help_needs_a_session(stranger: FlaskClient) -> None:
    """As every page does."""
    assert "/sign-in" in stranger.get("/help").headers["Location"]


def test_what_a_search_shows_is_cut_between_words() -> None:
    """Not within one: "rence and nudges" helps nobody."""
    for hit in search("mirror"):
        words = set(hit.section.text.split())
        shown = hit.excerpt.removeprefix("… ").removesuffix(" …").split()
        assert {shown[0], shown[-1]} <= words, hit.excerpt
