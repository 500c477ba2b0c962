"""Which files make up a repository, and what vouches for them."""

import pytest
from patchbay_repo_sync import layout
from patchbay_repo_sync.formats.apt import Release
from patchbay_shared.catalogue import ReleaseInfo
from patchbay_shared.errors import InvalidInput, Untrusted
from patchbay_shared.fetching.checksum import Expected
from patchbay_shared.report import ReportRepository

SHA256 = Expected("sha256", "ab" * 32, 10)
SHA1 = Expected("sha1", "ab" * 20, 10)


def _release(*paths: str, wanted: Expected = SHA256, by_hash: bool = False, all_is_separate: bool = False) -> Release:
    return Release(
        info=ReleaseInfo(acquire_by_hash=by_hash),
        checksums=dict.fromkeys(paths, wanted),
        all_is_separate=all_is_separate,
    )


def _suite(suite: str = "stable") -> ReportRepository:
    return ReportRepository(id="r", type="deb", urls=["http://a.test"], suite=suite)


def _paths(files: list[layout.IndexFiles]) -> list[list[str]]:
    return [[form.path for form in file.forms] for file in files]


@pytest.mark.parametrize(
    ("suite", "path"),
    [
        ("stable", "dists/stable/"),
        ("stable/updates", "dists/stable/updates/"),
        ("./", ""),
        ("/", ""),
        ("deep/./er/", "deep/er/"),
    ],
)
def test_a_suite_that_ends_with_a_slash_is_flat(suite: str, path: str) -> None:
    """As in sources.list(5)."""
    assert layout.suite_path(_suite(suite)) == path


@pytest.mark.parametrize(("base", "path"), [("http://a.test", "x"), ("http://a.test/", "/x")])
def test_a_path_is_joined_with_one_slash(base: str, path: str) -> None:
    """Mirrors are configured with and without."""
    assert layout.join(base, path) == "http://a.test/x"


def test_the_form_that_is_cheapest_to_read_comes_first() -> None:
    """And the plain file last, which is often listed without being there."""
    release = _release(*(f"main/binary-amd64/Packages{suffix}" for suffix in ("", ".gz", ".xz")))

    found = layout.apt_indexes(release, _suite(), [("main", "amd64")])

    assert _paths(found) == [[f"main/binary-amd64/Packages{suffix}" for suffix in (".gz", ".xz", "")]]
    assert (found[0].component, found[0].architecture) == ("main", "amd64")


def test_files_by_hash_are_preferred_where_the_release_offers_them() -> None:
    """They stay consistent while a mirror is updated."""
    release = _release("main/binary-amd64/Packages.xz", by_hash=True)

    [[first, second]] = _paths(layout.apt_indexes(release, _suite(), [("main", "amd64")]))

    assert first == f"main/binary-amd64/by-hash/SHA256/{'ab' * 32}"
    assert second == "main/binary-amd64/Packages.xz"


def test_what_the_release_does_not_list_is_left_out() -> None:
    """apt skips an architecture or a component that a suite does not have, with a notice."""
    release = _release("main/binary-amd64/Packages.xz")

    found = layout.apt_indexes(release, _suite(), [("main", "amd64"), ("main", "i386"), ("contrib", "amd64")])

    assert len(found) == 1


@pytest.mark.parametrize(("separate", "architectures"), [(True, ["amd64", "all"]), (False, ["amd64"])])
def test_the_index_for_every_architecture_is_added_where_it_counts(
    architectures: list[str], *, separate: bool
) -> None:
    """Some archives list packages of architecture all only there."""
    release = _release("main/binary-amd64/Packages", "main/binary-all/Packages", all_is_separate=separate)

    found = layout.apt_indexes(release, _suite(), [("main", "amd64")])

    assert [file.architecture for file in found] == architectures


def test_a_component_may_be_written_with_a_folder() -> None:
    """Debian's security archive calls its component updates/main, its paths begin with main."""
    release = _release("main/binary-amd64/Packages")

    [file] = layout.apt_indexes(release, _suite(), [("updates/main", "amd64")])

    assert file.component == "updates/main"


def test_a_flat_repository_has_one_index() -> None:
    """Whatever components and architectures the source names."""
    found = layout.apt_indexes(_release("Packages.gz", "Packages"), _suite("./"), [("main", "amd64")])

    assert _paths(found) == [["Packages.gz", "Packages"]]


def test_an_index_with_a_forgeable_checksum_is_not_trusted() -> None:
    """apt refuses MD5 and SHA-1 too."""
    with pytest.raises(Untrusted, match="forged"):
        layout.apt_indexes(_release("Packages", wanted=SHA1), _suite("./"), [])


def test_a_release_that_lists_nothing_is_refused() -> None:
    """It would otherwise be a repository without packages."""
    with pytest.raises(InvalidInput):
        layout.apt_indexes(_release(), _suite(), [("main", "amd64")])


def test_a_database_has_the_name_of_its_repository() -> None:
    """And a name that is a path is refused."""
    core = ReportRepository(id="core", type="pacman")

    assert _paths([layout.pacman_files(core)]) == [["core.db"]]
    with pytest.raises(InvalidInput):
        layout.pacman_files(ReportRepository(id="../core", type="pacman"))


@pytest.mark.parametrize(
    ("info", "security"),
    [
        (ReleaseInfo(label="Debian-Security"), True),
        (ReleaseInfo(codename="bookworm-security"), True),
        (ReleaseInfo(suite="jammy-security", label="Ubuntu"), True),
        (ReleaseInfo(label="Debian", suite="stable-updates"), None),
    ],
)
def test_a_suite_is_of_security_updates_if_it_says_so(info: ReleaseInfo, *, security: bool | None) -> None:
    """No label says the opposite, so the absence of one is no statement."""
    assert layout.says_security(info) is security
