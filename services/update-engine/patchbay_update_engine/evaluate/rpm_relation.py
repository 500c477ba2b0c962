"""Versioned relations of rpm (`name`, `name <op> evr`) and the architectures that a machine can run."""

from functools import lru_cache

import msgspec
from patchbay_shared.errors import InvalidVersion
from patchbay_shared.versions import evr_key

NOARCH = "noarch"
SIGNING_KEY = "gpg-pubkey"
"""Name under which rpm keeps imported keys in its database; libsolv does not take them for packages."""

_X86_32 = ("i686", "i586", "i486", "i386")
_ARMV7 = ("armv7hl", "armv6hl")
_RUNS: dict[str, tuple[str, ...]] = {
    "x86_64_v4": ("x86_64_v4", "x86_64_v3", "x86_64_v2", "x86_64", "athlon", *_X86_32),
    "x86_64_v3": ("x86_64_v3", "x86_64_v2", "x86_64", "athlon", *_X86_32),
    "x86_64_v2": ("x86_64_v2", "x86_64", "athlon", *_X86_32),
    "x86_64": ("x86_64", "athlon", *_X86_32),
    "amd64": ("amd64", "x86_64", "athlon", *_X86_32),
    "ia32e": ("ia32e", "x86_64", "athlon", *_X86_32),
    "athlon": ("athlon", *_X86_32),
    "i686": _X86_32,
    "i586": _X86_32[1:],
    "i486": _X86_32[2:],
    "ppc64p7": ("ppc64p7", "ppc64", "ppc"),
    "ppc64": ("ppc64", "ppc"),
    "s390x": ("s390x", "s390"),
    "armv8hl": ("armv8hl", *_ARMV7),
    "armv7hnl": ("armv7hnl", *_ARMV7),
    "armv7hl": _ARMV7,
    "armv7l": ("armv7l", "armv6l", "armv5tel", "armv5l", "armv4l"),
    "armv6l": ("armv6l", "armv5tel", "armv5l", "armv4l"),
}


class Relation(msgspec.Struct, frozen=True):
    """A parsed relation. `operator` is empty when any version will do."""

    name: str
    operator: str = ""
    evr: str = ""

    def matches(self, evr: str) -> bool:
        """Whether a package of this name at `evr` fulfils it.

        Where one side has no release only epoch and version count, as in rpm. A version that rpm could
        not order matches nothing.
        """
        if not self.operator:
            return True
        wanted, found = self.evr, evr
        if "-" not in wanted or "-" not in found:
            wanted, found = _without_release(wanted), _without_release(found)
        try:
            left, right = _key(found), _key(wanted)
        except InvalidVersion:
            return False
        if left == right:
            return "=" in self.operator
        return (">" if left > right else "<") in self.operator


@lru_cache(maxsize=65_536)
def parse_relation(text: str) -> Relation:
    """`name` or `name <op> evr`, op one of < <= = >= >. What does not read so is a name as a whole."""
    parts = text.split(" ")
    if len(parts) == 3 and parts[1] in {"<", "<=", "=", ">=", ">"}:
        return Relation(parts[0], parts[1], parts[2])
    return Relation(text)


def runnable_architectures(machine: str) -> tuple[str, ...]:
    """Package architectures that the machine can run, best first, noarch last; empty if the machine is unknown.

    Source: the architecture policies of libsolv.
    """
    if not machine:
        return ()
    return (*_RUNS.get(machine, (machine,)), NOARCH)


def _without_release(evr: str) -> str:
    return evr.rpartition("-")[0] or evr


@lru_cache(maxsize=65_536)
def _key(evr: str) -> bytes:
    return evr_key("rpm", evr)
