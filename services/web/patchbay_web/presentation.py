"""How facts become words, colours and links; pure but for the clock."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

STATES: dict[str, tuple[str, str, str]] = {
    "outstanding": ("Outstanding", "orange", "The package manager would install it now."),
    "held": ("Held", "purple", "On hold on the host itself."),
    "kept-back": ("Kept back", "yellow", "It needs other packages installed or removed."),
    "phased": ("Phased", "cyan", "Rolled out step by step; not this host's turn."),
    "pinned": ("Pinned", "purple", "The host's preferences choose another version."),
    "excluded": ("Excluded", "purple", "The host's configuration excludes it."),
    "locked": ("Locked", "purple", "Locked on the host itself."),
    "obsoleted": ("Replaced", "azure", "Another package replaces it."),
    "vendor": ("Vendor change", "cyan", "Newer only from another vendor."),
    "retracted": ("Retracted", "red", "The newer version was taken back."),
    "module": ("Module", "cyan", "Newer only in another module stream."),
    "not-in-any-repository": ("In no repository", "secondary", "No enabled repository has it."),
    "newer-than-repository": ("Newer than repository", "secondary", "Newer than what any repository has."),
    "unordered": ("No order", "secondary", "Its version cannot be compared with others."),
}
REPOSITORY_STATES = {
    "ok": ("Current", "green"),
    "pending": ("Not read yet", "secondary"),
    "failing": ("Failing", "orange"),
    "reported": ("From reports", "azure"),
    "untrusted": ("Untrusted", "red"),
}
MIRROR_STATES = REPOSITORY_STATES | {"lagging": ("Lagging", "yellow")}
SOON_DAYS = 183
"""An end of life nearer than this is worth a look."""
_UNITS = ((86_400 * 365, "y"), (86_400 * 30, "mo"), (86_400, "d"), (3_600, "h"), (60, "min"))


RECEIPT_STATES = {
    "evaluated": ("Evaluated", "green", "Stored, and its packages were judged."),
    "stored": ("Stored", "azure", "Stored; it is judged once its repositories have been read."),
    "superseded": ("Superseded", "secondary", "A newer report of the host was there already."),
    "refused": ("Refused", "red", "It was not taken."),
}
CVE_STATES = {
    "fix-available": ("Fix available", "red", "A fixed version is published and not installed."),
    "restart-pending": ("Restart pending", "orange", "It is fixed on disk; the old kernel or a service still runs."),
    "restricted": ("Restricted fix", "orange", "The fix is only where a subscription gives it."),
    "open": ("No fix yet", "yellow", "The distribution has not published a fix."),
    "undetermined": ("Undetermined", "secondary", "The distribution does not say."),
    "no-fix-planned": ("No fix planned", "secondary", "The distribution will not publish a fix."),
    "fixed": ("Fixed", "green", "The installed version has the fix."),
}
EXPOSED = ("Exposed", "red", "It touches the host in any of the states, and no exception waives it.")
"""Of the word by which all of these states but fixed are asked for together."""
FEED_STATES = {
    "ok": ("Current", "green"),
    "pending": ("Not read yet", "secondary"),
    "failing": ("Failing", "orange"),
    "shrunk": ("Shrunk", "red"),
}
NEWS = {
    "security-update": ("Security update", "A security fix is outstanding on a host."),
    "host-silent": ("Silent host", "A host has not reported for a day."),
    "overdue": ("Overdue", "A host has vulnerabilities past their due date."),
    "mirror-stale": ("Mirror in trouble", "A repository or a mirror is failing, lagging or untrusted."),
    "dead-letters": ("Dead letters", "Messages could not be handled."),
    "exploited-cve": ("Exploited CVE", "CISA lists a CVE as exploited that touches a host."),
}
"""Kinds of notifications: words, and when it is news."""
SEVERITIES = {"critical": "red", "high": "orange", "important": "orange", "medium": "yellow", "moderate": "yellow"}
RESTART_RULES = {
    "host.flag": "The host itself asks for it",
    "kernel.newer": "A newer kernel is installed",
}


class Pill(NamedTuple):
    """One honest statement: its colour, the words, what it rests on, and where on the host's page that is."""

    colour: str
    text: str
    reason: str
    leads: Mapping[str, str] = MappingProxyType({})


def ago(text: str | None, now: datetime | None = None) -> str:
    """`3 h ago`, `in 5 min`, `just now`; "never" for nothing."""
    if not text:
        return "never"
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(text)).total_seconds()
    for size, unit in _UNITS:
        if abs(seconds) >= size:
            count = f"{int(abs(seconds) // size)} {unit}"
            return f"{count} ago" if seconds > 0 else f"in {count}"
    return "just now"


def age(text: str, now: datetime | None = None) -> str:
    """How long ago a time is, as `12 d`."""
    return ago(text, now).removesuffix(" ago")


def seconds(record: dict[str, str], since: str, until: str) -> str:
    """How long it was between two times of a record: `40 ms`, `1.3 s`, `4 min`."""
    start, end = (datetime.fromisoformat(record[name]) for name in (since, until))
    return span((end - start).total_seconds())


def span(spent: float) -> str:
    """How long a number of seconds is: `40 ms`, `1.3 s`, `4 min`, `2 h`."""
    spent = max(0.0, spent)
    if spent < 1:
        return f"{spent * 1000:.0f} ms"
    if spent < 60:
        return f"{spent:.1f} s"
    return f"{spent / 60:.0f} min" if spent < 5_400 else f"{spent / 3_600:.0f} h"


def exact(text: str | None) -> str:
    """`2026-11-20 21:40:03 UTC`."""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if text else ""


def timestamp(seconds_since_epoch: float) -> str:
    """Unix seconds as the API writes a time: `2026-11-20T21:40:00+00:00`."""
    return datetime.fromtimestamp(seconds_since_epoch, UTC).isoformat()


def number(value: int | None) -> str:
    """`63 466` with a thin space; "–" for what is not known."""
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")


def size(count: int) -> str:
    """`1.2 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 update`, `3 updates`."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def quoted(value: str) -> str:
    """A value as the query language takes it, whatever is in it.

    >>> quoted("web"), quoted('Debian "12" (bookworm)')
    ('web', '"Debian \\\\"12\\\\" (bookworm)"')
    """
    if value and all(each.isalnum() or each in "._-/" for each in value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def state(name: str) -> tuple[str, str, str]:
    """Words, colour and meaning of a verdict's state."""
    return STATES.get(name, (name, "secondary", ""))


def receipt_state(name: str) -> tuple[str, str, str]:
    """Words, colour and meaning of what became of a report."""
    return RECEIPT_STATES.get(name, (name, "secondary", ""))


def restart_rule(name: str) -> str:
    """Words of a rule by which hosts have to be restarted."""
    return RESTART_RULES.get(name, name)


def repository_state(name: str) -> tuple[str, str]:
    """Words and colour of the state of a repository or of a mirror."""
    return MIRROR_STATES.get(name, (name, "secondary"))


def cve_state(name: str) -> tuple[str, str, str]:
    """Words, colour and meaning of what a CVE is to a host."""
    return CVE_STATES.get(name, (name, "secondary", ""))


def feed_state(name: str) -> tuple[str, str]:
    """Words and colour of the state of an advisory feed."""
    return FEED_STATES.get(name, (name, "secondary"))


def severity_colour(name: str) -> str:
    """Colour of a severity, by whichever of the two vocabularies it is in."""
    return SEVERITIES.get(name.lower(), "secondary")


def until(day: str | None, today: date | None = None) -> tuple[str, str]:
    """How far away a day is, and the colour of that: `("in 3 mo", "yellow")`, `("2 y ago", "red")`."""
    if not day:
        return "no end known", "secondary"
    days = (date.fromisoformat(day) - (today or datetime.now(UTC).date())).days
    size, unit = next(
        ((size // 86_400, unit) for size, unit in _UNITS if size >= 86_400 and abs(days) >= size // 86_400), (1, "d")
    )
    count = f"{abs(days) // size} {unit}"
    if days < 0:
        return f"{count} ago", "red"
    return (f"in {count}" if days else "today"), "yellow" if days < SOON_DAYS else "green"


def rater(name: str) -> str:
    """Who rated a CVE, in short: CVE records name NVD by its address."""
    return "NVD" if name == "nvd@nist.gov" else name


def advisory_page(advisory: str) -> str | None:
    """The path of the page that finds an advisory by its id alone."""
    return f"/advisories/find/{quote(advisory, safe=':')}" if advisory and "/" not in advisory else None


def advisory_url(advisory: str) -> str | None:
    """Where the advisory's own publisher explains it; None if the id does not say whose it is."""
    family, _, rest = advisory.partition("-")
    known = {
        "DSA": f"https://security-tracker.debian.org/tracker/{quote(advisory)}",
        "DLA": f"https://security-tracker.debian.org/tracker/{quote(advisory)}",
        "USN": f"https://ubuntu.com/security/notices/{quote(advisory)}",
        "RHSA": f"https://access.redhat.com/errata/{quote(advisory, safe=':')}",
        "RLSA": f"https://errata.rockylinux.org/{quote(advisory, safe=':')}",
        "FEDORA": f"https://bodhi.fedoraproject.org/updates/{quote(advisory)}",
        "CVE": f"https://www.cve.org/CVERecord?id={quote(advisory)}",
    }
    return known.get(family) if rest else None


def host_pills(host: dict[str, Any]) -> list[Pill]:
    """What is urgent of a host, then freshness, updates, restart, repositories, opinions; each with its reason."""
    updates = {"show": "security"} if host["security"] else {} if host["updates"] else {"show": "all"}
    found = [
        *((pill, {"tab": "cves", "only": only}) for only, pill in _urgent(host)),
        (_fresh(host), {"tab": "reports"}),
        (_updates(host), updates),
        (_restart(host), {"tab": "facts"}),
        (_repositories(host), {"tab": "repositories"}),
    ]
    if (host.get("support") or {}).get("ended"):
        found.append((_ended(host["support"]), {"tab": "facts"}))
    if host["difference_count"] is not None:
        found.append((_opinion(host), {"_anchor": "opinions"}))
    return [pill._replace(leads=leads) for pill, leads in found]


def _urgent(host: dict[str, Any]) -> list[tuple[str, Pill]]:
    """What the CVEs of the host are narrowed to, and the statement."""
    exploited, overdue = host["cves_exploited"], host["cves_overdue"]
    late = f"{plural(overdue, 'CVE')} past the due date." if overdue else ""
    if exploited:
        reason = f"Attacks are known: fix these first. {late}".rstrip()
        return [("exploited", Pill("red", plural(exploited, "exploited CVE"), reason))]
    if late:
        reason = "Past the due date that their severity has."
        return [("overdue", Pill("red", f"{plural(overdue, 'CVE')} overdue", reason))]
    return []


def _fresh(host: dict[str, Any]) -> Pill:
    seen = ago(host["last_report_at"])
    if host["silent"]:
        return Pill("red", "Silent", f"Last report {seen}: what follows may be out of date.")
    return Pill("green", "Fresh", f"Last report {seen}.")


def _updates(host: dict[str, Any]) -> Pill:
    count, fixes = host["updates"], host["security"]
    if count is None:
        return Pill("secondary", "Not evaluated", "The first evaluation has not been made yet.")
    if not count:
        others = sum((host["states"] or {}).values())
        reason = f"{plural(others, 'package')} held back or unknown to its repositories." if others else ""
        return Pill("green", "No updates", reason or "Every package is at the newest version it may have.")
    if fixes:
        return Pill("red", plural(fixes, "security fix", "security fixes"), f"{plural(count, 'update')} in all.")
    return Pill("yellow", plural(count, "update"), "None of them is a security fix.")


def _restart(host: dict[str, Any]) -> Pill:
    needed, why = host["reboot_required"], host["reboot_why"]
    if needed is None:
        return Pill("secondary", "Restart unknown", why or "The host did not say whether it has to be restarted.")
    if not needed:
        return Pill("green", "No restart", why or "The host says that it needs none.")
    return Pill("orange", "Restart needed", why or "The host itself asks for it.")


def _repositories(host: dict[str, Any]) -> Pill:
    count, problems = host["repository_count"], host["repository_problem_count"]
    if not count:
        return Pill("secondary", "No repositories", "Without repositories nothing can be outstanding.")
    if problems:
        reason = (
            f"{problems} of {plural(count, 'repository', 'repositories')} could not be read: counts may be too low."
        )
        return Pill("orange", "Incomplete", reason)
    return Pill("green", "Complete", f"{plural(count, 'repository', 'repositories')} read and current.")


def _ended(support: dict[str, Any]) -> Pill:
    longer = support["extended_ends_on"]
    reason = f"{support['name']} got its last free security updates on {support['ends_on']}."
    return Pill("red", "End of life", f"{reason} Longer support: until {longer}." if longer else reason)


def _opinion(host: dict[str, Any]) -> Pill:
    if host["difference_count"]:
        reason = f"{plural(host['difference_count'], 'update')} that only its package manager or only Patchbay lists."
        return Pill("azure", "Two opinions", reason)
    return Pill("green", "Confirmed", "Its package manager lists the same updates.")
