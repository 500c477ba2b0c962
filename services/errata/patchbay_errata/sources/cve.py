"""CVE records: the CVE list's JSON 5, one document each, and NVD's 2.0 feeds and API pages."""

from collections.abc import Iterator
from datetime import datetime

import msgspec
from patchbay_shared.errors import InvalidInput

from patchbay_errata.advisory import (
    CveRecord,
    Decoder,
    Metric,
    Rejected,
    cves_in,
    decoded,
    each_record,
    moment,
    moment_if_readable,
    plain,
    without_mark,
)
from patchbay_errata.sources.cvss_metric import metric

_MAX_DESCRIPTION_CHARS = 20_000


class _Text(msgspec.Struct, rename="camel"):
    lang: str = ""
    value: str = ""


class _Vector(msgspec.Struct, rename="camel"):
    vector_string: str = ""


class _Metrics(msgspec.Struct, rename=lambda name: name.replace("cvss_v", "cvssV")):
    cvss_v4_0: _Vector | None = None
    cvss_v3_1: _Vector | None = None
    cvss_v3_0: _Vector | None = None
    cvss_v2_0: _Vector | None = None


class _Problem(msgspec.Struct, rename="camel"):
    cwe_id: str = ""
    description: str = ""


class _ProblemType(msgspec.Struct, rename="camel"):
    descriptions: list[_Problem] = []


class _Provider(msgspec.Struct, rename="camel"):
    short_name: str = ""


class _Container(msgspec.Struct, rename="camel"):
    title: str = ""
    provider_metadata: _Provider = msgspec.field(default_factory=_Provider)
    descriptions: list[_Text] = []
    rejected_reasons: list[_Text] = []
    metrics: list[_Metrics] = []
    problem_types: list[_ProblemType] = []


class _Containers(msgspec.Struct, rename="camel"):
    cna: _Container
    adp: list[_Container] = []


class _About(msgspec.Struct, rename="camel"):
    cve_id: str
    state: str
    date_published: str = ""
    date_updated: str = ""


class _Cve5(msgspec.Struct, rename="camel"):
    cve_metadata: _About
    containers: _Containers


def record(data: bytes) -> CveRecord:
    """One CVE JSON 5.x document. Raises InvalidInput."""
    raw = decoded(data, _Cve5, "The CVE record")
    about, cna = raw.cve_metadata, raw.containers.cna
    containers = [(cna.provider_metadata.short_name or "CNA", cna)]
    containers += [(each.provider_metadata.short_name or "ADP", each) for each in raw.containers.adp]
    metrics = [
        rated
        for provider, container in containers
        for each in container.metrics
        for vector in (each.cvss_v4_0, each.cvss_v3_1, each.cvss_v3_0, each.cvss_v2_0)
        if vector is not None and (rated := metric(vector.vector_string, provider)) is not None
    ]
    problems = (p for _, c in containers for kind in c.problem_types for p in kind.descriptions)
    return CveRecord(
        id=_checked_id(about.cve_id),
        state="rejected" if about.state == "REJECTED" else "published",
        description=_english(cna.descriptions or cna.rejected_reasons),
        published_at=moment_if_readable(about.date_published),
        updated_at=moment_if_readable(about.date_updated),
        metrics=tuple(dict.fromkeys(metrics)),
        cwes=tuple(dict.fromkeys(each.cwe_id for each in problems if each.cwe_id.startswith("CWE-"))),
    )


class _Changed(msgspec.Struct, rename="camel"):
    cve_id: str
    date_updated: str = ""


class _Delta(msgspec.Struct, rename="camel"):
    fetch_time: str = ""
    new: list[_Changed] = []
    updated: list[_Changed] = []


def changes(data: bytes) -> list[tuple[str, datetime]]:
    """`deltaLog.json` (or one `delta.json`) of the CVE list: where each changed record is below `cves/`, and when.

    The path follows from the id, not from the link that stands beside it. Raises InvalidInput.
    """
    whole = without_mark(data).lstrip()[:1] == b"["
    deltas = decoded(data, list[_Delta], "The CVE list") if whole else [decoded(data, _Delta, "The CVE list")]
    newest: dict[str, datetime] = {}
    for delta in deltas:
        for each in (*delta.new, *delta.updated):
            try:
                at = moment_if_readable(each.date_updated) or moment(delta.fetch_time)
                path = _path(_checked_id(each.cve_id))
            except InvalidInput:
                continue
            newest[path] = max(at, newest.get(path, at))
    return sorted(newest.items(), key=lambda item: item[1], reverse=True)


def _path(number: str) -> str:
    """2024/1xxx/CVE-2024-1234.json"""
    _, year, serial = number.split("-")
    return f"{year}/{serial[:-3]}xxx/{number}.json"


class _NvdRating(msgspec.Struct, rename="camel"):
    cvss_data: _Vector
    source: str = ""
    type: str = ""


class _NvdMetrics(msgspec.Struct, rename="camel"):
    cvss_metric_v40: list[_NvdRating] = []
    cvss_metric_v31: list[_NvdRating] = []
    cvss_metric_v30: list[_NvdRating] = []
    cvss_metric_v2: list[_NvdRating] = []


class _Weakness(msgspec.Struct, rename="camel"):
    description: list[_Text] = []


class _NvdCve(msgspec.Struct, rename="camel"):
    id: str
    published: str = ""
    last_modified: str = ""
    vuln_status: str = ""
    descriptions: list[_Text] = []
    metrics: _NvdMetrics = msgspec.field(default_factory=_NvdMetrics)
    weaknesses: list[_Weakness] = []


class _NvdEntry(msgspec.Struct, rename="camel"):
    cve: _NvdCve


class _NvdPage(msgspec.Struct, rename="camel"):
    vulnerabilities: list[msgspec.Raw]


def nvd(data: bytes, rejected: Rejected) -> Iterator[CveRecord]:
    """A feed or API page of NVD, format 2.0. Raises InvalidInput."""
    entries = decoded(data, _NvdPage, "NVD's feed").vulnerabilities
    decoder = Decoder(_NvdEntry)

    def entry(raw: msgspec.Raw) -> Iterator[CveRecord]:
        yield _nvd_record(decoder.decode(raw).cve)

    yield from each_record(((f"$.vulnerabilities[{n}]", raw) for n, raw in enumerate(entries)), entry, rejected)


def _nvd_record(raw: _NvdCve) -> CveRecord:
    ratings = raw.metrics
    every = (*ratings.cvss_metric_v40, *ratings.cvss_metric_v31, *ratings.cvss_metric_v30, *ratings.cvss_metric_v2)
    metrics: list[Metric] = []
    for each in every:
        rated = metric(each.cvss_data.vector_string, each.source, primary=each.type == "Primary")
        if rated is not None:
            metrics.append(rated)
    words = (each.value for weakness in raw.weaknesses for each in weakness.description)
    return CveRecord(
        id=_checked_id(raw.id),
        state="rejected" if raw.vuln_status == "Rejected" else "published",
        description=_english(raw.descriptions),
        published_at=moment_if_readable(raw.published),
        updated_at=moment_if_readable(raw.last_modified),
        metrics=tuple(dict.fromkeys(metrics)),
        cwes=tuple(dict.fromkeys(word for word in words if word.startswith("CWE-"))),
    )


def _checked_id(text: str) -> str:
    if cves_in(text) != (text,):
        raise InvalidInput(f"{text[:40]!r} is no CVE id")
    return text


def _english(texts: list[_Text]) -> str:
    english = next((each.value for each in texts if each.lang.lower().startswith("en")), "")
    return plain(english or (texts[0].value if texts else ""))[:_MAX_DESCRIPTION_CHARS]
