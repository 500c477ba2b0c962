"""What the types of `Report` cannot say, checked for every wire form."""

import re
from typing import Any

import msgspec
from patchbay_shared.errors import InvalidInput
from patchbay_shared.report import FAMILY_OF_MANAGER, Report, ReportPackage, ReportRepository
from patchbay_shared.repositories import TYPES

PACKAGE_TYPES = ("deb", "rpm", "pacman", "arch", "gentoo", "apk")
REMEMBERED = 50_000
_good_versions: set[tuple[str, str, str, str]] = set()
_good_names: set[tuple[str, str]] = set()
_WORD = re.compile(r"[^\s\x00-\x1f\x7f]+\Z")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def check(report: Report) -> None:
    """Known types and package managers, and names and versions that are one word.

    Whether a version has an order is no matter: one package of thousands that has none is kept, and judged as such.
    Raises InvalidInput whose `pointer` names the place. A pattern in the types would say the same, at six times the
    cost of decoding the whole report; here what was found good once is remembered.
    """
    check_packages(report.packages)
    check_repositories(report.repos)
    check_manager(report.package_manager)


def check_packages(packages: list[ReportPackage] | None) -> None:
    """The packages' part of `check`."""
    versions, names = _good_versions, _good_names
    if packages is None or (
        versions.issuperset([(each.type, each.epoch, each.version, each.release) for each in packages])
        and names.issuperset([(each.name, each.arch) for each in packages])
    ):
        return
    for position, package in enumerate(packages):
        name = (package.name, package.arch)
        version = (package.type, package.epoch, package.version, package.release)
        if name not in names:
            _check_word(package.name, f"$.packages[{position}].name", "package name")
            if package.arch:
                _check_word(package.arch, f"$.packages[{position}].arch", "architecture")
            _remember(names, name)
        if version not in versions:
            _check_version(package, f"$.packages[{position}]")
            _remember(versions, version)


def check_repositories(repositories: list[ReportRepository] | None) -> None:
    """The repositories' part of `check`."""
    for position, repository in enumerate(repositories or ()):
        if repository.type not in TYPES:
            raise InvalidInput(
                f"Repository type {repository.type!r} at $.repos[{position}].type is not one of "
                f"{', '.join(sorted(TYPES))}.",
                pointer=f"$.repos[{position}].type",
            )


def check_manager(name: str) -> None:
    """A package manager that somebody has rules for, or none."""
    if name and name not in FAMILY_OF_MANAGER:
        raise InvalidInput(
            f"The package manager {name!r} at $.package_manager is not one of {', '.join(FAMILY_OF_MANAGER)}.",
            pointer="$.package_manager",
        )


def _check_word(word: str, where: str, what: str) -> None:
    if not _WORD.match(word):
        raise InvalidInput(f"The {what} {word!r} at {where} is not one word.", pointer=where)


def _check_version(package: ReportPackage, where: str) -> None:
    if package.type not in PACKAGE_TYPES:
        raise InvalidInput(
            f"Package type {package.type!r} at {where}.type is not one of {', '.join(PACKAGE_TYPES)}.",
            pointer=f"{where}.type",
        )
    _check_word(package.version, f"{where}.version", "version")
    if package.release:
        _check_word(package.release, f"{where}.release", "release")


def _remember(memory: set[Any], value: tuple[str, ...]) -> None:
    if len(memory) >= REMEMBERED:
        memory.clear()
    memory.add(value)


def has_nul(report: Report) -> bool:
    """Whether some text holds a NUL character, which PostgreSQL cannot store."""
    return _NUL.search(msgspec.json.encode(report)) is not None
