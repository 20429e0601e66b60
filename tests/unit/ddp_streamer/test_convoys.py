"""Messages that wait for one on its way go together, in order, each with an answer of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from hubbub.bus.faults import encode_error
from hubbub.contracts.messages import AT_ONCE, MessageTooLong, NewMessage, Sent
from hubbub.contracts.messaging import Messaging
from hubbub.errors import HubbubError, Internal, NotFound, Unavailable
from hubbub.ids import UserId
from services.ddp_streamer.convoys import Convoys
from services.ddp_streamer.tasks import Tasks
from tests.waiting import eventually

ADA = UserId("u-ada")


@dataclass
class _Messaging:
    """Answers when it may; notes what came in one call."""

    may: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[list[str]] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    together: HubbubError | None = None
    """What several at once are answered with."""

    async def send_message(self, user_id: UserId, message: NewMessage) -> dict[str, Any]:
        self.calls.append([message.text])
        await self.may.wait()
        if message.text in self.refused:
            raise MessageTooLong("Message too long")
        return {"msg": message.text, "u": user_id}

    async def send_messages(self, user_id: UserId, messages: list[NewMessage]) -> list[Sent]:
        self.calls.append([message.text for message in messages])
        await self.may.wait()
        if self.together is not None:
            raise self.together
        refusal = encode_error(MessageTooLong("Message too long")).decode()
        return [
            Sent(refusal=refusal)
            if message.text in self.refused
            else Sent(message={"msg": message.text, "u": user_id})
            for message in messages
        ]


@dataclass
class _Bench:
    messaging: _Messaging
    convoys: Convoys

    def say(
        self, text: str, *, room: str = "r1", user: UserId = ADA, **more: Any
    ) -> asyncio.Task[Any]:
        message = NewMessage(id=f"m{len(text)}", room_id=room, text=text, **more)
        return asyncio.ensure_future(self.convoys.send(user, message))

    async def on_the_way(self, calls: int) -> None:
        await eventually(lambda: len(self.messaging.calls) == calls)


def _texts(answers: Sequence[Any], *which: int) -> list[str]:
    return [answers[index]["msg"] for index in which]


@pytest.fixture
async def bench() -> AsyncIterator[_Bench]:
    messaging = _Messaging()
    async with Tasks() as tasks:
        yield _Bench(messaging, Convoys(cast("Messaging", messaging), tasks))


async def test_what_waits_goes_together(bench: _Bench) -> None:
    said = [bench.say(str(number)) for number in range(10)]
    await bench.on_the_way(1)
    bench.messaging.may.set()
    answers = await asyncio.gather(*said)
    assert [answer["msg"] for answer in answers] == [str(number) for number in range(10)]
    assert bench.messaging.calls == [["0"], [str(number) for number in range(1, 10)]]


async def test_who_is_alone_does_not_wait_for_company(bench: _Bench) -> None:
    bench.messaging.may.set()
    for text in ("a", "b"):
        assert (await bench.say(text))["msg"] == text
    assert bench.messaging.calls == [["a"], ["b"]]


async def test_other_rooms_and_other_people_do_not_wait(bench: _Bench) -> None:
    said = [bench.say("a"), bench.say("b", room="r2"), bench.say("c", user=UserId("u-bob"))]
    await bench.on_the_way(3)
    bench.messaging.may.set()
    assert [answer["u"] for answer in await asyncio.gather(*said)] == [ADA, ADA, "u-bob"]


async def test_a_call_has_a_bound(bench: _Bench) -> None:
    """In messages, in letters, and one with more than text goes alone."""
    texts = ["first", *map(str, range(AT_ONCE + 1)), "x" * 20_000, "y" * 20_000, "z"]
    said = [bench.say(text) for text in texts]
    said.append(bench.say("decorated", attachments=[{"text": "x"}]))
    said.append(bench.say("last"))
    await bench.on_the_way(1)
    bench.messaging.may.set()
    await asyncio.gather(*said)
    calls = bench.messaging.calls
    assert [text for call in calls for text in call] == [*texts, "decorated", "last"]
    assert [len(call) for call in calls] == [1, AT_ONCE, 2, 2, 1, 1]


async def test_one_that_is_refused_is_so_alone(bench: _Bench) -> None:
    bench.messaging.refused = {"2"}
    said = [bench.say(str(number)) for number in range(4)]
    await bench.on_the_way(1)
    bench.messaging.may.set()
    answers = await asyncio.gather(*said, return_exceptions=True)
    assert isinstance(answers[2], MessageTooLong)
    assert _texts(answers, 0, 1, 3) == ["0", "1", "3"]


async def test_what_nobody_can_answer_is_said_to_all(bench: _Bench) -> None:
    bench.messaging.together = Unavailable("no primary")
    said = [bench.say(str(number)) for number in range(3)]
    await bench.on_the_way(1)
    bench.messaging.may.set()
    answers = await asyncio.gather(*said, return_exceptions=True)
    assert [isinstance(answer, Unavailable) for answer in answers] == [False, True, True]


@pytest.mark.parametrize(
    "error", [NotFound("unknown", code="error-unknown-method"), Internal("a defect")]
)
async def test_what_one_of_them_may_have_caused_is_tried_one_by_one(
    bench: _Bench, error: HubbubError
) -> None:
    """Also where messaging is of the version before."""
    bench.messaging.together = error
    bench.messaging.refused = {"1"}
    said = [bench.say(str(number)) for number in range(4)]
    await bench.on_the_way(1)
    bench.messaging.may.set()
    answers = await asyncio.gather(*said, return_exceptions=True)
    assert isinstance(answers[1], MessageTooLong)
    assert _texts(answers, 0, 2, 3) == ["0", "2", "3"]
    assert bench.messaging.calls == [["0"], ["1", "2", "3"], ["1"], ["2"], ["3"]]


async def test_who_went_away_takes_the_message_along(bench: _Bench) -> None:
    """And whoever was on the way makes room for those behind."""
    said = [bench.say(str(number)) for number in range(4)]
    await bench.on_the_way(1)
    said[0].cancel()
    said[2].cancel()
    await bench.on_the_way(2)
    bench.messaging.may.set()
    answers = await asyncio.gather(*said, return_exceptions=True)
    assert _texts(answers, 1, 3) == ["1", "3"]
    assert bench.messaging.calls[1] == ["1", "3"]
    assert (await bench.say("later"))["msg"] == "later"
