"""Bills of materials as reports."""

import json
from typing import Any

import pytest
from patchbay_ingest.wire.sbom import CYCLONEDX, SPDX, report_of
from patchbay_shared.errors import InvalidInput
from patchbay_shared.purl import package_of, purl_of
from patchbay_shared.report import OsRelease, ReportPackage

from tests.ingest.conftest import FLEET_TOKEN, Ingest

DEB = "pkg:deb/debian/vim@2%3A9.0.1378-2%2Bdeb12u2?arch=amd64&distro=debian-12&upstream=vim-src%402:9.0"
RPM = "pkg:rpm/rocky/openssl-libs@3.0.7-27.el9?arch=x86_64&epoch=1&upstream=openssl-3.0.7-27.el9.src.rpm"
ALPM = "pkg:alpm/arch/pacman@1%3A6.0.1-1?arch=x86_64"
APK = "pkg:apk/alpine/curl@7.83.0-r0?arch=x86"


def cyclonedx(*purls: str, **changes: Any) -> bytes:
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "metadata": {"component": {"type": "device", "name": "Web1.Example.org"}},
        "components": [{"type": "library", "name": "x", "purl": purl} for purl in purls],
        **changes,
    }
    return json.dumps(document).encode()


def spdx(*purls: str) -> bytes:
    packages = [
        {"name": "x", "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                                        "referenceLocator": purl}]}
        for purl in purls
    ]  # fmt: skip
    return json.dumps({"spdxVersion": "SPDX-2.3", "name": "web1", "packages": packages}).encode()


@pytest.mark.parametrize(
    ("purl", "expected"),
    [
        (DEB, ("deb", "vim", "2", "9.0.1378", "2+deb12u2", "amd64", "vim-src")),
        (RPM, ("rpm", "openssl-libs", "1", "3.0.7", "27.el9", "x86_64", "openssl")),
        (ALPM, ("pacman", "pacman", "1", "6.0.1", "1", "x86_64", None)),
        (APK, ("apk", "curl", "", "7.83.0-r0", "", "x86", None)),
        ("pkg:deb/debian/adduser@3.134?arch=all", ("deb", "adduser", "", "3.134", "", "all", None)),
    ],
)
def test_a_package_url_is_a_package(purl: str, expected: tuple[Any, ...]) -> None:
    """Each type has its own place for the epoch."""
    found = package_of(purl)

    assert found is not None
    each = found[0]
    assert (each.type, each.name, each.epoch, each.version, each.release, each.arch, each.source) == expected


@pytest.mark.parametrize("purl", ["pkg:pypi/django@4.2", "pkg:deb/debian/vim", "pkg:generic/x@1"])
def test_what_no_package_manager_installed_is_passed_over(purl: str) -> None:
    """Bills list Python and other packages too."""
    assert package_of(purl) is None


@pytest.mark.parametrize(
    ("type_", "evr", "arch"),
    [("deb", "2:9.0-1~x+y", "amd64"), ("rpm", "1:3.0.7-27.el9", "x86_64"), ("pacman", "1:6.0-1", "x86_64")],
)
def test_a_package_url_names_the_same_package_there_and_back(type_: str, evr: str, arch: str) -> None:
    """What is exported can be imported."""
    purl = purl_of(type_, "lib-x++", arch, evr, OsRelease(ID="debian", VERSION_ID="12"))

    assert purl is not None
    found = package_of(purl)
    assert found is not None
    assert (found[0].name, found[0].evr, found[0].arch, found[1]) == ("lib-x++", evr, arch, "debian-12")


@pytest.mark.parametrize(("document", "media_type"), [(cyclonedx(DEB), CYCLONEDX), (spdx(DEB), SPDX)])
def test_both_formats_become_a_report_without_repositories(document: bytes, media_type: str) -> None:
    """What it does not say stays as other reports have said it."""
    report, note = report_of(document, media_type)

    assert report.packages is not None
    assert [each.name for each in report.packages] == ["vim"]
    assert report.repos is None
    assert report.hostname.startswith("web1")
    assert (report.package_manager, report.native_arch) == ("apt", "amd64")
    assert (report.os_release.ID, report.os_release.VERSION_ID) == ("debian", "12")
    assert "no repositories" in note


def test_the_operating_system_is_a_component() -> None:
    """As syft writes it; and components may be nested."""
    nested = [{"type": "library", "name": "bash", "purl": "pkg:rpm/opensuse/bash@5-1?arch=x86_64"}]
    system = {"type": "operating-system", "name": "opensuse-leap", "version": "15.6", "components": nested}

    report, _ = report_of(cyclonedx(components=[system, {"type": "file", "name": "f"}]), CYCLONEDX)

    assert (report.package_manager, report.os_release.VERSION_ID) == ("zypper", "15.6")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"{", "not JSON"),
        (b"{}", "bomFormat"),
        (cyclonedx(), "no package URL"),
        (cyclonedx("nonsense"), "no package URL"),
        (cyclonedx(DEB, RPM), "mixes packages of deb, rpm"),
        (cyclonedx(DEB, metadata={}), r"\?hostname="),
        (b'{"bomFormat": "CycloneDX", "components": ' + b'[{"components": ' * 5_000, "nested too deeply|not JSON"),
    ],
)
def test_a_bad_bill_is_refused_with_its_reason(document: bytes, said: str) -> None:
    """Never a host without packages."""
    with pytest.raises(InvalidInput, match=said):
        report_of(document, CYCLONEDX)


@pytest.mark.parametrize("media_type", [CYCLONEDX, SPDX])
def test_a_bill_is_posted_like_a_report(ingest: Ingest, media_type: str) -> None:
    """With an enrolment token the host is its name; the note goes with it."""
    document = cyclonedx(APK) if media_type == CYCLONEDX else spdx(APK)
    answer = ingest.client.post(
        "/api/v1/reports?hostname=edge7", data=document, content_type=media_type,
        headers={"Authorization": f"Bearer {FLEET_TOKEN}"},
    )  # fmt: skip

    assert answer.status_code == 202
    assert ingest.queue.reports[0].hostname == "edge7"
    assert ingest.queue.reports[0].packages == [ReportPackage("curl", "7.83.0-r0", "x86", type="apk")]
    assert "not evaluated" in ingest.queue.headers[0].note


def test_a_bill_without_a_token_is_refused(ingest: Ingest) -> None:
    """401."""
    answer = ingest.client.post("/api/v1/reports", data=cyclonedx(DEB), content_type=CYCLONEDX)

    assert answer.status_code == 401
