"""pacman's rules, each on the smallest host that shows it; test_oracle_hosts.py compares with pacman itself."""

from collections.abc import Sequence

import pytest
from patchbay_shared.catalogue import AvailablePackage
from patchbay_shared.report import Pin, ReportPackage, ReportRepository
from patchbay_shared.versions import evr_key
from patchbay_update_engine.evaluate.catalog import CatalogRepository, InstalledPackage, PackageIndex, Policy
from patchbay_update_engine.evaluate.pacman import compile_catalog
from patchbay_update_engine.evaluate.verdict import State, Verdict


def _repository(
    name: str,
    *packages: str,
    order: int | None = None,
    usage: str | None = None,
    enabled: bool = True,
    replaces: dict[str, tuple[str, ...]] | None = None,
) -> CatalogRepository:
    """`packages` as "name version"; `replaces` by package name."""
    offered = [
        AvailablePackage(
            name=each.split()[0],
            arch="x86_64",
            evr=each.split()[1],
            evr_key=evr_key("alpm", each.split()[1]),
            digest=0,
            obsoletes=(replaces or {}).get(each.split()[0], ()),
        )
        for each in packages
    ]
    definition = ReportRepository(id=name, type="pacman", order=order, usage=usage, enabled=enabled)
    return CatalogRepository(definition, [PackageIndex(offered)])


def _evaluate(
    installed: str, repositories: Sequence[CatalogRepository], *pins: Pin, groups: tuple[str, ...] = ()
) -> Verdict | None:
    name, evr = installed.split()
    package = InstalledPackage(name=name, arch="x86_64", evr=evr, evr_key=evr_key("alpm", evr), groups=groups)
    verdicts = compile_catalog(repositories, Policy("pacman", pins=list(pins))).evaluate([package])
    assert len(verdicts) <= 1
    return verdicts[0] if verdicts else None


def _outcome(verdict: Verdict | None) -> tuple[State, bool, str | None, str | None]:
    assert verdict is not None
    return verdict.state, verdict.listed, verdict.candidate, verdict.repository


@pytest.mark.parametrize(
    ("installed", "offered"),
    [("1.0-1", "1.0-2"), ("1.0rc1-1", "1.0-1"), ("9.9-1", "1:1.0-1"), ("1:5-1", "2:1-1"), ("1.0-1", "1.0.0-1")],
)
def test_a_newer_version_is_outstanding(installed: str, offered: str) -> None:
    """Package release, pre-releases and epochs count as libalpm orders them."""
    verdict = _evaluate(f"a {installed}", [_repository("core", f"a {offered}")])

    assert _outcome(verdict) == (State.OUTSTANDING, True, offered, "core")


@pytest.mark.parametrize("offered", ["1.0-1", "0:1.0-1", "1.0-01"])
def test_a_package_that_is_up_to_date_has_no_verdict(offered: str) -> None:
    """Also where the version is written otherwise."""
    assert _evaluate("a 1.0-1", [_repository("core", f"a {offered}")]) is None


def test_the_first_repository_with_the_name_wins_over_a_newer_one() -> None:
    """The order of pacman.conf decides, not the version."""
    repositories = [_repository("extra", "a 3-1", order=2), _repository("core", "a 2-1", order=1)]

    verdict = _evaluate("a 1-1", repositories)

    assert _outcome(verdict) == (State.OUTSTANDING, True, "2-1", "core")
    assert verdict is not None
    assert verdict.rule == "pacman.repository-order"
    assert "3-1" in verdict.why


def test_an_older_first_repository_hides_a_newer_one() -> None:
    """pacman -Qu does not look past the first repository that has the name."""
    verdict = _evaluate("a 2-1", [_repository("core", "a 1-1"), _repository("extra", "a 3-1")])

    assert _outcome(verdict) == (State.NEWER_THAN_REPOSITORY, False, "1-1", "core")


def test_a_disabled_repository_does_not_exist() -> None:
    """Neither as the first one nor as a source."""
    repositories = [_repository("core", "a 1-1", enabled=False), _repository("extra", "a 3-1")]

    assert _outcome(_evaluate("a 2-1", repositories)) == (State.OUTSTANDING, True, "3-1", "extra")


def test_every_repository_with_that_version_is_named() -> None:
    """In pacman's order, the one it would be taken from first."""
    repositories = [_repository("core", "a 2-1"), _repository("mirror", "a 2-1"), _repository("old", "a 1-1")]

    verdict = _evaluate("a 1-1", repositories)

    assert verdict is not None
    assert verdict.repositories == ("core", "mirror")


@pytest.mark.parametrize("pattern", ["linux", "linux*", "li?ux", "[l]inux", "[^a]inux"])
def test_ignorepkg_takes_globs(pattern: str) -> None:
    """As fnmatch(3) reads them."""
    verdict = _evaluate("linux 1-1", [_repository("core", "linux 2-1")], Pin(type="IgnorePkg", name=pattern))

    assert _outcome(verdict) == (State.EXCLUDED, False, "2-1", "core")
    assert verdict is not None
    assert verdict.rule == "pacman.ignorepkg"


@pytest.mark.parametrize("pattern", ["Linux", "linu", "*-linux"])
def test_ignorepkg_matches_whole_names(pattern: str) -> None:
    """And minds case."""
    verdict = _evaluate("linux 1-1", [_repository("core", "linux 2-1")], Pin(type="IgnorePkg", name=pattern))

    assert _outcome(verdict) == (State.OUTSTANDING, True, "2-1", "core")


def test_ignoregroup_goes_by_the_groups_of_the_installed_package() -> None:
    """What the repository says of groups does not matter to pacman -Qu."""
    pin = Pin(type="IgnoreGroup", name="gno*")
    repositories = [_repository("core", "a 2-1")]

    assert _outcome(_evaluate("a 1-1", repositories, pin, groups=("x", "gnome")))[:2] == (State.EXCLUDED, False)
    assert _outcome(_evaluate("a 1-1", repositories, pin))[:2] == (State.OUTSTANDING, True)


@pytest.mark.parametrize(
    ("usage", "state"),
    [
        ("Sync Search", State.EXCLUDED),
        ("Install", State.EXCLUDED),
        ("Sync Upgrade", State.OUTSTANDING),
        ("All", State.OUTSTANDING),
        (None, State.OUTSTANDING),
    ],
)
def test_a_repository_without_usage_upgrade_only_shows_its_updates(usage: str | None, state: State) -> None:
    """pacman prints them as [ignored]."""
    verdict = _evaluate("a 1-1", [_repository("testing", "a 2-1", usage=usage)])

    assert _outcome(verdict) == (state, state is State.OUTSTANDING, "2-1", "testing")


def test_a_repository_without_usage_upgrade_says_what_a_system_upgrade_takes_instead() -> None:
    """pacman -Su goes on to the next repository, while -Qu does not."""
    repositories = [_repository("testing", "a 3-1", usage="Sync"), _repository("core", "a 2-1")]

    verdict = _evaluate("a 1-1", repositories)

    assert verdict is not None
    assert "2-1 from core" in verdict.why


def test_a_replaced_package_is_obsoleted_and_not_listed() -> None:
    """Only a system upgrade offers replacements; pacman -Qu knows none."""
    repositories = [_repository("core", "new 2-1", replaces={"new": ("old < 2",)})]

    assert _outcome(_evaluate("old 1-1", repositories)) == (State.OBSOLETED, False, "2-1", "core")


@pytest.mark.parametrize(
    ("relation", "replaced"),
    [
        ("old", True),
        ("old = 1", True),
        ("old >= 1-1", True),
        ("old > 1", False),
        ("old < 1-1", False),
        ("old <= 1", True),
    ],
)
def test_a_replacement_may_be_limited_to_versions(relation: str, *, replaced: bool) -> None:
    """A condition without a package release means any."""
    verdict = _evaluate("old 1-1", [_repository("core", "new 2-1", replaces={"new": (relation,)})])

    assert _outcome(verdict)[0] is (State.OBSOLETED if replaced else State.NOT_IN_ANY_REPOSITORY)


def test_a_replacement_after_the_first_repository_with_the_name_does_not_count() -> None:
    """The search for replacements ends there."""
    repositories = [_repository("core", "old 1-1"), _repository("extra", "new 2-1", replaces={"new": ("old",)})]

    assert _evaluate("old 1-1", repositories) is None


def test_an_ignored_package_is_not_replaced() -> None:
    """IgnorePkg keeps it as it is."""
    repositories = [_repository("core", "new 2-1", replaces={"new": ("old",)})]

    verdict = _evaluate("old 1-1", repositories, Pin(type="IgnorePkg", name="old"))

    assert _outcome(verdict)[0] is State.NOT_IN_ANY_REPOSITORY


def test_a_package_of_no_repository_is_said_to_be_foreign() -> None:
    """It will never get an update, which somebody should know."""
    assert _outcome(_evaluate("aur-thing 1-1", [_repository("core", "a 2-1")])) == (
        State.NOT_IN_ANY_REPOSITORY,
        False,
        None,
        None,
    )


def test_verdicts_are_in_order_of_name() -> None:
    """Whatever the order of the report."""
    catalog = compile_catalog([_repository("core", "a 2-1", "b 2-1")], Policy("pacman"))
    installed = [
        InstalledPackage(name=name, arch="x86_64", evr="1-1", evr_key=evr_key("alpm", "1-1")) for name in ("b", "a")
    ]

    assert [verdict.name for verdict in catalog.evaluate(installed)] == ["a", "b"]


@pytest.mark.parametrize(("kind", "text"), [("pacman", "0:1.0-1"), ("deb", "0:1.0-1"), ("rpm", "1.0-1")])
def test_an_epoch_of_zero_is_part_of_the_version_except_in_rpm(kind: str, text: str) -> None:
    """pacman and dpkg print the version as it was written; rpm stores a number."""
    assert ReportPackage(name="app", epoch="0", version="1.0", release="1", type=kind).evr == text
