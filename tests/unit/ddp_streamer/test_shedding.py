"""When the loop is too late, and what is done without then."""

from __future__ import annotations

from services.ddp_streamer.shedding import LASTING, Level, Shedding


class Watched:
    """A judge whose loop runs as late as it is said."""

    def __init__(self) -> None:
        self.levels: list[Level] = []
        self.shedding = Shedding(on_change=self.levels.append)
        self.now = 100.0

    def run(self, seconds: float, late: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.25 + late
            self.shedding.observe(late, self.now)


def test_presence_goes_first_then_typing_and_both_come_back() -> None:
    watched = Watched()
    watched.run(30, late=0.1)
    assert watched.levels == []
    watched.run(LASTING + 1, late=0.4)
    assert watched.levels == [Level.PRESENCE]
    watched.run(30, late=0.4)
    assert watched.levels == [Level.PRESENCE, Level.TYPING]
    watched.run(LASTING + 1, late=0.0)
    assert watched.levels[2:] == [Level.PRESENCE]
    watched.run(60, late=0.0)
    assert watched.levels[2:] == [Level.PRESENCE, Level.NOTHING]


def test_short_and_single_delays_do_nothing() -> None:
    """A collection of garbage, or a process that was frozen."""
    watched = Watched()
    for _ in range(10):
        watched.run(2, late=0.5)
        watched.run(1, late=0.0)
    watched.run(1, late=60.0)
    watched.run(1, late=0.0)
    assert watched.levels == []
