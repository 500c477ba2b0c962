"""Package patterns as dnf reads them in `excludepkgs`, `includepkgs` and the versionlock list.

A text is tried as one form after the other (name-epoch:version-release.arch, name.arch, name, ...) until some package
fits; every part may be a glob. Source: libdnf's Nevra and Subject, dnf's versionlock plugin.
"""

import fnmatch
import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
from patchbay_shared.catalogue import AvailablePackage

_NAME = r"(?P<name>[^:(/=<> ]+)"
_EPOCH = r"(?:(?P<epoch>[0-9]{1,10}):)?"
_VERSION = r"(?P<version>[^-:(/=<> ]+)"
_RELEASE = r"(?P<release>[^-:(/=<> ]+)"
_ARCH = r"(?P<arch>[^-:.(/=<> ]+)"

_NEVRA, _NEVR, _NEV, _NA, _N = (
    re.compile(form)
    for form in (
        f"{_NAME}-{_EPOCH}{_VERSION}-{_RELEASE}\\.{_ARCH}",
        f"{_NAME}-{_EPOCH}{_VERSION}-{_RELEASE}",
        f"{_NAME}-{_EPOCH}{_VERSION}",
        f"{_NAME}\\.{_ARCH}",
        _NAME,
    )
)
PACKAGE_FORMS = (_NEVRA, _NA, _N, _NEVR, _NEV)
"""The order in which excludes and includes are read."""
LOCK_FORMS = (_NEVRA, _NEVR, _NEV, _NA, _N)
"""The order in which the versionlock plugin reads its list."""
_GLOB = re.compile(r"[*?\[]")

_Test: TypeAlias = Callable[[str], object]


class PackagePattern(msgspec.Struct, frozen=True):
    """One reading of a pattern. A part that is None is not restricted."""

    text: str
    """The pattern as the administrator wrote it."""
    form: re.Pattern[str]
    name: str | None
    """The name, if it is not a glob."""
    name_test: _Test | None
    epoch: int | None = None
    version_test: _Test | None = None
    release_test: _Test | None = None
    arch_test: _Test | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it is of the form name-epoch:version-release.arch."""
        return self.form is _NEVRA

    def matches_name(self, name: str) -> bool:
        return self.name_test is None or bool(self.name_test(name))

    def matches(self, name: str, evr: str, arch: str) -> bool:
        if not self.matches_name(name):
            return False
        if self.arch_test is not None and not self.arch_test(arch):
            return False
        if self.epoch is None and self.version_test is None and self.release_test is None:
            return True
        epoch, _, rest = evr.rpartition(":")
        version, _, release = rest.rpartition("-")
        return (
            (self.epoch is None or int(epoch or "0") == self.epoch)
            and (self.version_test is None or bool(self.version_test(version or release)))
            and (self.release_test is None or bool(self.release_test(release)))
        )


def readings(text: str, forms: Sequence[re.Pattern[str]] = PACKAGE_FORMS) -> list[PackagePattern]:
    """Every form that the text can be read as, in the order of `forms`."""
    found = []
    for form in forms:
        match = form.fullmatch(text)
        if match is not None:
            parts = match.groupdict()
            epoch = parts.get("epoch")
            name = parts["name"]
            found.append(
                PackagePattern(
                    text=text,
                    form=form,
                    name=None if _GLOB.search(name) else name,
                    name_test=_test(name),
                    epoch=None if epoch is None else int(epoch),
                    version_test=_test(parts.get("version")),
                    release_test=_test(parts.get("release")),
                    arch_test=_test(parts.get("arch")),
                )
            )
    return found


def whole_nevra_glob(text: str) -> Callable[[AvailablePackage], bool]:
    """dnf's last resort: the text as a glob over `name-evr.arch`, whose epoch counts only if the text has a colon."""
    test = _test(text)
    with_epoch = ":" in text

    def matches(package: AvailablePackage) -> bool:
        evr = package.evr if with_epoch else package.evr.rpartition(":")[2]
        return test is None or bool(test(f"{package.name}-{evr}.{package.arch}"))

    return matches


def _test(part: str | None) -> _Test | None:
    if part is None or part == "*":
        return None
    if not _GLOB.search(part):
        return part.__eq__
    return re.compile(fnmatch.translate(part)).match
