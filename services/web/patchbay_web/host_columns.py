"""The columns of the list of hosts: which there are, and which somebody chose to see."""

from typing import NamedTuple

from flask import request

from patchbay_web.preferences import Preferences

PREFERENCE = "host_columns"


class Column(NamedTuple):
    """One column; `cell` names the macro of `host_cells.html` that draws it."""

    words: str
    sort: str = ""
    number: bool = False
    ascending: bool = False
    """Which order is the useful one first."""


COLUMNS: dict[str, Column] = {
    "os": Column("System", "os", ascending=True),
    "group": Column("Group"),
    "tags": Column("Tags"),
    "updates": Column("Updates", "updates", number=True),
    "security": Column("Security", "security", number=True),
    "cves": Column("CVEs", number=True),
    "overdue": Column("Overdue", number=True),
    "due": Column("Next due"),
    "restart": Column("Restart"),
    "packages": Column("Packages", number=True),
    "repositories": Column("Repositories", number=True),
    "kernel": Column("Kernel"),
    "last_report": Column("Last report", "last_report_at", ascending=True),
    "condition": Column("Condition"),
}
USUAL = ("updates", "security", "last_report", "condition")


def chosen(preferences: Preferences) -> list[str]:
    """The columns to show, in the order of `COLUMNS`: those that the address names, or those that were chosen."""
    named = request.args.get("columns")
    wanted = named.split(".") if named else preferences.get(PREFERENCE, ())
    return [name for name in COLUMNS if name in wanted] or list(USUAL)
