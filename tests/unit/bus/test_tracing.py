"""Spans around calls and events."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from hubbub.bus import CallContext, LocalBus
from hubbub.bus.context import set_current_call
from hubbub.errors import NotFound
from tests.unit.bus.shop import Shop, ShopService, Sold


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider


def by_kind(spans: InMemorySpanExporter) -> dict[SpanKind, ReadableSpan]:
    return {span.kind: span for span in spans.get_finished_spans()}


async def test_a_call_is_two_spans_of_one_trace(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    """The callee's is the child of the caller's."""
    bus = LocalBus(tracer_provider=provider)
    await bus.serve(ShopService())
    await bus.proxy(Shop).price("tea")

    found = by_kind(spans)
    client, server = found[SpanKind.CLIENT], found[SpanKind.SERVER]
    assert client.name == server.name == "rpc shop.price"
    assert client.context is not None
    assert server.parent is not None
    assert server.parent.span_id == client.context.span_id
    assert server.attributes == {
        "rpc.system": "nats",
        "rpc.service": "shop",
        "rpc.method": "price",
    }
    await bus.close()


async def test_failures_are_marked_without_their_texts(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    """On both sides, with the error's code."""
    bus = LocalBus(tracer_provider=provider)
    await bus.serve(ShopService())
    with pytest.raises(NotFound):
        await bus.proxy(Shop).price("nothing")

    for span in spans.get_finished_spans():
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes is not None
        assert span.attributes["error.type"] == "error-no-thing"
        assert not span.events
    await bus.close()


async def test_a_listener_is_linked_to_the_publisher(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    """In a trace of its own."""
    bus = LocalBus(tracer_provider=provider)
    await bus.serve(ShopService())
    await bus.publish(Sold(item="a"))
    await bus.settled()

    found = by_kind(spans)
    producer, consumer = found[SpanKind.PRODUCER], found[SpanKind.CONSUMER]
    assert (producer.name, consumer.name) == ("publish shop.sold", "process shop.sold")
    assert producer.context is not None
    assert consumer.parent is None
    assert [link.context.span_id for link in consumer.links] == [producer.context.span_id]
    await bus.close()


async def test_a_service_without_tracing_cuts_no_trace() -> None:
    """It hands on what it received."""
    bus = LocalBus()
    service = ShopService()
    await bus.serve(service)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    set_current_call(CallContext(trace_parent=parent, trace_state="k=v"))
    await bus.proxy(Shop).context()

    (context,) = service.seen
    assert (context.trace_parent, context.trace_state) == (parent, "k=v")
    await bus.close()
