"""One id for everything that follows from one request: in every log line, and as OpenTelemetry spans if wanted.

The id is a trace id of W3C Trace Context. It comes in the header `traceparent` (an agent sends the same one with each
attempt to deliver a report), goes on in the headers of every message and of every request to another service, and is
`trace_id` in the logs. Where nobody gave one, the first span makes it. Spans are sent only where `otlp_endpoint` is
set.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags, format_trace_id
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from patchbay_shared.errors import StartupError
from patchbay_shared.settings import Settings

HEADER = "traceparent"
EXPORT_SECONDS = 5.0
"""Longest time that a collector may take: spans that it does not take by then are dropped."""

_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("patchbay")


@contextmanager
def span(
    name: str, *, carrier: Mapping[str, Any] | None = None, kind: SpanKind = SpanKind.INTERNAL, **attributes: str
) -> Iterator[Span]:
    """A stretch of work whose log lines have one `trace_id`.

    The id is that of the headers `carrier`, or a new one if they have none; without a carrier, that of the work
    which this is a part of.
    """
    parent = None if carrier is None else _propagator.extract(_only_ours(carrier), Context())
    made = _tracer.start_span(name, parent, kind, attributes)
    if not made.get_span_context().is_valid:  # nobody records, and nobody has begun this trace
        made = NonRecordingSpan(_new_context())
    with (
        trace.use_span(made, end_on_exit=True),
        structlog.contextvars.bound_contextvars(trace_id=format_trace_id(made.get_span_context().trace_id)),
    ):
        yield made


def headers() -> dict[str, str]:
    """What a message or a request to another service carries, for `span` at the other end."""
    found: dict[str, str] = {}
    _propagator.inject(found)
    return found


def trace_id() -> str:
    """The id of the work that this is a part of; empty outside of any."""
    context = trace.get_current_span().get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else ""


class Traced:
    """A WSGI application each of whose requests is a span, in the trace that its client names."""

    def __init__(self, app: Callable[[dict[str, Any], Any], Iterable[bytes]]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method = str(environ.get("REQUEST_METHOD", ""))
        carrier = {HEADER: environ.get("HTTP_TRACEPARENT", "")}
        with span(method, carrier=carrier, kind=SpanKind.SERVER, **{"http.request.method": method}):
            return self._app(environ, start_response)


def name_request(method: str, route: str, status: int) -> None:
    """Say what the request turned out to be, once it has been answered."""
    current = trace.get_current_span()
    current.update_name(f"{method} {route}")
    current.set_attributes({"http.route": route, "http.response.status_code": status})


def export_spans(settings: Settings, service: str, version: str) -> Callable[[], None]:
    """Send this process's spans to the collector of the settings; what is returned sends the rest and ends that.

    Call after a fork. Raises StartupError if a collector is set and the library is not installed.
    """
    if not settings.otlp_endpoint:
        return _nothing
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  (an extra)
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  (an extra)
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  (an extra)
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  (an extra)
        from opentelemetry.sdk.trace.sampling import TraceIdRatioBased  # noqa: PLC0415  (an extra)
    except ImportError as exc:
        raise StartupError(
            f"PATCHBAY_OTLP_ENDPOINT is set, but OpenTelemetry is not installed ({exc}); "
            "install patchbay[otel], or unset it."
        ) from exc
    provider = TracerProvider(
        # By the id alone, not by what a client's header asks for: every service keeps the same traces.
        sampler=TraceIdRatioBased(settings.trace_ratio),
        resource=Resource.create({"service.name": f"patchbay-{service}", "service.version": version}),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(settings.otlp_endpoint.rstrip("/") + "/v1/traces", timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider.shutdown


def _only_ours(carrier: Mapping[str, Any]) -> dict[str, str]:
    """Without `tracestate`, which is other systems' and of any size."""
    value = carrier.get(HEADER)
    return {HEADER: value} if isinstance(value, str) else {}


def _new_context() -> SpanContext:
    return SpanContext(
        secrets.randbits(128) or 1,
        secrets.randbits(64) or 1,
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def _nothing() -> None:
    """Where no spans are sent."""
