"""zypper's package locks (`zypper addlock`, /etc/zypp/locks)."""

import fnmatch
import re
from collections.abc import Callable, Sequence

from patchbay_shared.report import Pin

from patchbay_update_engine.evaluate.rpm_relation import Relation

_OPERATORS = {"==": "=", "=": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class Locks:
    """The host's locks. `of` names the one that applies, as the administrator wrote it."""

    def __init__(self, pins: Sequence[Pin]) -> None:
        self._locks = [(pin, _name_test(pin), _version(pin)) for pin in pins if pin.type == "lock" and pin.name]

    def __bool__(self) -> bool:
        return bool(self._locks)

    def of(self, name: str, evr: str, arch: str, repository: str = "") -> str | None:
        """The lock on a package, or None. An installed package has no repository."""
        for pin, test, version in self._locks:
            if pin.arch and pin.arch != arch:
                continue
            if pin.repo and pin.repo != repository:
                continue
            if not test(name):
                continue
            if version is None or version.matches(evr):
                return pin.name
        return None


def _name_test(pin: Pin) -> Callable[[str], object]:
    name = pin.name.removeprefix("package:")
    match pin.match:
        case "exact":
            return name.__eq__
        case "substring":
            return lambda text: name in text
        case "regex":
            try:
                return re.compile(name).search
            except re.error:
                return name.__eq__
        case "word":
            return re.compile(rf"\b{re.escape(name)}\b").search
        case _:
            return re.compile(fnmatch.translate(name)).match


def _version(pin: Pin) -> Relation | None:
    """`version` of a lock: `1.2-3` or `>= 1.2`."""
    words = pin.version.split()
    if not words:
        return None
    if len(words) == 1:
        return Relation(pin.name, "=", words[0])
    return Relation(pin.name, _OPERATORS.get(words[0], "="), words[1])
