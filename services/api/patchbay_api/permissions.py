"""What may be done, by name: the permissions that endpoints ask for, and the roles that are sets of them.

A new permission is one line of `PERMISSIONS`. It says which built-in role is the first to have it, and whether it
makes sense for somebody who may see some hosts only: what concerns the whole fleet is never granted with a scope.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

Role = Literal["viewer", "operator", "admin"]
RANK: dict[str, int] = {"viewer": 0, "operator": 1, "admin": 2}

PUBLIC = "public"
"""Anybody may ask, signed in or not."""
SIGNED_IN = "signed-in"
"""Whoever has a living session or API token."""
OWN_ACCOUNT = "own-account"
"""The person in person: any session, but no API token."""
FIRST_STEPS = "first-steps"
"""The same, also in a session that may do nothing else until a password is chosen or a second factor is there."""
WITHOUT_ROLE = frozenset({PUBLIC, SIGNED_IN, OWN_ACCOUNT, FIRST_STEPS})


@dataclass(frozen=True)
class Permission:
    """One thing that may be done."""

    name: str
    meaning: str
    role: Role
    """The lowest built-in role that has it."""
    whole_fleet: bool = False
    """It concerns everybody's hosts: nobody has it whose scope is narrower than the fleet."""


PERMISSIONS: dict[str, Permission] = {
    each.name: each
    for each in (
        Permission("hosts.read", "See hosts: inventory, updates, vulnerabilities, receipts, counts.", "viewer"),
        Permission("hosts.operate", "Act on hosts: evaluate, label, process reports again.", "operator"),
        Permission("groups.manage", "Make, rename and remove groups of hosts.", "operator", True),
        Permission("reports.read", "See reports as hosts sent them.", "operator"),
        Permission("repositories.read", "See repositories, their mirrors and crawls.", "viewer"),
        Permission("repositories.operate", "Crawl, label, enable and link repositories.", "operator", True),
        Permission("mirror-access.read", "See for which mirrors access is configured.", "operator", True),
        Permission("mirror-access.manage", "Set the secrets with which mirrors are accessed.", "admin", True),
        Permission("advisories.read", "See advisories, CVEs, feeds and lifecycles.", "viewer"),
        Permission("exceptions.operate", "Waive vulnerabilities, and end that.", "operator", True),
        Permission("remediation.manage", "Set within how many days vulnerabilities have to be fixed.", "admin", True),
        Permission("enrolment.read", "See which hosts wait for approval.", "viewer", True),
        Permission("enrolment.operate", "Make and revoke enrolment tokens, approve hosts.", "operator", True),
        Permission("dead-letters.read", "See which messages could not be handled.", "viewer", True),
        Permission("dead-letters.operate", "See, replay and discard such messages.", "operator", True),
        Permission("users.read", "See users, roles and API tokens.", "admin", True),
        Permission("users.manage", "Make and change users and roles, revoke API tokens.", "admin", True),
        Permission("audit.read", "See and export who did what.", "admin", True),
        Permission("notifications.read", "See who is told what, and what was delivered.", "operator", True),
        Permission("notifications.manage", "Change who is told what; make channels.", "admin", True),
        Permission("operation.read", "See trends, what needs attention, queues and the pipeline.", "viewer", True),
        Permission("settings.manage", "Change how Patchbay works.", "admin", True),
    )
}

BUILT_IN_ROLES: dict[str, frozenset[str]] = {
    role: frozenset(each.name for each in PERMISSIONS.values() if RANK[each.role] <= rank)
    for role, rank in RANK.items()
}


def permissions_of(role: str, custom: Collection[str] | None) -> frozenset[str]:
    """What a role may do; `custom` are the permissions of a role that is not built in. Unknown roles: nothing."""
    if role in BUILT_IN_ROLES:
        return BUILT_IN_ROLES[role]
    return frozenset(custom or ()) & PERMISSIONS.keys()


def within(permissions: Collection[str], *, scoped: bool) -> frozenset[str]:
    """Those that remain for somebody whose scope is narrower than the fleet (`scoped`)."""
    return frozenset(each for each in permissions if not (scoped and PERMISSIONS[each].whole_fleet))
