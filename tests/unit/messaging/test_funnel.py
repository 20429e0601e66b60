"""The funnel: one batch in flight, an answer for everybody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, get_current_span

from hubbub.clock import SystemClock
from hubbub.contracts.messages import InvalidMessageId
from hubbub.errors import NotAllowed, Unavailable
from services.messaging.domain.sending import Draft, Person
from services.messaging.funnel import Funnel
from services.messaging.metrics import FunnelMetrics
from services.messaging.store.batches import Refused, Stored
from services.messaging.store.transactions import Duplicate, NotStored, OutcomeUnknown
from tests.waiting import eventually


class FakeCommitter:
    """Keeps the promises of the store, in a dict; fails on demand; waits while held."""

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, Any]] = {}
        self.batches: list[list[str]] = []
        self.failures: list[Exception] = []
        self.refused: dict[str, Exception] = {}
        self.free = asyncio.Event()
        self.free.set()
        self.running = 0
        self.most = 0

    async def commit(self, room_id: str, drafts: Sequence[Draft], deadline: float) -> Stored:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.free.wait()
            await asyncio.sleep(0)
            if self.failures:
                raise self.failures.pop(0)
            reasons: dict[int, Any] = {
                index: self.refused[draft.message_id]
                for index, draft in enumerate(drafts)
                if draft.message_id in self.refused
            }
            if reasons:
                raise Refused(reasons)
            if any(draft.message_id in self.messages for draft in drafts):
                raise Duplicate
            stored = [
                {**draft.message, "seq": len(self.messages) + n}
                for n, draft in enumerate(drafts, 1)
            ]
            self.messages |= {message["_id"]: message for message in stored}
            self.batches.append([draft.message_id for draft in drafts])
            return Stored(stored, {"_id": room_id})
        finally:
            self.running -= 1

    async def stored(self, message_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        return {one: self.messages[one] for one in message_ids if one in self.messages}


def _draft(message_id: str, author: str = "ada", room: str = "r") -> Draft:
    person = Person(author, author)
    return Draft({"_id": message_id, "rid": room, "u": person.reference}, person)


@pytest.fixture
def committer() -> FakeCommitter:
    return FakeCommitter()


@pytest.fixture
def told() -> list[int]:
    return []


@pytest.fixture
def funnel(committer: FakeCommitter, told: list[int]) -> Funnel:
    return Funnel(
        committer,
        lambda _, stored: told.append(len(stored.messages)),
        clock=SystemClock(),
        metrics=FunnelMetrics(None),
        batch=8,
        waiting=50,
        patience=1.0,
    )


async def test_the_next_batch_collects(
    funnel: Funnel, committer: FakeCommitter, told: list[int]
) -> None:
    """While one is in flight the others gather, in order, up to the limit."""
    committer.free.clear()
    sends = [asyncio.create_task(funnel.send("r", _draft(f"m{n}"))) for n in range(20)]
    await eventually(lambda: committer.running == 1)
    committer.free.set()

    answers = await asyncio.gather(*sends)

    assert [answer["seq"] for answer in answers] == list(range(1, 21))
    assert [len(batch) for batch in committer.batches] == told == [8, 8, 4]
    assert committer.most == 1
    assert funnel.busy_rooms == 0


async def test_rooms_do_not_wait_for_each_other(funnel: Funnel, committer: FakeCommitter) -> None:
    """Each has its own lane."""
    committer.free.clear()
    sends = [
        asyncio.create_task(funnel.send(f"r{n}", _draft(f"m{n}", room=f"r{n}"))) for n in range(5)
    ]
    await eventually(lambda: committer.running == 5)
    committer.free.set()

    await asyncio.gather(*sends)


async def test_repeats_inside_and_outside_a_batch(funnel: Funnel, committer: FakeCommitter) -> None:
    """The same id gets the same message, another author's id is refused."""
    await funnel.send("r", _draft("old"))

    answers = await asyncio.gather(
        *(funnel.send("r", _draft(one)) for one in ("a", "old", "a", "b", "a")),
        funnel.send("r", _draft("old", author="bob")),
        return_exceptions=True,
    )

    seqs = [one["seq"] if isinstance(one, dict) else type(one) for one in answers]
    assert seqs == [2, 1, 2, 3, 2, InvalidMessageId]
    assert len(committer.messages) == 3


async def test_a_refusal_concerns_one(funnel: Funnel, committer: FakeCommitter) -> None:
    """The others of its batch are stored."""
    committer.refused["b"] = NotAllowed("no")

    answers = await asyncio.gather(
        *(funnel.send("r", _draft(one)) for one in "abc"), return_exceptions=True
    )

    assert isinstance(answers[1], NotAllowed)
    assert committer.batches == [["a", "c"]]


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [(NotStored(), "not-stored"), (OutcomeUnknown(), "unknown")],
    ids=["not stored", "unknown"],
)
async def test_the_database_is_away(
    funnel: Funnel, committer: FakeCommitter, failure: Exception, outcome: str
) -> None:
    """The answer says what is known, and when to come again."""
    committer.failures.append(failure)

    with pytest.raises(Unavailable) as refused:
        await funnel.send("r", _draft("a"))

    assert refused.value.details == {"retryAfter": 1, "outcome": outcome}
    await funnel.send("r", _draft("a"))


async def test_a_defect_reaches_the_caller(funnel: Funnel, committer: FakeCommitter) -> None:
    """And the room goes on."""
    committer.failures.append(RuntimeError("bug"))

    with pytest.raises(RuntimeError):
        await funnel.send("r", _draft("a"))
    await funnel.send("r", _draft("b"))


async def test_deadlines(committer: FakeCommitter) -> None:
    """In flight: unknown. Still waiting: certainly not stored, and never sent."""
    funnel = Funnel(
        committer,
        lambda *_: None,
        clock=SystemClock(),
        metrics=FunnelMetrics(None),
        batch=1,
        patience=0.05,
    )
    committer.free.clear()
    answers = await asyncio.gather(
        funnel.send("r", _draft("a")), funnel.send("r", _draft("b")), return_exceptions=True
    )
    committer.free.set()
    await eventually(lambda: funnel.busy_rooms == 0)

    outcomes = [one.details["outcome"] for one in answers if isinstance(one, Unavailable)]
    assert outcomes == ["unknown", "not-stored"]
    assert list(committer.messages) == ["a"]


async def test_cancelling_a_send_that_waits(funnel: Funnel, committer: FakeCommitter) -> None:
    """It is taken out of the queue; one in flight is stored."""
    committer.free.clear()
    flying = asyncio.create_task(funnel.send("r", _draft("a")))
    await eventually(lambda: committer.running == 1)
    waiting = asyncio.create_task(funnel.send("r", _draft("b")))
    await asyncio.sleep(0)
    for task in (flying, waiting):
        task.cancel()
    await asyncio.wait([flying, waiting])
    committer.free.set()
    await eventually(lambda: funnel.busy_rooms == 0)

    assert list(committer.messages) == ["a"]


async def test_a_full_lane_refuses_at_once(funnel: Funnel, committer: FakeCommitter) -> None:
    """The queue of a room has an end."""
    committer.free.clear()
    sends = [asyncio.create_task(funnel.send("r", _draft(f"m{n}"))) for n in range(50)]
    await eventually(lambda: committer.running == 1)
    more = [asyncio.create_task(funnel.send("r", _draft(f"n{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    committer.free.set()

    answers = await asyncio.gather(*sends, *more, return_exceptions=True)

    refused = [one for one in answers if isinstance(one, Unavailable)]
    assert len(refused) == 12  # 8 were in flight
    assert {one.details["outcome"] for one in refused} == {"not-stored"}


async def test_turns_stand_between_batches(funnel: Funnel, committer: FakeCommitter) -> None:
    """Other work on the room waits for the batch before and holds up the one behind."""
    committer.free.clear()
    seen: list[int] = []

    async def work() -> str:
        seen.append(committer.running)
        return "done"

    first = asyncio.create_task(funnel.send("r", _draft("a")))
    await eventually(lambda: committer.running == 1)
    turn = asyncio.create_task(funnel.turn("r", work))
    last = asyncio.create_task(funnel.send("r", _draft("b")))
    await asyncio.sleep(0)
    committer.free.set()

    assert await turn == "done"
    await asyncio.gather(first, last)
    assert seen == [0]
    assert committer.batches == [["a"], ["b"]]


async def test_an_error_in_a_turn_is_its_own(funnel: Funnel) -> None:
    """Who asked for the turn gets it."""

    async def work() -> None:
        raise NotAllowed("no")

    with pytest.raises(NotAllowed):
        await funnel.turn("r", work)
    await funnel.send("r", _draft("a"))


async def test_closing_finishes_what_is_queued(funnel: Funnel, committer: FakeCommitter) -> None:
    """New sends are refused, the others get their answer."""
    committer.free.clear()
    sends = [asyncio.create_task(funnel.send("r", _draft(f"m{n}"))) for n in range(10)]
    await eventually(lambda: committer.running == 1)
    closing = asyncio.create_task(funnel.close(within=1.0))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await funnel.send("r", _draft("late"))
    committer.free.set()

    await closing
    assert len(await asyncio.gather(*sends)) == 10


async def test_closing_does_not_wait_for_ever(funnel: Funnel, committer: FakeCommitter) -> None:
    """What is cut off is unknown, what had not begun is not stored."""
    committer.free.clear()
    sends = [asyncio.create_task(funnel.send("r", _draft(f"m{n}"))) for n in range(10)]
    await eventually(lambda: committer.running == 1)

    await funnel.close(within=0.01)

    answers = await asyncio.gather(*sends, return_exceptions=True)
    outcomes = [one.details["outcome"] for one in answers if isinstance(one, Unavailable)]
    assert outcomes == ["unknown"] * 8 + ["not-stored"] * 2


async def test_a_batch_is_a_span_of_its_first_traced_send(committer: FakeCommitter) -> None:
    """Linked to the other traced ones; each turn works in the trace of who asked for it."""
    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracer = provider.get_tracer("test")
    funnel = Funnel(
        committer,
        lambda *_: None,
        clock=SystemClock(),
        metrics=FunnelMetrics(None),
        tracer_provider=provider,
    )
    asked: list[Span] = []

    async def send(number: int) -> None:
        with tracer.start_as_current_span(f"send {number}") as span:
            asked.append(span)
            await funnel.send("r", _draft(f"m{number}"))

    async def turn() -> None:
        async def work() -> int:
            return get_current_span().get_span_context().span_id

        with tracer.start_as_current_span("turn") as span:
            assert await funnel.turn("r", work) == span.get_span_context().span_id

    committer.free.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(funnel.send("r", _draft("untraced")))
        await eventually(lambda: committer.running == 1)
        for number in range(2):
            tasks.create_task(send(number))
        tasks.create_task(turn())
        await eventually(lambda: len(asked) == 2)
        committer.free.set()

    commits = [span for span in spans.get_finished_spans() if span.name == "funnel commit"]
    lone, shared = commits
    first, second = (span.get_span_context().span_id for span in asked)
    assert lone.parent is None
    assert shared.parent is not None
    assert shared.parent.span_id == first
    assert [link.context.span_id for link in shared.links] == [second]
    assert shared.attributes == {"hubbub.batch": 2}
