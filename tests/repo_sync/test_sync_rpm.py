"""Crawling rpm-md, susetags and pacman repositories, by base URL, mirror list and metalink."""

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest
from patchbay_repo_sync.swap import decode_content
from patchbay_shared.report import ReportRepository

PRIMARY = """<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="{n}">
{packages}</metadata>
"""
PACKAGE = """<package type="rpm"><name>{name}</name><arch>x86_64</arch><version epoch="0" ver="{version}" rel="1"/>
<checksum type="sha256" pkgid="YES">{digest}</checksum><summary/><description/><packager/><url/>
<time file="1" build="1"/><size package="1" installed="1" archive="1"/><location href="{name}.rpm"/>
<format><rpm:license/><rpm:vendor>Acme</rpm:vendor><rpm:group/><rpm:buildhost/>
<rpm:sourcerpm>{name}-{version}-1.src.rpm</rpm:sourcerpm><rpm:header-range start="0" end="1"/></format></package>
"""
UPDATE = """<update from="a" status="stable" type="security" version="1"><id>{id}</id><title>t</title>
<issued date="2026-11-01 00:00:00"/><severity>Important</severity><references/><pkglist><collection short="c">
<name>c</name><package name="{name}" version="2" release="1" epoch="0" arch="x86_64"><filename>f</filename></package>
</collection></pkglist></update>
"""


class RpmMirror:
    """A made rpm-md repository."""

    def __init__(self, server: Any, root: str = "el9") -> None:
        self.server = server
        self.root = root
        self.packages = {"bash": "1", "curl": "1"}
        self.updates = {"ACME-1": "bash"}

    @property
    def url(self) -> str:
        return f"{self.server.url}/{self.root}"

    def publish(self) -> None:
        packages = "".join(
            PACKAGE.format(name=name, version=version, digest=hashlib.sha256(f"{name}{version}".encode()).hexdigest())
            for name, version in self.packages.items()
        )
        updates = "".join(UPDATE.format(id=number, name=name) for number, name in self.updates.items())
        files = {
            "primary": PRIMARY.format(n=len(self.packages), packages=packages),
            "updateinfo": f'<?xml version="1.0"?><updates>{updates}</updates>',
        }
        entries = ""
        for kind, document in files.items():
            data = gzip.compress(document.encode(), mtime=0)
            self.server.files[f"{self.root}/repodata/{kind}.xml.gz"] = data
            entries += (
                f'<data type="{kind}"><checksum type="sha256">{hashlib.sha256(data).hexdigest()}</checksum>'
                f'<location href="repodata/{kind}.xml.gz"/><size>{len(data)}</size></data>'
            )
        repomd = f'<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>1</revision>{entries}</repomd>'
        self.server.files[f"{self.root}/repodata/repomd.xml"] = repomd.encode()

    def source(self, **changes: Any) -> ReportRepository:
        return ReportRepository(**{"id": "el9", "type": "rpm-md", "urls": [self.url], **changes})


@pytest.fixture
def rpm_mirror(world: Any) -> RpmMirror:
    """Two packages and an advisory, published."""
    made = RpmMirror(world.server)
    made.publish()
    return made


def advisories(world: Any) -> list[str]:
    [row] = world.rows("SELECT content FROM repository_index")
    return [each.id for each in decode_content(row["content"]).advisories]


def test_packages_and_advisories_are_stored(world: Any, rpm_mirror: RpmMirror) -> None:
    """Both of what repomd.xml lists."""
    world.refer(rpm_mirror.source())

    world.sync()

    assert world.packages() == ["bash 1-1 x86_64", "curl 1-1 x86_64"]
    assert advisories(world) == ["ACME-1"]


def test_a_new_advisory_tells_its_packages_and_leaves_primary_alone(world: Any, rpm_mirror: RpmMirror) -> None:
    """Only updateinfo is fetched again."""
    world.refer(rpm_mirror.source())
    world.sync()
    rpm_mirror.updates["ACME-2"] = "curl"
    rpm_mirror.publish()
    world.server.requests.clear()

    world.sync()

    assert advisories(world) == ["ACME-1", "ACME-2"]
    assert world.last_change()["names"] == ["curl"]
    assert not any("primary" in path for path in world.server.requests)


def test_a_new_package_leaves_advisories_alone(world: Any, rpm_mirror: RpmMirror) -> None:
    """Only primary is fetched again, and only what differs is told."""
    world.refer(rpm_mirror.source())
    world.sync()
    rpm_mirror.packages["curl"] = "2"
    rpm_mirror.publish()
    world.server.requests.clear()

    world.sync()

    assert world.packages() == ["bash 1-1 x86_64", "curl 2-1 x86_64"]
    assert world.last_change()["names"] == ["curl"]
    assert not any("updateinfo" in path for path in world.server.requests)


def test_an_altered_primary_is_untrusted(world: Any, rpm_mirror: RpmMirror) -> None:
    """Its checksum is not the one of repomd.xml."""
    world.refer(rpm_mirror.source())
    data = world.server.files["el9/repodata/primary.xml.gz"]
    world.server.files["el9/repodata/primary.xml.gz"] = data[:-1] + b"\1"

    world.sync()

    assert (world.repository()["state"], world.packages()) == ("untrusted", [])


def test_a_document_type_is_refused(world: Any, rpm_mirror: RpmMirror) -> None:
    """No entity of a stranger's is expanded."""
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><repomd>&a;</repomd>'
    world.server.files["el9/repodata/repomd.xml"] = bomb
    world.refer(rpm_mirror.source())

    world.sync()

    assert world.repository()["state"] == "failing"


def test_a_mirror_list_gives_the_mirrors(world: Any, rpm_mirror: RpmMirror) -> None:
    """In its order; a mirror that does not answer is passed over."""
    world.server.files["mirrors"] = f"# list\n{world.server.url}/gone\n{rpm_mirror.url}/\n".encode()
    world.refer(rpm_mirror.source(urls=[], mirrorlist=f"{world.server.url}/mirrors?repo=el9"))

    world.sync()

    assert len(world.packages()) == 2
    assert world.rows("SELECT state FROM mirror ORDER BY rank") == [{"state": "failing"}, {"state": "ok"}]


def test_a_list_reported_as_a_base_url_is_read_as_a_list(world: Any, rpm_mirror: RpmMirror) -> None:
    """Older clients report mirror lists and base URLs in one column."""
    world.server.files["metalink"] = f"{rpm_mirror.url}\n".encode()
    world.refer(rpm_mirror.source(type="rpm", urls=[f"{world.server.url}/metalink?repo=el9&arch=x86_64"]))

    world.sync()

    assert len(world.packages()) == 2


def test_known_mirrors_serve_while_the_list_does_not_answer(world: Any, rpm_mirror: RpmMirror) -> None:
    """The list was read once."""
    world.server.files["mirrors"] = f"{rpm_mirror.url}\n".encode()
    world.refer(rpm_mirror.source(urls=[], mirrorlist=f"{world.server.url}/mirrors?repo=el9"))
    world.sync()
    del world.server.files["mirrors"]
    rpm_mirror.packages["dnf"] = "4"
    rpm_mirror.publish()

    world.sync()

    assert len(world.packages()) == 3


def metalink(world: Any, *roots: str, digest: str) -> bytes:
    urls = "".join(
        f'<url protocol="http" preference="{100 - n}">{world.server.url}/{root}/repodata/repomd.xml</url>'
        for n, root in enumerate(roots)
    )
    return (
        '<?xml version="1.0"?><metalink version="3.0" xmlns="http://www.metalinker.org/"><files>'
        f'<file name="repomd.xml"><verification><hash type="sha256">{digest}</hash></verification>'
        f"<resources>{urls}</resources></file></files></metalink>"
    ).encode()


def test_a_metalink_says_which_mirrors_are_up_to_date(world: Any, rpm_mirror: RpmMirror) -> None:
    """A mirror whose repomd.xml is another one is passed over."""
    behind = RpmMirror(world.server, "behind")
    behind.packages = {"bash": "0"}
    behind.publish()
    digest = hashlib.sha256(world.server.files["el9/repodata/repomd.xml"]).hexdigest()
    world.server.files["list"] = metalink(world, "behind", "el9", digest=digest)
    world.refer(rpm_mirror.source(urls=[], metalink=f"{world.server.url}/list?repo=el9"))

    world.sync()

    assert world.packages() == ["bash 1-1 x86_64", "curl 1-1 x86_64"]
    assert world.rows("SELECT state FROM mirror ORDER BY rank") == [{"state": "untrusted"}, {"state": "ok"}]


def test_a_list_without_usable_mirrors_is_failing(world: Any, rpm_mirror: RpmMirror) -> None:
    """And the sentence says so."""
    world.server.files["mirrors"] = b"# nothing here\nftp://mirror.test/\n"
    world.refer(rpm_mirror.source(urls=[], mirrorlist=f"{world.server.url}/mirrors?repo=el9"))

    world.sync()

    assert "names no http or https mirror" in world.repository()["message"]


def test_pacmans_database_is_stored_and_compared(world: Any, shared: Path) -> None:
    """The second sync of the recorded database is answered with "not modified"."""
    world.server.folder = shared / "oracle" / "repos"
    url = f"{world.server.url}/pacman/lab/lab-core/os/x86_64"
    world.refer(ReportRepository(id="lab-core", type="pacman", urls=[url]))
    world.sync()
    stored = world.packages()

    world.sync()

    assert len(stored) > 5
    assert (world.packages(), world.repository()["generation"]) == (stored, 1)


def test_a_susetags_repository_is_stored(world: Any, shared: Path) -> None:
    """Also where the host believes it to be rpm-md: zypper finds the type out by itself."""
    world.server.folder = shared / "oracle" / "repos"
    world.refer(ReportRepository(id="oss", type="rpm", urls=[f"{world.server.url}/susetags/openSUSE-11.1"]))

    world.sync()

    assert world.repository()["state"] == "ok"
    assert len(world.packages()) > 3_000


def test_modules_are_stored(world: Any, shared: Path) -> None:
    """Recorded metadata with modules and their defaults."""
    world.server.folder = shared / "oracle" / "repos"
    world.refer(ReportRepository(id="appstream", type="rpm-md", urls=[f"{world.server.url}/rpm/el8-appstream"]))

    world.sync()

    [row] = world.rows("SELECT content FROM repository_index")
    modules = decode_content(row["content"]).modules
    assert modules is not None
    assert modules.streams
    assert modules.defaults
