"""Debian: the DSA and DLA lists, and the security tracker's JSON. All of them name source packages.

Formats: doc/ and lib/python/ of salsa.debian.org/security-tracker-team/security-tracker.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from patchbay_shared.errors import InvalidInput

from patchbay_errata.advisory import Advisory, Decoder, Fix, Rejected, checked, decoded, each_record, level

_HEADER = re.compile(r"\[\s*([^\]]+?)\s*\]\s+(\S+)\s*(.*)")
_FIX = re.compile(r"\[([^\]]+)\]\s+-\s+(\S+)\s+(\S+)")
_TRACKER = "https://security-tracker.debian.org/tracker/"
_NOT_SECURITY = ("new timezone database", "new upstream version", "end-of-life", "timezone")


def advisory_list(data: bytes, rejected: Rejected) -> Iterator[Advisory]:
    """`data/DSA/list` and `data/DLA/list`: text; an entry begins with `[date] id` in the first column.

    Announcements without a fix are advisories without fixes. Raises InvalidInput if no line is an entry.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InvalidInput(f"Debian's advisory list is not UTF-8: {exc}") from exc
    entries: list[tuple[str, list[str]]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("["):
            entries.append((f"line {number}", [line]))
        elif entries and line[:1] in {" ", "\t"}:
            entries[-1][1].append(line.strip())
        elif line.strip():
            rejected.add(f"line {number}", f"{line[:60]!r} belongs to no entry")
    if not any(_HEADER.match(lines[0]) for _, lines in entries):
        raise InvalidInput("Debian's advisory list has no entry; it should hold lines such as “[date] DSA-1 name”.")
    yield from each_record(entries, _listed, rejected)


def _listed(lines: list[str]) -> Iterator[Advisory]:
    header = _HEADER.match(lines[0])
    if header is None:
        raise InvalidInput(f"{lines[0][:80]!r} is not “[date] id package - title”")
    title = header[3].strip()
    fixes: list[Fix] = []
    cves: list[str] = []
    for line in lines[1:]:
        if line.startswith("{"):
            words = line.strip("{}").replace("CAN-", "CVE-").split()
            cves += [word for word in words if re.fullmatch(r"CVE-\d{4}-\d{4,}", word)]
        elif (fix := _FIX.match(line)) and not fix[3].startswith("<"):
            fixes.append(Fix("debian", fix[1].strip(), fix[2], "source", fix[3]))
    lower = title.lower()
    yield checked(
        Advisory(
            id=header[2],
            vendor="debian",
            type="other" if any(words in lower for words in _NOT_SECURITY) and not cves else "security",
            title=title,
            url=_TRACKER + header[2],
            issued_at=_day(header[1]),
            fixes=tuple(fixes),
            cves=tuple(cves),
        )
    )


def _day(text: str) -> datetime:
    """`29 Mar 2023`, or of older lists `August 26th, 2005`. Raises InvalidInput."""
    tidy = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", text.strip())
    for form in ("%d %b %Y", "%d %B %Y", "%B %d, %Y", "%b %d, %Y", "%B %d %Y"):
        try:
            return datetime.strptime(tidy, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise InvalidInput(f"{text[:40]!r} is no date")


class _Release(msgspec.Struct):
    status: str
    fixed_version: str = ""
    urgency: str = ""
    nodsa: str = ""
    nodsa_reason: str = ""


class _Entry(msgspec.Struct):
    releases: dict[str, _Release]
    description: str = ""


_Tracker = dict[Annotated[str, msgspec.Meta(min_length=1)], dict[str, msgspec.Raw]]


def tracker(data: bytes, rejected: Rejected) -> Iterator[Advisory]:
    """The tracker's JSON: {source: {CVE: {releases: {codename: …}}}}; one record per source and CVE.

    A `fixed_version` of 0 says that the release never was affected: there is nothing to fix, and that is said.
    TEMP- and -XXXX ids are placeholders and left out as well.
    Raises InvalidInput.
    """
    sources = decoded(data, dict[str, msgspec.Raw], "Debian's security tracker")
    entries = msgspec.json.Decoder(dict[str, msgspec.Raw])
    entry = Decoder(_Entry)
    for source, raw in sources.items():
        try:
            named = entries.decode(raw)
        except msgspec.DecodeError as exc:
            rejected.add(source, str(exc))
            continue
        items = ((f"{source} {cve}", (source, cve, body)) for cve, body in named.items() if _is_cve(cve))
        yield from each_record(items, lambda item: _tracked(*item, decoder=entry), rejected)


def _is_cve(text: str) -> bool:
    return text.startswith("CVE-") and text.rpartition("-")[2].isdigit()


def _tracked(source: str, cve: str, raw: msgspec.Raw, *, decoder: "Decoder[_Entry]") -> Iterator[Advisory]:
    entry = decoder.decode(raw)
    fixes = []
    urgency = ""
    for codename, release in entry.releases.items():
        urgency = urgency or release.urgency
        if release.status == "resolved":
            if release.fixed_version in {"0", "0:0"}:
                fixes.append(Fix("debian", codename, source, "source", state="not-affected"))
                continue
            if not release.fixed_version:
                fixes.append(Fix("debian", codename, source, "source", state="undetermined", note="resolved"))
                continue
            fixes.append(Fix("debian", codename, source, "source", release.fixed_version, note=release.urgency))
        elif release.status == "open":
            planned = not (release.nodsa or release.urgency in {"unimportant", "end-of-life"})
            note = release.nodsa_reason or release.nodsa or release.urgency
            state = "open" if planned else "no-fix-planned"
            fixes.append(Fix("debian", codename, source, "source", state=state, note=note))  # type: ignore[arg-type]  # one of the two
        elif release.status == "undetermined":
            fixes.append(Fix("debian", codename, source, "source", state="undetermined", note=release.urgency))
        else:
            raise InvalidInput(f"{codename} has the unknown status {release.status[:40]!r}")
    if fixes:
        yield checked(
            Advisory(
                id=f"{cve} {source}",
                vendor="debian",
                type="cve",
                severity=level(urgency),
                vendor_severity=urgency,
                title=f"{cve} in {source}",
                description=entry.description,
                url=_TRACKER + cve,
                fixes=tuple(fixes),
                cves=(cve,),
            )
        )
