"""The queues as RabbitMQ itself sees them, asked through pika: the operator's side of the broker."""

from collections.abc import Callable

import pika
from kombu.connection import Connection
from pika.exceptions import AMQPError, ChannelClosedByBroker

from patchbay_shared.bus import Bus
from patchbay_shared.errors import Unavailable
from patchbay_shared.messages import QUEUES
from patchbay_shared.metrics import QUEUE_CONSUMERS, QUEUE_MESSAGES, Readings

_TIMEOUT_SECONDS = 3.0


def queue_depths(bus: Bus) -> Readings:
    """The same at once, of whichever broker there is; that in memory counts no consumers. Raises Unavailable."""
    if not bus.in_memory:
        return queue_gauges(bus.url)()
    with Connection(bus.url) as connection:
        channel = connection.default_channel
        counts = {each.name: float(channel.queue_declare(each.name, passive=False).message_count) for each in QUEUES}
    return {QUEUE_MESSAGES: counts}


def queue_gauges(url: str) -> Callable[[], Readings]:
    """Ready messages and consumers of each queue that exists. The reader raises Unavailable."""
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = parameters.stack_timeout = parameters.blocked_connection_timeout = _TIMEOUT_SECONDS
    parameters.connection_attempts = 1

    def read() -> Readings:
        messages: dict[str, float] = {}
        consumers: dict[str, float] = {}
        try:
            connection = pika.BlockingConnection(parameters)
            try:
                for queue in QUEUES:
                    channel = connection.channel()
                    try:
                        answer = channel.queue_declare(queue.name, passive=True).method
                    except ChannelClosedByBroker:
                        continue  # not declared yet: no service has run
                    messages[queue.name] = float(answer.message_count)
                    consumers[queue.name] = float(answer.consumer_count)
                    channel.close()
            finally:
                if connection.is_open:
                    connection.close()
        except (AMQPError, OSError) as exc:
            raise Unavailable(f"The message broker did not answer: {exc or type(exc).__name__}") from exc
        return {QUEUE_MESSAGES: messages, QUEUE_CONSUMERS: consumers}

    return read
