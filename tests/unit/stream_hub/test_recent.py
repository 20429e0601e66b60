"""What a hub remembers of messages, and the traces that it carries on."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id

from hubbub.clock import SystemClock
from hubbub.contracts.event_log import Header
from hubbub.tasks import owned
from services.stream_hub.domain import message_of
from services.stream_hub.publisher import Publisher
from services.stream_hub.recent import Recall, RecentEvents
from services.stream_hub.settings import StreamHubSettings
from services.stream_hub.store import Checkpoint
from services.stream_hub.takeover import Beginning, Seen
from services.stream_hub.watermark import Tops
from tests.unit.stream_hub.fakes import (
    FakeLog,
    event,
    marker_entry,
    metrics,
    position,
    term_of,
)
from tests.unit.stream_hub.made import change, decided

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MESSAGE = {"_id": "m1", "rid": "GENERAL", "msg": "hello", "u": {"_id": "ana"}}


async def test_it_is_bounded_and_says_since_when_it_reaches() -> None:
    """The oldest go first; other messages are not told."""
    now = 50.0
    recent = RecentEvents(3, now=lambda: now)
    assert recent.of("m0", leads=False).since == 50_000
    for number in range(5):
        recent.appended(f"m{number}", number + 10, 2, "room-messages", 1, 60_000 + number)
    recent.skipped("m9", "hidden", 1)

    told = await Recall(recent, lambda: True).recall("m4")
    assert [one.sequence for one in told.events] == [14]
    assert (told.since, told.leads, told.skipped) == (60_003, True, "")
    assert recent.of("m1", leads=False).events == []
    assert recent.of("m9", leads=False).skipped == "hidden"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        pytest.param(change("rocketchat_message", "insert", MESSAGE), "m1", id="sent"),
        pytest.param(
            change("rocketchat__trash", "insert", {**MESSAGE, "__collection__": "message"}),
            "m1",
            id="deleted",
        ),
        pytest.param(change("rocketchat_room", "insert", {"_id": "GENERAL"}), "", id="a room"),
        pytest.param(change("rocketchat_message", "insert", {"_id": 5}), "", id="a strange id"),
    ],
)
def test_which_message_a_change_is_about(made: object, expected: str) -> None:
    assert message_of(made) == expected  # type: ignore[arg-type]


# --- traces -----------------------------------------------------------------------------------


def test_the_trace_of_a_new_message_goes_on_in_a_header() -> None:
    """And nowhere else."""
    [told] = decided("rocketchat_message", "insert", {**MESSAGE, "_trace": PARENT}).events
    assert told.headers[Header.TRACE_PARENT] == PARENT
    assert b"_trace" not in told.payload
    assert PARENT.encode() not in told.payload


@pytest.mark.parametrize(
    "trace",
    [
        pytest.param("x\r\nNats-Msg-Id: 1", id="a header"),
        pytest.param(PARENT + "\r\nA: b", id="more than it"),
        pytest.param(PARENT.upper(), id="not as the standard writes it"),
        pytest.param({"$ne": 1}, id="an object"),
        pytest.param(None, id="nothing"),
    ],
)
def test_what_is_no_trace_is_left_out(trace: object) -> None:
    """Any tool may write the field."""
    [told] = decided("rocketchat_message", "insert", {**MESSAGE, "_trace": trace}).events
    assert Header.TRACE_PARENT not in told.headers


def test_later_changes_do_not_belong_to_the_trace() -> None:
    """A reaction tomorrow is another request."""
    document = {**MESSAGE, "_trace": PARENT}
    [told] = decided("rocketchat_message", "update", document, updated={"msg": "new"}).events
    assert Header.TRACE_PARENT not in told.headers


async def _published(provider: TracerProvider | None) -> tuple[FakeLog, RecentEvents]:
    log, recent = FakeLog(), RecentEvents(10, now=lambda: 1.0)
    log.put(marker_entry(0, 5)._replace(event_id="!mine"))
    beginning = Beginning(
        "created", log.last, "!mine", Checkpoint({"_data": "base"}, 0, "", 4), Seen()
    )
    publisher = Publisher(
        log,
        term_of(),
        beginning,
        StreamHubSettings(),
        clock=SystemClock(),
        metrics=metrics(),
        tops=Tops(),
        recent=recent,
        tracer=None if provider is None else provider.get_tracer("test"),
    )
    try:
        async with owned(publisher.run()):
            for number, trace in enumerate((PARENT, None), 1):
                made = event(f"{number}")
                if trace is not None:
                    made.headers[Header.TRACE_PARENT] = trace
                traced.append(made.headers)
                await publisher.submit(
                    position(number), [made], committed=number, read_at=0.0, about=f"m{number}"
                )
            assert await publisher.drain(1.0)
    finally:
        publisher.close()
    return log, recent


traced: list[dict[str, str]] = []


async def test_a_publish_is_a_span_of_the_writers_trace() -> None:
    """What follows from it is its child; untraced events make no span."""
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    traced.clear()
    log, recent = await _published(provider)

    [span] = spans.get_finished_spans()
    assert (span.name, span.kind) == ("hub.publish", SpanKind.PRODUCER)
    assert span.parent is not None
    assert span.context is not None
    assert format_span_id(span.parent.span_id) == PARENT.split("-")[2]
    assert span.attributes is not None
    assert span.attributes["hubbub.sequence"] == 2
    assert not any("room." in str(one) and len(str(one)) > 12 for one in span.attributes.values())
    own = f"00-{format_trace_id(span.context.trace_id)}-{format_span_id(span.context.span_id)}-01"
    assert traced[0][Header.TRACE_PARENT] == own
    assert Header.TRACE_PARENT not in traced[1]
    assert [one.sequence for one in recent.of("m1", leads=True).events] == [2]
    assert [one.committed for one in recent.of("m2", leads=True).events] == [2]
    assert log.last == 3


async def test_without_tracing_the_trace_is_handed_on() -> None:
    """A hub that exports nothing cuts no trace."""
    traced.clear()
    await _published(None)
    assert traced[0][Header.TRACE_PARENT] == PARENT
