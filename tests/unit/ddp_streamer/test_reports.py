"""What streamers tell each other, and how long it is believed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hubbub.clock import FakeClock
from hubbub.contracts.streamers import StreamerReported
from hubbub.errors import Unavailable
from services.ddp_streamer.reports import Load, Reports
from tests.waiting import eventually


class Stage:
    """A streamer whose load and connection a test sets."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.load = Load(connections=3, connection_limit=10, delivered=0, draining=False)
        self.connected = True
        self.told: list[StreamerReported] = []
        self.away = False
        self.reports = Reports(
            self.publish,
            lambda: self.load,
            instance="s-1",
            pod="pod-1",
            version="1.2.3",
            connected=lambda: self.connected,
            clock=self.clock,
        )

    async def publish(self, event: StreamerReported) -> None:
        if self.away:
            raise Unavailable("away")
        self.told.append(event)

    async def hear(self, instance: str, *, draining: bool = False) -> None:
        await self.reports.on_reported(
            StreamerReported(
                instance=instance,
                pod="p",
                version="1",
                connections=1,
                connection_limit=10,
                deliveries_per_second=0,
                draining=draining,
            )
        )


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
async def running(stage: Stage) -> AsyncIterator[Stage]:
    task = asyncio.create_task(stage.reports.run())
    yield stage
    task.cancel()
    await asyncio.wait({task})


async def test_a_report_says_who_and_how_full(running: Stage) -> None:
    (told,) = await eventually(lambda: running.told)

    assert (told.instance, told.pod, told.version) == ("s-1", "pod-1", "1.2.3")
    assert (told.connections, told.connection_limit, told.draining) == (3, 10, False)


async def test_the_beginning_of_a_drain_is_told_at_once(running: Stage) -> None:
    await eventually(lambda: running.told)
    running.load = Load(connections=3, connection_limit=10, delivered=0, draining=True)
    running.reports.tell_now()

    await eventually(lambda: running.told[-1].draining, within=1.0)


async def test_a_report_that_fails_is_not_the_last_one(running: Stage) -> None:
    await eventually(lambda: running.told)
    running.away = True
    running.reports.tell_now()
    await asyncio.sleep(0)
    running.away = False
    running.reports.tell_now()

    await eventually(lambda: len(running.told) >= 2, within=1.0)


def test_deliveries_are_measured_between_reports(stage: Stage) -> None:
    """One out of turn repeats the last rate instead of measuring next to nothing."""
    stage.clock.advance(5)
    stage.load = Load(connections=0, connection_limit=1, delivered=500, draining=False)
    assert stage.reports.report().deliveries_per_second == 100.0
    stage.clock.advance(0.01)
    stage.load = Load(connections=0, connection_limit=1, delivered=510, draining=False)
    assert stage.reports.report().deliveries_per_second == 100.0
    stage.clock.advance(5)
    assert stage.reports.report().deliveries_per_second == 2.0


async def test_the_others_are_counted(stage: Stage) -> None:
    """Not oneself, and not who drains."""
    await stage.hear("s-1")
    await stage.hear("s-2")
    await stage.hear("s-3")
    await stage.hear("s-2")
    assert stage.reports.ready_others == 2
    await stage.hear("s-3", draining=True)
    assert stage.reports.ready_others == 1


async def test_who_falls_silent_is_gone(stage: Stage) -> None:
    await stage.hear("s-2")
    stage.clock.advance(20)
    assert stage.reports.ready_others == 1
    stage.clock.advance(1)
    assert stage.reports.ready_others == 0


async def test_who_hears_nobody_believes_what_was_heard_last(stage: Stage) -> None:
    """Cut off from NATS, the others are as they were then: that is why it is to be left."""
    await stage.hear("s-2")
    await stage.hear("s-3")
    stage.clock.advance(15)
    await stage.hear("s-3")
    stage.clock.advance(4)
    stage.connected = False
    assert stage.reports.ready_others == 2
    stage.clock.advance(60)
    assert stage.reports.ready_others == 2
    stage.connected = True
    assert stage.reports.ready_others == 0
