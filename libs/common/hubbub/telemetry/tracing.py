"""Traces, when somebody collects them: OTLP over HTTP, as OpenTelemetry's own variables say.

The code everywhere uses the OpenTelemetry API, which does nothing until a provider is set.
One is set only when `OTEL_EXPORTER_OTLP_ENDPOINT` (or its `_TRACES_` form) names a collector
and the extra `hubbub[tracing]` is installed. Whoever makes spans asks `tracer_of` once, when it
is made, and does nothing at all where the answer is None.

A trace travels as W3C `traceparent`: in HTTP headers, in the headers of calls and events on
NATS, and over the hop through the database in the field `_trace` of a message, which only a
recorded trace leaves there and which never leaves the server.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hubbub.errors import HubbubError
from hubbub.settings import Settings
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.version import version

log = get_logger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_SHUTDOWN = 3.0  # seconds for what is still waiting when the process ends

_propagator = TraceContextTextMapPropagator()


class TracingSettings(Settings):
    """How much is traced. Where traces go is set by OpenTelemetry's own variables."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_TRACING_")

    ratio: float = Field(default=0.01, ge=0, le=1)
    """Share of new traces that is recorded; a trace begun elsewhere keeps its decision. Has no
    effect when `OTEL_TRACES_SAMPLER` says how to choose."""
    remote_per_second: float = Field(default=10.0, ge=0)
    """Traces per second that HTTP clients may have recorded by a `traceparent` of their own.
    Beyond it, and with 0 always, a new trace begins that is recorded at our own ratio."""


@contextmanager
def exporting(settings: TracingSettings, *, service: str, instance: str) -> Iterator[None]:
    """Export the spans of this process while the context lasts, if a collector is named."""
    if not _wanted(os.environ):
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
    except ImportError:
        log.warning("tracing_not_installed", install="hubbub[tracing]")
        yield
        return
    resource = Resource.create(
        {
            "service.name": os.environ.get("OTEL_SERVICE_NAME") or f"hubbub-{service}",
            "service.instance.id": instance,
            "service.version": version(),
        }
    )
    chosen = os.environ.get("OTEL_TRACES_SAMPLER")
    provider = TracerProvider(
        resource=resource,
        sampler=None if chosen else ParentBasedTraceIdRatio(settings.ratio),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    log.info("tracing_started", ratio=chosen or settings.ratio)
    try:
        yield
    finally:
        # Sends what is still waiting; the end must not wait long for a collector that is away.
        ending = threading.Thread(target=provider.shutdown, name="end-tracing", daemon=True)
        ending.start()
        ending.join(_SHUTDOWN)


def _wanted(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return False
    return any(environment.get(name) for name in _ENDPOINTS)


# --- making spans -----------------------------------------------------------------------------


def tracer_of(provider: TracerProvider | None = None, name: str = "hubbub") -> Tracer | None:
    """The tracer to use, or None when nobody collects spans.

    Args:
        provider: where spans go; the process's own provider if None.
    """
    chosen = trace.get_tracer_provider() if provider is None else provider
    if isinstance(chosen, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return chosen.get_tracer(name, version())


@contextmanager
def spanning(
    tracer: Tracer,
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    *,
    attributes: Mapping[str, str | int] | None = None,
    context: Context | None = None,
    links: list[Link] | None = None,
) -> Iterator[Span]:
    """A span around the block, which is the current one there.

    Args:
        context: where its parent is; the running task's if None.
    """
    with tracer.start_as_current_span(
        name,
        context=context,
        kind=kind,
        attributes=attributes,
        links=links,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except BaseException as error:
            mark_failed(span, error)
            raise


def mark_failed(span: Span, error: BaseException) -> None:
    """Say in the span what went wrong, without texts that may hold people's data."""
    kind = error.code if isinstance(error, HubbubError) else type(error).__name__
    span.set_attribute("error.type", str(kind))
    span.set_status(Status(StatusCode.ERROR))


# --- handing on -------------------------------------------------------------------------------


def recorded_parent() -> str | None:
    """The `traceparent` of the current span if it is recorded, else None."""
    context = trace.get_current_span().get_span_context()
    return parent_text(context) if context.trace_flags.sampled else None


def parent_text(context: SpanContext) -> str:
    """`context` as a `traceparent`."""
    return (
        f"00-{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}"
        f"-{context.trace_flags:02x}"
    )


def context_from(parent: str | None, state: str | None = None) -> Context:
    """A context whose current span is the remote one that `parent` names; empty if it is none."""
    if parent is None:
        return Context()
    carrier = {"traceparent": parent}
    if state:
        carrier["tracestate"] = state
    return _propagator.extract(carrier, context=Context())


def span_of(context: Context) -> SpanContext:
    """The span in `context`; perhaps one that is not valid."""
    return trace.get_current_span(context).get_span_context()


def links_to(contexts: list[Context]) -> list[Link]:
    """Links to the recorded spans in `contexts`."""
    spans = [span_of(context) for context in contexts]
    return [Link(span) for span in spans if span.is_valid and span.trace_flags.sampled]


@contextmanager
def resuming(context: Context) -> Iterator[None]:
    """Work for whoever `context` was taken from, in a task that works for many."""
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)


class Doorstep:
    """Takes over the traces that HTTP clients begin, as far as they may have them recorded."""

    def __init__(
        self, settings: TracingSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = settings.remote_per_second
        self._most = max(1.0, self._per_second) if self._per_second else 0.0
        self._clock = clock
        self._left = self._most
        self._at = clock()

    def context(self, headers: Mapping[str, str]) -> Context:
        """The context that a request arrived with; empty, so that a new trace begins, when its
        client wants it recorded and too many have been already."""
        context = context_from(headers.get("traceparent"), headers.get("tracestate"))
        wants = span_of(context).trace_flags.sampled
        return context if not wants or self._take() else Context()

    def _take(self) -> bool:
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
