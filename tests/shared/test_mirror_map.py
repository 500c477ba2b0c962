"""PATCHBAY_MIRROR_MAP decides where a configured URL is fetched from."""

from pathlib import Path

import pytest
from patchbay_shared.errors import InvalidInput
from patchbay_shared.mirror_map import MirrorMap


@pytest.mark.parametrize(
    ("text", "url", "expected"),
    [
        ("", "http://a.test/x", "http://a.test/x"),
        ("http://a.test=http://b.test", "http://a.test/x", "http://b.test/x"),
        ("http://a.test/=http://b.test/y/", "http://a.test/x/", "http://b.test/y/x/"),
        ("http://a.test/one=http://b.test", "http://a.test/one", "http://b.test/"),
        ("http://a.test=http://b.test", "http://a.test.evil.test/x", "http://a.test.evil.test/x"),
        ("http://a.test=http://b.test\n https://a.test=http://c.test", "https://a.test/x", "http://c.test/x"),
        ("http://=http://cache.test:3142", "http://a.test/x", "http://cache.test:3142/a.test/x"),
        ("http://a.test=http://b.test http://a.test/deep=http://c.test", "http://a.test/deep/x", "http://c.test/x"),
    ],
)
def test_the_longest_prefix_at_a_boundary_decides(text: str, url: str, expected: str) -> None:
    """A prefix counts only up to a slash, and the most precise one wins."""
    place = MirrorMap.parse(text).locate(url)

    assert (place.url, place.path) == (expected, None)


@pytest.mark.parametrize("target", ["/srv/mirror", "file:///srv/mirror", "/srv/mirror/"])
def test_a_folder_stands_for_a_mirror(target: str) -> None:
    """The rest of the URL's path is the path below the folder, unquoted and without the query."""
    place = MirrorMap.parse(f"http://a.test={target}").locate("http://a.test//dists/a%2bb/Release?x=1")

    assert place.path == Path("/srv/mirror/dists/a+b/Release")
    assert place.mapped


@pytest.mark.parametrize("path", ["../secret", "x/%2e%2e/%2e%2e/secret", "x%2f..%2f..%2fsecret", "a%00b"])
def test_a_url_cannot_leave_the_folder_it_maps_to(path: str) -> None:
    """A report's URL must not read other files of the server."""
    with pytest.raises(InvalidInput):
        MirrorMap.parse("http://a.test=/srv/mirror").locate(f"http://a.test/{path}")


@pytest.mark.parametrize(
    "text", ["http://a.test", "a.test=http://b.test", "http://a.test=", "http://a.test=gopher://b.test", "=x"]
)
def test_an_entry_that_means_nothing_is_refused(text: str) -> None:
    """A typing mistake in the setting stops the process instead of fetching from the wrong place."""
    with pytest.raises(InvalidInput):
        MirrorMap.parse(text)


def test_only_urls_below_a_target_are_the_operators_own() -> None:
    """A redirect away from the operator's mirror is judged as any other address."""
    mirrors = MirrorMap.parse("http://a.test=http://10.0.0.1/pub http://b.test=/srv")

    assert mirrors.is_target("http://10.0.0.1/pub/x")
    assert not mirrors.is_target("http://10.0.0.1/other")
    assert not mirrors.is_target("http://10.0.0.1/public")
