"""What each version puts on the broker, with every field set: `python tests/support/recorded_messages.py` records it.

tests/data/messages/VERSION.json is what that version wrote. The file of a released version never changes again;
that of the version in work is recorded anew when a message gains a field.
"""

import base64
import json
import types
import typing
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Union
from uuid import UUID

import msgspec
import zstandard
from patchbay_shared import messages
from patchbay_shared.bus import Delivery
from patchbay_shared.report import Report, ReportPackage, ReportRepository

RECORDINGS = Path(__file__).parents[1] / "data" / "messages"
VERSION = metadata.version("patchbay")
BODIES: dict[str, type[msgspec.Struct]] = {
    messages.REPORT_REFUSED: messages.ReportRefused,
    messages.REPOSITORY_REFERENCED: messages.RepositoryNudge,
    messages.SYNC_REQUESTED: messages.RepositoryNudge,
    messages.REPOSITORY_OPERATED: messages.RepositoryOperated,
    messages.REPOSITORY_CHANGED: messages.RepositoryChanged,
    messages.ADVISORIES_CHANGED: messages.AdvisoriesChanged,
    messages.HOSTS_OPERATED: messages.HostsOperated,
    messages.JUDGING_REPOSITORIES_CHANGED: messages.JudgingRepositoriesChanged,
    messages.HOST_EVALUATED: messages.HostEvaluated,
    messages.EVALUATION_REQUESTED: messages.EvaluationRequested,
    messages.REPORT_REPROCESS_REQUESTED: messages.ReprocessRequested,
    messages.HOST_REMOVED: messages.HostRemoved,
    messages.DEAD_LETTERS_REQUESTED: messages.DeadLettersRequested,
}
"""Type of each body that is JSON."""

_GIVEN = {
    (Report, "package_manager"): "apt",
    (ReportPackage, "type"): "deb",
    (ReportPackage, "version"): "1.0",
    (ReportPackage, "epoch"): "1",
    (ReportPackage, "release"): "1",
    (ReportPackage, "source_version"): "1:1.0-1",
    (ReportPackage, "status"): "installed",
    (ReportRepository, "type"): "deb",
    (ReportRepository, "urls"): ["http://mirror.example.org/debian"],
    (ReportRepository, "arch"): ["amd64"],
    (messages.ReportReceived, "content_digest"): "d" * 64,
    (messages.ReportReceived, "left_out"): [],
}
"""Values of fields whose type allows less than it says."""


def routing_keys() -> set[str]:
    """Every routing key that the code has."""
    return {
        value for name, value in vars(messages).items() if name.isupper() and isinstance(value, str) and "." in value
    }


def written_now() -> dict[str, Delivery]:
    """One message of each kind as this version writes it."""
    header = msgspec.json.encode(filled(messages.ReportReceived)).decode()
    report = zstandard.ZstdCompressor(level=1).compress(msgspec.msgpack.encode(filled(Report)))
    sent = {messages.REPORT_RECEIVED: Delivery(messages.REPORT_RECEIVED, {"report": header}, report)}
    for routing_key, body in BODIES.items():
        sent[routing_key] = Delivery(routing_key, {}, msgspec.json.encode(filled(body)))
    sent[messages.MESSAGE_DEAD] = Delivery(
        messages.MESSAGE_DEAD,
        {
            "report": header,
            "x-patchbay-queue": messages.FRESH_REPORTS.name,
            "x-patchbay-routing-key": messages.REPORT_RECEIVED,
            "x-patchbay-error": "InvalidInput: an example",
            "x-patchbay-attempts": 1,
            "x-patchbay-first-at": 1_800_000_000.5,
        },
        report,
    )
    return sent


def filled(kind: Any, *, owner: Any = None, name: str = "text") -> Any:
    """A value of a type in which nothing is at its default."""
    if (owner, name) in _GIVEN:
        return _GIVEN[owner, name]
    if typing.get_origin(kind) is typing.Annotated:
        return filled(typing.get_args(kind)[0], owner=owner, name=name)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind, include_extras=True)
        return kind(**{each: filled(hints[each], owner=kind, name=each) for each in kind.__struct_fields__})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {Union, types.UnionType}:
        first = next(each for each in arguments if each not in {type(None), msgspec.UnsetType})
        return filled(first, owner=owner, name=name)
    if origin is list:
        return [filled(arguments[0], owner=owner, name=name)]
    if origin is dict:
        return {name: filled(arguments[1], owner=owner, name=name)}
    if origin is Literal:
        return arguments[0]
    return {bool: True, int: 7, float: 1_800_000_000.5, str: name[:10], UUID: UUID(int=7)}[kind]


def read(path: Path) -> dict[str, Delivery]:
    """A recording."""
    return {
        routing_key: Delivery(
            routing_key,
            each["headers"],
            each["body"].encode() if "body" in each else base64.b64decode(each["base64"]),
        )
        for routing_key, each in json.loads(path.read_text()).items()
    }


def record() -> Path:
    """Write down what this version writes."""
    recording = {}
    for routing_key, delivery in sorted(written_now().items()):
        packed = "report" in delivery.headers
        recording[routing_key] = {"headers": delivery.headers} | (
            {"base64": base64.b64encode(delivery.body).decode()} if packed else {"body": delivery.body.decode()}
        )
    path = RECORDINGS / f"{VERSION}.json"
    path.write_text(json.dumps(recording, indent=1) + "\n")
    return path


if __name__ == "__main__":
    print(record())
