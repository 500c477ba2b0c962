"""Crawling one mirror of a repository: fetch what differs from what is stored, and check it.

One file a format, one function each, `crawl(visit)`: it gives the new generation, or None if the mirror still serves
what is stored. Files are in the visit's folder and verified before any of them is read; nothing is written to the
database here. What cannot be used raises InvalidInput, Unavailable or Untrusted, and the next mirror is tried.
"""

from collections.abc import Callable
from datetime import datetime

from patchbay_shared.fetching.fetch import NotFound

from patchbay_repo_sync.crawl import apt, gentoo, pacman, rpmmd, susetags
from patchbay_repo_sync.crawl.visit import Lagging, Visit
from patchbay_repo_sync.swap import NewGeneration

__all__ = ["Lagging", "Visit", "crawl", "published"]


def crawl(visit: Visit) -> NewGeneration | None:
    """What the visited mirror has that is not stored yet."""
    return _CRAWLS[visit.repository.type](visit)


def published(visit: Visit) -> datetime | None:
    """What the visited mirror's entry document says of its age; None if its format says nothing.

    Raises as `crawl` does. The signature is not looked at, and nothing else is fetched.
    """
    look = _LOOKS.get(visit.repository.type)
    return look(visit) if look else None


def _rpmmd_below_suse(visit: Visit) -> NewGeneration | None:
    """openSUSE's older media have their rpm-md metadata beside the packages."""
    return rpmmd.crawl(visit.below("suse"))


def _first_of(*crawls: Callable[[Visit], NewGeneration | None]) -> Callable[[Visit], NewGeneration | None]:
    """The first format that the mirror has. zypper finds a repository's type out by itself, so its hosts may not
    know it, and media have changed it under the same URL."""

    def crawl_one(visit: Visit) -> NewGeneration | None:
        missing: NotFound | None = None
        for each in crawls:
            try:
                return each(visit)
            except NotFound as exc:
                missing = missing or exc
        raise missing or NotFound("There is nothing to look for.")

    return crawl_one


_CRAWLS: dict[str, Callable[[Visit], NewGeneration | None]] = {
    "deb": apt.crawl,
    "rpm-md": _first_of(rpmmd.crawl, susetags.crawl, _rpmmd_below_suse),
    "susetags": _first_of(susetags.crawl, rpmmd.crawl, _rpmmd_below_suse),
    "pacman": pacman.crawl,
    "gentoo": gentoo.crawl,
}
_LOOKS: dict[str, Callable[[Visit], datetime | None]] = {"deb": apt.published, "rpm-md": rpmmd.published}
