"""The choice of the family whose rules judge a host."""

from collections.abc import Sequence

from patchbay_shared.errors import InvalidInput

from patchbay_update_engine.evaluate import pacman
from patchbay_update_engine.evaluate.catalog import FAMILY_OF_MANAGER, Catalog, CatalogRepository, Policy


def compile_catalog(repositories: Sequence[CatalogRepository], policy: Policy) -> Catalog:
    """The rules of a repository set under its host's policy. Raises InvalidInput for an unknown package manager."""
    family = FAMILY_OF_MANAGER.get(policy.package_manager)
    if family == "apt":
        from patchbay_update_engine.evaluate import apt  # noqa: PLC0415

        return apt.compile_catalog(repositories, policy)
    if family == "dnf":
        from patchbay_update_engine.evaluate import dnf  # noqa: PLC0415

        return dnf.compile_catalog(repositories, policy)
    if family == "zypper":
        from patchbay_update_engine.evaluate import zypper  # noqa: PLC0415

        return zypper.compile_catalog(repositories, policy)
    if family == "pacman":
        return pacman.compile_catalog(repositories, policy)
    raise InvalidInput(
        f"the package manager {policy.package_manager!r} is unknown; known are {', '.join(FAMILY_OF_MANAGER)}",
        pointer="$.package_manager",
    )
