"""The sections of the site, in the order of its menu."""

from typing import NamedTuple

from patchbay_web.session import may


class Section(NamedTuple):
    """One entry of the menu."""

    endpoint: str
    words: str
    icon: str
    blueprints: tuple[str, ...]
    """Pages of these blueprints show the entry as the present one."""
    permissions: tuple[str, ...] = ()
    """Without all of them the entry is left out; the API decides what the page shows."""


GROUPS: tuple[tuple[str, tuple[Section, ...]], ...] = (
    (
        "Fleet",
        (
            Section("dashboard.show", "Dashboard", "layout-dashboard", ("dashboard",), ("hosts.read",)),
            Section("operation.trends", "Over time", "chart-line", (), ("operation.read",)),
            Section("hosts.index", "Hosts", "server", ("hosts", "enrolment"), ("hosts.read",)),
            Section("views.index", "Saved views", "bookmark", ("views",), ("hosts.read",)),
            Section("groups.index", "Groups and tags", "tag", ("groups",), ("hosts.read",)),
            Section("releases.index", "Releases", "stack-2", ("releases",), ("hosts.read",)),
            Section("packages.index", "Packages", "package", ("packages",), ("hosts.read",)),
        ),
    ),
    (
        "Security",
        (
            Section("advisories.index", "Advisories", "file-alert", ("advisories",), ("advisories.read",)),
            Section("cves.index", "CVEs", "bug", ("cves",), ("advisories.read",)),
            Section("exceptions.index", "Exceptions", "shield-half", ("exceptions",), ("hosts.read",)),
            Section(
                "lifecycles.index", "End of life", "calendar-off", ("lifecycles",), ("hosts.read", "advisories.read")
            ),
        ),
    ),
    (
        "Sources",
        (
            Section("repositories.index", "Repositories", "database", ("repositories",), ("repositories.read",)),
            Section(
                "mirror_access.index", "Mirror access", "lock-access", ("mirror_access",), ("mirror-access.read",)
            ),
            Section("feeds.index", "Advisory feeds", "rss", ("feeds",), ("advisories.read",)),
        ),
    ),
    (
        "Operation",
        (
            Section("operation.attention", "Needs attention", "urgent", (), ("operation.read",)),
            Section("operation.queues", "Queues", "activity", (), ("operation.read",)),
            Section("host_acts.jobs", "Jobs", "list-check", ("host_acts",), ("hosts.read",)),
            Section("reports.index", "Reports", "inbox", ("reports",), ("hosts.read",)),
            Section(
                "dead_letters.index", "Dead letters", "mail-exclamation", ("dead_letters",), ("dead-letters.read",)
            ),
        ),
    ),
    (
        "Administration",
        (
            Section(
                "notification_rules.index",
                "Notifications",
                "bell",
                ("notification_rules", "notification_channels"),
                ("notifications.read",),
            ),
            Section("users.index", "Users and roles", "users", ("users",), ("users.read",)),
            Section("audit.index", "Audit", "clipboard-list", ("audit",), ("audit.read",)),
            Section("operation.settings", "Settings", "settings", (), ("settings.manage",)),
            Section("tokens.index", "Sessions and tokens", "key", ("tokens",)),
        ),
    ),
)


def menu() -> list[tuple[str, list[Section]]]:
    """What the person who looks may see of it."""
    groups = [
        (words, [each for each in sections if all(may(needed) for needed in each.permissions)])
        for words, sections in GROUPS
    ]
    return [(words, sections) for words, sections in groups if sections]
