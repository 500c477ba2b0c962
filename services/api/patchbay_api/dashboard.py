"""The fleet at a glance."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from marshmallow import Schema, fields, validate
from patchbay_shared.db import Database
from sqlalchemy import RowMapping

from patchbay_api.resource import Resource, context
from patchbay_api.store import approvals, fleet
from patchbay_api.verdict_states import STATES

dashboard = Resource("dashboard", "The fleet at a glance.")


def _count(description: str) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": description})


class HostTotals(Schema):
    """Hosts by condition; up_to_date + needing_updates + uncertain = hosts."""

    hosts = _count("All hosts.")
    up_to_date = _count("Known to have nothing outstanding: fresh report, all repositories readable.")
    needing_updates = _count("At least one update is outstanding.")
    uncertain = _count("Nothing outstanding is known, but not for certain.")
    security = _count("At least one outstanding update is a security fix.")
    reboot_required = _count("Has to be restarted.")
    silent = _count("The last report is older than a day.")
    end_of_life = _count("The release no longer gets free security updates; those of `extended_support` included.")
    extended_support = _count("Of those, the release still gets longer support, such as LTS or ESM.")
    awaiting_evaluation = _count("Reported, but not evaluated yet.")
    incomplete = _count("At least one enabled repository could not be read.")
    machine_id_shared = _count("Another host reports the same machine-id.")
    outstanding_updates = _count("Updates over all hosts.")
    outstanding_security_updates = _count("Security fixes over all hosts.")


class RepositoryTotals(Schema):
    """Repositories by state."""

    total = _count("All that are crawled.")
    ok = _count("Read and current.")
    pending = _count("Not read yet.")
    failing = _count("Could not be read.")
    reported = _count("Could not be read; what hosts report as available stands in.")
    untrusted = _count("Signature or checksum does not hold.")
    overdue = _count("Should have been looked at an hour ago; also counted by its state.")


class OpinionTotals(Schema):
    """The lists of the hosts' own package managers against Patchbay's; `GET /hosts?differs=true` has the hosts."""

    compared = _count("Hosts whose last list was compared.")
    differing = _count("Those where the two lists are not the same.")
    differences = _count("Updates that only one side lists, over all hosts.")


class StateTotal(Schema):
    """A state that verdicts have somewhere; `GET /hosts?state=` has the hosts."""

    state = fields.String(required=True, validate=validate.OneOf(STATES))
    hosts = _count("Hosts with at least one such package.")
    packages = _count("Packages, over all hosts.")


class RestartTotal(Schema):
    """A rule by which hosts have to be restarted; `GET /hosts?reboot=true&reboot_rule=` has the hosts."""

    rule = fields.String(required=True)
    hosts = _count("Hosts that have to be restarted by this rule.")
    example = fields.String(required=True, metadata={"description": "What it says of one of them."})


class OperatingSystem(Schema):
    """Hosts of one operating system."""

    os = fields.String(required=True)
    hosts = fields.Integer(required=True)
    needing_updates = fields.Integer(required=True)
    security = fields.Integer(required=True)


class SeverityTotal(Schema):
    """Hosts by the worst severity of their outstanding security updates; `severity:` finds them."""

    severity = fields.String(required=True, validate=validate.OneOf(fleet.SEVERITIES))
    hosts = _count("Hosts.")


class AgeTotal(Schema):
    """Hosts by when the oldest of their outstanding security updates was published; `outstanding` finds them."""

    age = fields.String(
        required=True,
        validate=validate.OneOf(fleet.AGES),
        metadata={"description": "week: less than 7 days ago; month: 30; quarter: 90; older; unknown: no date."},
    )
    hosts = _count("Hosts.")


class VulnerabilityTotals(Schema):
    """CVEs over the hosts that were counted; `GET /hosts?overdue=true` has those with overdue ones."""

    counted = _count("Hosts whose CVEs were counted.")
    patched = _count("Those of them without a CVE that could be fixed, by an update or a restart, and is not waived.")
    patched_percent = fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Of the counted hosts, rounded down; say it with `waived`: 100 % (3 waived)."},
    )
    exposed = _count("Hosts that any CVE touches that is not waived.")
    exploited = _count("Hosts that a CVE touches that is known to be exploited, and is not waived.")
    overdue = _count("Hosts with a CVE past its due date.")
    waived = _count("Hosts with a waived CVE.")
    overdue_cves = _count("CVEs past their due dates, over all hosts.")
    waived_cves = _count("Waived CVEs, over all hosts.")
    fixable_cves = _count("CVEs with a fix to install, over all hosts.")
    restart_cves = _count("CVEs fixed on disk where the old code still runs, over all hosts.")


class Dashboard(Schema):
    """The fleet in numbers."""

    hosts = fields.Nested(HostTotals, required=True)
    repositories = fields.Nested(RepositoryTotals, required=True)
    opinions = fields.Nested(OpinionTotals, required=True)
    states = fields.List(
        fields.Nested(StateTotal), required=True, metadata={"description": "In the order of the states of a verdict."}
    )
    restarts = fields.List(fields.Nested(RestartTotal), required=True)
    operating_systems = fields.List(fields.Nested(OperatingSystem), required=True)
    severities = fields.List(
        fields.Nested(SeverityTotal), required=True, metadata={"description": "The worst first, all of them."}
    )
    ages = fields.List(
        fields.Nested(AgeTotal), required=True, metadata={"description": "The youngest first, all of them."}
    )
    vulnerabilities = fields.Nested(VulnerabilityTotals, required=True)
    waiting_host_count = _count("Enrolled hosts that wait for an operator's approval.")
    dead_letter_count = _count("Messages that could not be handled.")


@dashboard.get("/dashboard", Dashboard, permission="hosts.read")
def get_dashboard() -> dict[str, Any]:
    """Count the fleet."""
    database = context().database
    # Two halves over two connections at once: they cost about the same, and nothing else is asked for as often. None
    # is held while the other is waited for.
    with ThreadPoolExecutor(1, thread_name_prefix="dashboard") as beside:
        by_kind = beside.submit(_counted_by_kind, database)
        with database.transaction() as connection:
            systems = fleet.totals_by_system(connection)
            found = {
                "hosts": fleet.sum_of(systems),
                "repositories": fleet.repository_totals(connection),
                "opinions": fleet.opinion_totals(connection),
                "restarts": fleet.restart_totals(connection),
                "operating_systems": systems[: fleet.OPERATING_SYSTEM_COUNT],
                "vulnerabilities": fleet.vulnerability_totals(connection),
                "waiting_host_count": approvals.waiting_count(connection),
                "dead_letter_count": fleet.dead_letter_count(connection),
            }
        return {**found, **by_kind.result()}


def _counted_by_kind(database: Database) -> dict[str, Any]:
    """Packages by what was decided, hosts by severity and age."""
    with database.transaction() as connection:
        by_severity, by_age = fleet.security_totals(connection)
        return {
            "states": _in_order(fleet.state_totals(connection)),
            "severities": [{"severity": each, "hosts": count} for each, count in by_severity.items()],
            "ages": [{"age": each, "hosts": count} for each, count in by_age.items()],
        }


def _in_order(totals: list[RowMapping]) -> list[RowMapping]:
    """As the states are listed; what a newer engine may add comes last."""
    order = {state: place for place, state in enumerate(STATES)}
    return sorted(totals, key=lambda each: order.get(each["state"], len(order)))
