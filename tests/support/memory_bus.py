"""A broker in memory. Its queues belong to the process: what one test leaves in them, the next would get."""

from typing import Any

from kombu import Connection
from patchbay_shared.bus import Bus
from patchbay_shared.messages import QUEUES


def memory_bus(**options: Any) -> Bus:
    """A broker with every queue declared and empty; `options` are those of Bus."""
    bus = Bus("memory://", **options)
    bus.declare()
    with Connection(bus.url) as connection:
        for spec in QUEUES:
            connection.default_channel.queue_purge(spec.name)
    return bus
