"""The security advisories of one distribution release, as the errata service gathered them: pure data for the rules.

They come beside what repositories say themselves (a security label, updateinfo). An update is a security fix
if an advisory fixes a version above the installed one and up to the candidate: Debian's advisories name source
packages and are compared with source versions; Ubuntu's name binaries, and sources for those that they do not
list; the others name binaries.
"""

import re
from collections.abc import Iterable

import msgspec
from patchbay_shared.catalogue import AvailablePackage
from patchbay_shared.errors import InvalidVersion
from patchbay_shared.source_packages import source_of
from patchbay_shared.versions import evr_key

from patchbay_update_engine.evaluate.catalog import InstalledPackage

_REBUILD = re.compile(r"\+b[0-9]+\Z")
"""Debian's mark of a binary that was rebuilt from an unchanged source (Developer's Reference 5.10.2.1)."""


class ReleaseFix(msgspec.Struct, frozen=True, gc=False):
    """One fix of a security advisory."""

    advisory: str
    kind: str
    """source or binary."""
    package: str
    arch: str
    """"" is any."""
    module: str
    """`name:stream`, or ""."""
    evr_key: bytes


class ReleaseAdvisories:
    """The fixes, by package name."""

    def __init__(self, fixes: Iterable[ReleaseFix] = ()) -> None:
        self._sources: dict[str, list[ReleaseFix]] = {}
        self._binaries: dict[str, list[ReleaseFix]] = {}
        for fix in fixes:
            named = self._sources if fix.kind == "source" else self._binaries
            named.setdefault(fix.package, []).append(fix)

    def binary_fixes(self, name: str) -> list[ReleaseFix]:
        """Those that name a binary package."""
        return self._binaries.get(name, [])

    def for_deb(
        self, package: InstalledPackage, candidate: AvailablePackage, current: AvailablePackage | None
    ) -> tuple[str, ...]:
        """Ids of the advisories that an update of a dpkg package brings in, without repetition.

        `current` is the installed version as a repository offers it: it knows the source version of a package
        whose report does not.
        """
        binaries = self._binaries.get(package.name, [])
        found = [fix.advisory for fix in binaries if package.evr_key < fix.evr_key <= candidate.evr_key]
        named = candidate.source or candidate.name
        source = source_of(named, "")[0]
        if source in self._sources:
            listed = {fix.advisory for fix in binaries}
            known = package.source_version or (current.source_version if current else None)
            before = source_key(named, package.evr, package.evr_key, known)
            after = source_key(named, candidate.evr, candidate.evr_key, candidate.source_version)
            found += [
                fix.advisory
                for fix in self._sources[source]
                if fix.advisory not in listed and before < fix.evr_key <= after
            ]
        return tuple(dict.fromkeys(found))

    def for_binary(self, name: str, arch: str, installed: bytes, candidate: bytes) -> tuple[str, ...]:
        """Ids of the advisories that name a binary, for versions above `installed` and up to `candidate`."""
        fixes = self._binaries.get(name)
        if not fixes:
            return ()
        found = [fix.advisory for fix in fixes if fix.arch in {"", arch} and installed < fix.evr_key <= candidate]
        return tuple(dict.fromkeys(found))


NO_ADVISORIES = ReleaseAdvisories()


def source_key(source: str, evr: str, key: bytes, source_version: str | None) -> bytes:
    """Sort key of a dpkg package's source version: the one that is given, else its own without a rebuild's mark.

    Of a package that is only signed it is the version of the source that was signed.
    """
    text = source_of(source, source_version or _REBUILD.sub("", evr))[1]
    if text == evr:
        return key
    try:
        return evr_key("deb", text)
    except InvalidVersion:
        return key
