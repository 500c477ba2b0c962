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
    permission: str = ""
    """Without it the entry is left out; the API decides what the page shows."""


GROUPS: tuple[tuple[str, tuple[Section, ...]], ...] = (
    (
        "Fleet",
        (
            Section("dashboard.show", "Dashboard", "layout-dashboard", ("dashboard",)),
            Section("operation.trends", "Over time", "chart-line", ()),
            Section("hosts.index", "Hosts", "server", ("hosts", "enrolment")),
            Section("views.index", "Saved views", "bookmark", ("views",)),
            Section("groups.index", "Groups and tags", "tag", ("groups",)),
            Section("releases.index", "Releases", "stack-2", ("releases",)),
            Section("packages.index", "Packages", "package", ("packages",)),
        ),
    ),
    (
        "Security",
        (
            Section("advisories.index", "Advisories", "file-alert", ("advisories",)),
            Section("cves.index", "CVEs", "bug", ("cves",)),
            Section("exceptions.index", "Exceptions", "shield-half", ("exceptions",)),
            Section("lifecycles.index", "End of life", "calendar-off", ("lifecycles",)),
        ),
    ),
    (
        "Sources",
        (
            Section("repositories.index", "Repositories", "database", ("repositories",)),
            Section("mirror_access.index", "Mirror access", "lock-access", ("mirror_access",), "mirror-access.read"),
            Section("feeds.index", "Advisory feeds", "rss", ("feeds",)),
        ),
    ),
    (
        "Operation",
        (
            Section("operation.attention", "Needs attention", "urgent", ()),
            Section("operation.queues", "Queues", "activity", ()),
            Section("host_acts.jobs", "Jobs", "list-check", ("host_acts",)),
            Section("reports.index", "Reports", "inbox", ("reports",)),
            Section("dead_letters.index", "Dead letters", "mail-exclamation", ("dead_letters",), "dead-letters.read"),
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
                "notifications.read",
            ),
            Section("users.index", "Users and roles", "users", ("users",), "users.read"),
            Section("audit.index", "Audit", "clipboard-list", ("audit",), "audit.read"),
            Section("operation.settings", "Settings", "settings", (), "settings.manage"),
            Section("tokens.index", "Sessions and tokens", "key", ("tokens",)),
        ),
    ),
)


def menu() -> list[tuple[str, list[Section]]]:
    """What the person who looks may see of it."""
    groups = [
        (words, [each for each in sections if not each.permission or may(each.permission)])
        for words, sections in GROUPS
    ]
    return [(words, sections) for words, sections in groups if sections]
