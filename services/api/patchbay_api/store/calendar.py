"""What has a date: vulnerabilities of hosts, and the end of their releases."""

from collections.abc import Sequence
from typing import Any

from patchbay_shared.tables import host, host_exposure, lifecycle
from sqlalchemy import Connection, RowMapping, Select, and_, func, or_, select


def due_hosts(connection: Connection, chosen: Select[Any]) -> Sequence[RowMapping]:
    """(hostname, next_due_on, worst_cve) of the chosen hosts with something due, by date and name."""
    statement = (
        select(host.c.hostname, host_exposure.c.next_due_on, host_exposure.c.worst_cve)
        .join(host_exposure, host_exposure.c.host_id == host.c.id)
        .where(host.c.id.in_(chosen), host_exposure.c.next_due_on.is_not(None))
        .order_by(host_exposure.c.next_due_on, host.c.hostname)
    )
    return connection.execute(statement).mappings().all()


def ending_releases(connection: Connection, chosen: Select[Any]) -> Sequence[RowMapping]:
    """(ecosystem, version, name, ends_on, hosts): releases that the chosen hosts run and that have a last day."""
    release = host.c.facts["os_release"]
    ecosystem, version = release["ID"].astext, release["VERSION_ID"].astext
    statement = (
        select(
            lifecycle.c.ecosystem,
            lifecycle.c.version,
            lifecycle.c.name,
            lifecycle.c.ends_on,
            func.count(host.c.id).label("hosts"),
        )
        .join(
            lifecycle,
            and_(
                lifecycle.c.ecosystem == ecosystem,
                or_(lifecycle.c.version == version, lifecycle.c.version == func.split_part(version, ".", 1)),
            ),
        )
        .where(host.c.id.in_(chosen), lifecycle.c.ends_on.is_not(None))
        .group_by(lifecycle.c.ecosystem, lifecycle.c.version, lifecycle.c.name, lifecycle.c.ends_on)
        .order_by(lifecycle.c.ends_on, lifecycle.c.ecosystem, lifecycle.c.version)
    )
    return connection.execute(statement).mappings().all()
