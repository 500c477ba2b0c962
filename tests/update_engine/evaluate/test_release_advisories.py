"""Which advisories of a distribution release an update brings in."""

import msgspec
import pytest
from patchbay_shared.catalogue import AvailablePackage
from patchbay_shared.report import ReportRepository
from patchbay_shared.versions import evr_key
from patchbay_update_engine.evaluate.advisories import ReleaseAdvisories, ReleaseFix
from patchbay_update_engine.evaluate.catalog import CatalogRepository, InstalledPackage, PackageIndex, Policy
from patchbay_update_engine.evaluate.families import compile_catalog
from patchbay_update_engine.evaluate.verdict import Verdict


def fix(text: str, *, scheme: str = "deb", kind: str = "source", arch: str = "", module: str = "") -> ReleaseFix:
    """`advisory package version`."""
    advisory, name, evr = text.split()
    return ReleaseFix(advisory, kind, name, arch, module, evr_key(scheme, evr))  # type: ignore[arg-type]  # a scheme


def judged(
    manager: str, installed: str, offered: str, *fixes: ReleaseFix, have: object = None, has: object = None
) -> Verdict:
    """The verdict on `name evr` where one repository, not labelled security, offers `name evr`."""
    scheme, kind, arch = {
        "apt": ("deb", "deb", "amd64"),
        "pacman": ("alpm", "pacman", "x86_64"),
        "dnf": ("rpm", "rpm", "x86_64"),
    }[manager]
    name, old = installed.split()
    _, new = offered.split()
    available = AvailablePackage(name, arch, new, evr_key(scheme, new), 1)  # type: ignore[arg-type]  # a scheme
    package = InstalledPackage(name, arch, old, evr_key(scheme, old))  # type: ignore[arg-type]  # a scheme
    available = msgspec.structs.replace(available, **(has or {}))  # type: ignore[arg-type]  # fields
    package = msgspec.structs.replace(package, **(have or {}))  # type: ignore[arg-type]  # fields
    index = PackageIndex([available], component="main", architecture=arch)
    repository = CatalogRepository(ReportRepository(id="main", type=kind, urls=["http://r.test/"]), [index])
    policy = Policy(package_manager=manager, arch="x86_64", native_arch=arch)
    [verdict] = compile_catalog([repository], policy, ReleaseAdvisories(fixes)).evaluate([package])
    return verdict


def test_an_advisory_makes_an_update_of_its_source_security() -> None:
    """Debian's advisories name sources: libssl3 is built from openssl."""
    verdict = judged(
        "apt", "libssl3 3.0.1-1", "libssl3 3.0.2-1", fix("DSA-1-1 openssl 3.0.2-1"), has={"source": "openssl"}
    )

    assert (verdict.security, verdict.advisories, verdict.security_repository) == (True, ("DSA-1-1",), None)
    assert verdict.why.endswith("; it brings the fixes of DSA-1-1.")


def test_an_update_of_a_signed_kernel_brings_the_fix_of_its_source() -> None:
    """linux-image-… is built from linux-signed-amd64 6.1.119+1, the advisory names linux 6.1.119-1."""
    verdict = judged(
        "apt",
        "linux-image-amd64 6.1.112-1",
        "linux-image-amd64 6.1.119-1",
        fix("DSA-1-1 linux 6.1.119-1"),
        have={"source": "linux-signed-amd64", "source_version": "6.1.112+1"},
        has={"source": "linux-signed-amd64", "source_version": "6.1.119+1"},
    )

    assert verdict.advisories == ("DSA-1-1",)


def test_a_fix_that_is_installed_already_decides_nothing() -> None:
    """The bug-fix update after it is no security fix."""
    verdict = judged("apt", "bash 5.2-2", "bash 5.2-3", fix("DSA-1-1 bash 5.2-2"))

    assert (verdict.security, verdict.advisories) == (False, ())


def test_a_fix_above_the_candidate_decides_nothing() -> None:
    """No repository has it yet."""
    assert not judged("apt", "bash 5.2-1", "bash 5.2-2", fix("DSA-1-1 bash 5.2-3")).security


def test_a_fix_between_installed_and_candidate_counts() -> None:
    """A bug-fix version on top of a security fix brings that fix as well."""
    fixes = (fix("DSA-1-1 bash 5.2-2"), fix("DSA-2-1 bash 5.2-3"), fix("DSA-3-1 bash 5.2-5"))

    assert judged("apt", "bash 5.2-1", "bash 5.2-4", *fixes).advisories == ("DSA-1-1", "DSA-2-1")


def test_source_versions_are_compared_not_binary_ones() -> None:
    """gcc-defaults' binaries have versions of their own."""
    versions = {"source": "gcc-defaults", "source_version": "1.203"}
    newer = {"source": "gcc-defaults", "source_version": "1.204"}

    verdict = judged(
        "apt", "cpp 4:12.1-3", "cpp 4:12.2-3", fix("DSA-1-1 gcc-defaults 1.204"), have=versions, has=newer
    )

    assert verdict.advisories == ("DSA-1-1",)


def test_a_rebuild_is_not_a_newer_source() -> None:
    """1.0-1+b1 is built from the source 1.0-1, and so lacks a fix of 1.0-1+a1."""
    fixed = fix("DSA-1-1 tool 1.0-1+a1")

    assert judged("apt", "tool 1.0-1+b1", "tool 1.0-2", fixed).advisories == ("DSA-1-1",)


def test_ubuntus_listed_binaries_decide_before_their_source() -> None:
    """A binary with a version of its own is compared with the version that the notice gives for it."""
    fixes = (fix("USN-1-1 linux-meta 5.15.0.80.1", kind="binary"), fix("USN-1-1 linux-meta 1.0-1"))

    assert judged("apt", "linux-meta 5.15.0.79.1", "linux-meta 5.15.0.80.1", *fixes).advisories == ("USN-1-1",)
    assert not judged("apt", "linux-meta 5.15.0.80.1", "linux-meta 5.15.0.81.1", *fixes).security


def test_arch_names_binaries() -> None:
    """pacman's epochs are compared by libalpm's rules."""
    fixed = fix("AVG-1 lib 1:1.0-2", scheme="alpm", kind="binary")

    verdict = judged("pacman", "lib 1:1.0-1", "lib 1:1.0-2", fixed)

    assert (verdict.security, verdict.advisories) == (True, ("AVG-1",))
    assert "AVG-1" in verdict.why


@pytest.mark.parametrize(("arch", "module", "expected"), [("", "", True), ("aarch64", "", False), ("", "m:1", False)])
def test_rpm_fixes_need_the_architecture_and_the_module_stream(arch: str, module: str, expected: bool) -> None:
    """A fix for aarch64, or in a stream that is not enabled, is not this package's."""
    fixed = fix("RLSA-1 tool 0:1.0-2", scheme="rpm", kind="binary", arch=arch, module=module)

    verdict = judged("dnf", "tool 1.0-1", "tool 1.0-2", fixed)

    assert (verdict.security, "RLSA-1" in verdict.why) == (expected, expected)


def test_without_advisories_only_the_label_counts() -> None:
    """`patchbay evaluate` knows no advisories."""
    assert not judged("apt", "bash 5.2-1", "bash 5.2-2").security
