"""The shared timer."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.ddp_streamer.wheel import NEVER, TimerWheel


class Sleeper:
    def __init__(self, again: float = NEVER) -> None:
        self.wake_at = NEVER
        self.woken: list[float] = []
        self._again = again

    def wake(self, now: float) -> float:
        self.woken.append(now)
        return now + self._again


def test_nobody_is_woken_early_or_twice() -> None:
    wheel, sleeper = TimerWheel(0.0), Sleeper()
    wheel.schedule(sleeper, 10.2)
    for tick in range(1, 60):
        wheel.advance(tick * 0.5)
    assert sleeper.woken == [10.5]


def test_the_nearest_moment_counts() -> None:
    wheel, sleeper = TimerWheel(0.0), Sleeper()
    wheel.schedule(sleeper, 30.0)
    wheel.schedule(sleeper, 5.0)
    wheel.schedule(sleeper, 20.0)
    for tick in range(1, 100):
        wheel.advance(tick * 0.5)
    assert sleeper.woken == [5.5]


def test_who_asks_again_is_woken_again() -> None:
    wheel, sleeper = TimerWheel(100.0), Sleeper(again=10.0)
    wheel.schedule(sleeper, 101.0)
    for tick in range(201, 260):
        wheel.advance(tick * 0.5)
    assert sleeper.woken == [101.5, 112.0, 122.5]


def test_a_moment_that_has_passed_is_the_next_tick() -> None:
    wheel, sleeper = TimerWheel(100.0), Sleeper()
    wheel.schedule(sleeper, 3.0)
    wheel.advance(100.5)
    assert sleeper.woken == [100.5]


def test_a_jump_in_time_wakes_everybody_once() -> None:
    wheel = TimerWheel(0.0)
    sleepers = [Sleeper() for _ in range(10)]
    for index, sleeper in enumerate(sleepers):
        wheel.schedule(sleeper, index * 7.0)
    wheel.advance(10_000.0)
    assert all(len(sleeper.woken) == 1 for sleeper in sleepers)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20))
def test_everybody_is_woken_within_one_tick(moments: list[float]) -> None:
    wheel = TimerWheel(0.0)
    sleepers = [Sleeper() for _ in moments]
    for sleeper, at in zip(sleepers, moments, strict=True):
        wheel.schedule(sleeper, at)
    for tick in range(1, 300):
        wheel.advance(tick * 0.5)
    for sleeper, at in zip(sleepers, moments, strict=True):
        (woken,) = sleeper.woken
        assert at <= woken <= at + 2 * wheel.tick
