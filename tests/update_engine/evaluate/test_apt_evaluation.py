"""apt's rules, one at a time, on repositories of a line or two."""

import msgspec
import pytest
from patchbay_shared.catalogue import AvailablePackage, Relations, ReleaseInfo
from patchbay_shared.report import Pin, ReportRepository
from patchbay_shared.versions import evr_key
from patchbay_update_engine.evaluate.apt import compile_catalog
from patchbay_update_engine.evaluate.catalog import CatalogRepository, InstalledPackage, PackageIndex, Policy
from patchbay_update_engine.evaluate.verdict import State, Verdict


def offered(text: str, *, arch: str = "amd64", **more: object) -> AvailablePackage:
    """`name evr` as an index lists it; `depends`, `breaks` and `provides` are lists of relations."""
    name, evr = text.split()
    relations = Relations(
        requires=more.pop("depends", []),  # type: ignore[arg-type]  # a test's shorthand
        breaks=more.pop("breaks", []),  # type: ignore[arg-type]  # a test's shorthand
        provides=more.pop("provides", []),  # type: ignore[arg-type]  # a test's shorthand
        multi_arch=more.pop("multi_arch", ""),  # type: ignore[arg-type]  # a test's shorthand
    )
    made = AvailablePackage(
        name=name,
        arch=arch,
        evr=evr,
        evr_key=evr_key("deb", evr),
        digest=0,
        relations=msgspec.msgpack.encode(relations),
    )
    return msgspec.structs.replace(made, **more)


def repository(
    name: str,
    *packages: AvailablePackage | str,
    security: bool | None = None,
    enabled: bool = True,
    component: str = "main",
    **release: object,
) -> CatalogRepository:
    """A repository of suite and codename `name`; packages are `name evr` or made with `offered`."""
    index = PackageIndex(
        [offered(package) if isinstance(package, str) else package for package in packages],
        component=component,
        architecture="amd64",
    )
    fields = {"origin": "Debian", "label": "Debian", "suite": name, "codename": name} | release
    definition = ReportRepository(id=name, type="deb", urls=[f"http://{name}.repos.test/debian"], enabled=enabled)
    return CatalogRepository(
        definition=definition, indexes=[index], release=msgspec.convert(fields, ReleaseInfo), security=security
    )


def package(text: str, *, arch: str = "amd64", **more: object) -> InstalledPackage:
    name, evr = text.split()
    return msgspec.structs.replace(
        InstalledPackage(name=name, arch=arch, evr=evr, evr_key=evr_key("deb", evr)), **more
    )


def judged(
    repositories: list[CatalogRepository],
    *installed: InstalledPackage | str,
    preferences: str | None = None,
    pins: list[Pin] | None = None,
    default_release: str | None = None,
    foreign: list[str] | None = None,
    machine_id: str = "",
) -> list[Verdict]:
    policy = Policy(
        package_manager="apt",
        arch="x86_64",
        native_arch="amd64",
        foreign_archs=foreign or [],
        default_release=default_release,
        preferences=preferences,
        pins=pins or [],
    )
    packages = [package(each) if isinstance(each, str) else each for each in installed]
    return compile_catalog(repositories, policy).evaluate(packages, machine_id=machine_id)


def pin(packages: str, what: str, priority: int | str) -> str:
    return f"Package: {packages}\nPin: {what}\nPin-Priority: {priority}\n\n"


def test_the_highest_version_of_several_repositories_is_the_update() -> None:
    """Repositories of equal priority compete by version."""
    [update] = judged([repository("stable", "bash 5.2-1"), repository("updates", "bash 5.2-3")], "bash 5.2-1")

    assert (update.candidate, update.repository, update.state) == ("5.2-3", "updates", State.OUTSTANDING)
    assert update.listed


def test_an_up_to_date_package_has_no_verdict() -> None:
    """Silence is the normal case."""
    assert judged([repository("stable", "bash 5.2-1")], "bash 5.2-1") == []


def test_a_disabled_repository_offers_nothing() -> None:
    """`Enabled: no` takes a source away as if it were not there."""
    found = judged([repository("stable", "bash 5.2-1"), repository("new", "bash 6-1", enabled=False)], "bash 5.2-1")

    assert found == []


def test_a_not_automatic_repository_updates_nothing_by_itself() -> None:
    """experimental has priority 1, below the 100 of the installed version."""
    assert judged([repository("experimental", "bash 6-1", not_automatic=True)], "bash 5.2-1") == []


def test_backports_update_only_what_came_from_backports() -> None:
    """ButAutomaticUpgrades gives 100: as much as the installed version has, but less than stable."""
    repositories = [
        repository("stable", "bash 5.2-1", "vim 9-1"),
        repository("backports", "bash 6-2", "vim 9-5", not_automatic=True, but_automatic_upgrades=True),
    ]
    [update] = judged(repositories, "bash 6-1", "vim 9-1")

    assert (update.name, update.candidate, update.repository) == ("bash", "6-2", "backports")


def test_a_pin_by_name_pattern_chooses_an_older_version() -> None:
    """A specific pin outranks the 500 of the newer version, and the sentence names it."""
    repositories = [repository("stable", "libx 1-2"), repository("vendor", "libx 9-1", origin="Vendor")]
    [update] = judged(repositories, "libx 1-1", preferences=pin("lib*", "release n=stable", 900))

    assert (update.candidate, update.rule) == ("1-2", "apt.pin")
    assert "lib*" in update.why
    assert "9-1 in vendor at priority 500" in update.why


@pytest.mark.parametrize(
    "what",
    [
        "release a=vendor",
        "release n=vend*",
        "release o=Vendor",
        "release l=/^vendor ce$/",
        "release c=stable",
        "release v=12*",
        "release b=amd64",
        "release vendor",
        "release o=Vendor, c=stable",
        "origin vendor.repos.test",
        "version 2-*",
    ],
)
def test_a_pin_matches_by_every_field_of_the_release(what: str) -> None:
    """Each way to speak of the vendor's package keeps it away."""
    vendor = repository("vendor", "nginx 2-1", origin="Vendor", label="Vendor CE", version="12.1", component="stable")
    repositories = [repository("stable", "nginx 1-1", label="x", version="11"), vendor]
    [verdict] = judged(repositories, "nginx 1-1", preferences=pin("nginx", what, -1))

    assert (verdict.state, verdict.listed, verdict.candidate) == (State.PINNED, False, "2-1")


@pytest.mark.parametrize("what", ["release o=Debian,n=vendor", 'origin ""', "origin other.test", "version *1*"])
def test_a_pin_that_matches_nothing_changes_nothing(what: str) -> None:
    """All fields have to match, and a last star of a version is no glob but "begins with"."""
    [update] = judged(
        [repository("vendor", "nginx 2-1", origin="V")], "nginx 1-1", preferences=pin("nginx", what, -1)
    )

    assert update.candidate == "2-1"


@pytest.mark.parametrize(
    "what", ["release", "release x=1", "release n=", "release v=*", "release a=now", "release c=now"]
)
def test_a_release_pin_without_fields_is_about_the_installed_version(what: str) -> None:
    """apt matches dpkg's own list by it, so a negative priority lets backports win."""
    backports = repository("backports", "bash 2-1", not_automatic=True, but_automatic_upgrades=True)
    [update] = judged([backports], "bash 1-1", preferences=pin("bash", what, -1))

    assert update.candidate == "2-1"


def test_a_flat_repository_has_no_architecture_to_pin_by() -> None:
    """`release b=amd64` does not speak of it."""
    flat = repository("flat", "bash 2-1")
    flat = msgspec.structs.replace(flat, definition=msgspec.structs.replace(flat.definition, suite="./"))
    [update] = judged([flat], "bash 1-1", preferences=pin("*", "release b=amd64", -1))

    assert update.candidate == "2-1"


def test_the_first_general_stanza_that_matches_counts() -> None:
    """For `Package: *` the order in the file decides, not the larger number."""
    text = pin("*", "release n=stable", 400) + pin("*", "release o=Debian", 900)
    repositories = [repository("stable", "bash 2-1"), repository("old", "bash 1-2")]
    [update] = judged(repositories, "bash 1-1", preferences=text)

    assert update.candidate == "1-2"


def test_the_default_release_comes_before_general_stanzas() -> None:
    """APT::Default-Release makes a stanza of priority 990 ahead of the preferences."""
    repositories = [repository("stable", "bash 1-2"), repository("testing", "bash 2-1")]
    [update] = judged(
        repositories, "bash 1-1", default_release="stable", preferences=pin("*", "release n=stable", 50)
    )

    assert update.candidate == "1-2"


def test_a_default_release_that_no_source_has_is_ignored() -> None:
    """apt refuses to run with it; the rest of the policy still says what would be outstanding."""
    [update] = judged([repository("stable", "bash 1-2")], "bash 1-1", default_release="sid")

    assert update.candidate == "1-2"


def test_never_wins_wherever_it_stands() -> None:
    """`Pin-Priority: never` beats an earlier general stanza and specific ones."""
    text = (
        pin("*", "release o=Vendor", 700)
        + pin("bash", "release o=Vendor", 990)
        + pin("*", "release o=Vendor", "never")
    )
    [verdict] = judged([repository("vendor", "bash 2-1", origin="Vendor")], "bash 1-1", preferences=text)

    assert not verdict.listed


def test_a_priority_above_1000_allows_a_downgrade_that_is_not_an_update() -> None:
    """apt would go back to the pinned version; that is no outstanding update."""
    repositories = [repository("vendor", "bash 1-1", origin="Vendor")]
    [verdict] = judged(repositories, "bash 2-1", preferences=pin("*", "release o=Vendor", 1001))

    assert (verdict.state, verdict.listed, verdict.rule) == (State.PINNED, False, "apt.pin-downgrade")


def test_pinning_everything_pins_the_installed_versions_too() -> None:
    """`release *` matches dpkg's own list, so the installed version keeps up with 99 and the newest wins."""
    [update] = judged([repository("stable", "bash 2-1")], "bash 1-1", preferences=pin("*", "release *", 99))

    assert update.candidate == "2-1"


def test_a_priority_below_100_leaves_the_installed_version_alone() -> None:
    """Only a package that is not installed would come from such a repository."""
    [verdict] = judged([repository("stable", "bash 2-1")], "bash 1-1", preferences=pin("*", "release n=stable", 99))

    assert verdict.state is State.PINNED
    assert "priority 99" in verdict.why


def test_a_source_pin_covers_every_binary_of_the_source() -> None:
    """`src:elfutils` is about libelf1, and not about a package that is merely called so."""
    libelf = offered("libelf1 2-1", source="elfutils")
    repositories = [repository("new", libelf, offered("elfutils 2-1", source="other"))]
    found = judged(repositories, "libelf1 1-1", "elfutils 1-1", preferences=pin("src:elfutils", "release n=new", -1))

    assert [(each.name, each.listed) for each in found] == [("elfutils", True), ("libelf1", False)]


def test_a_pin_without_architecture_is_for_the_native_one() -> None:
    """apt pins libc6:i386 only if asked to, by `:i386` or `:any`."""
    repositories = [repository("new", "libc6 2-1", offered("libc6 2-1", arch="i386"))]
    installed = [package("libc6 1-1"), package("libc6 1-1", arch="i386")]
    native = judged(repositories, *installed, preferences=pin("libc6", "release n=new", -1), foreign=["i386"])
    every = judged(repositories, *installed, preferences=pin("libc6:any", "release n=new", -1), foreign=["i386"])

    assert [(each.arch, each.listed) for each in native] == [("amd64", False), ("i386", True)]
    assert [each.listed for each in every] == [False, False]


def test_the_text_of_the_preferences_outranks_the_parsed_pins() -> None:
    """Both are reported; the text is what apt read."""
    wrong = Pin(packages=["bash"], pin="release n=stable", priority=-1)
    [update] = judged([repository("stable", "bash 2-1")], "bash 1-1", preferences="", pins=[wrong])

    assert update.listed


def test_parsed_pins_do_if_there_is_no_text() -> None:
    """An older protocol may report only those."""
    found = judged(
        [repository("stable", "bash 2-1")],
        "bash 1-1",
        pins=[Pin(packages=["bash"], pin="release n=stable", priority=-1)],
    )

    assert [each.listed for each in found] == [False]


def test_a_held_package_is_listed_as_held() -> None:
    """apt lists it; apt-get upgrade leaves it alone."""
    [update] = judged([repository("stable", "bash 2-1")], package("bash 1-1", held=True))

    assert (update.state, update.listed) == (State.HELD, True)


def test_a_removed_package_with_configuration_left_is_not_installed() -> None:
    """dpkg still knows its version, but there is nothing to update."""
    assert judged([repository("stable", "bash 2-1")], package("bash 1-1", status="config-files")) == []


def test_a_package_that_became_architecture_independent_is_updated() -> None:
    """`all` belongs to the native architecture."""
    [update] = judged([repository("stable", offered("fonts 2-1", arch="all"))], "fonts 1-1")

    assert (update.arch, update.candidate_arch) == ("amd64", "all")


def test_a_foreign_package_is_updated_from_its_own_architecture_only() -> None:
    """An amd64 build is no update for an i386 package."""
    assert [v.state for v in judged([repository("stable", "libx 2-1")], package("libx 1-1", arch="i386"))] == [
        State.NOT_IN_ANY_REPOSITORY
    ]


def test_an_equal_version_written_differently_is_listed() -> None:
    """`0:1.0-1` and `1.0-1` compare equal, but they are two builds."""
    [update] = judged([repository("stable", "bash 1.0-1")], "bash 0:1.0-1")

    assert (update.installed, update.candidate) == ("0:1.0-1", "1.0-1")


def test_the_same_version_with_other_content_is_listed_if_the_content_is_known() -> None:
    """apt compares the relation fields; an agent that reports their digest gets apt's answer."""
    repositories = [repository("stable", offered("bash 1-1", content="aa"))]

    assert [v.listed for v in judged(repositories, package("bash 1-1", content="bb"))] == [True]
    assert judged(repositories, package("bash 1-1", content="aa")) == []


def test_the_installed_version_is_written_as_the_index_writes_it() -> None:
    """apt merges 0:1-1 of dpkg's list into 1-1 of the index where the content is the same."""
    stable = repository("stable", offered("a 1-1", content="aa"), offered("a 2-1", content="bb"))

    [update] = judged([stable], package("a 0:1-1", content="aa"))

    assert (update.installed, update.candidate) == ("1-1", "2-1")


def test_a_repository_that_calls_itself_a_rebuild_is_one() -> None:
    """Also where no repository with the originals is left to compare it with."""
    rebuilt = repository("same", offered("a 1-1", content="bb"), codename="bookworm-rebuild")

    [update] = judged([rebuilt], "a 1-1")

    assert (update.installed, update.candidate, update.listed) == ("1-1", "1-1", True)


def test_without_known_content_a_version_only_in_rebuilds_is_taken_for_the_original() -> None:
    """A repository that republishes others' versions with other content is recognised by what it shares."""
    names = ["a", "b", "c"]
    original = repository("stable", *(offered(f"{name} 1-1", content="aa") for name in names))
    rebuilt = repository("again", *(offered(f"{name} 1-1", content="bb") for name in [*names, "d"]))
    [update] = judged([original, rebuilt], "a 1-1", "d 1-1")

    assert (update.name, update.repository) == ("d", "again")


def test_a_package_in_no_repository_is_told() -> None:
    """Nothing can update it, and an operator wants to know."""
    [verdict] = judged([repository("stable", "bash 1-1")], "local 1-1")

    assert (verdict.state, verdict.listed) == (State.NOT_IN_ANY_REPOSITORY, False)


def test_a_package_newer_than_every_repository_is_told() -> None:
    """It came from a repository that is no longer configured."""
    [verdict] = judged([repository("stable", "bash 1-1")], "bash 2-1")

    assert (verdict.state, verdict.listed) == (State.NEWER_THAN_REPOSITORY, False)
    assert "1-1 in stable" in verdict.why


def test_a_skipped_security_version_makes_the_update_a_security_fix() -> None:
    """The candidate is a point release that contains the fix of a version in between."""
    repositories = [repository("stable", "ssl 3-9"), repository("security", "ssl 3-5", security=True)]
    [update] = judged(repositories, "ssl 3-1")

    assert (update.candidate, update.security, update.security_repository) == ("3-9", True, "security")


def test_an_installed_security_version_does_not_make_the_next_update_one() -> None:
    """The host has that fix already."""
    repositories = [repository("stable", "ssl 3-9"), repository("security", "ssl 3-5", security=True)]
    [update] = judged(repositories, "ssl 3-5")

    assert not update.security


MACHINE = "15ca74a70c1158ade0f5f3ddf032e5fc"


@pytest.mark.parametrize(("percentage", "state"), [(97, State.PHASED), (98, State.OUTSTANDING)])
def test_a_phased_update_waits_for_the_machines_turn(percentage: int, state: State) -> None:
    """apt lists it either way; this machine draws 98, and waits while the percentage is below."""
    [update] = judged(
        [repository("stable", offered("bash 2-2", phased_percentage=percentage))], "bash 1-1", machine_id=MACHINE
    )

    assert (update.state, update.listed) == (state, True)


def test_an_upgrade_that_needs_a_new_package_is_kept_back() -> None:
    """apt-get upgrade installs nothing new."""
    repositories = [repository("stable", offered("app 2-1", depends=["libnew (>= 1)"]), "libnew 1-1")]
    [update] = judged(repositories, "app 1-1")

    assert (update.state, update.listed) == (State.KEPT_BACK, True)
    assert "libnew (>= 1)" in update.why


def test_what_needs_a_kept_back_upgrade_is_kept_back_too() -> None:
    """Taking one back may break another that relied on its new version."""
    repositories = [
        repository("stable", offered("lib 2-1", depends=["libnew"]), offered("app 2-1", depends=["lib (= 2-1)"]))
    ]

    assert [update.state for update in judged(repositories, "lib 1-1", "app 1-1")] == [State.KEPT_BACK] * 2


def test_upgrades_that_need_each_other_are_not_kept_back() -> None:
    """A library and its user that go up together satisfy one another."""
    repositories = [
        repository("stable", offered("lib 2-1", breaks=["app (<< 2)"]), offered("app 2-1", depends=["lib (>= 2)"]))
    ]

    assert {update.state for update in judged(repositories, "lib 1-1", "app 1-1")} == {State.OUTSTANDING}


def test_an_upgrade_that_breaks_an_installed_package_is_kept_back() -> None:
    """The other package stays at the version that would be broken."""
    repositories = [repository("stable", offered("lib 2-1", breaks=["app (<< 2)"]), "app 1-1")]
    [update] = judged(repositories, "lib 1-1", "app 1-1")

    assert (update.name, update.state) == ("lib", State.KEPT_BACK)


def test_a_provided_name_satisfies_a_dependency() -> None:
    """A virtual package counts, an unversioned one only for an unversioned dependency."""
    repositories = [
        repository("stable", offered("app 2-1", depends=["mta"]), offered("postfix 3-1", provides=["mta"]))
    ]
    [update] = judged(repositories, "app 1-1", "postfix 3-1")

    assert update.state is State.OUTSTANDING


def test_an_upgrade_that_no_longer_provides_what_another_needs_is_kept_back() -> None:
    """Installed packages at versions that a repository has are held to the relations of these versions."""
    repositories = [
        repository("stable", "perl 6-1", offered("module 1-1", depends=["perlapi-5"])),
        repository("old", offered("perl 5-1", provides=["perlapi-5"])),
    ]
    [update] = judged(repositories, "perl 5-1", "module 1-1")

    assert (update.name, update.state) == ("perl", State.KEPT_BACK)
    assert "module needs perlapi-5" in update.why


def test_verdicts_come_in_order_and_carry_the_engines_ids() -> None:
    """The store writes them as they come."""
    found = judged([repository("stable", "b 2-1", "a 2-1")], package("b 1-1", id=7), package("a 1-1", id=9))

    assert [(each.name, each.package_id) for each in found] == [("a", 9), ("b", 7)]
