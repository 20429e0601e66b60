"""How often an address may call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from hubbub.clock import FakeClock
from hubbub.errors import Unavailable
from services.gateway.rest.rate_limit import RETRY, RateLimit, RateRule

RULE = RateRule(calls=3, window=60.0)


@dataclass
class Place:
    """Where several gateways count."""

    clock: FakeClock
    windows: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)
    away: bool = False
    asked: int = 0

    async def count(self, address: str, endpoint: str, window: float) -> tuple[int, float]:
        self.asked += 1
        if self.away:
            raise Unavailable("the database does not answer")
        calls, ends = self.windows.get((address, endpoint), (0, 0.0))
        if ends <= self.clock.monotonic():
            calls, ends = 0, self.clock.monotonic() + window
        self.windows[address, endpoint] = calls + 1, ends
        return calls + 1, ends - self.clock.monotonic()


async def test_a_window_ends() -> None:
    """Refused until its end, counted anew behind it; refused calls do not prolong it."""
    clock = FakeClock()
    limit = RateLimit(entries=10, clock=clock)
    first = [await limit.count("a", "e", RULE) for _ in range(5)]
    clock.advance(59.0)
    late = await limit.count("a", "e", RULE)
    clock.advance(1.0)
    anew = await limit.count("a", "e", RULE)

    assert [verdict.refused for verdict in first] == [False] * 3 + [True] * 2
    assert [verdict.remaining for verdict in first] == [2, 1, 0, 0, 0]
    assert (late.refused, late.wait) == (True, 1.0)
    assert (anew.refused, anew.remaining) == (False, 2)


async def test_addresses_and_endpoints_are_counted_apart() -> None:
    """One does not use up the other's calls."""
    limit = RateLimit(entries=10, clock=FakeClock())
    once = RateRule(1, 60.0)

    assert not (await limit.count("a", "e", once)).refused
    assert not (await limit.count("b", "e", once)).refused
    assert not (await limit.count("a", "f", once)).refused
    assert (await limit.count("a", "e", once)).refused
    assert not (await limit.count("a", "g", RateRule(2, 60.0))).refused


async def test_gateways_count_together() -> None:
    """Between them an address gets what one alone would give, and no first call is refused."""
    clock = FakeClock()
    place = Place(clock)
    gateways = [RateLimit(entries=10, counters=place, clock=clock) for _ in range(4)]
    for _ in range(3):
        verdicts = [await gateways[n % 4].count("a", "e", RULE) for n in range(12)]
        assert [verdict.refused for verdict in verdicts] == [False] * 3 + [True] * 9
        clock.advance(60.0)


async def test_who_hammers_costs_nothing() -> None:
    """A gateway that knows of a full window asks nobody."""
    clock = FakeClock()
    place = Place(clock)
    limit = RateLimit(entries=10, counters=place, clock=clock)
    for _ in range(100):
        await limit.count("a", "e", RULE)

    assert place.asked == RULE.calls


async def test_calls_at_the_same_moment() -> None:
    """None slips through while others wait for the count."""
    clock = FakeClock()
    limit = RateLimit(entries=10, counters=Place(clock), clock=clock)
    verdicts = await asyncio.gather(*(limit.count("a", "e", RULE) for _ in range(20)))

    assert sum(not verdict.refused for verdict in verdicts) == RULE.calls


async def test_alone_while_nobody_answers() -> None:
    """The limit holds per gateway; the place is asked again after a while."""
    clock = FakeClock()
    place = Place(clock, away=True)
    limit = RateLimit(entries=10, counters=place, clock=clock)
    refused = [(await limit.count("a", "e", RULE)).refused for _ in range(5)]
    assert refused == [False] * 3 + [True] * 2
    assert place.asked == 1

    place.away = False
    clock.advance(RETRY)
    assert not (await limit.count("b", "e", RULE)).refused
    assert place.asked == 2


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 50)), max_size=60))
async def test_memory_is_bounded(calls: list[tuple[str, float]]) -> None:
    """However many addresses come, no more than allowed are remembered."""
    clock = FakeClock()
    limit = RateLimit(entries=4, clock=clock)
    for address, pause in calls:
        await limit.count(address, "e", RULE)
        clock.advance(pause)
        assert len(limit._windows) <= 4
