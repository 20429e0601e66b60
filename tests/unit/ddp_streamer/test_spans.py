"""Spans of methods, subscriptions and fan-outs, and that nothing is done without them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from prometheus_client import CollectorRegistry

from hubbub.contracts.event_log import Header
from hubbub.contracts.messaging import Messaging
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.fanout import Fanout
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.tasks import Tasks
from tests.unit.ddp_streamer.stage import FakeListening, FakeRoutes, message_event
from tests.unit.ddp_streamer.test_fanout import FakeConsequences, FakeMessaging, FakeRights

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@asynccontextmanager
async def fanning(provider: TracerProvider | None) -> AsyncIterator[Fanout]:
    async with Tasks() as tasks:
        fanout = Fanout(
            cast("Messaging", FakeMessaging()),
            FakeRights(),
            StreamerMetrics(CollectorRegistry()),
            tasks=tasks,
            tracer_provider=provider,
        )
        fanout.connect(FakeRoutes(), FakeConsequences())
        yield fanout


def event(trace: str | None) -> Event:
    made = message_event("R1", "m1", 7)
    more = {} if trace is None else {Header.TRACE_PARENT: trace}
    return replace(made, headers={**made.headers, **more})


async def test_one_span_per_event_whoever_gets_it(spans: InMemorySpanExporter) -> None:
    """Child of the publishing and linked to it; none for what is not traced."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    async with fanning(provider) as fanout:
        listeners = [FakeListening(f"c{number}") for number in range(5)]
        for listener in listeners:
            fanout.topics.add(("room-messages", "R1"), listener)
        listeners[0].socket.closed = True
        fanout.on_event(event(None), wildcard=False)
        fanout.on_event(event(PARENT), wildcard=False)

    [span] = spans.get_finished_spans()
    assert (span.name, span.kind) == ("streamer.fanout", SpanKind.CONSUMER)
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
    assert [f"{link.context.span_id:016x}" for link in span.links] == [PARENT.split("-")[2]]
    attributes = dict(span.attributes or {})
    assert (attributes["recipients"], attributes["filtered"]) == (4, 1)
    assert attributes["max_queue"] == 0
    assert attributes["messaging.destination.name"] == "room.{id}"
    assert "R1" not in map(str, attributes.values())


async def test_an_unrecorded_trace_makes_no_span(spans: InMemorySpanExporter) -> None:
    """The decision was made where the trace began."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    async with fanning(provider) as fanout:
        fanout.topics.add(("room-messages", "R1"), FakeListening("c1"))
        fanout.on_event(event(PARENT[:-2] + "00"), wildcard=False)
    assert spans.get_finished_spans() == ()


async def test_without_a_collector_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the headers of an event say."""

    def never(*_: object) -> None:
        raise AssertionError("a span was made")

    monkeypatch.setattr("services.ddp_streamer.fanout.delivery.FanoutSpan", never)
    async with fanning(None) as fanout:
        listener = FakeListening("c1")
        fanout.topics.add(("room-messages", "R1"), listener)
        fanout.on_event(event(PARENT), wildcard=False)
        assert len(listener.socket.sent) == 1
