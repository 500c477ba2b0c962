"""Which hosts, in which order: the parameters of the list of hosts, and the SQL that they stand for."""

from typing import Any

from marshmallow import fields, validate
from patchbay_shared.tables import evaluation, host, reboot_verdict
from sqlalchemy import ColumnElement, Connection, Select

from patchbay_api.paging import Moment, Number, PageQuery, query_field, text_field
from patchbay_api.query.hosts import hosts_matching
from patchbay_api.store import hosts as store
from patchbay_api.store import labels
from patchbay_api.verdict_states import STATES

SORTS: dict[str, tuple[tuple[ColumnElement[Any], Any], ...]] = {
    "hostname": ((host.c.hostname, str),),
    "os": ((host.c.os_name, str),),
    "updates": ((store.updates, Number),),
    "security": ((store.security, Number),),
    "differences": ((store.differences, Number),),
    "cves": ((store.cves, Number),),
    "exploited": ((store.exploited, Number),),
    "overdue": ((store.overdue, Number),),
    "urgency": ((store.exploited, Number), (store.overdue, Number), (store.security, Number)),
    "last_report_at": ((host.c.last_report_at, Moment),),
}
"""Each order's keys, the first one first."""
_CONDITIONS: dict[str, ColumnElement[bool]] = {
    "updates": store.updates > 0,
    "security": store.security > 0,
    "reboot": store.reboot_required.is_(True),
    "differs": store.differences > 0,
    "incomplete": store.incomplete,
    "evaluated": host.c.evaluation_id.is_not(None),
    "machine_id_shared": host.c.machine_id_shared,
    "silent": store.silent,
    "overdue": store.overdue > 0,
    "exploited": store.exploited > 0,
    "waived": store.waived > 0,
}


class HostQuery(PageQuery):
    """Which hosts, in which order."""

    sort = fields.String(
        load_default="hostname",
        validate=validate.OneOf([sign + name for name in SORTS for sign in ("", "-")]),
        metadata={
            "description": "Sort key; `-` in front: descending. urgency: by exploited CVEs, then overdue ones, then"
            " security updates. Equal hosts are in order of their names."
        },
    )
    query = query_field()
    q = text_field("Part of the host name, upper or lower case.")
    os = text_field("The operating system, exactly as listed.")
    tag = text_field("One of the host's tags.")
    group = text_field("The name of its group.")
    updates = fields.Boolean(metadata={"description": "Whether any update is outstanding."})
    security = fields.Boolean(metadata={"description": "Whether any outstanding update is a security fix."})
    state = fields.String(
        validate=validate.OneOf(STATES), metadata={"description": "At least one package has a verdict of this state."}
    )
    reboot = fields.Boolean(metadata={"description": "Whether it has to be restarted."})
    reboot_rule = text_field("The rule that decided about the restart, as `kernel.newer`.")
    differs = fields.Boolean(
        metadata={
            "description": "Whether its package manager's own list differs from Patchbay's; false: or not compared."
        }
    )
    incomplete = fields.Boolean(
        metadata={"description": "Whether some enabled repository is not known to be current."}
    )
    evaluated = fields.Boolean(metadata={"description": "Whether it has been evaluated at least once."})
    machine_id_shared = fields.Boolean(metadata={"description": "Whether another host reports the same machine-id."})
    silent = fields.Boolean(metadata={"description": "Whether the last report is older than a day."})
    overdue = fields.Boolean(metadata={"description": "Whether a CVE is past its due date."})
    exploited = fields.Boolean(metadata={"description": "Whether a CVE touches it that is known to be exploited."})
    waived = fields.Boolean(metadata={"description": "Whether an exception waives any of its CVEs."})


def filtered_hosts(connection: Connection, query: dict[str, Any]) -> Select[Any]:
    """The ids of the hosts that a loaded `HostQuery` asks for."""
    statement = hosts_matching(connection, query.get("query", ""))
    if query.get("q"):
        statement = statement.where(host.c.hostname.icontains(query["q"], autoescape=True))
    if query.get("os"):
        statement = statement.where(host.c.os_name == query["os"])
    if query.get("tag"):
        statement = statement.where(labels.tagged(query["tag"]))
    if query.get("group"):
        statement = statement.where(labels.in_group(query["group"]))
    if query.get("state"):
        statement = statement.where(evaluation.c.state_counts.has_key(query["state"]))
    if query.get("reboot_rule"):
        statement = statement.where(reboot_verdict.c.rule == query["reboot_rule"])
    for name, condition in _CONDITIONS.items():
        if (wanted := query.get(name)) is not None:
            statement = statement.where(condition if wanted else ~condition)
    return statement
