"""How many logins begin, and how that follows what they cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hubbub.bus.caller import CircuitOpen
from hubbub.clock import FakeClock
from hubbub.errors import NotAllowed, Unavailable
from services.ddp_streamer.login_pace import (
    EFFORTLESS,
    QUICK,
    SLOWEST,
    STEP,
    LoginPace,
    percentile95,
)
from tests.waiting import eventually

START = 50.0  # logins per second
MOST = 900  # logins in line


class Services:
    """What is behind a streamer: each login takes as long as it is said."""

    def __init__(self, clock: FakeClock, pace: LoginPace) -> None:
        self.clock = clock
        self.pace = pace
        self.takes = 0.1  # seconds
        self.error: Exception | None = None
        self.begun: list[tuple[int, float]] = []  # (who, when)
        self.refused = 0
        self.tick = asyncio.Event()

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.tick.set()
        self.tick = asyncio.Event()

    async def login(self, who: int, *, measured: bool = True) -> None:
        try:
            async with self.pace.turn(self.pace.place(), within=30, measured=measured):
                now = self.clock.monotonic()
                self.begun.append((who, now))
                while self.clock.monotonic() < now + self.takes:
                    await self.tick.wait()
                if self.error is not None:
                    raise self.error
        except Unavailable:
            self.refused += 1
        except NotAllowed:
            pass


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    clock = FakeClock()
    pace = LoginPace(start=START, most=MOST, clock=clock)
    running = asyncio.create_task(pace.run())
    yield Services(clock, pace)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def crowd(services: Services, count: int, *, measured: bool = True) -> None:
    """`count` logins at once, until all have ended."""
    logins = [asyncio.create_task(services.login(who, measured=measured)) for who in range(count)]
    async with asyncio.timeout(30):
        while not all(login.done() for login in logins):
            services.advance(0.01)
            for _ in range(5):
                await asyncio.sleep(0)
    await asyncio.gather(*logins)


async def test_few_logins_begin_at_once(services: Services) -> None:
    await crowd(services, int(START))
    assert {when for _, when in services.begun} == {0.01}
    assert services.pace.rate == START


async def test_a_crowd_waits_in_the_order_it_came_and_the_pace_grows(services: Services) -> None:
    """Nobody is refused, and each second begins more than the one before."""
    await crowd(services, 300)
    assert [who for who, _ in services.begun] == list(range(300))
    assert services.refused == 0
    assert services.pace.rate > START
    assert services.pace.waiting == 0


async def test_what_takes_no_effort_is_at_full_speed_within_a_second_or_two(
    services: Services,
) -> None:
    """Four thousand on three streamers."""
    await crowd(services, MOST)
    assert max(when for _, when in services.begun) < 2.5
    assert services.pace.rate > 8 * START


async def test_what_takes_some_effort_grows_slowly(services: Services) -> None:
    services.takes = (EFFORTLESS + QUICK) / 2
    await crowd(services, 300)
    took = max(when for _, when in services.begun)
    assert START + STEP <= services.pace.rate <= START + STEP * (took + 1)


async def test_it_is_halved_once_for_what_began_before(services: Services) -> None:
    """As TCP halves its window once per round trip."""
    services.takes = 2.5
    logins = [asyncio.create_task(services.login(who)) for who in range(int(START))]
    await asyncio.sleep(0)
    services.advance(2.2)
    waiting = asyncio.create_task(services.login(99))
    await eventually(lambda: services.pace.rate == START / 2, within=10)
    services.advance(1.1)
    await asyncio.gather(*logins)
    services.takes = 0.1
    await crowd(services, 60)
    await waiting
    assert services.pace.rate >= START / 2


async def test_where_it_was_too_much_it_grows_carefully(services: Services) -> None:
    services.takes = 2.5
    await crowd(services, 150)
    low = services.pace.rate
    assert low <= START / 2
    services.takes = 0.1
    began = services.clock.monotonic()
    await crowd(services, 200)
    took = services.clock.monotonic() - began
    assert low < services.pace.rate <= low + STEP * (took + 1)


async def test_who_came_first_is_first_however_often_it_is_tried(services: Services) -> None:
    """A login that nobody could decide does not start again at the end of the line."""
    first = services.pace.place()
    later = [asyncio.create_task(services.login(who)) for who in range(200)]
    await asyncio.sleep(0)
    begun_before = len(services.begun)

    async def again() -> int:
        async with services.pace.turn(first):
            return len(services.begun)

    tried = asyncio.create_task(again())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        while not tried.done():
            services.advance(0.01)
            for _ in range(5):
                await asyncio.sleep(0)
    assert begun_before < 200
    assert tried.result() <= begun_before + 5
    for login in later:
        login.cancel()
    await asyncio.gather(*later, return_exceptions=True)


async def test_the_line_does_not_send_away_who_waited_longest(services: Services) -> None:
    """However slow it goes: they wait in it for as long as they want."""
    services.takes = 8.0
    await crowd(services, 400)
    assert services.clock.monotonic() > 11
    assert services.refused == 0
    assert [who for who, _ in services.begun] == list(range(400))


async def test_who_does_not_want_to_wait_any_more_is_told(services: Services) -> None:
    waiting = [asyncio.create_task(services.login(who)) for who in range(int(START))]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        async with services.pace.turn(services.pace.place(), within=0):
            raise AssertionError("it has not got its turn")
    assert services.pace.waiting == 0
    await crowd(services, 1)
    await asyncio.gather(*waiting)


async def test_slow_logins_halve_the_pace(services: Services) -> None:
    services.takes = 2.5
    await crowd(services, 150)
    assert services.pace.rate <= START / 2


async def test_logins_that_never_end_are_seen_too(services: Services) -> None:
    services.takes = 8.0
    await crowd(services, 250)
    assert SLOWEST <= services.pace.rate <= START / 2


async def test_who_answers_that_it_is_busy_is_slow(services: Services) -> None:
    services.error = Unavailable("busy")
    await crowd(services, 150)
    assert services.pace.rate < START


async def test_an_open_circuit_says_nothing(services: Services) -> None:
    services.error = CircuitOpen("not called")
    await crowd(services, 120)
    assert services.pace.rate == START


async def test_a_refusal_is_an_answer(services: Services) -> None:
    services.error = NotAllowed("no")
    await crowd(services, 150)
    assert services.pace.rate > START


async def test_passwords_say_nothing_about_the_load(services: Services) -> None:
    services.takes = 3.0
    await crowd(services, 150, measured=False)
    assert services.pace.rate == START


async def test_the_line_is_bounded(services: Services) -> None:
    """Who finds it full is told so, and no password was looked at."""
    waiting = [asyncio.create_task(services.login(who)) for who in range(1_000)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert services.refused == 1_000 - START - MOST
    assert services.pace.waiting == MOST
    for login in waiting:
        login.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    services.clock.advance(20)
    await crowd(services, 3)
    assert services.pace.waiting == 0


async def test_a_pace_that_was_halved_recovers(services: Services) -> None:
    services.takes = 2.5
    await crowd(services, 150)
    low = services.pace.rate
    services.takes = 0.05
    await crowd(services, 250)
    assert services.pace.rate > low


def test_percentile() -> None:
    assert percentile95([1.0]) == 1.0
    assert percentile95(range(1, 101)) == 95
    assert percentile95([*range(1, 20), 1_000]) == 19
