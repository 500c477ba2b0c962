"""dnf's rules on small made hosts, one rule each."""

from collections.abc import Sequence

import pytest
from patchbay_shared.catalogue import AdvisoryPackage, AvailablePackage, IndexContent, RepositoryAdvisory
from patchbay_shared.report import DnfOptions, Pin, ReportRepository
from patchbay_shared.versions import evr_key
from patchbay_update_engine.evaluate.catalog import CatalogRepository, InstalledPackage, PackageIndex, Policy
from patchbay_update_engine.evaluate.dnf import compile_catalog
from patchbay_update_engine.evaluate.verdict import State, Verdict


def offered(text: str, *obsoletes: str) -> AvailablePackage:
    """A package from `name evr arch`."""
    name, evr, arch = text.split()
    return AvailablePackage(name=name, arch=arch, evr=evr, evr_key=evr_key("rpm", evr), digest=0, obsoletes=obsoletes)


def repository(
    name: str,
    *packages: AvailablePackage,
    priority: int | None = None,
    cost: int | None = None,
    excludes: Sequence[str] = (),
    includes: Sequence[str] = (),
    enabled: bool = True,
    advisories: Sequence[RepositoryAdvisory] = (),
) -> CatalogRepository:
    definition = ReportRepository(
        id=name,
        type="rpm-md",
        enabled=enabled,
        priority=priority,
        cost=cost,
        excludes=list(excludes),
        includes=list(includes),
    )
    return CatalogRepository(definition, [PackageIndex(packages, content=IndexContent(advisories=list(advisories)))])


def judge(
    installed: Sequence[str],
    *repositories: CatalogRepository,
    excludes: Sequence[str] = (),
    locks: Sequence[str] = (),
    obsoletes: bool = True,
) -> list[Verdict]:
    policy = Policy(
        package_manager="dnf",
        arch="x86_64",
        excludes=list(excludes),
        pins=[Pin(type="versionlock", entry=entry) for entry in locks],
        dnf=DnfOptions(obsoletes=obsoletes),
    )
    packages = []
    for text in installed:
        name, evr, arch = text.split()
        packages.append(InstalledPackage(name=name, arch=arch, evr=evr, evr_key=evr_key("rpm", evr)))
    return compile_catalog(repositories, policy).evaluate(packages)


def listed(verdicts: Sequence[Verdict]) -> list[tuple[str, str | None, str | None]]:
    return [(v.name, v.candidate_arch, v.candidate) for v in verdicts if v.listed]


def test_the_newest_version_of_any_repository_is_listed() -> None:
    """Repositories of one priority are one pool."""
    [verdict] = judge(
        ["bash 1-1 x86_64"],
        repository("base", offered("bash 1-2 x86_64")),
        repository("updates", offered("bash 1-3 x86_64"), offered("bash 1-2 x86_64")),
    )

    assert (verdict.candidate, verdict.repository, verdict.rule) == ("1-3", "updates", "dnf.update")


def test_a_package_at_the_newest_version_has_no_verdict() -> None:
    """Nothing is said of what is up to date."""
    assert judge(["bash 1-3 x86_64"], repository("updates", offered("bash 1-3 x86_64"))) == []


def test_a_disabled_repository_offers_nothing() -> None:
    """Its newer version is not even mentioned."""
    verdicts = judge(
        ["bash 1-1 x86_64"],
        repository("base", offered("bash 1-1 x86_64")),
        repository("testing", offered("bash 9-1 x86_64"), enabled=False),
    )

    assert verdicts == []


def test_only_the_best_priority_that_has_the_name_counts() -> None:
    """check-update looks no further than that repository, even where it has nothing newer."""
    [verdict] = judge(
        ["bash 1-1 x86_64"],
        repository("base", offered("bash 1-1 x86_64"), priority=10),
        repository("updates", offered("bash 1-2 x86_64"), priority=99),
    )

    assert (verdict.listed, verdict.state, verdict.rule) == (False, State.PINNED, "dnf.priority")
    assert "base (priority 10)" in verdict.why and "1-2" in verdict.why


def test_a_repository_whose_package_is_excluded_does_not_win_by_priority() -> None:
    """Excluded packages do not exist, so the next priority counts."""
    verdicts = judge(
        ["bash 1-1 x86_64"],
        repository("base", offered("bash 1-1 x86_64"), priority=10, excludes=["bash"]),
        repository("updates", offered("bash 1-2 x86_64")),
    )

    assert listed(verdicts) == [("bash", "x86_64", "1-2")]


def test_of_equal_packages_the_cheaper_repository_is_named_first() -> None:
    """The same NEVRA in several repositories is one row with all of them, by cost."""
    [verdict] = judge(
        ["bash 1-1 x86_64"],
        repository("alpha", offered("bash 1-2 x86_64"), cost=1500),
        repository("mirror", offered("bash 1-2 x86_64"), cost=500),
    )

    assert verdict.repository == "mirror"
    assert verdict.repositories == ("mirror", "alpha")


@pytest.mark.parametrize(
    "pattern",
    [
        "kernel*",
        "kernel",
        "kernel.x86_64",
        "kernel-6.2",
        "kernel-6.2-1",
        "kernel-0:6.2-1.x86_64",
        "kernel-6.*",
        "k?rnel",
    ],
)
def test_an_exclude_may_be_any_form_of_a_nevra(pattern: str) -> None:
    """Name, name.arch, name-version, name-version-release, full NEVRA, each with globs."""
    [verdict] = judge(
        ["kernel 6.1-1 x86_64"], repository("updates", offered("kernel 6.2-1 x86_64")), excludes=[pattern]
    )

    assert (verdict.listed, verdict.state, verdict.rule) == (False, State.EXCLUDED, "dnf.exclude")
    assert f"excludepkgs={pattern}" in verdict.why


@pytest.mark.parametrize(("pattern", "state"), [("app-1.2*.noarch", State.EXCLUDED), ("app-0:1.2*.noarch", None)])
def test_a_glob_over_the_whole_package_knows_the_epoch_only_with_a_colon(pattern: str, state: State | None) -> None:
    """libdnf compares with the epoch where the text has one, and an epoch of 1 is not 0."""
    verdicts = judge(["app 1:1.1-1 noarch"], repository("base", offered("app 1:1.2-1 noarch")), excludes=[pattern])

    assert [v.state for v in verdicts] == [state or State.OUTSTANDING]


def test_a_version_exclude_leaves_the_other_versions() -> None:
    """`name-1.2*` takes 1.2 away and 1.1 stays the update."""
    verdicts = judge(
        ["app 1.0-1 x86_64"],
        repository("updates", offered("app 1.1-1 x86_64"), offered("app 1.2-1 x86_64")),
        excludes=["app-1.2*"],
    )

    assert listed(verdicts) == [("app", "x86_64", "1.1-1")]


def test_an_exclude_of_one_repository_leaves_the_others() -> None:
    """Per-repository excludes do not reach further."""
    verdicts = judge(
        ["app 1-1 x86_64"],
        repository("updates", offered("app 1-3 x86_64"), excludes=["app"]),
        repository("extra", offered("app 1-2 x86_64")),
    )

    assert listed(verdicts) == [("app", "x86_64", "1-2")]


def test_includes_hide_everything_else_of_their_repository() -> None:
    """includepkgs is a positive list for one repository."""
    verdicts = judge(
        ["app 1-1 x86_64", "tool 1-1 x86_64"],
        repository("copr", offered("app 1-2 x86_64"), offered("tool 1-2 x86_64"), includes=["app"]),
    )

    assert listed(verdicts) == [("app", "x86_64", "1-2")]
    [hidden] = [v for v in verdicts if not v.listed]
    assert (hidden.state, hidden.rule) == (State.EXCLUDED, "dnf.include")


def test_a_version_lock_keeps_the_locked_version() -> None:
    """Every other version of the name is excluded."""
    [verdict] = judge(
        ["app 1.0-1 x86_64"], repository("updates", offered("app 1.1-1 x86_64")), locks=["app-0:1.0-1.*"]
    )

    assert (verdict.listed, verdict.state, verdict.rule) == (False, State.LOCKED, "dnf.versionlock")
    assert "app-0:1.0-1.*" in verdict.why


def test_a_lock_on_a_newer_version_lets_the_update_to_it_through() -> None:
    """A lock names the wanted version, which may not be installed yet."""
    verdicts = judge(
        ["app 1.0-1 x86_64"],
        repository("updates", offered("app 1.1-1 x86_64"), offered("app 1.2-1 x86_64")),
        locks=["app-0:1.1-1.*"],
    )

    assert listed(verdicts) == [("app", "x86_64", "1.1-1")]


def test_a_lock_is_read_in_the_first_form_that_a_package_fits() -> None:
    """app-1-2.0 locks version 2.0 of app-1 where there is one, and leaves a package app-1-2 alone."""
    verdicts = judge(
        ["app-1 1.0-1 noarch", "app-1-2 1-1 noarch"],
        repository(
            "base", offered("app-1 2.0-1 noarch"), offered("app-1 3.0-1 noarch"), offered("app-1-2 2-1 noarch")
        ),
        locks=["app-1-2.0"],
    )

    assert listed(verdicts) == [("app-1", "noarch", "2.0-1"), ("app-1-2", "noarch", "2-1")]


def test_a_lock_that_the_plugin_wrote_means_exactly_that_release() -> None:
    """app-0:1.0-1.* is release 1 for any architecture, never release 1.el9."""
    [verdict] = judge(
        ["app 1.0-1 x86_64"], repository("base", offered("app 1.0-1.el9 x86_64")), locks=["app-0:1.0-1.*"]
    )

    assert (verdict.rule, verdict.listed) == ("dnf.versionlock", False)


def test_a_lock_that_no_package_fits_holds_every_version_of_its_name() -> None:
    """The versionlock plugin excludes all other versions than those that fit, and none does."""
    [verdict] = judge(["app 1-1 x86_64"], repository("base", offered("app 2-1 x86_64")), locks=["app-9-9"])

    assert (verdict.rule, verdict.listed) == ("dnf.versionlock", False)


def test_a_lock_with_an_exclamation_mark_forbids_that_version() -> None:
    """`!` excludes in the plugin's syntax."""
    verdicts = judge(
        ["app 1.0-1 x86_64"],
        repository("updates", offered("app 1.1-1 x86_64"), offered("app 1.2-1 x86_64")),
        locks=["!app-0:1.2-1.*"],
    )

    assert listed(verdicts) == [("app", "x86_64", "1.1-1")]


@pytest.mark.parametrize(("installed", "candidate"), [("i586", "i686"), ("i686", "x86_64"), ("x86_64", "i686")])
def test_another_native_architecture_is_no_update(installed: str, candidate: str) -> None:
    """dnf never crosses between native architectures by itself."""
    [verdict] = judge([f"lib 1-1 {installed}"], repository("updates", offered(f"lib 1-2 {candidate}")))

    assert (verdict.listed, verdict.state) == (False, State.NOT_IN_ANY_REPOSITORY)


@pytest.mark.parametrize(("installed", "candidate"), [("x86_64", "noarch"), ("i686", "noarch"), ("noarch", "x86_64")])
def test_noarch_and_native_update_each_other(installed: str, candidate: str) -> None:
    """A change from or to noarch is an ordinary update."""
    [verdict] = judge([f"lib 1-1 {installed}"], repository("updates", offered(f"lib 1-2 {candidate}")))

    assert (verdict.listed, verdict.arch, verdict.candidate_arch) == (True, installed, candidate)


def test_noarch_and_native_candidates_are_both_listed() -> None:
    """The newest is taken per architecture, not per name."""
    verdicts = judge(["lib 1-1 x86_64"], repository("updates", offered("lib 1-2 noarch"), offered("lib 1-3 x86_64")))

    assert listed(verdicts) == [("lib", "noarch", "1-2"), ("lib", "x86_64", "1-3")]


def test_each_architecture_of_a_multilib_pair_is_judged_alone() -> None:
    """An x86_64 update says nothing of the i686 package beside it."""
    verdicts = judge(
        ["lib 1-1 x86_64", "lib 1-1 i686"],
        repository("updates", offered("lib 1-2 x86_64"), offered("lib 1-1 i686")),
    )

    assert listed(verdicts) == [("lib", "x86_64", "1-2")]


def test_a_package_for_a_foreign_machine_does_not_exist() -> None:
    """An aarch64 build on an x86_64 host is no update, not even of a noarch package."""
    verdicts = judge(["lib 1-1 noarch"], repository("updates", offered("lib 1-1 noarch"), offered("lib 2-1 aarch64")))

    assert verdicts == []


def test_a_kernel_is_compared_with_the_newest_that_is_installed() -> None:
    """Install-only packages stay beside each other; older ones are not outdated."""
    repositories = [repository("updates", offered("kernel 6.2-1 x86_64"))]

    assert judge(["kernel 6.1-1 x86_64", "kernel 6.2-1 x86_64"], *repositories) == []
    [verdict] = judge(["kernel 6.0-1 x86_64", "kernel 6.1-1 x86_64"], *repositories)
    assert (verdict.installed, verdict.candidate) == ("6.1-1", "6.2-1")


def test_a_package_newer_than_every_repository_is_said_to_be() -> None:
    """Not outstanding, and the newest available version is named."""
    [verdict] = judge(["app 2-1 x86_64"], repository("base", offered("app 1-1 x86_64")))

    assert (verdict.listed, verdict.state) == (False, State.NEWER_THAN_REPOSITORY)
    assert "1-1, in base" in verdict.why


def test_a_package_of_no_repository_is_said_to_be() -> None:
    """The operator learns that nobody will ever offer an update."""
    [verdict] = judge(["corp-agent 1-1 noarch"], repository("base"))

    assert (verdict.listed, verdict.state) == (False, State.NOT_IN_ANY_REPOSITORY)


def test_an_imported_signing_key_is_no_package() -> None:
    """rpm keeps keys as gpg-pubkey; neither an update nor "in no repository" is said of them."""
    key = offered("gpg-pubkey ffffffff-5ccc5b19 noarch")

    assert judge(["gpg-pubkey eeeeeeee-5ccc5b19 (none)"], repository("base", key)) == []


def test_an_obsoleted_package_is_not_listed_but_explained() -> None:
    """check-update shows it apart, under Obsoleting Packages."""
    [verdict] = judge(["old 1-1 x86_64"], repository("updates", offered("new 2-1 x86_64", "old < 2")))

    assert (verdict.listed, verdict.state, verdict.candidate) == (False, State.OBSOLETED, "2-1")
    assert "new-2-1.x86_64" in verdict.why


def test_the_update_of_an_obsoleted_package_is_listed_all_the_same() -> None:
    """check-update does not solve: it lists what `dnf upgrade` will replace instead."""
    [verdict] = judge(
        ["old 1-1 x86_64"],
        repository("updates", offered("old 1-2 x86_64"), offered("new 2-1 x86_64", "old < 2")),
    )

    assert (verdict.listed, verdict.state, verdict.candidate) == (True, State.OBSOLETED, "1-2")


def test_a_versioned_obsoletes_spares_newer_versions() -> None:
    """`old < 1.5` says nothing of old 1.6."""
    assert (
        judge(
            ["old 1.6-1 x86_64"],
            repository("updates", offered("old 1.6-1 x86_64"), offered("new 2-1 x86_64", "old < 1.5")),
        )
        == []
    )


def test_a_package_does_not_obsolete_itself() -> None:
    """Self-obsoletes of older versions are ordinary updates."""
    [verdict] = judge(["app 1-1 x86_64"], repository("updates", offered("app 2-1 x86_64", "app < 2")))

    assert (verdict.listed, verdict.state) == (True, State.OUTSTANDING)


def test_obsoletes_can_be_turned_off() -> None:
    """obsoletes=False in dnf.conf: nothing replaces anything."""
    [verdict] = judge(["old 1-1 x86_64"], repository("updates", offered("new 2-1 x86_64", "old")), obsoletes=False)

    assert verdict.state is State.NOT_IN_ANY_REPOSITORY


def test_dependencies_do_not_matter() -> None:
    """check-update lists an update that `dnf upgrade` would have to skip; versions alone decide."""
    verdicts = judge(["app 1-1 x86_64"], repository("updates", offered("app 1:0.1-1 x86_64")))

    assert listed(verdicts) == [("app", "x86_64", "1:0.1-1")]


def test_an_update_above_a_security_fix_is_a_security_update() -> None:
    """The newest build may be a bug fix only; it still brings the fix below it."""
    advisory = RepositoryAdvisory(
        id="RHSA-1", type="security", packages=[AdvisoryPackage(name="app", arch="x86_64", evr="1-2")]
    )
    [verdict] = judge(["app 1-1 x86_64"], repository("updates", offered("app 1-3 x86_64"), advisories=[advisory]))

    assert (verdict.security, verdict.advisories) == (True, ("RHSA-1",))


def test_an_advisory_does_not_count_across_a_change_of_architecture() -> None:
    """libdnf 0.69 wants the advisory's architecture installed; the sentence names the advisory."""
    advisory = RepositoryAdvisory(
        id="RHSA-1", type="security", packages=[AdvisoryPackage(name="app", arch="x86_64", evr="1-2")]
    )
    [verdict] = judge(["app 1-1 noarch"], repository("updates", offered("app 1-2 x86_64"), advisories=[advisory]))

    assert (verdict.security, verdict.advisories) == (False, ())
    assert "RHSA-1" in verdict.why


def test_an_excluded_security_update_is_still_called_one() -> None:
    """What the policy holds back must not look harmless."""
    advisory = RepositoryAdvisory(
        id="RHSA-1", type="security", packages=[AdvisoryPackage(name="app", arch="x86_64", evr="1-2")]
    )
    [verdict] = judge(
        ["app 1-1 x86_64"],
        repository("updates", offered("app 1-2 x86_64"), advisories=[advisory]),
        excludes=["app"],
    )

    assert (verdict.listed, verdict.security) == (False, True)


def test_verdicts_come_sorted_and_the_same_a_second_time() -> None:
    """What a catalog remembers must not change its answer."""
    catalog = compile_catalog(
        [repository("updates", offered("b 1-2 x86_64"), offered("a 1-2 x86_64"))],
        Policy(package_manager="dnf", arch="x86_64"),
    )
    installed = [
        InstalledPackage(name=name, arch="x86_64", evr="1-1", evr_key=evr_key("rpm", "1-1"), id=number)
        for number, name in enumerate(("b", "a"))
    ]

    first = catalog.evaluate(installed)

    assert [(v.name, v.package_id) for v in first] == [("a", 1), ("b", 0)]
    assert catalog.evaluate(installed) == first
