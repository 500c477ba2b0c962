"""One well-formed feed of each kind, made of numbered records, for tests that damage it.

A record has, unless it is told otherwise, a date and a package; `bare` leaves out every field that a publisher may
leave out. The forms are those of the recorded samples.
"""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from patchbay_errata.advisory import Rejected
from patchbay_errata.feeds import known_feeds

_SCORES = "#model_version:v1,score_date:2024-01-02T00:00:00Z\ncve,epss,percentile\n"
PAST = "2024-01-02"
FUTURE = "2199-01-02"


class Shape(msgspec.Struct, frozen=True):
    """What a record of a feed has; `bad` makes it one that cannot be read."""

    date: str | None = PAST
    release: bool = True
    bare: bool = False
    bad: bool = False


class Source(msgspec.Struct, frozen=True):
    """A kind of source: how its feed is written, and by which name it is crawled."""

    feed: str
    record: Callable[[int, Shape], Any]
    join: Callable[[list[Any]], bytes]
    form: str
    """json, xml, text or an archive: tar or zip."""

    def build(self, shapes: Iterable[Shape]) -> bytes:
        return self.join([self.record(number, shape) for number, shape in enumerate(shapes, start=1)])

    def read(self, data: bytes) -> tuple[list[Any], Rejected]:
        """The records as the crawler would have them, and what was put aside."""
        rejected = Rejected()
        [feed] = [each for each in known_feeds(2026) if each.name == self.feed]
        return list(feed.read(io.BytesIO(data), rejected)), rejected


def _json(wrap: Callable[[list[Any]], Any]) -> Callable[[list[Any]], bytes]:
    return lambda records: json.dumps(wrap(records), indent=1).encode()


def _merged(records: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for record in records for key, value in record.items()}


def _without(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}


def _seconds(date: str) -> float:
    return datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()


def _dsa(n: int, shape: Shape) -> str:
    day = f"{datetime.fromisoformat(shape.date):%d %b %Y}" if shape.date else "some day"
    lines = [f"[{day if not shape.bad else '??'}] DSA-{n}-1 tool{n}" + ("" if shape.bare else " - security update")]
    if not shape.bare:
        lines.append(f"\t{{CVE-2024-{1000 + n}}}")
        lines.append(f"\t{'[bookworm] ' if shape.release else ''}- tool{n} 1.0-{n}")
    return "".join(f"{line}\n" for line in lines)


def _tracked(n: int, shape: Shape) -> dict[str, Any]:
    release = {"status": "resolved", "fixed_version": f"1.0-{n}", "urgency": "low", "repositories": {}}
    entry: dict[str, Any] = {"description": "A flaw.", "releases": {"bookworm" if shape.release else "": release}}
    if shape.bare:
        entry = {"releases": {"bookworm": {"status": "open"}}}
    return {f"tool{n}": {f"CVE-2024-{1000 + n}": [] if shape.bad else entry}}


def _usn(n: int, shape: Shape) -> dict[str, Any]:
    each = {f"tool{n}": {"version": f"1.0-{n}"}}
    release = {"xenial": {"sources": each, "binaries": each}} if shape.release else {"": {"sources": each}}
    notice: dict[str, Any] = {"id": f"{n}-1", "title": "x", "cves": [f"CVE-2024-{1000 + n}"], "releases": release}
    if shape.date:
        notice["timestamp"] = _seconds(shape.date)
    return {f"{n}-1": 7 if shape.bad else {"title": "x"} if shape.bare else notice}


def _avg(n: int, shape: Shape) -> dict[str, Any]:
    group = {
        "name": f"AVG-{n}", "packages": [f"tool{n}"], "status": "Fixed", "severity": "Low", "type": "x",
        "affected": "1.0-1", "fixed": "1.0-2" if shape.release else "1.0", "issues": [f"CVE-2024-{1000 + n}"],
        "advisories": [],
    }  # fmt: skip
    group = _without(group, "severity", "type", "affected", "advisories", "issues") if shape.bare else group
    return _without(group, "name") if shape.bad else group


def _rocky(n: int, shape: Shape) -> dict[str, Any]:
    package = {"nevra": f"tool{n}-0:1.0-{n}.x86_64.rpm", "product_name": "Rocky Linux 9 x86_64"}
    advisory = {
        "name": f"RLSA-{n}", "kind": "Security", "severity": "Low", "synopsis": "x", "cves": [],
        "packages": [package if shape.release else _without(package, "product_name")], "published_at": shape.date,
    }  # fmt: skip
    advisory = {"name": f"RLSA-{n}"} if shape.bare else advisory
    return _without(advisory, "name") if shape.bad else advisory


def _alma(n: int, shape: Shape) -> dict[str, Any]:
    package = {"name": f"tool{n}", "epoch": "0", "version": "1.0", "release": f"{n}.el8", "arch": "x86_64"}
    advisory = {
        "id": f"ALSA-{n}", "type": "security", "severity": "Low", "title": "x", "references": [],
        "issued_date": _seconds(shape.date) if shape.date else None,
        "packages": [package if shape.release else _without(package, "release")],
    }  # fmt: skip
    advisory = {"id": f"ALSA-{n}"} if shape.bare else advisory
    return _without(advisory, "id") if shape.bad else advisory


def _glsa(n: int, shape: Shape) -> tuple[str, bytes]:
    ranges = f'<unaffected range="ge">1.{n}</unaffected>' if shape.release else "<unaffected/>"
    parts = f'<affected><package name="app/tool{n}" arch="*">{ranges}</package></affected><title>x</title>'
    parts += f"<announced>{shape.date}</announced>" if shape.date else ""
    root = "glsa" if not shape.bad else "page"
    return f"glsa-{n}.xml", f'<{root} id="2024-{n}">{"" if shape.bare else parts}</{root}>\n'.encode()


def _tar(files: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files:
            info = tarfile.TarInfo(f"glsa-master/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _cefs(n: int, shape: Shape) -> str:
    date = f' issue_date="{shape.date}"' if shape.date else ""
    release = "<os_release>7</os_release>" if shape.release else ""
    about = "" if shape.bare else f' type="Security Advisory" severity="Low" synopsis="x"{date}'
    package = "tool" if shape.bad else f"tool{n}-1.0-{n}.x86_64"
    packages = "<packages/>" if shape.bare else f"<packages>{package}.rpm</packages>"
    return f"<CESA-2024--{n}{about}>{release}{packages}</CESA-2024--{n}>\n"


def _osv(n: int, shape: Shape) -> tuple[str, bytes]:
    package = {"ecosystem": "AlmaLinux:9" if shape.release else "AlmaLinux", "name": f"tool{n}"}
    spans = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": f"1.0-{n}.el9"}]}]
    record: dict[str, Any] = {
        "id": f"ALSA-2024:{n}", "modified": shape.date, "published": shape.date, "summary": "x",
        "affected": [{"package": package, "ranges": spans}],
    }  # fmt: skip
    record = {"id": f"ALSA-2024:{n}", "modified": shape.date} if shape.bare else record
    return f"ALSA-2024:{n}.json", json.dumps(_without(record, "id") if shape.bad else record, indent=1).encode()


def _zip(files: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files:
            file.writestr(name, data)
    return buffer.getvalue()


def _oval(n: int, shape: Shape) -> tuple[str, str]:
    platform = "<affected><platform>AlmaLinux 9</platform></affected>" if shape.release else ""
    date = f'<advisory><issued date="{shape.date}"/></advisory>' if shape.date else ""
    number = f'<reference source="ALSA" ref_id="ALSA-2024:{n}"/>'
    evr = f'<evr datatype="evr_string" operation="less than">0:1.0-{n}</evr>'
    about = "<title>x</title>" if shape.bare else f"<title>x</title>{platform}{number}{date}"
    body = f'<metadata>{about}</metadata><criteria><criterion test_ref="t:{n}" comment="older"/></criteria>'
    number = "" if shape.bad else f"oval:x:def:{n}"
    definition = f'<definition id="{number}" class="patch">{body if not shape.bad else ""}</definition>\n'
    return definition, (
        f'<rpminfo_test id="t:{n}"><object object_ref="o:{n}"/><state state_ref="s:{n}"/></rpminfo_test>\n'
        f'<rpminfo_object id="o:{n}"><name>tool{n}</name></rpminfo_object>\n'
        f'<rpminfo_state id="s:{n}">{evr}</rpminfo_state>\n'
    )


def _oval_file(records: list[tuple[str, str]]) -> bytes:
    definitions = "".join(each for each, _ in records)
    rest = "".join(each for _, each in records)
    body = f"<definitions>{definitions}</definitions>\n<tests>{rest}</tests>"
    return f"<oval_definitions>\n{body}\n</oval_definitions>".encode()


def _nvd(n: int, shape: Shape) -> dict[str, Any]:
    record = {
        "id": f"CVE-2024-{1000 + n}", "published": shape.date, "lastModified": shape.date,
        "descriptions": [{"lang": "en", "value": "A flaw."}], "metrics": {},
    }  # fmt: skip
    return {"cve": {"id": "none"} if shape.bad else _without(record, *(["descriptions", "metrics"] * shape.bare))}


def _kev(n: int, shape: Shape) -> dict[str, Any]:
    entry = {
        "cveID": f"CVE-2024-{1000 + n}", "vulnerabilityName": "x", "dateAdded": shape.date or PAST,
        "dueDate": shape.date or "", "requiredAction": "Update.", "knownRansomwareCampaignUse": "Known",
    }  # fmt: skip
    entry = {name: entry[name] for name in ("cveID", "dateAdded")} if shape.bare else entry
    return _without(entry, "cveID") if shape.bad else entry


def _epss(n: int, shape: Shape) -> str:
    return f"CVE-2024-{1000 + n},{'much' if shape.bad else '0.5'}{'' if shape.bare else ',0.9'}\n"


def _series(n: int, shape: Shape) -> str:
    if shape.bare:
        return f"{n},Name,name{n}\n"
    day = "never" if shape.bad else shape.date or ""
    return f"{n},Name,name{n},{day},{day},{day}\n"


def _text(header: str, end: str = "") -> Callable[[list[str]], bytes]:
    return lambda lines: (header + "".join(lines) + end).encode()


SOURCES = {
    each.feed: each
    for each in (
        Source("debian-dsa", _dsa, _text(""), "text"),
        Source("debian-tracker", _tracked, _json(_merged), "json"),
        Source("ubuntu-usn", _usn, _json(_merged), "json"),
        Source("arch-issues", _avg, _json(list), "json"),
        Source("rocky-apollo", _rocky, _json(lambda all_: {"advisories": all_, "total": 1, "size": 100}), "json"),
        Source("alma-8", _alma, _json(lambda all_: {"data": all_}), "json"),
        Source("gentoo-glsa", _glsa, _tar, "tar"),
        Source("centos-cefs", _cefs, _text("<opt>\n<meta/>\n", "</opt>\n"), "xml"),
        Source("oval-alma-9", _oval, _oval_file, "xml"),
        Source("osv-almalinux", _osv, _zip, "zip"),
        Source("nvd-2024", _nvd, _json(lambda all_: {"vulnerabilities": all_}), "json"),
        Source("cisa-kev", _kev, _json(lambda all_: {"vulnerabilities": all_}), "json"),
        Source("first-epss", _epss, _text(_SCORES), "text"),
        Source("lifecycle-debian", _series, _text("version,codename,series,created,release,eol\n"), "text"),
    )
}  # fmt: skip
