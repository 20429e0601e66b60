"""When a leader finds out that it is cut off from NATS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from hubbub.clock import FakeClock
from hubbub.tasks import owned
from services.stream_hub.reach import Reach
from services.stream_hub.term import LeadershipLost
from tests.unit.stream_hub.fakes import FakeLog, until

PATIENCE = 2.0


class _Line(FakeLog):
    """Counts how often NATS is asked."""

    asked = 0

    async def answers(self) -> bool:
        self.asked += 1
        return await super().answers()


@dataclass
class _Scene:
    """A leader, of which only the wait counts."""

    log: _Line = field(default_factory=_Line)
    clock: FakeClock = field(default_factory=FakeClock)
    waits_since: float | None = None

    def waited(self) -> float:
        return 0.0 if self.waits_since is None else self.clock.monotonic() - self.waits_since

    def wait(self) -> None:
        self.waits_since = self.clock.monotonic()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        reach = Reach(self.log, self.clock, patience=PATIENCE)
        async with owned(reach.watch(self.waited)):
            yield

    async def pass_time(self, seconds: float) -> None:
        """The clock moves whenever the watch sleeps."""
        end = self.clock.monotonic() + seconds
        await until(lambda: self.clock.monotonic() >= end)


async def _watch(scene: _Scene) -> None:
    async with scene.watching():
        await scene.pass_time(10.0)


async def test_who_is_cut_off_knows_it_while_acknowledgements_are_still_waited_for() -> None:
    """From the moment at which the log gives no sign of life, whatever else is tried with it."""
    scene = _Scene()
    begun = scene.clock.monotonic()
    scene.log.cut_off = True
    scene.wait()
    with pytest.raises(ExceptionGroup) as caught:
        await _watch(scene)
    assert caught.group_contains(LeadershipLost, match="cut_off")
    assert PATIENCE <= scene.clock.monotonic() - begun <= PATIENCE + 1.0


async def test_a_log_that_does_not_answer_on_a_nats_that_does_is_waited_for() -> None:
    """Nobody else would fare better while JetStream elects a leader."""
    scene = _Scene()
    async with scene.watching():
        scene.wait()
        await scene.pass_time(30.0)
    assert scene.log.asked > 10


async def test_nobody_is_asked_while_nobody_waits() -> None:
    scene = _Scene()
    scene.log.cut_off = True
    async with scene.watching():
        await scene.pass_time(10.0)
    assert scene.log.asked == 0


async def test_one_sign_of_life_begins_the_patience_anew() -> None:
    scene = _Scene()
    async with scene.watching():
        scene.wait()
        for _ in range(5):
            scene.log.cut_off = True
            await scene.pass_time(PATIENCE - 0.5)
            scene.log.cut_off = False
            await scene.pass_time(0.5)
    assert scene.log.asked > 10


async def test_who_stood_still_himself_asks_before_he_judges() -> None:
    """What waits for long is his own fault then, and the connection is made anew at once."""
    scene = _Scene()
    async with scene.watching():
        scene.wait()
        scene.log.cut_off = True
        scene.clock.advance(10 * PATIENCE)
        await scene.pass_time(PATIENCE / 2)
        assert scene.log.asked > 1
        scene.log.cut_off = False
        await scene.pass_time(1.0)
