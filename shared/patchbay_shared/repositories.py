"""Which repository a host's entry means: one identity, however many hosts name it."""

import uuid
from typing import Protocol

from patchbay_shared.report import ReportRepository

_NAMESPACE = uuid.UUID("6f6f3a52-3f0e-5d2b-9a53-0b5a7f3f8a11")

TYPES = {
    "deb": "deb",
    "rpm": "rpm-md",
    "rpm-md": "rpm-md",
    "yast2": "susetags",
    "susetags": "susetags",
    "arch": "pacman",
    "pacman": "pacman",
    "gentoo": "gentoo",
}
"""A reported type to the format that repo-sync reads."""


def location(definition: ReportRepository) -> str:
    """The URL that identifies the repository: mirrorlist, metalink or first base URL; "" if it names none.

    A query without a name is a host's own token (SUSE's customer centre, SUSE Manager), no part of the identity.
    """
    url = definition.mirrorlist or definition.metalink or (definition.urls[0] if definition.urls else "")
    return without_token(url.strip()).rstrip("/")


def without_token(url: str) -> str:
    """A URL without the token that it ends with, if that is all of its query.

    >>> without_token("https://updates.suse.com/SUSE/Updates/x/update/?Fz3tI8Q")
    'https://updates.suse.com/SUSE/Updates/x/update/'
    """
    place, _, query = url.partition("?")
    return url if "=" in query else place


def suite(definition: ReportRepository) -> str:
    """apt: the suite ("./" for a flat repository at its base); pacman: the database's name; else ""."""
    kind = TYPES.get(definition.type, definition.type)
    if kind == "deb":
        return definition.suite or "./"
    return definition.id if kind == "pacman" else ""


def repository_id(definition: ReportRepository) -> uuid.UUID:
    """The repository's id, the same on every host that configures it with the same URL and suite."""
    kind = TYPES.get(definition.type, definition.type)
    return uuid.uuid5(_NAMESPACE, "\n".join((kind, location(definition), suite(definition))))


def is_flat(definition: ReportRepository) -> bool:
    """Whether an apt source is flat (no dists/, no components)."""
    return suite(definition).endswith("/")


class ArchitecturePolicy(Protocol):
    """What decides an apt source's architectures where it names none: a Report, or a stored policy."""

    @property
    def native_arch(self) -> str: ...

    @property
    def foreign_archs(self) -> list[str]: ...


def indexes(definition: ReportRepository, policy: ArchitecturePolicy) -> list[tuple[str, str]]:
    """The (component, architecture) pairs that this host reads; [("", "")] for all but apt's dists/.

    An apt source without architectures means the host's own and its foreign ones.
    """
    if TYPES.get(definition.type) != "deb" or is_flat(definition):
        return [("", "")]
    architectures = definition.architectures or [policy.native_arch or "amd64", *policy.foreign_archs]
    components = definition.components or ["main"]
    return [(c, a) for c in dict.fromkeys(components) for a in dict.fromkeys(architectures)]
