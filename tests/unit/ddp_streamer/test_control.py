"""What operators may ask of a streamer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hubbub.bus import LocalBus
from hubbub.clock import FakeClock
from hubbub.contracts.streamers import StreamerControl
from hubbub.errors import BadRequest, Unavailable
from services.ddp_streamer.common import Cause
from services.ddp_streamer.control import Control, Sheddable, Shedding


class Socket:
    def __init__(self, user_id: str | None = None, **facts: Any) -> None:
        self.user_id = user_id
        self.age = 3_600.0
        self.busy = self.in_login = self.closed = False
        for name, value in facts.items():
            setattr(self, name, value)

    def finish(self) -> None:
        raise AssertionError("choosing asks nothing of a session")

    def close(self, code: int, reason: str, *, cause: Cause | None = None) -> None:
        raise AssertionError("choosing closes nothing")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def choose(clock: FakeClock) -> Callable[..., list[Sheddable]]:
    shedding = Shedding(clock=clock)
    return lambda sockets, count=100, youngest=600.0: shedding.choose(sockets, count, youngest)


def test_no_more_than_asked_for(choose: Callable[..., list[Sheddable]]) -> None:
    sockets = [Socket(f"u{number}") for number in range(50)]

    assert len(choose(sockets, 7)) == 7


def test_they_are_picked_at_random(clock: FakeClock) -> None:
    """Neither the oldest nor the newest of all sockets are always the ones to go."""
    first = set()
    for _ in range(50):
        sockets = [Socket(f"u{number}") for number in range(10)]
        (chosen,) = Shedding(clock=clock).choose(sockets, 1, 600)
        first.add(chosen.user_id)

    assert len(first) > 4


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param({"age": 599.0}, id="young"),
        pytest.param({"busy": True}, id="waits for an answer"),
        pytest.param({"in_login": True}, id="in a login"),
        pytest.param({"closed": True}, id="closing already"),
    ],
)
def test_who_is_spared(choose: Callable[..., list[Sheddable]], facts: dict[str, Any]) -> None:
    other = Socket("u2")

    assert choose([Socket("u1", **facts), other]) == [other]


def test_how_young_is_too_young_can_be_said(choose: Callable[..., list[Sheddable]]) -> None:
    assert len(choose([Socket("u1", age=30.0)], 1, 20.0)) == 1


def test_a_user_is_left_alone_for_an_hour(
    choose: Callable[..., list[Sheddable]], clock: FakeClock
) -> None:
    """With all sockets, and on sockets opened since."""
    assert len(choose([Socket("u1"), Socket("u1"), Socket("u1")])) == 1
    clock.advance(3_599)
    assert choose([Socket("u1")]) == []
    clock.advance(1)
    assert len(choose([Socket("u1")])) == 1


def test_sockets_of_nobody_are_not_taken_for_one_user(
    choose: Callable[..., list[Sheddable]],
) -> None:
    assert len(choose([Socket(None), Socket(None)])) == 2


class Streamer:
    """What a `Control` acts on."""

    def __init__(self) -> None:
        self.windows: list[float | None] = []
        self.shed: list[Sheddable] = []
        self.sessions = [Socket(f"u{number}") for number in range(20)]

    def begin_drain(self, window: float | None) -> bool:
        self.windows.append(window)
        return len(self.windows) == 1

    def control(self) -> Control:
        return Control(
            begin_drain=self.begin_drain,
            is_draining=lambda: bool(self.windows),
            sessions=lambda: self.sessions,
            close=self.shed.extend,
        )


async def test_it_is_reached_by_its_instance_and_never_by_chance() -> None:
    """A drain that lands on just any streamer would be a misfortune."""
    streamer = Streamer()
    bus = LocalBus(instance="ddp-streamer-7")
    await bus.serve(streamer.control(), group=False)
    try:
        mine = bus.proxy(StreamerControl, to="ddp-streamer-7")
        assert await mine.shed(5) == 5
        assert len(streamer.shed) == 5
        assert await mine.shed(-1) == 0
        assert await mine.drain(30.0) is True
        assert await mine.drain() is False
        assert streamer.windows == [30.0, None]
        with pytest.raises(BadRequest):
            await mine.drain(-1.0)
        with pytest.raises(Unavailable):
            await bus.proxy(StreamerControl).shed(5)
        with pytest.raises(Unavailable):
            await bus.proxy(StreamerControl, to="ddp-streamer-8").shed(5)
    finally:
        await bus.close()


async def test_nobody_is_shed_in_a_drain() -> None:
    """They all go anyway, each at its own moment."""
    streamer = Streamer()
    control = streamer.control()
    await control.drain()

    assert await control.shed(10) == 0
    assert streamer.shed == []
