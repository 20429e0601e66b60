"""What travels with a request, and whose wish it is to be recorded."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_trace_id

from hubbub.telemetry.tracing import (
    Doorstep,
    TracingSettings,
    context_from,
    recorded_parent,
    span_of,
    spanning,
    tracer_of,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED, UNSAMPLED = (f"00-{TRACE}-b7ad6b7169203331-{flags}" for flags in ("01", "00"))


def test_nobody_collects() -> None:
    """Then there is no tracer, and no trace to write down."""
    assert tracer_of() is None
    assert recorded_parent() is None


def test_only_recorded_traces_are_written_down() -> None:
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracer = tracer_of(provider)
    assert tracer is not None
    with spanning(tracer, "a", context=context_from(UNSAMPLED)):
        assert recorded_parent() is None
    with spanning(tracer, "b", context=context_from(SAMPLED)):
        written = recorded_parent()
    assert written is not None
    assert written.startswith(f"00-{TRACE}-")
    assert span_of(context_from(written)).is_remote
    assert [span.name for span in spans.get_finished_spans()] == ["b"]


@pytest.mark.parametrize("text", ["", "nonsense", f"00-{'0' * 32}-b7ad6b7169203331-01", None])
def test_what_is_no_parent_begins_anew(text: str | None) -> None:
    assert not span_of(context_from(text)).is_valid


def test_clients_may_have_some_of_their_traces_recorded() -> None:
    """And no more: recording costs us, and the wish costs them nothing."""
    now = 0.0
    doorstep = Doorstep(TracingSettings(remote_per_second=2), clock=lambda: now)

    def recorded(parent: str) -> bool:
        span = span_of(doorstep.context({"traceparent": parent}))
        return span.trace_flags.sampled

    assert [recorded(SAMPLED) for _ in range(4)] == [True, True, False, False]
    now += 1.0
    assert [recorded(SAMPLED) for _ in range(3)] == [True, True, False]
    # Who does not wish it keeps the trace, whatever others wished.
    kept = span_of(doorstep.context({"traceparent": UNSAMPLED}))
    assert format_trace_id(kept.trace_id) == TRACE


def test_clients_may_be_refused_altogether() -> None:
    doorstep = Doorstep(TracingSettings(remote_per_second=0))
    assert not span_of(doorstep.context({"traceparent": SAMPLED})).is_valid


PROGRAM = """
import time
from opentelemetry import trace
from hubbub.telemetry.tracing import TracingSettings, exporting, tracer_of
begun = time.monotonic()
with exporting(TracingSettings(ratio=1.0), service="test", instance="test-1"):
    tracer = tracer_of()
    print("tracer" if tracer else "none")
    if tracer:
        tracer.start_span("a").end()
        begun = time.monotonic()
print("late" if time.monotonic() - begun > 6 else "in time")
"""


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({}, "none", id="nobody collects"),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
            "none",
            id="disabled",
        ),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
            "none",
            id="no exporter",
        ),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, "tracer", id="collector away"
        ),
    ],
)
def test_a_process_that_exports(environment: dict[str, str], expected: str) -> None:
    """As the variables say; its end does not wait for a collector that is away."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment,
        check=True,
    )
    lines = [
        line for line in ended.stdout.splitlines() if line in ("tracer", "none", "in time", "late")
    ]
    assert lines == [expected, "in time"]
