"""Publish and consume, over RabbitMQ or, embedded, over kombu's memory transport.

What a caller may rely on, with either transport:

| | amqp:// | memory:// |
|---|---|---|
| `publish` returns | when the broker confirmed the message | at once |
| `publish(wait=True)` returns | when the broker confirmed the message | when a consumer has handled it |
| a message survives | a crash of any process | nothing: that is why wait=True waits |

A handler that returns acknowledges its message. One that raises `Unavailable` is called again, after a
pause, for as long as its process lives (and by another process after that). `InvalidInput` makes a dead letter at
once, any other error after three attempts.
"""

import socket
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from amqp.exceptions import AMQPError, MessageNacked
from kombu.connection import Connection
from kombu.entity import Exchange, Queue, binding
from kombu.exceptions import OperationalError as BrokerError
from kombu.message import Message
from kombu.messaging import Consumer, Producer
from opentelemetry.trace import SpanKind

from patchbay_shared import metrics, tracing
from patchbay_shared.errors import InvalidInput, Unavailable
from patchbay_shared.log import get_logger
from patchbay_shared.messages import DEAD_LETTERS, MESSAGE_DEAD, QUEUES, QueueSpec

log = get_logger("bus")

EXCHANGE = Exchange("patchbay", type="topic", durable=True)
ATTEMPTS = 3
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 15.0
CONNECTION_ERRORS = (OSError, BrokerError, AMQPError, MessageNacked)
"""What a lost, refusing or silent broker raises."""


class _Blocked(OSError):
    """RabbitMQ takes nothing from publishers: its disk or its memory is full."""


@dataclass(frozen=True)
class Delivery:
    """One message as a handler sees it."""

    routing_key: str
    headers: Mapping[str, Any]
    body: bytes


Handler = Callable[[Delivery], None]


@dataclass(frozen=True)
class Subscription:
    """One consumer thread: its queue, what handles a message, how many are fetched ahead."""

    queue: QueueSpec
    handle: Handler
    prefetch: int = 8


class Bus:
    """The broker. One connection a thread; safe to share between threads."""

    def __init__(self, url: str, *, timeout_seconds: float = 30.0) -> None:
        self.url = url
        self.in_memory = url.startswith("memory")
        self._timeout_seconds = timeout_seconds
        self._local = threading.local()
        self._waiting: dict[str, threading.Event] = {}

    def declare(self) -> None:
        """Make the exchange and every queue, so that nothing published before its consumer is lost.

        Raises Unavailable.
        """
        try:
            with self._connect() as connection:
                channel = connection.channel()
                for spec in QUEUES:
                    self._queue(spec)(channel).declare()
        except CONNECTION_ERRORS as exc:
            raise Unavailable(f"The message broker did not answer: {exc}") from exc

    def ping(self) -> None:
        """Raises Unavailable when the broker is out of reach."""
        try:
            with self._connect() as connection:
                connection.ensure_connection(max_retries=1, timeout=3)
        except CONNECTION_ERRORS as exc:
            raise Unavailable(f"The message broker did not answer: {exc}") from exc

    def publish(
        self, routing_key: str, body: bytes, headers: Mapping[str, Any] | None = None, *, wait: bool = False
    ) -> None:
        """Hand a message to the broker; see the module for what `wait` promises. Raises Unavailable."""
        headers = {**tracing.headers(), **(headers or {})}
        handled: threading.Event | None = None
        if wait and self.in_memory:
            headers["x-patchbay-wait"] = token = uuid.uuid4().hex
            handled = self._waiting[token] = threading.Event()
        try:
            with (
                metrics.PUBLISH_SECONDS.labels(routing_key).time(),
                metrics.PUBLISH_FAILURES.labels(routing_key).count_exceptions(),
            ):
                self._publish(routing_key, body, headers)
            if handled and not handled.wait(self._timeout_seconds):
                raise Unavailable("The report was not handled in time; send it again later.")
        finally:
            if handled:
                self._waiting.pop(headers["x-patchbay-wait"], None)

    def _publish(self, routing_key: str, body: bytes, headers: dict[str, Any]) -> None:
        for fresh in (False, True):  # a connection that idled may be dead without knowing it
            try:
                self._producer(fresh=fresh).publish(
                    body,
                    routing_key=routing_key,
                    headers=headers,
                    content_type="application/octet-stream",
                    content_encoding="binary",
                    delivery_mode=2,
                    retry=False,
                    confirm_timeout=self._timeout_seconds,
                )
            except CONNECTION_ERRORS as exc:
                self._drop_producer()
                # Silence is not tried once more: it would take as long again, and the message may have arrived.
                if fresh or isinstance(exc, TimeoutError):
                    raise Unavailable(f"The message broker did not confirm the message: {exc}") from exc
            else:
                return

    def consume(self, subscription: Subscription, stop: threading.Event) -> None:
        """Handle messages of one queue until `stop` is set; reconnects by itself."""
        pause = _FIRST_PAUSE_SECONDS
        while not stop.is_set():
            try:
                with self._connect() as connection:
                    self._drain(connection, subscription, stop)
                    pause = _FIRST_PAUSE_SECONDS
            except CONNECTION_ERRORS as exc:
                log.warning("broker_lost", queue=subscription.queue.name, error=str(exc))
                stop.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _drain(self, connection: Connection, subscription: Subscription, stop: threading.Event) -> None:
        channel = connection.channel()

        def on_message(message: Message) -> None:
            carrier = message.headers or {}
            with tracing.span(f"process {subscription.queue.name}", carrier=carrier, kind=SpanKind.CONSUMER):
                self._handle(message, subscription, stop)

        consumer = Consumer(
            channel,
            queues=[self._queue(subscription.queue)],
            on_message=on_message,
            prefetch_count=subscription.prefetch,
            accept=None,
        )
        with consumer:
            while not stop.is_set():
                with suppress(socket.timeout):
                    connection.drain_events(timeout=0.2)

    def _handle(self, message: Message, subscription: Subscription, stop: threading.Event) -> None:
        body = message.body if isinstance(message.body, bytes) else str(message.body).encode()
        headers = dict(message.headers or {})
        waiter = headers.pop("x-patchbay-wait", None)
        routing_key = str(message.delivery_info.get("routing_key", ""))
        delivery = Delivery(routing_key=routing_key, headers=headers, body=body)
        attempts, pause, first_at = 0, _FIRST_PAUSE_SECONDS, time.time()
        while True:
            outcome = metrics.MessageClock(subscription.queue.name)
            try:
                subscription.handle(delivery)
            except Unavailable as exc:
                outcome.ended("waiting")
                log.warning("handler_waits", queue=subscription.queue.name, error=str(exc))
                if stop.wait(pause):
                    return  # unacknowledged: the broker hands it to the next consumer
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                continue
            except Exception as exc:
                attempts += 1
                final = isinstance(exc, InvalidInput) or attempts >= ATTEMPTS
                outcome.ended("buried" if final else "failed")
                log.error("handler_failed", queue=subscription.queue.name, attempts=attempts, exc_info=exc)
                if not final:
                    continue
                if subscription.queue is not DEAD_LETTERS:
                    self._bury(delivery, subscription.queue, exc, attempts, first_at)
            else:
                outcome.ended("handled")
            message.ack()
            if waiter and (event := self._waiting.get(waiter)):
                event.set()
            return

    def _bury(self, delivery: Delivery, queue: QueueSpec, exc: Exception, attempts: int, first_at: float) -> None:
        """Send a message that cannot be handled to the queue whose consumer writes `dead_letter`."""
        error = "".join(traceback.format_exception_only(exc)).strip()
        self.publish(
            MESSAGE_DEAD,
            delivery.body,
            {
                **delivery.headers,
                "x-patchbay-queue": queue.name,
                "x-patchbay-routing-key": delivery.routing_key,
                "x-patchbay-error": error[:4_000],
                "x-patchbay-attempts": attempts,
                "x-patchbay-first-at": first_at,
            },
        )

    def _connect(self, *, publishes: bool = False) -> Connection:
        options: dict[str, Any] = (
            {"polling_interval": 0.01}
            if self.in_memory
            else {"confirm_publish": True, "read_timeout": self._timeout_seconds, "write_timeout": 10}
        )
        if publishes and not self.in_memory:
            options["on_blocked"] = _refuse
        return Connection(self.url, transport_options=options, connect_timeout=5)

    def _producer(self, *, fresh: bool) -> Producer:
        producer: Producer | None = getattr(self._local, "producer", None)
        if producer is None or fresh:
            self._drop_producer()
            connection = self._connect(publishes=True)
            channel = connection.channel()
            for spec in QUEUES:
                self._queue(spec)(channel).declare()
            producer = Producer(channel, exchange=EXCHANGE, auto_declare=False)
            self._local.connection, self._local.producer = connection, producer
        return producer

    def _drop_producer(self) -> None:
        producer: Producer | None = getattr(self._local, "producer", None)
        connection: Connection | None = getattr(self._local, "connection", None)
        self._local.producer = self._local.connection = None
        if producer is not None and not self.in_memory:
            with suppress(Exception):
                producer.channel.connection.collect()  # no farewell, which a blocked broker would not answer
        if connection is not None:
            with suppress(Exception):
                connection.release()

    def _queue(self, spec: QueueSpec) -> Queue:
        arguments: dict[str, Any] = {}
        if not self.in_memory:
            arguments = {"x-queue-type": "quorum", "x-overflow": "reject-publish"}
            if spec is not DEAD_LETTERS:
                arguments |= {
                    "x-delivery-limit": ATTEMPTS,
                    "x-dead-letter-exchange": EXCHANGE.name,
                    "x-dead-letter-routing-key": MESSAGE_DEAD,
                }
        first, *others = spec.routing_keys
        bindings = [binding(EXCHANGE, routing_key=key) for key in spec.routing_keys] if others else None
        return Queue(
            spec.name,
            exchange=EXCHANGE,
            routing_key=first,
            bindings=bindings,
            durable=True,
            queue_arguments=arguments,
        )


def _refuse(_reason: str) -> None:
    raise _Blocked("RabbitMQ takes no messages: its disk or its memory is full (see `rabbitmqctl status`)")
