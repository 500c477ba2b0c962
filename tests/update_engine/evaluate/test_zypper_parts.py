"""The parts of zypper's rules that have rules of their own: vendors, locks, installed relations, images."""

import msgspec
import pytest
from patchbay_shared.catalogue import AdvisoryPackage, AvailablePackage, IndexContent, Relations, RepositoryAdvisory
from patchbay_shared.report import Pin, ReportRepository
from patchbay_shared.versions import evr_key
from patchbay_update_engine.evaluate.catalog import CatalogRepository, InstalledPackage, PackageIndex, Policy
from patchbay_update_engine.evaluate.zypper import compile_catalog
from patchbay_update_engine.evaluate.zypper_installed import picture_of
from patchbay_update_engine.evaluate.zypper_locks import Locks
from patchbay_update_engine.evaluate.zypper_patches import Patches
from patchbay_update_engine.evaluate.zypper_vendor import Vendors, with_vendors


def offered(
    text: str, *, vendor: str = "openSUSE", requires: tuple[str, ...] = (), provides: tuple[str, ...] = ()
) -> AvailablePackage:
    name, evr = text.split()
    return AvailablePackage(
        name=name,
        arch="x86_64",
        evr=evr,
        evr_key=evr_key("rpm", evr),
        digest=0,
        vendor=vendor,
        relations=msgspec.msgpack.encode(Relations(requires=list(requires), provides=list(provides))),
    )


def installed(text: str, vendor: str | None = "openSUSE") -> InstalledPackage:
    name, evr = text.split()
    return InstalledPackage(name=name, arch="x86_64", evr=evr, evr_key=evr_key("rpm", evr), vendor=vendor)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("SUSE LLC", "suse linux gmbh", True),
        ("openSUSE", "OPENSUSE", True),
        ("openSUSE", "openSUSE Build Service", False),
        ("openSUSE", "SUSE LLC", False),
        ("Packman", None, False),
        (None, "", True),
    ],
)
def test_vendors_are_compared_like_libzypp_does(one: str | None, other: str | None, same: bool) -> None:
    """Case does not matter, suse is a prefix, opensuse is not."""
    vendors = Vendors()

    assert (vendors.class_of(one) == vendors.class_of(other)) is same


def test_vendor_lists_that_share_a_name_are_one_class() -> None:
    """vendors.d: a,b and b,c make a and c equivalent."""
    vendors = Vendors([["alpha", "beta"], ["gamma", "delta"], ["beta", "delta"]])

    assert len({vendors.class_of(name) for name in ("Alpha GmbH", "beta", "GAMMA", "delta")}) == 1


def test_missing_vendors_are_taken_from_the_repositories() -> None:
    """A client that reports no vendor at all must not see every update as a change of vendor."""
    offers = {"app": [offered("app 1-2", vendor="Packman"), offered("app 1-9", vendor="openSUSE")]}

    [package] = with_vendors([installed("app 1-1", None)], lambda name: offers[name])

    assert package.vendor == "Packman"


def test_a_package_without_vendor_among_others_has_none() -> None:
    """Where vendors are reported, a missing one is a fact."""
    offers = {"app": [offered("app 1-2")], "tool": [offered("tool 1-2")]}

    packages = with_vendors([installed("app 1-1", None), installed("tool 1-1")], lambda name: offers[name])

    assert packages[0].vendor is None


@pytest.mark.parametrize(
    ("pin", "applies"),
    [
        (Pin(type="lock", match="glob", name="kern*"), True),
        (Pin(type="lock", match="exact", name="kern"), False),
        (Pin(type="lock", match="substring", name="erne"), True),
        (Pin(type="lock", match="regex", name="^k.*l$"), True),
        (Pin(type="lock", match="regex", name="["), False),
        (Pin(type="lock", match="exact", name="kernel", arch="i586"), False),
        (Pin(type="lock", match="exact", name="kernel", version=">= 6.2"), False),
        (Pin(type="lock", match="exact", name="kernel", version="< 6.2"), True),
        (Pin(type="versionlock", entry="kernel"), False),
    ],
)
def test_a_lock_names_packages_in_several_ways(pin: Pin, applies: bool) -> None:
    """Glob, exact, substring, regex; with architecture and version."""
    assert (Locks([pin]).of("kernel", "6.1-1", "x86_64") is not None) is applies


def test_the_picture_of_a_consistent_host_is_complete() -> None:
    """Then what installed packages need counts."""
    offers = {"app": [offered("app 1-1", requires=("lib >= 1",))], "lib": [offered("lib 1-1")]}

    picture = picture_of([installed("app 1-1"), installed("lib 1-1")], lambda name: offers[name])

    assert picture.complete
    assert [list(known.requires) for known in picture.packages] == [["lib >= 1"], []]


def test_an_unmet_need_of_an_installed_package_is_presumed_to_be_met() -> None:
    """A real rpm database is consistent, so something unseen provides it."""
    offers = {"app": [offered("app 1-1", requires=("libfoo.so.1", "abi >= 3"))]}

    picture = picture_of([installed("app 1-1")], lambda name: offers[name])

    assert not picture.complete
    assert list(picture.presumed) == ["libfoo.so.1", "abi = 3"]


def test_a_package_of_unknown_version_provides_what_the_nearest_does() -> None:
    """With its own version in place of the other."""
    offers = {"lib": [offered("lib 2-1", provides=("lib = 2-1", "libx = 2", "lib.so.1"))]}

    [known] = picture_of([installed("lib 1-5")], lambda name: offers[name]).packages

    assert list(known.provides) == ["lib = 1-5", "libx = 1", "lib.so.1"]


def test_a_patch_whose_repository_lacks_the_package_is_still_needed() -> None:
    """libsolv does not call a patch irrelevant without a package to compare the vendor with."""
    advisory = RepositoryAdvisory(
        id="P-1", type="security", packages=[AdvisoryPackage(name="app", arch="x86_64", evr="1-2")]
    )
    index = PackageIndex([], content=IndexContent(advisories=[advisory]))

    assert Patches([index], Vendors()).needed_security({("app", "x86_64"): installed("app 1-1")}) == {"P-1"}


def test_catalogs_that_share_a_repository_share_its_image_and_nothing_else() -> None:
    """One host's lock must not reach the other, though both read one image."""
    index = PackageIndex([offered("app 1-2")])
    repository = CatalogRepository(ReportRepository(id="oss", type="rpm-md"), [index])
    free = compile_catalog([repository], Policy(package_manager="zypper", arch="x86_64"))
    locked = compile_catalog(
        [repository],
        Policy(package_manager="zypper", arch="x86_64", pins=[Pin(type="lock", match="glob", name="app")]),
    )

    answers = [[v.listed for v in catalog.evaluate([installed("app 1-1")])] for catalog in (locked, free, locked)]

    assert answers == [[False], [True], [False]]
    assert index.solver_image is not None
