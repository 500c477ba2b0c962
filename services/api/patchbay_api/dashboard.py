"""The fleet at a glance."""

from typing import Any

from marshmallow import Schema, fields

from patchbay_api.resource import Resource, context
from patchbay_api.store import approvals, fleet

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
    reboot_required = _count("The host says that it has to be restarted.")
    silent = _count("The last report is older than a day.")
    awaiting_evaluation = _count("Reported, but not evaluated yet.")
    incomplete = _count("At least one enabled repository could not be read.")
    outstanding_updates = _count("Updates over all hosts.")
    outstanding_security_updates = _count("Security fixes over all hosts.")


class RepositoryTotals(Schema):
    """Repositories by state."""

    total = _count("All that are crawled.")
    ok = _count("Read and current.")
    pending = _count("Not read yet.")
    failing = _count("Could not be read.")
    untrusted = _count("Signature or checksum does not hold.")


class OperatingSystem(Schema):
    """Hosts of one operating system."""

    os = fields.String(required=True)
    hosts = fields.Integer(required=True)
    needing_updates = fields.Integer(required=True)
    security = fields.Integer(required=True)


class Dashboard(Schema):
    """The fleet in numbers."""

    hosts = fields.Nested(HostTotals, required=True)
    repositories = fields.Nested(RepositoryTotals, required=True)
    operating_systems = fields.List(fields.Nested(OperatingSystem), required=True)
    waiting_host_count = _count("Enrolled hosts that wait for an operator's approval.")
    dead_letter_count = _count("Messages that could not be handled.")


@dashboard.get("/dashboard", Dashboard)
def get_dashboard() -> dict[str, Any]:
    """Count the fleet."""
    with context().database.transaction() as connection:
        return {
            "hosts": fleet.host_totals(connection),
            "repositories": fleet.repository_totals(connection),
            "operating_systems": fleet.operating_systems(connection),
            "waiting_host_count": approvals.waiting_count(connection),
            "dead_letter_count": fleet.dead_letter_count(connection),
        }
