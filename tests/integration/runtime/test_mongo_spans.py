"""Spans around what the driver sends, in the trace that it is sent for."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pymongo import AsyncMongoClient
from pymongo.errors import DuplicateKeyError, OperationFailure

from hubbub.mongo import CommandSpans, Document

pytestmark = pytest.mark.integration


async def test_commands_are_children_of_the_work(mongo_url: str) -> None:
    """With names and no data; nothing outside a recorded trace."""
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracer = provider.get_tracer("test")
    listener = CommandSpans(tracer)
    client: AsyncMongoClient[Document] = AsyncMongoClient(mongo_url, event_listeners=[listener])
    try:
        collection = client["spans_test"]["things"]
        await collection.delete_many({})
        assert spans.get_finished_spans() == ()
        with tracer.start_as_current_span("work") as work:
            await collection.insert_one({"_id": "secret-1"})
            with pytest.raises(OperationFailure):
                await client["spans_test"].command("noSuchCommand")
            with pytest.raises(DuplicateKeyError):
                await collection.insert_one({"_id": "secret-1"})
        await collection.find_one({})

        *made, _ = spans.get_finished_spans()
        assert [span.name for span in made] == [
            "mongo insert",
            "mongo noSuchCommand",
            "mongo insert",
        ]
        for span in made:
            assert span.kind is SpanKind.CLIENT
            assert span.parent is not None
            assert span.parent.span_id == work.get_span_context().span_id
            assert "secret-1" not in repr(dict(span.attributes or {}))
        assert made[0].attributes == {
            "db.system.name": "mongodb",
            "db.operation.name": "insert",
            "db.namespace": "spans_test",
            "db.collection.name": "things",
        }
        failed = made[1]
        assert failed.status.status_code is StatusCode.ERROR
        assert (failed.attributes or {})["error.type"] == "CommandNotFound"
        assert listener._open == {}
    finally:
        await client.drop_database("spans_test")
        await client.close()
