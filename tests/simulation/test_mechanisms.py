"""Each mechanism is needed: without it, a promise breaks that holds with it.

One production function at a time is replaced by one that does everything but its part of the
mechanism. `docs/reliability.md` lists which test belongs to which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hubbub.contracts.event_log import Epochs
from hubbub.doors.methods import messages as doors
from services.ddp_streamer.audiences.chain import Chain
from services.ddp_streamer.audiences.continuity import Continuity
from services.messaging import funnel
from tests.simulation import faults
from tests.simulation.run import run


def _broken(seeds: Sequence[int], at_the_end: faults.Fault | None = None) -> set[str]:
    """The words that name what broke in any of these runs."""
    return {
        word
        for seed in seeds
        for said in run(seed, at_the_end=at_the_end).violations
        for word in ("lost", "doubled", "disordered", "outdated", "leaked")
        if f" {word}:" in said
    }


def test_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without comparing predecessors, an event that was lost between two others stays lost."""
    seeds = (5, 8, 11, 15, 16, 17, 38, 48)
    assert _broken(seeds) == set()
    take = Chain.take

    def without_predecessor(chain: Chain[Any], event: Any) -> Any:
        return take(chain, replace(event, last_sequence=0))

    monkeypatch.setattr(Chain, "take", without_predecessor)
    assert "lost" in _broken(seeds)


def test_watermark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the tops of watermarks, a lost last event stays lost until the next one."""
    seeds = range(5)
    assert _broken(seeds, faults.lose_last) == set()
    monkeypatch.setattr(Continuity, "_check_tails", lambda *_: None)
    assert "lost" in _broken(seeds, faults.lose_last)


def test_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule which events count, what a stale leader writes behind its successor's
    marker comes twice, or in another order."""
    seeds = range(5)
    assert _broken(seeds, faults.write_late) == set()
    monkeypatch.setattr(Epochs, "counts", lambda *_: True)
    assert "doubled" in _broken(seeds, faults.write_late)


def test_funnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one lane per room, messages of one writer overtake each other."""
    seeds = range(5)
    assert _broken(seeds) == set()
    enter = funnel.Funnel._enter

    def in_a_lane_of_its_own(self: funnel.Funnel, room_id: str, entry: Any) -> None:
        enter(self, room_id, entry)
        del self._lanes[room_id]

    monkeypatch.setattr(funnel.Funnel, "_enter", in_a_lane_of_its_own)
    monkeypatch.setattr(funnel.Funnel, "_work", _work_alone)
    assert "disordered" in _broken(seeds)


async def _work_alone(self: funnel.Funnel, room_id: str, lane: Any) -> None:
    await self._commit(room_id, self._next_batch(lane))


def test_look_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without looking back, a change that became visible late is never fetched."""
    seeds = (3, 5, 10, 11, 29, 31, 32, 33)
    assert _broken(seeds) == set()
    monkeypatch.setattr(doors, "_LOOK_BACK", timedelta(0))
    assert "outdated" in _broken(seeds)
