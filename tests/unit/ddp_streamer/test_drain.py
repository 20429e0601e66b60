"""Closing many sockets: spread, not too many at once, complete, and never in a login."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from hubbub.clock import FakeClock
from services.ddp_streamer.common import Cause
from services.ddp_streamer.drain import HURRIED, SETTLING, TICK, Drain, Plan

PLENTY = 1e9  # sockets per second


class Socket:
    """A session that asked for things which are answered at set moments."""

    def __init__(
        self,
        clock: FakeClock,
        *,
        answered_at: float = 0.0,
        login_until: float = 0.0,
        opened_at: float = -100.0,
    ) -> None:
        self._clock = clock
        self._answered_at = answered_at
        self._login_until = login_until
        self._opened_at = opened_at
        self.closed = False
        self.closed_at = -1.0
        self.finished_at = -1.0
        self.cause: Cause | None = None

    @property
    def busy(self) -> bool:
        return self._clock.monotonic() < self._answered_at

    @property
    def in_login(self) -> bool:
        return self._clock.monotonic() < self._login_until

    @property
    def age(self) -> float:
        return self._clock.monotonic() - self._opened_at

    def finish(self) -> None:
        self.finished_at = self._clock.monotonic()

    def close(self, code: int, reason: str, *, cause: Cause | None = None) -> None:
        assert (code, reason) == (1012, "SERVICE_RESTART")
        assert not self.closed
        self.closed, self.closed_at, self.cause = True, self._clock.monotonic(), cause


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def evenly(count: int) -> Callable[[], float]:
    """Moments without chance, in no order."""
    numbers = itertools.count()
    return lambda: (next(numbers) * 7 % count) / count


async def test_turns_are_spread_over_the_window(clock: FakeClock) -> None:
    sockets = [Socket(clock) for _ in range(600)]
    drain = Drain(Plan(window=60, patience=5), rate=lambda: PLENTY, clock=clock, draw=evenly(600))

    assert await drain.run(sockets) == 0

    per_second = [0] * 61
    for socket in sockets:
        per_second[int(socket.closed_at)] += 1
    assert max(per_second) <= 12
    assert min(per_second[:60]) >= 8


async def test_no_more_go_at_once_than_the_others_can_take(clock: FakeClock) -> None:
    """A window of no time at all still takes as long as the rate wants it."""
    sockets = [Socket(clock) for _ in range(1_000)]
    drain = Drain(Plan(window=0, patience=5), rate=lambda: 200.0, clock=clock)

    assert await drain.run(sockets) == 0

    moments = sorted(socket.closed_at for socket in sockets)
    for first, later in zip(moments, moments[200:], strict=False):
        # Within any second there are the rate's share and what two ticks may gather.
        assert later - first >= 1.0 - 3 * TICK
    assert 4.5 <= moments[-1] <= 5.5


async def test_the_rate_follows_the_number_of_others(clock: FakeClock) -> None:
    """When a second streamer appears, twice as many may go."""
    sockets = [Socket(clock) for _ in range(600)]

    def rate() -> float:
        return 100.0 if clock.monotonic() < 2.0 else 200.0

    drain = Drain(Plan(window=0, patience=5), rate=rate, clock=clock)
    await drain.run(sockets)

    assert sum(socket.closed_at < 2.0 for socket in sockets) == pytest.approx(200, abs=20)
    assert max(socket.closed_at for socket in sockets) == pytest.approx(4.0, abs=0.3)


async def test_each_has_its_answers_before_it_goes(clock: FakeClock) -> None:
    """Its turn comes, it begins nothing new, and goes when the last answer is out."""
    slow, idle = Socket(clock, answered_at=3.0), Socket(clock)
    drain = Drain(Plan(window=0, patience=5), rate=lambda: PLENTY, clock=clock)

    assert await drain.run([slow, idle]) == 0

    assert idle.closed_at <= TICK
    assert slow.finished_at == 0
    assert slow.closed_at == pytest.approx(3.0, abs=2 * TICK)


async def test_patience_with_a_method_ends(clock: FakeClock) -> None:
    never = Socket(clock, answered_at=1_000)
    drain = Drain(Plan(window=0, patience=5), rate=lambda: PLENTY, clock=clock)

    assert await drain.run([never]) == 1
    assert never.closed_at == pytest.approx(5.0, abs=2 * TICK)


async def test_a_login_is_waited_for_beyond_all_patience(clock: FakeClock) -> None:
    """Also beyond the moment at which everybody else is closed."""
    login = Socket(clock, login_until=70.0)
    plan = Plan(window=0, patience=5, forced_at=40, given_up_at=80)
    drain = Drain(plan, rate=lambda: PLENTY, clock=clock)

    assert await drain.run([login]) == 0
    assert login.closed_at == pytest.approx(70.0, abs=2 * TICK)


async def test_only_the_end_of_the_process_cuts_a_login(clock: FakeClock) -> None:
    login = Socket(clock, login_until=1_000)
    plan = Plan(window=0, patience=5, forced_at=40, given_up_at=43)
    drain = Drain(plan, rate=lambda: PLENTY, clock=clock)

    assert await drain.run([login]) == 1
    assert login.closed_at == pytest.approx(43.0, abs=2 * TICK)


async def test_who_had_no_turn_in_time_is_forced_and_counted(clock: FakeClock) -> None:
    """5 s before the deadline the rest goes at once: better than being cut with the process."""
    sockets = [Socket(clock) for _ in range(1_000)]
    plan = Plan(window=0, patience=5, forced_at=4, given_up_at=7)
    drain = Drain(plan, rate=lambda: 100.0, clock=clock)

    forced = await drain.run(sockets)

    assert all(socket.closed for socket in sockets)
    assert forced == pytest.approx(600, abs=20)
    late = sum(socket.closed_at >= 4.0 for socket in sockets)
    assert 0 <= late - forced <= 3 * TICK * 100  # the turns of that very moment
    assert max(socket.closed_at for socket in sockets) == pytest.approx(4.0, abs=2 * TICK)


async def test_who_insists_waits_two_seconds(clock: FakeClock) -> None:
    """All turns are brought forward, the rate counts no more, a login is still waited for."""
    hurried = asyncio.Event()
    sockets = [Socket(clock) for _ in range(3_000)]
    stuck = Socket(clock, answered_at=1_000)
    login = Socket(clock, login_until=20.0)

    def watch(_: int) -> None:
        if clock.monotonic() >= 10.0:
            hurried.set()

    drain = Drain(
        Plan(window=60, patience=25, forced_at=80, given_up_at=83),
        rate=lambda: 200.0,
        clock=clock,
        hurried=hurried,
        on_remaining=watch,
    )
    forced = await drain.run([*sockets, stuck, login])

    after = [socket.closed_at for socket in sockets if socket.closed_at > 10.0]
    assert len(after) > 2_000
    assert max(after) <= 10.0 + HURRIED
    assert 0.5 < sorted(after)[len(after) // 2] - 10.0 < 1.2  # they are spread still
    assert stuck.closed_at <= 10.0 + HURRIED + 2 * TICK
    assert forced == 1
    assert login.closed_at == pytest.approx(20.0, abs=2 * TICK)


async def test_a_new_socket_gets_the_time_to_log_in(clock: FakeClock) -> None:
    """A login is on its way from nearly every client that has just connected."""
    new = Socket(clock, opened_at=0.0)
    drain = Drain(Plan(window=0, patience=5), rate=lambda: PLENTY, clock=clock)

    await drain.run([new])

    assert new.closed_at == pytest.approx(SETTLING, abs=2 * TICK)


async def test_who_has_left_already_costs_nothing(clock: FakeClock) -> None:
    gone = [Socket(clock) for _ in range(100)]
    for socket in gone:
        socket.closed = True
    last = Socket(clock)
    drain = Drain(Plan(window=0, patience=5), rate=lambda: 1.0, clock=clock)

    assert await drain.run([*gone, last]) == 0
    assert last.closed_at < 1.5


async def test_what_is_left_is_told(clock: FakeClock) -> None:
    told: list[int] = []
    drain = Drain(
        Plan(window=1, patience=5),
        rate=lambda: PLENTY,
        clock=clock,
        cause="rebalance",
        on_remaining=told.append,
        draw=evenly(50),
    )
    sockets = [Socket(clock) for _ in range(50)]
    await drain.run(sockets)

    assert told == sorted(told, reverse=True)
    assert (len(set(told)) > 10, told[-1]) == (True, 0)
    assert {socket.cause for socket in sockets} == {"rebalance"}
