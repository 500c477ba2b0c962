from collections.abc import Sequence

import msgspec

from patchbay_update_engine.evaluate.apt_versions import OfferedVersion, VersionTable
from patchbay_update_engine.evaluate.catalog import InstalledPackage


class Upgrade(msgspec.Struct, frozen=True, gc=False):
    package: InstalledPackage
    candidate: OfferedVersion


class UpgradeSimulation:
    def __init__(self, versions: VersionTable) -> None:
        self._versions = versions

    def kept_back(self, installed: Sequence[InstalledPackage], upgrades: Sequence[Upgrade]) -> dict[int, str]:
        return {}
