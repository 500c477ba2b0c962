"""SUSE's patches: which are needed on a host, and which updates they make security fixes.

A patch names packages at versions. It is needed if the host has one of them at an older version
and the vendor fits: some package of the patch's repository that fulfils it comes from the vendor of the
installed one (or the repository has none at all, so nothing can be said). Retracted patches are never needed.
Source: libsolv's treatment of patches (solvable_is_irrelevant_patch), which `zypper list-patches` shows.

An update is a security fix if a needed patch of category security names the package at a version above
the installed and not above the candidate. In SUSE's early dialect one patch has several versions under one
id; they count as one patch.
"""

from collections.abc import Mapping, Sequence, Set
from functools import lru_cache

from patchbay_shared.catalogue import AdvisoryPackage, RepositoryAdvisory
from patchbay_shared.errors import InvalidVersion
from patchbay_shared.versions import evr_key

from patchbay_update_engine.evaluate.catalog import InstalledPackage, PackageIndex
from patchbay_update_engine.evaluate.zypper_vendor import Vendors

_SECURITY = "security"
_RETRACTED = "retracted"


class Patches:
    """The patches of a host's enabled repositories."""

    def __init__(self, indexes: Sequence[PackageIndex], vendors: Vendors) -> None:
        self._indexes = [index for index in indexes if index.content.advisories]
        self._vendors = vendors

    def needed_security(self, newest: Mapping[tuple[str, str], InstalledPackage]) -> frozenset[str]:
        """Ids of the security patches that a host needs.

        `newest` is the newest installed package of each name and architecture: where versions are
        installed beside each other (kernels) the newest fulfils a patch.
        """
        needed: set[str] = set()
        for index in self._indexes:
            undecided: dict[int, str] = {}
            foreign: set[int] = set()
            for (name, arch), installed in newest.items():
                for advisory, package in index.advisories_of(name):
                    if package.arch != arch or advisory.id in needed or not _is_security(advisory):
                        continue
                    key = _key(package.evr)
                    if key is None or installed.evr_key >= key:
                        continue
                    fulfilling = [p for p in index.by_name.get(name, ()) if p.arch == arch and p.evr_key >= key]
                    vendor = self._vendors.class_of(installed.vendor)
                    if any(self._vendors.class_of(p.vendor) == vendor for p in fulfilling):
                        needed.add(advisory.id)
                    elif fulfilling:
                        foreign.add(id(advisory))
                    else:
                        undecided[id(advisory)] = advisory.id
            needed.update(name for key_, name in undecided.items() if key_ not in foreign)
        return frozenset(needed)

    def between(self, needed: Set[str], name: str, arch: str, installed: bytes, candidate: bytes) -> tuple[str, ...]:
        """Ids of the needed patches that name the package above `installed` and up to `candidate` (sort keys)."""
        found = [
            advisory.id
            for index in self._indexes
            for advisory, package in index.advisories_of(name)
            if advisory.id in needed and package.arch == arch and _is_within(package, installed, candidate)
        ]
        return tuple(dict.fromkeys(found))


def is_retracted(index: PackageIndex, name: str, arch: str, evr: str) -> bool:
    """Whether a retracted patch of the same repository lists exactly this package (libsolv marks it so)."""
    return any(
        advisory.status == _RETRACTED and package.arch == arch and package.evr == evr
        for advisory, package in index.advisories_of(name)
    )


def _is_security(advisory: RepositoryAdvisory) -> bool:
    return advisory.type == _SECURITY and advisory.status != _RETRACTED


def _is_within(package: AdvisoryPackage, installed: bytes, candidate: bytes) -> bool:
    key = _key(package.evr)
    return key is not None and installed < key <= candidate


@lru_cache(maxsize=65_536)
def _key(evr: str) -> bytes | None:
    try:
        return evr_key("rpm", evr)
    except InvalidVersion:
        return None
