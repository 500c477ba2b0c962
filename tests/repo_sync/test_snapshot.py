"""Whole repositories in memory: mirrors in turn, every file once, nothing that does not verify."""

import hashlib
import lzma
from collections.abc import Mapping
from pathlib import Path

import pytest
from patchbay_repo_sync.snapshot import Snapshots
from patchbay_shared.errors import InvalidInput, Unavailable, Untrusted
from patchbay_shared.fetching.fetch import NotFound
from patchbay_shared.report import ReportRepository

_REPOS = Path(__file__).parent.parent / "data" / "oracle" / "repos"
PACKAGES = b"Package: a\nVersion: 1-1\nArchitecture: amd64\n"
PAIRS = [("main", "amd64")]


class _Mirror:
    """A fetch function over a dict, or over the kept repositories; it notes what was asked of it."""

    def __init__(self, files: Mapping[str, bytes] | None = None, *, down: str = "") -> None:
        self._files = files
        self._down = down
        self.requests: list[str] = []

    def __call__(self, url: str) -> bytes:
        self.requests.append(url)
        if self._down and url.startswith(self._down):
            raise Unavailable(f"{url} is down")
        path = url.split("/", 3)[3]
        try:
            return self._files[path] if self._files is not None else (_REPOS / path).read_bytes()
        except (KeyError, OSError) as exc:
            raise NotFound(url) from exc


def _suite(packages: bytes = PACKAGES, name: str = "main/binary-amd64/Packages") -> dict[str, bytes]:
    release = f"Label: Acme-Security\nSHA256:\n {hashlib.sha256(packages).hexdigest()} {len(packages)} {name}\n"
    return {"dists/stable/Release": release.encode(), f"dists/stable/{name}": packages}


def _deb(*urls: str) -> ReportRepository:
    return ReportRepository(id="r", type="deb", urls=list(urls or ("http://a.test",)), suite="stable")


def _rpm(**fields: object) -> ReportRepository:
    return ReportRepository(id="r", **{"type": "rpm-md", **fields})  # type: ignore[arg-type]  # fields as the tests give them


def test_an_apt_suite_is_read_with_what_its_release_says() -> None:
    """An unsigned one has no InRelease, which is no error here."""
    snapshot = Snapshots(_Mirror(_suite())).take(_deb(), PAIRS)

    [index] = snapshot.indexes
    assert (index.component, index.architecture) == ("main", "amd64")
    assert [package.name for package in index.packages] == ["a"]
    assert snapshot.release.label == "Acme-Security"
    assert snapshot.security is True


def test_every_file_is_fetched_once() -> None:
    """However many hosts configure the repository, and whatever else they configure."""
    mirror = _Mirror()
    snapshots = Snapshots(mirror)
    repositories = [_rpm(urls=[f"http://a.test/rpm/{name}/"]) for name in ("lab-base", "lab-updates", "lab-base")]

    taken = [snapshots.take(repository) for repository in repositories]

    assert len(mirror.requests) == len(set(mirror.requests))
    assert taken[0].indexes[0] is taken[2].indexes[0]


def test_a_failure_is_remembered() -> None:
    """A mirror that does not answer costs its timeout once, not once a host."""
    mirror = _Mirror(down="http://a.test")
    snapshots = Snapshots(mirror)

    for _ in range(3):
        with pytest.raises(Unavailable):
            snapshots.take(_rpm(urls=["http://a.test/rpm/lab-base"]))

    assert len(mirror.requests) == 1


def test_the_next_mirror_is_tried() -> None:
    """In the order in which the host lists them."""
    mirror = _Mirror(down="http://down.test")

    snapshot = Snapshots(mirror).take(_deb_kept("http://down.test/apt/flat", "http://up.test/apt/flat"))

    assert len(snapshot.indexes[0].packages) > 0


def _deb_kept(*urls: str) -> ReportRepository:
    return ReportRepository(id="flat", type="deb", urls=list(urls), suite="./")


def test_a_form_that_is_missing_is_replaced_by_the_next() -> None:
    """Mirrors drop compressions that the Release file still lists."""
    files = _suite()
    packed = lzma.compress(PACKAGES)
    files["dists/stable/Release"] += (
        f" {hashlib.sha256(packed).hexdigest()} {len(packed)} main/binary-amd64/Packages.xz\n".encode()
    )

    [index] = Snapshots(_Mirror(files)).take(_deb(), PAIRS).indexes

    assert len(index.packages) == 1


def test_an_index_that_was_altered_is_not_trusted() -> None:
    """Nothing of it is read."""
    files = _suite()
    files["dists/stable/main/binary-amd64/Packages"] = PACKAGES.replace(b"1-1", b"9-9")

    with pytest.raises(Untrusted):
        Snapshots(_Mirror(files)).take(_deb(), PAIRS)


def test_a_mirror_list_leads_to_its_mirrors() -> None:
    """dnf's `mirrorlist`, without any base URL."""
    files = {
        "list": b"# repo list\nhttp://a.test/rpm/lab-base/\n",
        **{
            str(path.relative_to(_REPOS)): path.read_bytes()
            for path in (_REPOS / "rpm" / "lab-base").rglob("*")
            if path.is_file()
        },
    }

    snapshot = Snapshots(_Mirror(files)).take(_rpm(mirrorlist="http://a.test/list"))

    assert len(snapshot.indexes[0].packages) == 18


@pytest.mark.parametrize("alter", [False, True])
def test_a_metalink_vouches_for_the_entry_document(*, alter: bool) -> None:
    """A mirror that is behind, or lies, has another repomd.xml than the one the metalink names."""
    entry = (_REPOS / "rpm/lab-base/repodata/repomd.xml").read_bytes()
    digest = hashlib.sha256(entry + b"x" if alter else entry).hexdigest()
    metalink = (
        '<metalink xmlns="http://www.metalinker.org/"><files><file name="repomd.xml"><verification>'
        f'<hash type="sha256">{digest}</hash></verification><resources>'
        "<url>http://a.test/rpm/lab-base/repodata/repomd.xml</url></resources></file></files></metalink>"
    )
    mirror = _Mirror()

    def fetch(url: str) -> bytes:
        return metalink.encode() if url == "http://m.test/metalink?repo=x" else mirror(url)

    repository = _rpm(metalink="http://m.test/metalink?repo=x")
    if alter:
        with pytest.raises(Untrusted, match="metalink"):
            Snapshots(fetch).take(repository)
    else:
        assert len(Snapshots(fetch).take(repository).indexes[0].packages) == 18


def test_advisories_come_with_the_packages() -> None:
    """They decide which updates are security fixes."""
    [index] = Snapshots(_Mirror()).take(_rpm(urls=["http://a.test/rpm/lab-updates"])).indexes

    assert len(index.content.advisories) == 24


def test_a_repository_that_is_no_rpm_md_may_be_susetags() -> None:
    """zypper finds a repository's type out by itself, so its hosts may not know it."""
    files = {
        "content": b"DESCRDIR suse/setup/descr\nVENDOR SUSE\n",
        "suse/setup/descr/packages.gz": b"=Ver: 2.0\n=Pkg: a 1 1 noarch\n",
    }

    [index] = Snapshots(_Mirror(files)).take(_rpm(urls=["http://a.test/"])).indexes

    assert [(package.name, package.vendor) for package in index.packages] == [("a", "SUSE")]


@pytest.mark.parametrize("fields", [{"urls": []}, {"urls": ["http://a.test"], "type": "gentoo"}])
def test_what_cannot_be_read_says_so(fields: dict[str, object]) -> None:
    """A repository without a URL, or of a kind that is not evaluated."""
    with pytest.raises(InvalidInput):
        Snapshots(_Mirror()).take(_rpm(**fields))
