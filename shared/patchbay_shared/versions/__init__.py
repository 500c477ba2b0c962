"""Version order of deb, rpm, alpm and portage as sortable bytes."""

from collections.abc import Callable

from patchbay_shared.catalogue import Scheme
from patchbay_shared.versions import alpm, deb, portage, rpm

_KEYS: dict[str, Callable[[str], bytes]] = {
    "deb": deb.key,
    "rpm": rpm.key,
    "alpm": alpm.key,
    "portage": portage.key,
}
_COMPARE: dict[str, Callable[[str, str], int]] = {
    "deb": deb.compare,
    "rpm": rpm.compare,
    "alpm": alpm.compare,
    "portage": portage.compare,
}


def evr_key(scheme: Scheme, evr: str) -> bytes:
    """Sort key of a version: keys compare as bytes in the order the package manager gives.

    `evr` is "[epoch:]version[-release]"; an absent epoch is 0.
    Raises InvalidVersion. Rules: Debian Policy 5.6.12; rpmvercmp of rpm 4.18; alpm_pkg_vercmp of pacman 6;
    PMS 8, section 3.3.

    >>> evr_key("deb", "1.0~rc1") < evr_key("deb", "1.0") < evr_key("deb", "1:0.9")
    True
    """
    return _KEYS[scheme](evr)


def compare(scheme: Scheme, a: str, b: str) -> int:
    """-1, 0 or 1 as the package manager's own comparer says, also where one side has no release."""
    return _COMPARE[scheme](a, b)
