"""dnf's modularity: which module streams are active, and which packages that hides.

Rules (libdnf's module container, dnf's modularity documentation):

- A stream is active if the host enabled it, or if it is the module's default stream and the host
  neither enabled another stream nor disabled the module; and if what it requires can be had.
- A package that is listed by streams none of which is active is hidden.
- While a stream is active, every other package that has, or provides, the name of one of its packages
  is hidden.
- Repositories with `module_hotfixes` are exempt from both.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

import msgspec
from patchbay_shared.catalogue import AvailablePackage, ModuleMetadata, ModuleStream, Relations
from patchbay_shared.report import ModuleState

_SOURCE_ARCHITECTURES = frozenset({"src", "nosrc"})
_decode_relations = msgspec.msgpack.Decoder(Relations).decode

_Chosen: TypeAlias = dict[str, tuple[str, str]]
"""Module name to its active stream and the digest of that stream's requirements."""


class ModuleFilter(msgspec.Struct, frozen=True):
    """What the active streams show and hide."""

    active: frozenset[str] = frozenset()
    """`name:stream` of the active streams."""
    shown: frozenset[str] = frozenset()
    """`name-evr.arch` of the packages of active streams."""
    hidden: Mapping[str, str] = {}
    """`name-evr.arch` of packages that only inactive streams list, to such a `name:stream`."""
    names: Mapping[str, str] = {}
    """Package names of active streams, to that `name:stream`."""

    def hides(self, package: AvailablePackage) -> tuple[str, str] | None:
        """The rule and the `name:stream` that hide the package of a repository without module_hotfixes."""
        if not self.hidden and not self.names:
            return None
        nevra = f"{package.name}-{package.evr}.{package.arch}"
        if nevra in self.shown:
            return None
        stream = self.hidden.get(nevra)
        if stream is not None:
            return "dnf.module.stream", stream
        if not self.names:
            return None
        stream = self.names.get(package.name)
        if stream is not None:
            return "dnf.module.shadowed", stream
        for provided in _provided_names(package):
            stream = self.names.get(provided)
            if stream is not None:
                return "dnf.module.shadowed", stream
        return None


def module_filter(
    metadata: Sequence[ModuleMetadata],
    states: Sequence[ModuleState],
    *,
    platform: str = "",
    architectures: Collection[str] = (),
) -> ModuleFilter:
    """The filter of a host with these modules in its enabled repositories.

    `platform` is os-release's PLATFORM_ID (`platform:el8`), empty if unknown; `architectures` are the
    host's, empty for any.
    """
    streams = [
        stream
        for repository in metadata
        for stream in repository.streams
        if not architectures or stream.arch in architectures or not stream.arch
    ]
    if not streams:
        return ModuleFilter()
    chosen = _Resolver(streams, _defaults(metadata), states, platform.partition(":")[2]).active()
    shown: set[str] = set()
    hidden: dict[str, str] = {}
    names: dict[str, str] = {}
    for stream in streams:
        label = f"{stream.name}:{stream.stream}"
        is_active = chosen.get(stream.name) == (stream.stream, _requirements(stream))
        for artifact in stream.artifacts:
            name, nevra, arch = _artifact(artifact)
            if not name:
                continue
            if not is_active:
                hidden.setdefault(nevra, label)
                continue
            shown.add(nevra)
            if arch not in _SOURCE_ARCHITECTURES:
                names[name] = label
    return ModuleFilter(
        active=frozenset(f"{name}:{stream}" for name, (stream, _) in chosen.items()),
        shown=frozenset(shown),
        hidden=hidden,
        names=names,
    )


class _Resolver:
    """Chooses streams: the enabled ones, then the defaults, each with what it requires."""

    def __init__(
        self,
        streams: Sequence[ModuleStream],
        defaults: Mapping[str, str],
        states: Sequence[ModuleState],
        platform: str,
    ) -> None:
        self._defaults = defaults
        self._platform = platform
        self._enabled = {s.name: s.stream for s in states if s.state == "enabled" and s.stream}
        self._disabled = {s.name for s in states if s.state == "disabled"}
        self._variants: dict[str, dict[str, dict[str, ModuleStream]]] = {}
        """Module, stream, digest of the requirements: the newest version of that variant."""
        for stream in streams:
            variants = self._variants.setdefault(stream.name, {}).setdefault(stream.stream, {})
            key = _requirements(stream)
            if key not in variants or variants[key].version < stream.version:
                variants[key] = stream

    def active(self) -> _Chosen:
        chosen: _Chosen = {}
        for name, stream in sorted(self._enabled.items()):
            chosen = self._choose(name, [stream], chosen) or chosen
        for name, stream in sorted(self._defaults.items()):
            if name not in self._enabled and name not in self._disabled:
                chosen = self._choose(name, [stream], chosen) or chosen
        return chosen

    def _choose(self, name: str, wanted: Sequence[str], chosen: _Chosen, depth: int = 0) -> _Chosen | None:
        """`chosen` with one of the wanted streams (none named: any) and its requirements; None if impossible."""
        if name in chosen:
            return chosen if _allows(wanted, chosen[name][0]) else None
        if name in self._disabled or depth > 20:
            return None
        for stream in self._preferred(name):
            if not _allows(wanted, stream):
                continue
            variants = self._variants[name][stream]
            for key, variant in sorted(variants.items(), key=lambda item: -item[1].version):
                result: _Chosen | None = {**chosen, name: (stream, key)}
                for required, streams in variant.requires.items():
                    if required == "platform":
                        fits = not self._platform or _allows(streams, self._platform)
                        result = result if fits else None
                    elif result is not None:
                        result = self._choose(required, streams, result, depth + 1)
                    if result is None:
                        break
                if result is not None:
                    return result
        return None

    def _preferred(self, name: str) -> list[str]:
        """The streams of a module that may become active, the likeliest first.

        Where no repository has the enabled stream any more, another module may still require any of the others.
        """
        available = self._variants.get(name, {})
        enabled = self._enabled.get(name, "")
        if enabled in available:
            return [enabled]
        default = self._defaults.get(name)
        return sorted(available, key=lambda stream: (stream != default, stream))


def _defaults(metadata: Sequence[ModuleMetadata]) -> dict[str, str]:
    """Default streams; repositories that disagree about a module leave it without one (libmodulemd's merge)."""
    merged: dict[str, str] = {}
    disputed: set[str] = set()
    for repository in metadata:
        for name, stream in repository.defaults.items():
            if merged.setdefault(name, stream) != stream:
                disputed.add(name)
    return {name: stream for name, stream in merged.items() if name not in disputed}


def _allows(wanted: Sequence[str], stream: str) -> bool:
    """Whether a requirement (`[]` any, `-x` all but x, otherwise one of them) is met by the stream."""
    if f"-{stream}" in wanted:
        return False
    positive = [w for w in wanted if not w.startswith("-")]
    return not positive or stream in positive


def _requirements(stream: ModuleStream) -> str:
    return repr(sorted((name, sorted(streams)) for name, streams in stream.requires.items()))


def _artifact(artifact: str) -> tuple[str, str, str]:
    """Name, `name-evr.arch` without a zero epoch, and architecture; an empty name if it is no NEVRA."""
    rest, _, arch = artifact.rpartition(".")
    parts = rest.rsplit("-", 2)
    if len(parts) != 3 or not parts[0]:
        return "", "", ""
    name, version, release = parts
    return name, f"{name}-{version.removeprefix('0:')}-{release}.{arch}", arch


def _provided_names(package: AvailablePackage) -> list[str]:
    if package.relations is None:
        return []
    return [text.split(" ", 1)[0] for text in _decode_relations(package.relations).provides]
