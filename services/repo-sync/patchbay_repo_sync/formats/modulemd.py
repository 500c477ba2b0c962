"""modules.yaml of rpm-md repositories: module streams, their artifacts and the default streams.

Format: the modulemd specification, versions 1 to 3, and modulemd-defaults.
"""

from collections.abc import Iterator
from typing import BinaryIO, TypeAlias

import structlog
import yaml
from patchbay_shared.catalogue import ModuleMetadata, ModuleStream
from patchbay_shared.errors import InvalidInput

_log = structlog.get_logger(__name__)

_Node: TypeAlias = "str | list[_Node] | dict[str, _Node]"
_MAX_DEPTH = 64


def module_metadata(stream: BinaryIO) -> ModuleMetadata:
    """All modules of a modules.yaml. Raises InvalidInput.

    A document that lacks a name, stream or version is left out, as libmodulemd does. Stream names stay the
    text they are: 1.10 is not 1.1.
    """
    streams: list[ModuleStream] = []
    defaults: dict[str, str] = {}
    skipped = 0
    for document in _documents(stream):
        kind, data = _string(document, "document"), _mapping(document, "data")
        if kind == "modulemd":
            module = _module_stream(data)
            if module is None:
                skipped += 1
            else:
                streams.append(module)
        elif kind == "modulemd-defaults":
            name, default = _string(data, "module"), _string(data, "stream")
            if name and default:
                defaults[name] = default
    if skipped:
        _log.warning("module_documents_incomplete", count=skipped)
    return ModuleMetadata(streams=streams, defaults=defaults)


def _module_stream(data: dict[str, _Node]) -> ModuleStream | None:
    name, stream, version = (_string(data, key) for key in ("name", "stream", "version"))
    if not (name and stream and version.isascii() and version.isdigit() and len(version) <= 20):
        return None
    artifacts = _strings(_mapping(data, "artifacts").get("rpms"))
    return ModuleStream(
        name=name,
        stream=stream,
        version=int(version),
        context=_string(data, "context"),
        arch=_string(data, "arch"),
        artifacts=[nevra for nevra in artifacts if not nevra.endswith((".src", ".nosrc"))],
        requires=_requires(data.get("dependencies")),
    )


def _requires(dependencies: "_Node | None") -> dict[str, list[str]]:
    """Module name to the streams that any of the alternatives allows; [] stands for every stream."""
    # Version 1 has one mapping of name to stream, version 2 a list of alternatives with lists of streams.
    alternatives = dependencies if isinstance(dependencies, list) else [dependencies]
    requires: dict[str, list[str]] = {}
    for alternative in alternatives:
        if not isinstance(alternative, dict):
            continue
        for name, streams in _mapping(alternative, "requires").items():
            allowed = requires.setdefault(name, [])
            allowed += [
                text for text in _strings([streams] if isinstance(streams, str) else streams) if text not in allowed
            ]
    return requires


def _documents(stream: BinaryIO) -> Iterator[dict[str, _Node]]:
    """The YAML documents that are mappings, every scalar as its text.

    Built from the parser's events, because PyYAML's own composer recurses in C and a file of 200,000 open
    brackets ends the process. Aliases are not used in modulemd; refusing them rules out alias bombs.
    """
    stack: list[list[_Node] | dict[str, _Node]] = []
    keys: list[str | None] = []
    root: _Node | None = None

    def add(node: _Node) -> None:
        nonlocal root
        if not stack:
            root = node
            return
        parent = stack[-1]
        if isinstance(parent, list):
            parent.append(node)
        elif keys[-1] is None:
            keys[-1] = node if isinstance(node, str) else ""
        else:
            parent[keys[-1]] = node
            keys[-1] = None

    try:
        for event in yaml.parse(stream, Loader=yaml.CBaseLoader):
            if isinstance(event, yaml.ScalarEvent):
                add(event.value)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                if len(stack) >= _MAX_DEPTH:
                    raise InvalidInput(f"modules.yaml is nested deeper than {_MAX_DEPTH} levels")
                node: list[_Node] | dict[str, _Node] = {} if isinstance(event, yaml.MappingStartEvent) else []
                add(node)
                stack.append(node)
                keys.append(None)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                stack.pop()
                keys.pop()
            elif isinstance(event, yaml.AliasEvent):
                raise InvalidInput(f"modules.yaml uses the alias {event.anchor!r}, which modulemd does not allow")
            elif isinstance(event, yaml.DocumentEndEvent):
                if isinstance(root, dict):
                    yield root
                root = None
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"modules.yaml cannot be read: {' '.join(str(exc).split())}") from exc


def _mapping(node: dict[str, _Node], key: str) -> dict[str, _Node]:
    value = node.get(key)
    return value if isinstance(value, dict) else {}


def _string(node: dict[str, _Node], key: str) -> str:
    value = node.get(key)
    return value if isinstance(value, str) else ""


def _strings(node: "_Node | None") -> list[str]:
    return [item for item in node if isinstance(item, str)] if isinstance(node, list) else []
