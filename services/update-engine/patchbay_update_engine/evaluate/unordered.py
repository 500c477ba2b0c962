"""Packages whose version has no order: they say so, and the rules judge the others."""

from collections.abc import Iterable

from patchbay_shared.report import FAMILY_OF_MANAGER

from patchbay_update_engine.evaluate.catalog import Catalog, InstalledPackage
from patchbay_update_engine.evaluate.families import INVENTORY_ONLY, InventoryOnly
from patchbay_update_engine.evaluate.verdict import State, Verdict

NAMED = 3


def judge_packages(catalog: Catalog, installed: Iterable[InstalledPackage], *, machine_id: str) -> list[Verdict]:
    """The verdicts of the catalog on what has an order, and one on each package that has none; in its order."""
    packages = list(installed)
    without = [each for each in packages if not each.evr_key]
    if not without:
        return catalog.evaluate(packages, machine_id=machine_id)
    verdicts = catalog.evaluate([each for each in packages if each.evr_key], machine_id=machine_id)
    if isinstance(catalog, InventoryOnly):
        return verdicts
    verdicts = [*verdicts, *(_unordered(each) for each in without if each.status != "config-files")]
    return sorted(verdicts, key=lambda each: (each.name, each.arch, each.installed))


def note_of(installed: Iterable[InstalledPackage], *, package_manager: str) -> str:
    """A sentence for the receipt of a report whose packages cannot be judged, or some of them; "" for others."""
    if not package_manager:
        return "The report does not name its package manager: its packages are kept, no updates are looked for."
    if FAMILY_OF_MANAGER.get(package_manager) in INVENTORY_ONLY:
        return ""
    without = sorted(f"{each.name} {each.evr}"[:120] for each in installed if not each.evr_key)
    if not without:
        return ""
    named = ", ".join(without[:NAMED]) + (", ..." if len(without) > NAMED else "")
    return (
        f"Packages whose version has no order, so that no update can be found for them: {len(without):,} ({named})."
    )


def _unordered(package: InstalledPackage) -> Verdict:
    return Verdict(
        name=package.name,
        arch=package.arch,
        installed=package.evr,
        state=State.UNORDERED,
        listed=False,
        why=f"{package.evr[:80]} is no version to the package manager's rules, so no other can be called newer.",
        rule="version.unordered",
        package_id=package.id,
    )
