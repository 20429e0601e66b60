"""Spans around calls and events, through the OpenTelemetry API only.

Without a configured provider nothing here runs: `tracer_of` returns None and the bus only hands
on the trace context that it received, so a service without tracing does not cut a trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hubbub.bus.context import CallContext
from hubbub.errors import HubbubError
from hubbub.telemetry.version import version

_propagator = TraceContextTextMapPropagator()


def tracer_of(provider: TracerProvider | None) -> Tracer | None:
    """The tracer to use, or None when nobody collects spans.

    Args:
        provider: where spans go; the process's own provider if None.
    """
    chosen = trace.get_tracer_provider() if provider is None else provider
    if isinstance(chosen, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return chosen.get_tracer("hubbub.bus", version())


@contextmanager
def client_span(
    tracer: Tracer, service: str, method: str, context: CallContext
) -> Iterator[CallContext]:
    """A span around a call; yields the context to send."""
    with tracer.start_as_current_span(
        f"rpc {service}/{method}",
        kind=SpanKind.CLIENT,
        attributes=_call_attributes(service, method),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield _injected(context)
        except BaseException as error:
            mark_failed(span, error)
            raise


@contextmanager
def server_span(tracer: Tracer, service: str, method: str, context: CallContext) -> Iterator[None]:
    """A span around the work on a call, child of the caller's."""
    with tracer.start_as_current_span(
        f"rpc {service}/{method}",
        context=_extracted(context),
        kind=SpanKind.SERVER,
        attributes=_call_attributes(service, method),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except BaseException as error:
            mark_failed(span, error)
            raise


@contextmanager
def producer_span(tracer: Tracer, event: str, context: CallContext) -> Iterator[CallContext]:
    """A span around publishing an event; yields the context to send."""
    with tracer.start_as_current_span(
        f"publish {event}",
        kind=SpanKind.PRODUCER,
        attributes=_event_attributes(event, "send"),
    ):
        yield _injected(context)


@contextmanager
def consumer_span(tracer: Tracer, event: str, context: CallContext) -> Iterator[None]:
    """A span around a listener, linked to the publisher's: its own trace, since one event may
    set off many of them, long after."""
    origin = trace.get_current_span(_extracted(context)).get_span_context()
    with tracer.start_as_current_span(
        f"process {event}",
        context=Context(),
        kind=SpanKind.CONSUMER,
        attributes=_event_attributes(event, "process"),
        links=[Link(origin)] if origin.is_valid else None,
    ):
        yield


def mark_failed(span: Span, error: BaseException) -> None:
    """Say in the span what went wrong, without texts that may hold people's data."""
    kind = error.code if isinstance(error, HubbubError) else type(error).__name__
    span.set_attribute("error.type", str(kind))
    span.set_status(Status(StatusCode.ERROR))


def _call_attributes(service: str, method: str) -> dict[str, str]:
    return {"rpc.system": "nats", "rpc.service": service, "rpc.method": method}


def _event_attributes(event: str, operation: str) -> dict[str, str]:
    return {
        "messaging.system": "nats",
        "messaging.destination.name": event,
        "messaging.operation.type": operation,
    }


def _injected(context: CallContext) -> CallContext:
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return replace(
        context,
        trace_parent=carrier.get("traceparent"),
        trace_state=carrier.get("tracestate"),
    )


def _extracted(context: CallContext) -> Context:
    if context.trace_parent is None:
        return otel_context.Context()
    carrier = {"traceparent": context.trace_parent}
    if context.trace_state:
        carrier["tracestate"] = context.trace_state
    return _propagator.extract(carrier, context=otel_context.Context())
