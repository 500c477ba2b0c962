"""What an evaluation says of an installed package."""

from enum import StrEnum

import msgspec


class State(StrEnum):
    """Why a package is, or is not, simply outstanding. One state a verdict; the most telling wins."""

    OUTSTANDING = "outstanding"
    HELD = "held"
    KEPT_BACK = "kept-back"
    PHASED = "phased"
    PINNED = "pinned"
    EXCLUDED = "excluded"
    LOCKED = "locked"
    OBSOLETED = "obsoleted"
    """Another package replaces it."""
    VENDOR = "vendor"
    """zypper: newer only from another vendor."""
    RETRACTED = "retracted"
    MODULE = "module"
    """dnf: newer only outside the enabled module stream."""
    NOT_IN_ANY_REPOSITORY = "not-in-any-repository"
    NEWER_THAN_REPOSITORY = "newer-than-repository"
    UNORDERED = "unordered"
    """Its version is none to its package manager's rules, so nothing can be said to be newer."""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One package of one host. Packages that are simply up to date have no verdict."""

    name: str
    arch: str
    """Architecture of the installed package."""
    installed: str
    """`[epoch:]version[-release]` that the package manager compares with."""
    state: State
    listed: bool
    """Whether the package manager itself lists it as an available update."""
    why: str
    """One sentence for a sysadmin: the rule and the data that decided."""
    rule: str
    """Stable code of that rule, as `apt.pin` or `dnf.exclude`."""
    candidate: str | None = None
    candidate_arch: str | None = None
    repository: str | None = None
    """Id of the repository, as the host calls it, that the candidate would come from."""
    repositories: tuple[str, ...] = ()
    """Every enabled repository that has exactly this candidate, in the package manager's order."""
    security: bool = False
    advisories: tuple[str, ...] = ()
    """Security advisories that decided `security`."""
    security_repository: str | None = None
    """The security repository that decided `security`."""
    package_id: int | None = None
    """The engine's id of the installed package; None offline."""
