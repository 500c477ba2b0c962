"""apt_preferences(5): the stanzas of a host, and which index files and versions they match.

The rules are those of apt 2.6 (`ReadPinFile`, `pkgPolicy::CreatePin`, `pkgVersionMatch`), which are not quite
the manual's:

- `Package: *` makes a general stanza. It gives an *index* its priority; the first that matches counts, and
  APT::Default-Release comes before all of them.
- Any other name, also a pattern, makes a specific stanza. It gives a *version* its priority; the first counts.
- A name without architecture means packages of the native architecture only; `name:any` means all.
- dpkg's own list of installed packages is an index too, of archive `now`: `release *` matches it.
"""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec
from patchbay_shared.catalogue import ReleaseInfo

from patchbay_update_engine.evaluate.apt_pattern import Test, compile_pattern, is_pattern
from patchbay_update_engine.evaluate.catalog import Policy

NEVER = -32_768
"""`Pin-Priority: never`, as apt stores it."""
_MOST = 32_767
_DEFAULT_RELEASE_PRIORITY = 990

_RELEASE_LETTERS = frozenset("aclnovb")
_FIELD = re.compile(r"^([!-9;-~]+)[ \t]*:[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n[ \t]*\n")
_INTEGER = re.compile(r"[ \t]*([+-]?[0-9]{1,9})")


class IndexIdentity(msgspec.Struct, frozen=True):
    """What a pin can ask of one index file. None is a field that the Release file does not have."""

    archive: str | None = None
    codename: str | None = None
    version: str | None = None
    origin: str | None = None
    label: str | None = None
    component: str | None = None
    architecture: str | None = None
    site: str | None = None
    """Host of the URL, empty for a local repository."""
    is_status: bool = False
    """dpkg's list of installed packages."""


STATUS = IndexIdentity(archive="now", component="now", is_status=True)


def identity(release: ReleaseInfo, *, component: str, architecture: str, site: str) -> IndexIdentity:
    """The identity of one index of a repository."""
    return IndexIdentity(
        archive=release.suite or None,
        codename=release.codename or None,
        version=release.version or None,
        origin=release.origin or None,
        label=release.label or None,
        component=component,
        architecture=architecture or None,
        site=site,
    )


class Stanza:
    """One record of the preferences."""

    __slots__ = ("_names", "_tests", "general", "kind", "pin", "priority", "text")

    def __init__(self, packages: str, kind: Literal["release", "origin", "version"], pin: str, priority: int) -> None:
        self.general = packages == "*"
        self.kind = kind
        self.pin = pin
        self.priority = priority
        self._names = () if self.general else tuple(_NamePattern(name) for name in packages.split())
        self._tests: dict[str, Test] | None = _tests(kind, pin)
        shown = packages if len(packages) <= 60 else f"{packages[:57]}..."
        self.text = f"Package: {shown} / Pin: {kind} {pin}"
        """How a sentence names it."""

    def names(self, name: str, source: str, arch: str, native_arch: str) -> bool:
        """Whether a specific stanza is about this package. `arch` is the native one for Architecture: all."""
        return any(
            pattern.takes_arch(arch, native_arch) and pattern.test(source if pattern.of_source else name)
            for pattern in self._names
        )

    def matches_index(self, index: IndexIdentity) -> bool:
        """Whether an index file is one that the stanza speaks of."""
        tests = self._tests
        if self.kind == "release" and not tests and self.pin != "*":
            return index.is_status
        if tests is None or self.kind == "version":
            return False
        if self.kind == "origin":
            return not index.is_status and index.site is not None and tests["site"](index.site)
        for letter, test in tests.items():
            values = [getattr(index, attribute) for attribute in _ATTRIBUTES[letter]]
            if not any(value is not None and test(value) for value in values):
                return False
        return True

    def matches_version(self, evr: str) -> bool:
        """Whether a version text is one that a `version` stanza speaks of."""
        return self.kind == "version" and self._tests is not None and self._tests["version"](evr)


_ATTRIBUTES = {
    "a": ("archive",),
    "n": ("codename",),
    "v": ("version",),
    "o": ("origin",),
    "l": ("label",),
    "c": ("component",),
    "b": ("architecture",),
    "release": ("archive", "codename"),
}
"""Letter of `Pin: release` to what it asks; `release` is the form without a letter."""


class _NamePattern:
    """One word of the field `Package:`."""

    __slots__ = ("_arch", "of_source", "test")

    def __init__(self, word: str) -> None:
        self.of_source = word.startswith("src:")
        name, colon, arch = word.removeprefix("src:").rpartition(":")
        if not colon:
            name, arch = arch, ""
        self._arch = arch
        self.test: Test = compile_pattern(name) if is_pattern(name) else name.__eq__

    def takes_arch(self, arch: str, native_arch: str) -> bool:
        wanted = self._arch or native_arch
        return wanted in {arch, "any", "linux-any", f"linux-{arch}", f"any-{arch}"}


def stanzas_of(policy: Policy) -> list[Stanza]:
    """The stanzas of a host in order: those of `preferences` if the report has that text, else of `pins`."""
    if policy.preferences is not None:
        return parse_preferences(policy.preferences)
    found = []
    for pin in policy.pins:
        priority = None if pin.priority is None else str(pin.priority)
        stanza = _stanza(" ".join(pin.packages), pin.pin, priority)
        if stanza is not None:
            found.append(stanza)
    return found


def parse_preferences(text: str) -> list[Stanza]:
    """The stanzas of a text in apt_preferences(5) format; those that apt cannot use are left out."""
    lines = (line for line in text.replace("\r\n", "\n").split("\n") if not line.startswith("#"))
    found = []
    for block in _BLANK_LINES.split("\n".join(lines)):
        fields = {name.lower(): " ".join(value.split()) for name, value in _FIELD.findall(block)}
        stanza = _stanza(fields.get("package", ""), fields.get("pin", ""), fields.get("pin-priority"))
        if stanza is not None:
            found.append(stanza)
    return found


def default_release(policy: Policy, indexes: Sequence[IndexIdentity]) -> Stanza | None:
    """APT::Default-Release as the general stanza that apt makes of it; None if no index is of that release."""
    wanted = policy.default_release
    if not wanted:
        return None
    test = compile_pattern(wanted)
    known = any(
        value is not None and test(value)
        for index in indexes
        for value in (index.archive, index.codename, index.version)
    )
    if not known and wanted[1:2] != "=" and not test("now"):
        return None
    stanza = Stanza("*", "release", wanted, _DEFAULT_RELEASE_PRIORITY)
    stanza.text = f"APT::Default-Release {wanted}"
    return stanza


def _stanza(packages: str, pin: str, priority_text: str | None) -> Stanza | None:
    kind, _, data = pin.partition(" ")
    kind = kind.lower()
    priority = _priority(priority_text)
    general = packages == "*"
    if not packages or not priority or (priority == NEVER and not general):
        return None
    if kind == "release":
        return Stanza(packages, "release", data.strip(), priority)
    if kind == "origin":
        return Stanza(packages, "origin", data.strip(), priority)
    if kind == "version" and not general:
        return Stanza(packages, "version", data.strip(), priority)
    return None


def _priority(text: str | None) -> int | None:
    """The number; None if apt refuses it."""
    if text is None:
        return None
    if text == "never":
        return NEVER
    match = _INTEGER.match(text)
    priority = int(match[1]) if match else 0
    if not NEVER <= priority <= _MOST:
        return None
    return max(priority, NEVER + 1)


def _tests(kind: str, pin: str) -> dict[str, Test] | None:
    """What has to hold, by letter of the release field; None if the stanza can match nothing.

    A release without any field that apt knows has no tests: apt then takes dpkg's own list for it, and nothing else.
    """
    if kind == "origin":
        site = pin[1:-1] if len(pin) >= 2 and pin[0] == pin[-1] == '"' else pin
        return {"site": compile_pattern(site)}
    if kind == "version":
        return {"version": _version_test(pin)} if pin else None
    if not pin:
        return {}
    if pin == "*":
        return {}
    if "=" not in pin:
        return {"v": _version_test(pin)} if pin[0].isdigit() else {"release": compile_pattern(pin)}
    tests: dict[str, Test] = {}
    for fragment in pin.split(","):
        letter, equals, value = fragment.strip()[:1].lower(), fragment.strip()[1:2], fragment.strip()[2:]
        if equals == "=" and letter in _RELEASE_LETTERS and value and (letter, value) != ("v", "*"):
            tests[letter] = _version_test(value) if letter == "v" else compile_pattern(value)
    return tests


def _version_test(text: str) -> Test:
    """A pattern, or what a version begins with before a last `*`, which is no part of a pattern: `*u1*` ends in u1.

    A `v=*` on its own asks nothing.
    """
    if not text.endswith("*"):
        return compile_pattern(text)
    start = text[:-1].lower()
    pattern = compile_pattern(text[:-1])
    return lambda value: value.lower().startswith(start) or pattern(value)
