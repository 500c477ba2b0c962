"""The one model that every feed is read into: advisories with their fixes, CVE records, scores, lifecycles.

A parser is a pure function from a feed's bytes to an iterator of these records. It puts a record that it cannot
use aside in `Rejected`, with the reason, and goes on; it raises InvalidInput only when the feed itself is not
what it should be (another format, damaged, truncated).
"""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar

import msgspec
from patchbay_shared.errors import InvalidInput, InvalidVersion, PatchbayError
from patchbay_shared.versions import evr_key

Level = Literal["", "low", "medium", "high", "critical"]
"""A severity on one scale; "" where the vendor gives none. Derived from the vendor's word, never from a score."""

FixState = Literal["fixed", "open", "undetermined", "no-fix-planned", "not-affected"]

_CVE = re.compile(r"\bCVE-[0-9]{4}-[0-9]{4,19}\b")
_MAX_TITLE_CHARS = 1_000
_MAX_TEXT_CHARS = 100_000
_LEVELS: dict[str, Level] = {
    "negligible": "low",
    "minimal": "low",
    "low": "low",
    "moderate": "medium",
    "medium": "medium",
    "normal": "medium",
    "important": "high",
    "high": "high",
    "critical": "critical",
}


class Fix(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What an advisory says of one package of one distribution release."""

    ecosystem: str
    """The os-release ID of the distribution: debian, ubuntu, rocky, almalinux, arch, …"""
    distro_release: str
    """Codename for debian and ubuntu, major version for rpm rebuilds, VERSION_ID else; "" for rolling ones."""
    package: str
    kind: Literal["source", "binary"]
    evr: str = ""
    """The first version with the fix; "" if there is none (then `state` says why)."""
    state: FixState = "fixed"
    arch: str = ""
    """Only packages of this architecture; "" is any."""
    module: str = ""
    """`name:stream` if only packages of that module stream are meant."""
    pocket: str = ""
    """Where the fix is published, if not for everybody: esm-infra, esm-apps."""
    introduced: str = ""
    """Versions below this one are not affected."""
    note: str = ""
    """What the matching cannot use but a person can: urgency, reason, Gentoo's ranges."""

    def key(self) -> bytes | None:
        """Sort key of `evr`; None if there is none, or none that can be compared. Raises InvalidVersion."""
        scheme = SCHEMES.get(self.ecosystem, "rpm")
        return sort_key(scheme, self.evr) if self.evr and scheme is not None else None


sort_key = lru_cache(maxsize=16_384)(evr_key)
"""A fix is checked first and stored later, and one version fixes many packages."""
SCHEMES: dict[str, Literal["deb", "rpm", "alpm"] | None] = {
    "debian": "deb",
    "ubuntu": "deb",
    "arch": "alpm",
    "gentoo": None,
    "centos": None,
}
"""Version order by ecosystem, rpm's where absent. CEFS gives no epochs, and portage's order is not known here."""


class Advisory(msgspec.Struct, frozen=True, omit_defaults=True):
    """One advisory as its vendor published it, or (type "cve") what a vendor's tracker says of one CVE."""

    id: str
    """Upstream's, unchanged; unique within its feed."""
    vendor: str
    type: Literal["security", "bugfix", "enhancement", "newpackage", "other", "cve"] = "security"
    severity: Level = ""
    vendor_severity: str = ""
    status: Literal["final", "testing", "pending", "retracted"] = "final"
    title: str = ""
    description: str = ""
    url: str = ""
    issued_at: datetime | None = None
    updated_at: datetime | None = None
    fixes: tuple[Fix, ...] = ()
    cves: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


class Metric(msgspec.Struct, frozen=True, omit_defaults=True):
    """One CVSS rating of a CVE."""

    provider: str
    """Who rated it: nvd@nist.gov, the CNA's name, CISA-ADP."""
    version: str
    """2.0, 3.0, 3.1 or 4.0."""
    vector: str
    score: float
    severity: str
    primary: bool = False


class CveRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A CVE as the CVE list or the NVD describes it."""

    id: str
    state: Literal["published", "rejected"] = "published"
    description: str = ""
    published_at: datetime | None = None
    updated_at: datetime | None = None
    metrics: tuple[Metric, ...] = ()
    cwes: tuple[str, ...] = ()


class KnownExploited(msgspec.Struct, frozen=True, omit_defaults=True):
    """An entry of CISA's catalogue of known exploited vulnerabilities."""

    cve: str
    added_on: date
    due_on: date | None = None
    ransomware: bool = False
    title: str = ""
    action: str = ""


class ExploitScore(msgspec.Struct, frozen=True, gc=False):
    """An EPSS score; scores of different models are not comparable."""

    cve: str
    score: float
    percentile: float | None
    model: str
    scored_on: date | None


class Lifecycle(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a distribution release came, and until when it gets security updates from whom."""

    ecosystem: str
    version: str
    codename: str = ""
    name: str = ""
    released_on: date | None = None
    ends_on: date | None = None
    """The end of free security updates for everybody."""
    extended_ends_on: date | None = None
    """The end of longer support (LTS, ESM, ELS)."""
    source: str = ""


Record = Advisory | CveRecord | KnownExploited | ExploitScore | Lifecycle


class Rejected:
    """Records that were put aside, with the reason: all are counted, the first `kept` are remembered."""

    def __init__(self, kept: int = 100) -> None:
        self.count = 0
        self.samples: list[tuple[str, str]] = []
        self._kept = kept

    def add(self, place: str, reason: str) -> None:
        self.count += 1
        if len(self.samples) < self._kept:
            self.samples.append((place[:200], reason[:500]))


Item = TypeVar("Item")
Made = TypeVar("Made")


def each_record(
    items: Iterable[tuple[str, Item]], make: Callable[[Item], Iterable[Made]], rejected: Rejected
) -> Iterator[Made]:
    """What `make` makes of each named item; one that it cannot read is rejected, the others are not affected."""
    for place, item in items:
        try:
            made = list(make(item))
            for record in made:
                _refuse_nul(record)
        except (PatchbayError, msgspec.DecodeError, ValueError, OverflowError) as exc:
            rejected.add(place, str(exc))
            continue
        yield from made


class Decoder(Generic[Made]):
    """Decodes records of one shape; what is null counts as absent, for feeds write both."""

    def __init__(self, shape: type[Made]) -> None:
        self._shape = shape
        self._decoder = msgspec.json.Decoder(shape)

    def decode(self, raw: bytes | msgspec.Raw) -> Made:
        """Raises msgspec.DecodeError."""
        try:
            return self._decoder.decode(raw)
        except msgspec.ValidationError:
            return msgspec.convert(_without_nulls(msgspec.json.decode(raw)), self._shape, strict=False)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value if each is not None]
    return value


def _refuse_nul(record: object) -> None:
    """Raises InvalidInput for a text that PostgreSQL cannot hold; the encoded form is looked at first, for speed."""
    if b"\\u0000" in msgspec.json.encode(record) and _holds_nul(msgspec.to_builtins(record)):
        raise InvalidInput("it holds a NUL character")


def _holds_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(_holds_nul(each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_nul(each) for each in value)
    return isinstance(value, str) and "\0" in value


def checked(advisory: Advisory) -> Advisory:
    """The advisory, its texts cut to what is stored. Raises InvalidInput for an empty id or an impossible version."""
    if not advisory.id.strip() or "\0" in advisory.id:
        raise InvalidInput("it has no id")
    for fix in advisory.fixes:
        try:
            fix.key()
        except InvalidVersion as exc:
            raise InvalidInput(f"the fixed version of {fix.package}: {exc}") from exc
    return msgspec.structs.replace(
        advisory,
        title=plain(advisory.title)[:_MAX_TITLE_CHARS],
        description=plain(advisory.description)[:_MAX_TEXT_CHARS],
        fixes=tuple(dict.fromkeys(advisory.fixes)),
        cves=tuple(dict.fromkeys(advisory.cves)),
    )


def plain(text: str) -> str:
    """Text that PostgreSQL can hold."""
    return text.replace("\0", "").strip()


def level(word: str) -> Level:
    """The vendor's word on the one scale; "" for `None`, `Unknown` and words that are no severity.

    >>> level("Moderate"), level("Important"), level("None")
    ('medium', 'high', '')
    """
    return _LEVELS.get(word.strip().rstrip("*").lower(), "")


def cves_in(*texts: str) -> tuple[str, ...]:
    """The CVE ids that texts name, in their order; `CAN-` is the prefix used before 2005."""
    found: dict[str, None] = {}
    for text in texts:
        for match in _CVE.findall(text.replace("CAN-", "CVE-")):
            found[match] = None
    return tuple(found)


def moment(text: str) -> datetime:
    """An ISO time, with or without a zone (then UTC). Raises InvalidInput."""
    try:
        parsed = datetime.fromisoformat(text.strip())
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise InvalidInput(f"{text[:40]!r} is no date") from exc


def moment_if_readable(text: str | None) -> datetime | None:
    """`moment`, None for what is none: an unreadable date is no reason to lose the fix or the rating beside it."""
    try:
        return moment(text) if text else None
    except InvalidInput:
        return None


def without_mark(data: bytes) -> bytes:
    """The bytes after a byte order mark, which JSON must not and text need not begin with, and does in the wild."""
    return data.removeprefix(codecs.BOM_UTF8)


def from_epoch(seconds: float) -> datetime:
    """A time in Unix seconds. Raises InvalidInput for one that no calendar has."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as exc:
        raise InvalidInput(f"{seconds!r} is no time in seconds") from exc


def decoded(data: bytes, shape: type[Made], feed: str) -> Made:
    """A whole JSON feed. Raises InvalidInput naming the feed: not JSON, truncated, or of another shape."""
    try:
        return msgspec.json.decode(without_mark(data), type=shape)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"{feed} cannot be read: {exc}") from exc
