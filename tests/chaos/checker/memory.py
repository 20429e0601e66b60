"""Judges memory.

bounded: every sample of a process is below its limit; and once it is warm, a process grows by less
than the bound. Growth is the slope of the straight line that fits the samples best (least
squares), from `Bounds.warm_up` seconds after the first sample on; it is not judged over less
than `Bounds.growth_span` seconds or three samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.chaos.checker.timeline import Timeline
from tests.chaos.checker.verdict import MIB, Bounds, Invariant, Violation
from tests.chaos.history import Memory


def bounded(timeline: Timeline, bounds: Bounds) -> Iterator[Violation]:
    """Violations of bounded, at most one of each kind per process."""
    for process, samples in timeline.memory.items():
        above = [one for one in samples if one.rss >= _limit(one, bounds)]
        if above:
            worst = max(above, key=lambda one: one.rss)
            what = f"{process} held {worst.rss / MIB:.1f} of {_limit(worst, bounds) / MIB:.1f} MiB"
            yield Violation(Invariant.BOUNDED, what, tuple(above))
        warm = [one for one in samples if one.t_mono >= samples[0].t_mono + bounds.warm_up]
        if len(warm) < 3 or warm[-1].t_mono - warm[0].t_mono < bounds.growth_span:
            continue
        growth = 60 * _slope(warm)
        if growth >= bounds.growth:
            what = f"{process} grew by {growth / MIB:.2f} MiB per minute"
            yield Violation(Invariant.BOUNDED, what, (warm[0], warm[-1]))


def _limit(sample: Memory, bounds: Bounds) -> int:
    return bounds.rss if sample.limit is None else sample.limit


def _slope(samples: Sequence[Memory]) -> float:
    """Bytes per second."""
    middle = sum(one.t_mono for one in samples) / len(samples)
    mean = sum(one.rss for one in samples) / len(samples)
    spread = sum((one.t_mono - middle) ** 2 for one in samples)
    return sum((one.t_mono - middle) * (one.rss - mean) for one in samples) / spread
