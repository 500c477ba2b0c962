"""Which advisories an rpm update brings in."""

import pytest
from patchbay_shared.catalogue import AdvisoryPackage, IndexContent, RepositoryAdvisory
from patchbay_shared.versions import evr_key
from patchbay_update_engine.evaluate.catalog import PackageIndex
from patchbay_update_engine.evaluate.security import SecurityFixes


def fixes(*advisories: RepositoryAdvisory, active: tuple[str, ...] = ()) -> SecurityFixes:
    index = PackageIndex([], content=IndexContent(advisories=list(advisories)))
    return SecurityFixes([index], active_streams=active)


def advisory(evr: str, *, kind: str = "security", arch: str = "x86_64", module: str = "") -> RepositoryAdvisory:
    return RepositoryAdvisory(
        id=f"A-{evr}",
        type=kind,
        packages=[AdvisoryPackage(name="app", arch=arch, evr=evr, module=module)],
    )


def found(known: SecurityFixes, installed: str, candidate: str) -> tuple[str, ...]:
    return known.between("app", "x86_64", evr_key("rpm", installed), evr_key("rpm", candidate))


@pytest.mark.parametrize(
    ("shipped", "expected"),
    [("1-1", ()), ("1-2", ("A-1-2",)), ("1-3", ("A-1-3",)), ("1-4", ())],
    ids=["already installed", "in between", "the candidate itself", "not yet offered"],
)
def test_the_version_must_be_above_the_installed_and_up_to_the_candidate(
    shipped: str, expected: tuple[str, ...]
) -> None:
    """The half-open range (installed, candidate]."""
    assert found(fixes(advisory(shipped)), "1-1", "1-3") == expected


def test_a_bugfix_advisory_is_no_security_fix() -> None:
    """Only the published type `security` counts."""
    assert found(fixes(advisory("1-2", kind="bugfix")), "1-1", "1-2") == ()


def test_an_advisory_for_another_architecture_does_not_count() -> None:
    """Advisories name packages with their architecture."""
    assert found(fixes(advisory("1-2", arch="i686")), "1-1", "1-2") == ()


def test_an_advisory_without_epoch_means_epoch_zero() -> None:
    """1:1-1 is installed, so a fix 1-2 without epoch is long behind."""
    assert found(fixes(advisory("1-2")), "1:1-1", "1:1-3") == ()


def test_every_fix_on_the_way_is_named_once() -> None:
    """Two advisories, one of them listed twice."""
    assert found(fixes(advisory("1-2"), advisory("1-3"), advisory("1-2")), "1-1", "1-3") == ("A-1-2", "A-1-3")


def test_a_module_advisory_counts_only_for_an_active_stream() -> None:
    """The stream must be active on this host."""
    only = advisory("1-2", module="app:1")

    assert found(fixes(only), "1-1", "1-2") == ()
    assert found(fixes(only, active=("app:1",)), "1-1", "1-2") == ("A-1-2",)


def test_an_advisory_with_an_unusable_version_is_passed_over() -> None:
    """One broken line must not hide the others."""
    assert found(fixes(advisory("not a version"), advisory("1-2")), "1-1", "1-2") == ("A-1-2",)
