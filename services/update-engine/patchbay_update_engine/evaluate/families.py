"""The choice of the family whose rules judge a host."""

from collections.abc import Callable, Sequence

from patchbay_shared.errors import InvalidInput
from patchbay_shared.report import FAMILY_OF_MANAGER

from patchbay_update_engine.evaluate import apt, dnf, pacman, zypper
from patchbay_update_engine.evaluate.advisories import NO_ADVISORIES, ReleaseAdvisories
from patchbay_update_engine.evaluate.catalog import (
    Catalog,
    CatalogRepository,
    InstalledPackage,
    Policy,
)
from patchbay_update_engine.evaluate.verdict import Verdict


class InventoryOnly:
    """The catalog of a family without rules: its packages are known, nothing is concluded from them."""

    def evaluate(self, installed: Sequence[InstalledPackage], *, machine_id: str = "") -> list[Verdict]:
        return []


def _inventory_only(
    _repositories: Sequence[CatalogRepository], _policy: Policy, _advisories: ReleaseAdvisories
) -> Catalog:
    return InventoryOnly()


def _zypper(repositories: Sequence[CatalogRepository], policy: Policy, _advisories: ReleaseAdvisories) -> Catalog:
    """zypper's patches are the advisories: what its repositories do not publish, it cannot install."""
    return zypper.compile_catalog(repositories, policy)


_FAMILIES: dict[str, Callable[[Sequence[CatalogRepository], Policy, ReleaseAdvisories], Catalog]] = {
    "apt": apt.compile_catalog,
    "dnf": dnf.compile_catalog,
    "zypper": _zypper,
    "pacman": pacman.compile_catalog,
    "portage": _inventory_only,
    "apk": _inventory_only,
}
INVENTORY_ONLY = frozenset(family for family, rules in _FAMILIES.items() if rules is _inventory_only)


def compile_catalog(
    repositories: Sequence[CatalogRepository], policy: Policy, advisories: ReleaseAdvisories = NO_ADVISORIES
) -> Catalog:
    """The rules of a repository set under its host's policy, with the advisories of its distribution release.

    A host that does not say its package manager is inventory only. Raises InvalidInput for an unknown one.
    """
    if not policy.package_manager:
        return InventoryOnly()
    family = FAMILY_OF_MANAGER.get(policy.package_manager)
    if family is None:
        raise InvalidInput(
            f"the package manager {policy.package_manager!r} is unknown; known are {', '.join(FAMILY_OF_MANAGER)}",
            pointer="$.package_manager",
        )
    return _FAMILIES[family](repositories, policy, advisories)
