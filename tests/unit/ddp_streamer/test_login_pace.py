"""How many logins begin, and how that follows what they cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hubbub.bus.caller import CircuitOpen
from hubbub.clock import FakeClock
from hubbub.errors import NotAllowed, Unavailable
from services.ddp_streamer.login_pace import SLOWEST, STEP, LoginPace, percentile95

START = 50.0  # logins per second


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
            async with self.pace.turn(measured=measured):
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
    pace = LoginPace(start=START, clock=clock)
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
    assert services.pace.rate >= START + 2 * STEP
    took = max(when for _, when in services.begun)
    assert 300 / (services.pace.rate + START) < took < 300 / START
    assert services.pace.waiting == 0


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
    """Ten seconds' worth; who comes later is told so, and no password was looked at."""
    waiting = [asyncio.create_task(services.login(who)) for who in range(1_000)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert services.refused == 1_000 - START - 10 * START
    assert services.pace.waiting == 10 * START
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
