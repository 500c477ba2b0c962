"""The sentence that says why apt lists an update, or does not."""

from collections.abc import Sequence

from patchbay_update_engine.evaluate.apt_versions import OfferedVersion
from patchbay_update_engine.evaluate.catalog import InstalledPackage

_SHOWN_LOSERS = 3
_SHOWN_ADVISORIES = 3


def why_listed(
    package: InstalledPackage,
    candidate: OfferedVersion,
    versions: Sequence[OfferedVersion],
    security_repository: str | None,
    advisories: Sequence[str] = (),
) -> str:
    """Which repository offers the candidate at which priority, and which newer versions lost."""
    record = candidate.package
    if record.evr_key > package.evr_key:
        relation = f"newer than the installed {package.evr}"
    elif record.evr == package.evr:
        relation = "the installed version with other content"
    else:
        relation = f"equal in order to the installed {package.evr}, but another build"
    verb = "have" if len(candidate.repositories) > 1 else "has"
    text = f"{_listing(candidate.repositories)} {verb} {record.evr}, {relation}, at {_priority(candidate)}"
    losers = [version for version in versions if version.package.evr_key > record.evr_key]
    if losers:
        shown = [_loser(version) for version in losers[:_SHOWN_LOSERS]]
        if len(losers) > _SHOWN_LOSERS:
            shown.append(f"{len(losers) - _SHOWN_LOSERS} more")
        text += f"; newer but outranked: {', '.join(shown)}"
    text += _security(security_repository, advisories)
    if package.held:
        text += "; the package is on hold, so apt-get upgrade leaves it alone"
    return f"{text}."


def why_pinned(
    package: InstalledPackage,
    newest: OfferedVersion,
    security_repository: str | None,
    advisories: Sequence[str] = (),
) -> str:
    """Which preference keeps a newer version away."""
    text = f"{_listing(newest.repositories)} has {newest.package.evr}, but"
    if newest.reason:
        text += f" {newest.reason} gives it only priority {newest.priority}"
    else:
        text += f" the installed {package.evr} has a higher priority by the host's preferences"
    text += _security(security_repository, advisories)
    return f"{text}."


def why_unlisted(package: InstalledPackage, versions: Sequence[OfferedVersion]) -> str:
    """Why there is nothing to compare the installed version with."""
    if not versions:
        return f"No enabled repository has a package {package.name} for {package.arch}, so nothing can update it."
    newest = versions[0]
    return (
        f"The installed {package.evr} is newer than every version that a repository has;"
        f" the newest is {newest.package.evr} in {newest.files[0].repository}."
    )


def _security(repository: str | None, advisories: Sequence[str]) -> str:
    text = "" if repository is None else f"; {repository} has a security fix in this range"
    if advisories:
        shown = [*advisories[:_SHOWN_ADVISORIES]]
        if len(advisories) > _SHOWN_ADVISORIES:
            shown.append(f"{len(advisories) - _SHOWN_ADVISORIES} more")
        text += f"; it brings the fixes of {_listing(shown)}"
    return text


def _priority(version: OfferedVersion) -> str:
    return f"priority {version.priority}" + (f" ({version.reason})" if version.reason else "")


def _loser(version: OfferedVersion) -> str:
    return f"{version.package.evr} in {version.files[0].repository} at {_priority(version)}"


def _listing(repositories: Sequence[str]) -> str:
    return (
        " and ".join([", ".join(repositories[:-1]), repositories[-1]]) if len(repositories) > 1 else repositories[0]
    )
