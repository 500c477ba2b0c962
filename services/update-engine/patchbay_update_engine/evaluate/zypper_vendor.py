"""Vendor stickiness: which vendors libzypp takes for the same.

Vendors compare without case. All that begin with "suse" are one class; below "opensuse" only equal
strings are. The host's vendors.d may name further classes, whose entries are prefixes. Source: libzypp's VendorAttr.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec
from patchbay_shared.catalogue import AvailablePackage

from patchbay_update_engine.evaluate.catalog import InstalledPackage

_SUSE = "suse"
_OPENSUSE = "opensuse"


class Vendors:
    """The vendor classes of one host."""

    def __init__(self, equivalent: Sequence[Sequence[str]] = ()) -> None:
        groups: dict[str, str] = {_SUSE: _SUSE}
        for vendors in equivalent:
            names = [vendor.strip().lower() for vendor in vendors if vendor.strip()]
            if not names:
                continue
            # A list that names a known entry joins that entry's class, and all that it names.
            joined = {groups[name] for name in names if name in groups}
            target = min(joined) if joined else names[0]
            for name, group in list(groups.items()):
                if group in joined:
                    groups[name] = target
            groups.update(dict.fromkeys(names, target))
        self._groups = groups
        self._longest_first = sorted(groups, reverse=True)
        self.class_of = lru_cache(maxsize=10_000)(self._class_of)

    def _class_of(self, vendor: str | None) -> str:
        """A name that all equivalent vendors share."""
        lowered = (vendor or "").lower()
        if lowered.startswith(_OPENSUSE):
            group = self._groups.get(lowered)
        else:
            group = next((self._groups[p] for p in self._longest_first if lowered.startswith(p)), None)
        return lowered if group is None else f"class {group}"


def with_vendors(
    installed: Sequence[InstalledPackage], by_name: Callable[[str], Sequence[AvailablePackage]]
) -> list[InstalledPackage]:
    """The packages with the vendors that the report left out.

    Older clients report no vendor at all. Then a package is taken to come from the vendor whose
    repository has exactly it, else from the one that has the nearest version, so that it can be updated. Where
    any package has a vendor, a missing one means "none".
    """
    if any(package.vendor for package in installed):
        return list(installed)
    return [_with_vendor(package, by_name(package.name)) for package in installed]


def _with_vendor(package: InstalledPackage, offers: Sequence[AvailablePackage]) -> InstalledPackage:
    newer = [offer for offer in offers if offer.evr_key >= package.evr_key]
    if newer:
        vendor = min(newer, key=lambda offer: offer.evr_key).vendor
    elif offers:
        vendor = max(offers, key=lambda offer: offer.evr_key).vendor
    else:
        return package
    return msgspec.structs.replace(package, vendor=vendor)
