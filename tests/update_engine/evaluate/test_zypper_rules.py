"""zypper's rules on small made hosts, one rule each."""

from collections.abc import Sequence

import msgspec
import pytest
from patchbay_shared.catalogue import (
    AdvisoryPackage,
    AvailablePackage,
    IndexContent,
    Relations,
    RepositoryAdvisory,
)
from patchbay_shared.report import Pin, ReportRepository, ZyppOptions
from patchbay_shared.versions import evr_key
from patchbay_update_engine.evaluate.catalog import CatalogRepository, InstalledPackage, PackageIndex, Policy
from patchbay_update_engine.evaluate.verdict import State, Verdict
from patchbay_update_engine.evaluate.zypper import compile_catalog

KERNELS = "multiversion(kernel)"


def offered(
    text: str,
    *,
    vendor: str = "openSUSE",
    provides: Sequence[str] = (),
    requires: Sequence[str] = (),
    conflicts: Sequence[str] = (),
    obsoletes: Sequence[str] = (),
) -> AvailablePackage:
    """A package from `name evr arch`."""
    name, evr, arch = text.split()
    return AvailablePackage(
        name=name,
        arch=arch,
        evr=evr,
        evr_key=evr_key("rpm", evr),
        digest=0,
        vendor=vendor,
        obsoletes=tuple(obsoletes),
        relations=msgspec.msgpack.encode(
            Relations(provides=[f"{name} = {evr}", *provides], requires=list(requires), conflicts=list(conflicts))
        ),
    )


def repository(
    name: str,
    *packages: AvailablePackage,
    priority: int | None = None,
    enabled: bool = True,
    advisories: Sequence[RepositoryAdvisory] = (),
) -> CatalogRepository:
    definition = ReportRepository(id=name, type="rpm-md", priority=priority, enabled=enabled)
    return CatalogRepository(definition, [PackageIndex(packages, content=IndexContent(advisories=list(advisories)))])


def judge(
    installed: Sequence[str],
    *repositories: CatalogRepository,
    vendor: str = "openSUSE",
    locks: Sequence[str] = (),
    allow_vendor_change: bool = False,
    equivalent: Sequence[list[str]] = (),
) -> list[Verdict]:
    policy = Policy(
        package_manager="zypper",
        arch="x86_64",
        pins=[Pin(type="lock", match="glob", name=name) for name in locks],
        zypp=ZyppOptions(
            allow_vendor_change=allow_vendor_change,
            multiversion=[f"provides:{KERNELS}"],
            vendor_equivalence=list(equivalent),
        ),
    )
    packages = []
    for text in installed:
        name, evr, arch = text.split()
        packages.append(InstalledPackage(name=name, arch=arch, evr=evr, evr_key=evr_key("rpm", evr), vendor=vendor))
    return compile_catalog(repositories, policy).evaluate(packages)


def patch(
    name: str, evr: str, *, kind: str = "security", status: str = "stable", arch: str = "x86_64", id_: str = "P-1"
) -> RepositoryAdvisory:
    return RepositoryAdvisory(
        id=id_, type=kind, status=status, packages=[AdvisoryPackage(name=name, arch=arch, evr=evr)]
    )


def listed(verdicts: Sequence[Verdict]) -> list[tuple[str, str | None, str | None]]:
    return [(v.name, v.candidate_arch, v.candidate) for v in verdicts if v.listed]


def test_the_newest_version_is_listed() -> None:
    """The ordinary case."""
    [verdict] = judge(["vim 1-1 x86_64"], repository("oss", offered("vim 1-2 x86_64"), offered("vim 1-3 x86_64")))

    assert (verdict.listed, verdict.candidate, verdict.repository) == (True, "1-3", "oss")


def test_what_is_up_to_date_has_no_verdict() -> None:
    """Nothing is said of it."""
    assert judge(["vim 1-3 x86_64"], repository("oss", offered("vim 1-3 x86_64"))) == []


def test_a_better_priority_wins_over_a_newer_version() -> None:
    """Lower numbers go first; the newer one is named as passed over."""
    [verdict] = judge(
        ["vim 1-1 x86_64"],
        repository("oss", offered("vim 1-2 x86_64"), priority=50),
        repository("update", offered("vim 1-3 x86_64"), priority=99),
    )

    assert (verdict.listed, verdict.candidate, verdict.rule) == (True, "1-2", "zypper.update.pinned")
    assert "1-3 in update is passed over" in verdict.why


def test_a_newer_version_behind_a_better_priority_is_explained() -> None:
    """list-updates has no row, `--all` has."""
    [verdict] = judge(
        ["vim 1-2 x86_64"],
        repository("oss", offered("vim 1-2 x86_64"), priority=50),
        repository("update", offered("vim 1-3 x86_64"), priority=99),
    )

    assert (verdict.listed, verdict.state, verdict.rule) == (False, State.PINNED, "zypper.priority")


def test_a_package_stays_with_its_vendor() -> None:
    """A newer build of another vendor is no update."""
    [verdict] = judge(["vlc 1-1 x86_64"], repository("packman", offered("vlc 1-2 x86_64", vendor="http://packman")))

    assert (verdict.listed, verdict.state, verdict.rule) == (False, State.VENDOR, "zypper.vendor")
    assert "http://packman" in verdict.why and "openSUSE" in verdict.why


def test_suse_and_opensuse_are_different_vendors() -> None:
    """The legacy equivalence is gone from libzypp."""
    [verdict] = judge(["vim 1-1 x86_64"], repository("sle", offered("vim 1-2 x86_64", vendor="SUSE LLC <x>")))

    assert verdict.state is State.VENDOR


def test_all_that_begins_with_suse_is_one_vendor() -> None:
    """SUSE LLC continues SUSE LINUX."""
    verdicts = judge(
        ["vim 1-1 x86_64"],
        repository("sle", offered("vim 1-2 x86_64", vendor="SUSE LLC <https://www.suse.com/>")),
        vendor="SUSE LINUX GmbH, Nuernberg, Germany",
    )

    assert listed(verdicts) == [("vim", "x86_64", "1-2")]


def test_vendors_that_the_host_declares_equivalent_are_one() -> None:
    """vendors.d joins suse and opensuse on modern Leap."""
    verdicts = judge(
        ["vim 1-1 x86_64"],
        repository("sle", offered("vim 1-2 x86_64", vendor="SUSE LLC <x>")),
        equivalent=[["suse", "opensuse"]],
    )

    assert listed(verdicts) == [("vim", "x86_64", "1-2")]


def test_vendor_change_can_be_allowed() -> None:
    """solver.allowVendorChange."""
    verdicts = judge(
        ["vlc 1-1 x86_64"],
        repository("packman", offered("vlc 1-2 x86_64", vendor="http://packman")),
        allow_vendor_change=True,
    )

    assert listed(verdicts) == [("vlc", "x86_64", "1-2")]


@pytest.mark.parametrize("lock", ["glibc", "gl*"])
def test_a_locked_package_is_not_listed(lock: str) -> None:
    """A lock is a name or a glob."""
    [verdict] = judge(["glibc 1-1 x86_64"], repository("oss", offered("glibc 1-2 x86_64")), locks=[lock])

    assert (verdict.listed, verdict.state, verdict.rule) == (False, State.LOCKED, "zypper.lock")
    assert f"the lock {lock}" in verdict.why


def test_what_needs_the_update_of_a_locked_package_is_kept_back() -> None:
    """The solver must not break the lock."""
    verdicts = judge(
        ["glibc 1-1 x86_64", "app 1-1 x86_64"],
        repository(
            "oss",
            offered("glibc 1-1 x86_64"),
            offered("glibc 1-2 x86_64"),
            offered("app 1-1 x86_64"),
            offered("app 1-2 x86_64", requires=["glibc >= 1-2"]),
        ),
        locks=["glibc"],
    )

    assert listed(verdicts) == []
    assert {v.name: v.state for v in verdicts} == {"app": State.KEPT_BACK, "glibc": State.LOCKED}


def test_an_update_whose_dependency_nobody_provides_is_kept_back() -> None:
    """`list-updates --all` names it, an update would not install it."""
    [verdict] = judge(
        ["app 1-1 x86_64"], repository("oss", offered("app 1-2 x86_64", requires=["no-such-capability"]))
    )

    assert (verdict.listed, verdict.state, verdict.rule) == (False, State.KEPT_BACK, "zypper.dependencies")


def test_the_newest_version_that_can_be_installed_is_chosen() -> None:
    """A broken newest version does not hide the one below it."""
    verdicts = judge(
        ["app 1-1 x86_64"],
        repository("oss", offered("app 1-2 x86_64"), offered("app 1-3 x86_64", requires=["no-such-capability"])),
    )

    assert listed(verdicts) == [("app", "x86_64", "1-2")]


def test_an_update_may_bring_a_new_package() -> None:
    """The new one is installed with it and is itself no update."""
    verdicts = judge(
        ["app 1-1 x86_64"],
        repository("oss", offered("app 1-2 x86_64", requires=["libnew"]), offered("libnew 1-1 x86_64")),
    )

    assert listed(verdicts) == [("app", "x86_64", "1-2")]


def test_what_installed_packages_need_holds_an_update_back() -> None:
    """plugin needs app of exactly its version and has no newer build."""
    verdicts = judge(
        ["app 1-1 x86_64", "plugin 1-1 x86_64"],
        repository(
            "oss",
            offered("app 1-1 x86_64"),
            offered("plugin 1-1 x86_64", requires=["app = 1-1"]),
            offered("app 1-2 x86_64"),
        ),
    )

    assert listed(verdicts) == []
    assert [(v.name, v.state) for v in verdicts] == [("app", State.KEPT_BACK)]


def test_an_unseen_provider_does_not_hold_an_update_back() -> None:
    """The installed app needs libfoo.so.1, which nothing visible provides: the host has it all the same."""
    verdicts = judge(
        ["app 1-1 x86_64"],
        repository(
            "oss",
            offered("app 1-1 x86_64", requires=["libfoo.so.1"]),
            offered("app 1-2 x86_64", requires=["libfoo.so.1"]),
        ),
    )

    assert listed(verdicts) == [("app", "x86_64", "1-2")]


def test_a_retracted_package_is_not_offered() -> None:
    """A retracted patch takes exactly its packages away."""
    [verdict] = judge(
        ["app 1-1 x86_64"],
        repository("update", offered("app 1-2 x86_64"), advisories=[patch("app", "1-2", status="retracted")]),
    )

    assert (verdict.listed, verdict.state, verdict.rule) == (False, State.RETRACTED, "zypper.retracted")


def test_the_version_below_a_retracted_one_is_offered() -> None:
    """Retraction goes back to the last good build."""
    verdicts = judge(
        ["app 1-1 x86_64"],
        repository(
            "update",
            offered("app 1-2 x86_64"),
            offered("app 1-3 x86_64"),
            advisories=[patch("app", "1-3", status="retracted")],
        ),
    )

    assert listed(verdicts) == [("app", "x86_64", "1-2")]


def test_a_kernel_is_listed_once_against_the_newest_installed() -> None:
    """Multiversion packages stay beside each other."""
    kernels = [offered(f"kernel 6.{n}-1 x86_64", provides=[KERNELS]) for n in (1, 2, 3)]
    [verdict] = judge(["kernel 6.1-1 x86_64", "kernel 6.2-1 x86_64"], repository("oss", *kernels))

    assert (verdict.installed, verdict.candidate) == ("6.2-1", "6.3-1")


@pytest.mark.parametrize(("installed", "candidate"), [("x86_64", "noarch"), ("noarch", "x86_64")])
def test_noarch_and_native_update_each_other(installed: str, candidate: str) -> None:
    """A change from or to noarch is an ordinary update."""
    verdicts = judge([f"lib 1-1 {installed}"], repository("oss", offered(f"lib 1-2 {candidate}")))

    assert listed(verdicts) == [("lib", candidate, "1-2")]


def test_the_architecture_is_never_changed() -> None:
    """A newer i586 build is no update of an x86_64 package, but `--all` shows it."""
    [verdict] = judge(["lib 1-1 x86_64"], repository("oss", offered("lib 1-1 x86_64"), offered("lib 1-2 i586")))

    assert (verdict.listed, verdict.rule) == (False, "zypper.architecture")


def test_an_obsoleted_package_is_explained() -> None:
    """An update renames it; list-updates has no row."""
    [verdict] = judge(
        ["old 1-1 x86_64"], repository("oss", offered("new 2-1 x86_64", provides=["old = 2"], obsoletes=["old < 2"]))
    )

    assert (verdict.listed, verdict.state, verdict.candidate) == (False, State.OBSOLETED, "2-1")


def test_the_order_of_the_report_decides_nothing() -> None:
    """libsolv reads the installed packages by name: b is updated before an old a could come in to replace it."""
    installed = ["a 1-1 x86_64", "b 1-1 x86_64", "c 1-1 x86_64"]
    updates = repository(
        "oss", offered("a 2-1 x86_64", obsoletes=["b"]), offered("c 2-1 x86_64", obsoletes=["b < 3"]),
        *(offered(f"{name} {version}-1 x86_64") for name in "abc" for version in (1, 3)),
        offered("b 2-1 x86_64"),
    )  # fmt: skip

    either = [listed(judge(order, updates)) for order in (installed, installed[::-1])]

    assert either == [[(name, "x86_64", "3-1") for name in "abc"]] * 2


def test_an_update_goes_before_another_package_that_obsoletes_the_old_one() -> None:
    """Installed packages have the default priority, as in libzypp, so that staying with the name is preferred."""
    older = offered("kernel 1-1 x86_64", provides=[KERNELS], obsoletes=["tool < 2"])
    updates = repository("oss", older, offered("kernel 1-3 x86_64", provides=[KERNELS]), offered("tool 3-1 x86_64"))

    verdicts = judge(["kernel 1-2 x86_64", "tool 1-1 x86_64"], updates)

    assert listed(verdicts) == [("kernel", "x86_64", "1-3"), ("tool", "x86_64", "3-1")]


def test_what_is_installed_is_no_update_of_itself() -> None:
    """Such a host cannot be: nano-ng has replaced nano. The solver puts it right by installing nano-ng again."""
    updates = repository("oss", offered("nano-ng 8-1 x86_64", obsoletes=["nano < 8"]), offered("nano 7-1 x86_64"))

    assert listed(judge(["nano 7-1 x86_64", "nano-ng 8-1 x86_64"], updates)) == []


def test_a_package_newer_than_every_repository_is_said_to_be() -> None:
    """No downgrade is offered."""
    [verdict] = judge(["app 2-1 x86_64"], repository("oss", offered("app 1-1 x86_64")))

    assert (verdict.listed, verdict.state) == (False, State.NEWER_THAN_REPOSITORY)


def test_a_package_of_no_repository_is_said_to_be() -> None:
    """A disabled repository does not count."""
    [verdict] = judge(["app 2-1 x86_64"], repository("oss", offered("app 3-1 x86_64"), enabled=False))

    assert (verdict.listed, verdict.state) == (False, State.NOT_IN_ANY_REPOSITORY)


def test_an_update_above_a_needed_security_patch_is_a_security_update() -> None:
    """The candidate may be newer than what the patch names."""
    [verdict] = judge(
        ["app 1-1 x86_64"],
        repository("update", offered("app 1-2 x86_64"), offered("app 1-3 x86_64"), advisories=[patch("app", "1-2")]),
    )

    assert (verdict.candidate, verdict.security, verdict.advisories) == ("1-3", True, ("P-1",))


def test_a_patch_of_a_foreign_vendor_is_not_needed() -> None:
    """Even where a vendor change is allowed, libsolv calls the patch irrelevant."""
    [verdict] = judge(
        ["app 1-1 x86_64"],
        repository("sle", offered("app 1-2 x86_64", vendor="SUSE LLC <x>"), advisories=[patch("app", "1-2")]),
        allow_vendor_change=True,
    )

    assert (verdict.listed, verdict.security) == (True, False)


def test_a_recommended_patch_is_no_security_fix() -> None:
    """Only category security counts."""
    [verdict] = judge(
        ["app 1-1 x86_64"],
        repository("update", offered("app 1-2 x86_64"), advisories=[patch("app", "1-2", kind="recommended")]),
    )

    assert verdict.security is False


def test_the_versions_of_one_patch_count_together() -> None:
    """SUSE's early dialect repeats an id; the security part makes the whole patch one."""
    verdicts = judge(
        ["browser 1-1 x86_64", "libnss 1-1 x86_64"],
        repository(
            "update",
            offered("browser 1-2 x86_64"),
            offered("libnss 1-2 x86_64"),
            advisories=[patch("browser", "1-2"), patch("libnss", "1-2", kind="recommended")],
        ),
    )

    assert [(v.name, v.security) for v in verdicts] == [("browser", True), ("libnss", True)]


def test_a_catalog_judges_one_host_after_another() -> None:
    """What one host has installed must not leak into the next."""
    catalog = compile_catalog(
        [repository("oss", offered("a 1-2 x86_64"), offered("b 1-2 x86_64"))],
        Policy(package_manager="zypper", arch="x86_64"),
    )

    def host(name: str) -> list[InstalledPackage]:
        return [
            InstalledPackage(name=name, arch="x86_64", evr="1-1", evr_key=evr_key("rpm", "1-1"), vendor="openSUSE")
        ]

    answers = [listed(catalog.evaluate(host(name))) for name in ("a", "b", "a")]

    assert answers == [[("a", "x86_64", "1-2")], [("b", "x86_64", "1-2")], [("a", "x86_64", "1-2")]]
