"""Remembered answers of the authorization service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from hubbub.bus.caller import NobodyAnswers
from hubbub.clock import FakeClock
from hubbub.contracts.authorization import Authorization, RoomQuestion
from hubbub.errors import Internal, Unavailable
from services.ddp_streamer.rights import Question, Rights

ACCESS = Question("access", "u", "R")
READ = Question("read", "u", "R")
PERMISSION = Question("permissions", "u", "a b")


class FakeAuthorization:
    def __init__(self) -> None:
        self.answer = True
        self.failures = 0
        self.asked = 0
        self.batches: list[int] = []
        self.knows_many = True
        self.gate: asyncio.Event | None = None

    async def _reply(self) -> bool:
        self.asked += 1
        if self.failures:
            self.failures -= 1
            raise Unavailable("away")
        answer = self.answer
        if self.gate is not None:
            await self.gate.wait()
        return answer

    async def has_at_least_one_permission(self, *_: object) -> bool:
        return await self._reply()

    async def judge_rooms(self, questions: list[RoomQuestion]) -> list[bool | None]:
        self.batches.append(len(questions))
        if not self.knows_many:
            raise NobodyAnswers("authorization: nobody answers")
        return [None if one.room_id == "broken" else await self._reply() for one in questions]

    async def can_access_room_id(self, room_id: str, user_id: str, *, now: bool) -> bool:
        assert now
        if room_id == "broken":
            raise Internal(error_id="e1")
        return await self._reply()

    can_read_room = can_access_room_id


@pytest.fixture
def authorization() -> FakeAuthorization:
    return FakeAuthorization()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rights(authorization: FakeAuthorization, clock: FakeClock) -> Rights:
    return Rights(cast("Authorization", authorization), clock=clock)


async def test_an_answer_is_asked_for_once(
    rights: Rights, authorization: FakeAuthorization
) -> None:
    assert rights.known(ACCESS) is None
    assert await asyncio.gather(*(rights.learn(ACCESS) for _ in range(5))) == [True] * 5
    assert rights.known(ACCESS) is True
    assert authorization.asked == 1


async def test_rooms_of_many_users_share_a_call(
    rights: Rights, authorization: FakeAuthorization
) -> None:
    """What is wrong with one room is nobody else's."""
    questions = [Question("access", f"u{n}", "R") for n in range(20)]
    broken = Question("read", "u", "broken")
    outcomes = await asyncio.gather(
        *map(rights.learn, [*questions, broken]), return_exceptions=True
    )
    assert outcomes[:-1] == [True] * 20
    assert isinstance(outcomes[-1], Internal)
    assert authorization.batches == [21]


async def test_an_authorization_of_an_earlier_version_is_asked_one_by_one(
    rights: Rights, authorization: FakeAuthorization
) -> None:
    authorization.knows_many = False
    assert await rights.learn(ACCESS)
    assert await rights.learn(READ)


async def test_a_remembered_no_can_be_doubted(
    rights: Rights, authorization: FakeAuthorization
) -> None:
    """Who was let in a moment ago subscribes at once, before any event can tell of it."""
    authorization.answer = False
    assert not await rights.learn(ACCESS)
    authorization.answer = True
    assert not await rights.learn(ACCESS)
    rights.doubt(ACCESS)
    assert await rights.learn(ACCESS)
    rights.doubt(ACCESS)  # a yes is believed
    assert rights.known(ACCESS) is True


async def test_an_answer_grows_old(rights: Rights, clock: FakeClock) -> None:
    await rights.learn(ACCESS)
    await rights.learn(PERMISSION)
    clock.advance(31)
    assert rights.known(ACCESS) is True
    assert rights.known(PERMISSION) is None
    clock.advance(30)
    assert rights.known(ACCESS) is None


async def test_nobody_there_is_not_a_no(
    rights: Rights, authorization: FakeAuthorization, clock: FakeClock
) -> None:
    authorization.failures = 4
    assert await rights.learn(ACCESS) is True
    assert clock.monotonic() < 10
    authorization.failures = 1000
    with pytest.raises(Unavailable):
        await rights.learn(READ)
    assert rights.known(READ) is None


@pytest.mark.parametrize("question", [ACCESS, READ, PERMISSION])
async def test_changes_drop_what_they_are_about(rights: Rights, question: Question) -> None:
    other = Question("access", "someone", "else")
    changes: list[tuple[Callable[[], None], bool]] = [
        (lambda: rights.membership_changed("u", "R"), question.what != "permissions"),
        (lambda: rights.room_changed("R"), question.what != "permissions"),
        (lambda: rights.account_changed("u"), True),
    ]
    for change, concerned in changes:
        await rights.learn(question)
        await rights.learn(other)
        change()
        assert (rights.known(question) is None) == concerned
        assert rights.known(other) is True
    rights.rights_changed("roles")
    assert rights.known(other) is None


async def test_an_answer_that_was_overtaken_is_asked_for_anew(
    rights: Rights, authorization: FakeAuthorization
) -> None:
    authorization.gate = asyncio.Event()
    learning = asyncio.create_task(rights.learn(ACCESS))
    await asyncio.sleep(0.01)
    authorization.answer = False
    rights.membership_changed("u", "R")
    authorization.gate.set()
    assert await learning is False
    assert authorization.asked == 2
