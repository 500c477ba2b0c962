"""Which security advisories a dnf update would bring in (zypper has patches: `zypper_patches`).

The rule: an update from `installed` to `candidate` is a security fix if a
security advisory of an enabled repository names the package (same name and architecture) at a version that
is newer than the installed and not newer than the candidate. So a bug-fix build that was published on top of a
security fix still counts, and an advisory that the host already has does not.

`dnf check-update --security` answers the same (libdnf's advisory filter with "greater or equal" and
"upgrade"). Advisories of a module stream count only while that stream is active on the host.
"""

from collections.abc import Collection, Iterable

import msgspec
from patchbay_shared.errors import InvalidVersion
from patchbay_shared.versions import evr_key

from patchbay_update_engine.evaluate.advisories import NO_ADVISORIES, ReleaseAdvisories
from patchbay_update_engine.evaluate.catalog import PackageIndex

_NOTHING: tuple["AdvisoryFix", ...] = ()


class AdvisoryFix(msgspec.Struct, frozen=True, gc=False):
    """One package version that a security advisory ships."""

    advisory: str
    arch: str
    evr_key: bytes


class SecurityFixes:
    """The security advisories of a host's enabled repositories, sorted out per package name on first use."""

    def __init__(
        self,
        indexes: Iterable[PackageIndex],
        *,
        active_streams: Collection[str] = (),
        release: ReleaseAdvisories = NO_ADVISORIES,
    ) -> None:
        """`active_streams` are `name:stream`; `release` is what the errata service knows beside the repositories."""
        self._indexes = tuple(index for index in indexes if index.content.advisories)
        self._active_streams = active_streams
        self._release = release
        self._by_name: dict[str, tuple[AdvisoryFix, ...]] = {}

    def between(self, name: str, arch: str, installed: bytes, candidate: bytes) -> tuple[str, ...]:
        """Ids of the security advisories for versions above `installed` and up to `candidate` (sort keys).

        `arch` is the candidate's. In the order of the repositories, without repetition.
        """
        fixes = self._by_name.get(name)
        if fixes is None:
            fixes = self._by_name[name] = self._collect(name)
        if not fixes:
            return ()
        found = [f.advisory for f in fixes if f.arch in {"", arch} and installed < f.evr_key <= candidate]
        return tuple(dict.fromkeys(found)) if found else ()

    def _collect(self, name: str) -> tuple[AdvisoryFix, ...]:
        found: list[AdvisoryFix] = []
        for index in self._indexes:
            for advisory, package in index.advisories_of(name):
                if advisory.type != "security":
                    continue
                if package.module and package.module not in self._active_streams:
                    continue
                try:
                    key = evr_key("rpm", package.evr)
                except InvalidVersion:
                    continue
                found.append(AdvisoryFix(advisory.id, package.arch, key))
        found += [
            AdvisoryFix(fix.advisory, fix.arch, fix.evr_key)
            for fix in self._release.binary_fixes(name)
            if not fix.module or fix.module in self._active_streams
        ]
        return tuple(found) if found else _NOTHING
