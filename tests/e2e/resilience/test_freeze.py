"""Processes that stand still for seconds and go on, believing that nothing happened."""

from __future__ import annotations

import pytest

from tests.e2e.resilience.conversation import PROMISE, People, conversation
from tests.e2e.resilience.history import Closed
from tests.e2e.resilience.measures import Costs
from tests.e2e.resilience.processes import Hubbub

pytestmark = pytest.mark.e2e

LINGER = 3.0  # seconds; missing events are looked for within two

FROZEN = (
    ("nats-server", 1.0),
    ("nats-server", 3.0),
    ("stream-hub", 6.0),  # its lease has ended when it wakes up
    ("ddp-streamer", 3.0),
    ("messaging", 3.0),
    ("mongod", 3.0),
)


@pytest.mark.parametrize(
    ("name", "seconds"), [pytest.param(*one, id=f"{one[0]} {one[1]:g} s") for one in FROZEN]
)
async def test_everybody_talks_again(
    hubbub: Hubbub, people: People, rows: list[Costs], name: str, seconds: float
) -> None:
    """It goes on by itself; no socket is closed for so short a time."""
    async with conversation(hubbub, people) as talk:
        await hubbub.freeze(hubbub.pids(name)[0], seconds)
        await talk.lasts(LINGER)
        closed = [event for event in talk.history.events if isinstance(event, Closed)]
        cost = await talk.end(f"freeze {name} {seconds:g} s")
    rows.append(cost)

    assert not closed
    assert cost.longest <= PROMISE
    assert cost.unanswered <= PROMISE
