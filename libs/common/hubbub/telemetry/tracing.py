"""Traces, when somebody collects them: OTLP over HTTP, as OpenTelemetry's own variables say.

The code everywhere uses the OpenTelemetry API, which does nothing until a provider is set.
One is set only when `OTEL_EXPORTER_OTLP_ENDPOINT` (or its `_TRACES_` form) names a collector
and the extra `hubbub[tracing]` is installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hubbub.settings import Settings
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.version import version

log = get_logger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class TracingSettings(Settings):
    """How much is traced. Where traces go is set by OpenTelemetry's own variables."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_TRACING_")

    ratio: float = Field(default=0.01, ge=0, le=1)
    """Share of new traces that is recorded; a trace begun elsewhere keeps its decision."""


@contextmanager
def exporting(settings: TracingSettings, *, service: str, instance: str) -> Iterator[None]:
    """Export the spans of this process while the context lasts, if a collector is named."""
    if not any(os.environ.get(name) for name in _ENDPOINTS):
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
    provider = TracerProvider(resource=resource, sampler=ParentBasedTraceIdRatio(settings.ratio))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    log.info("tracing_started", ratio=settings.ratio)
    try:
        yield
    finally:
        provider.shutdown()  # sends what is still waiting
