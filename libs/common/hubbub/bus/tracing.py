"""Spans around calls and events, through the OpenTelemetry API only.

Without a configured provider nothing here runs: `tracer_of` returns None and the bus only hands
on the trace context that it received, so a service without tracing does not cut a trace.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Tracer, TracerProvider

from hubbub.bus.context import CallContext
from hubbub.telemetry import tracing
from hubbub.telemetry.tracing import context_from, links_to, parent_text, spanning


def tracer_of(provider: TracerProvider | None) -> Tracer | None:
    """The tracer to use, or None when nobody collects spans.

    Args:
        provider: where spans go; the process's own provider if None.
    """
    return tracing.tracer_of(provider, "hubbub.bus")


@contextmanager
def client_span(
    tracer: Tracer, service: str, method: str, context: CallContext
) -> Iterator[CallContext]:
    """A span around a call; yields the context to send."""
    name, attributes = f"rpc {service}.{method}", _call_attributes(service, method)
    with spanning(tracer, name, SpanKind.CLIENT, attributes=attributes):
        yield _injected(context)


@contextmanager
def server_span(tracer: Tracer, service: str, method: str, context: CallContext) -> Iterator[None]:
    """A span around the work on a call, child of the caller's."""
    name, attributes = f"rpc {service}.{method}", _call_attributes(service, method)
    caller = _extracted(context)
    with spanning(tracer, name, SpanKind.SERVER, attributes=attributes, context=caller):
        yield


@contextmanager
def producer_span(tracer: Tracer, event: str, context: CallContext) -> Iterator[CallContext]:
    """A span around publishing an event; yields the context to send."""
    attributes = _event_attributes(event, "send")
    with spanning(tracer, f"publish {event}", SpanKind.PRODUCER, attributes=attributes):
        yield _injected(context)


@contextmanager
def consumer_span(tracer: Tracer, event: str, context: CallContext) -> Iterator[None]:
    """A span around a listener, linked to the publisher's: its own trace, since one event may
    set off many of them, long after."""
    with spanning(
        tracer,
        f"process {event}",
        SpanKind.CONSUMER,
        attributes=_event_attributes(event, "process"),
        context=Context(),
        links=links_to([_extracted(context)]),
    ):
        yield


def _call_attributes(service: str, method: str) -> dict[str, str]:
    return {"rpc.system": "nats", "rpc.service": service, "rpc.method": method}


def _event_attributes(event: str, operation: str) -> dict[str, str]:
    return {
        "messaging.system": "nats",
        "messaging.destination.name": event,
        "messaging.operation.type": operation,
    }


def _injected(context: CallContext) -> CallContext:
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return context
    state = span.trace_state.to_header() if span.trace_state else None
    return replace(context, trace_parent=parent_text(span), trace_state=state)


def _extracted(context: CallContext) -> Context:
    return context_from(context.trace_parent, context.trace_state)
