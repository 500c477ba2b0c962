"""A rolling upgrade: a message written by version N is read by N+1 and by N−1."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from patchbay_shared.bus import Delivery
from patchbay_shared.messages import REPORT_RECEIVED, ReportReceived
from patchbay_shared.report import Report
from recorded_messages import BODIES, RECORDINGS, VERSION, filled, read, routing_keys, written_now

RECORDED = sorted(RECORDINGS.glob("*.json"))
MAPPINGS = {"digests", "sections"}  # fields whose keys are data


def parts(delivery: Delivery) -> dict[str, Any]:
    """The documents that a message is made of, without types."""
    found: dict[str, Any] = {"headers": {name: value for name, value in delivery.headers.items() if name != "report"}}
    if "report" in delivery.headers:
        found["header"] = json.loads(str(delivery.headers["report"]))
        found["report"] = msgspec.msgpack.decode(zstandard.decompress(delivery.body))
    else:
        found["body"] = json.loads(delivery.body)
    return found


def fields(document: Any, path: str = "") -> set[str]:
    """Every field by its path and kind of value, lists taken together: `report.packages[].name: str`."""
    if isinstance(document, dict):
        return {each for name, value in document.items() for each in fields(value, f"{path}.{name}")}
    if isinstance(document, list):
        return {each for value in document for each in fields(value, f"{path}[]")}
    return {f"{path}: {type(document).__name__}"}


def with_more(document: Any, name: str = "") -> Any:
    """The document as a later version might write it: one more field wherever there are fields."""
    if isinstance(document, dict):
        more = {} if name in MAPPINGS else {"of_a_later_version": ["?"]}
        return {key: with_more(value, key) for key, value in document.items()} | more
    if isinstance(document, list):
        return [with_more(value) for value in document]
    return document


def test_every_kind_of_message_is_recorded() -> None:
    """A routing key without its body here has nobody who looks after its shape."""
    assert set(written_now()) == routing_keys()
    assert RECORDED


def test_the_recording_of_this_version_is_what_it_writes() -> None:
    """After a change: `python tests/support/recorded_messages.py`, and look at the difference."""
    recorded = read(RECORDINGS / f"{VERSION}.json")

    assert {key: parts(each) for key, each in recorded.items()} == {
        key: parts(each) for key, each in written_now().items()
    }


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_what_an_older_version_wrote_is_read(path: Path) -> None:
    """A field that is new must have a default: what was written without it is decoded all the same."""
    for routing_key, delivery in read(path).items():
        found = parts(delivery)
        if "report" in found:
            assert msgspec.convert(found["header"], ReportReceived, strict=False).size_bytes
            assert msgspec.msgpack.decode(zstandard.decompress(delivery.body), type=Report).packages
        else:
            assert isinstance(msgspec.json.decode(delivery.body, type=BODIES[routing_key]), BODIES[routing_key])


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_an_older_version_finds_every_field_that_it_knows(path: Path) -> None:
    """A field is not removed or renamed, and keeps its kind: N−1 may not be able to do without it."""
    now = written_now()
    gone = {
        f"{routing_key} {each}"
        for routing_key, delivery in read(path).items()
        for each in fields(parts(delivery)) - fields(parts(now[routing_key]))
    }

    assert gone == set()


def test_what_a_newer_version_adds_is_passed_over() -> None:
    """Fields that this version does not know, anywhere in a message, change nothing."""
    for routing_key, delivery in written_now().items():
        found = parts(delivery)
        if "report" in found:
            header = json.dumps(with_more(found["header"])).encode()
            report = msgspec.msgpack.encode(with_more(found["report"]))
            assert msgspec.json.decode(header, type=ReportReceived) == filled(ReportReceived)
            assert msgspec.msgpack.decode(report, type=Report) == filled(Report)
        else:
            body = json.dumps(with_more(found["body"])).encode()
            assert msgspec.json.decode(body, type=BODIES[routing_key]) == filled(BODIES[routing_key])


def test_a_missing_field_would_be_noticed() -> None:
    """The two rules above see what they are there for."""
    written = parts(written_now()[REPORT_RECEIVED])
    fewer = {**written, "header": {name: value for name, value in written["header"].items() if name != "note"}}

    assert fields(written) - fields(fewer) == {".header.note: str"}
    with pytest.raises(msgspec.ValidationError, match="host_id"):
        msgspec.convert({"receipt_id": written["header"]["receipt_id"]}, ReportReceived)
