"""Polite restarts: of one streamer, and of everything in turn."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.resilience.conversation import PROMISE, People, conversation
from tests.e2e.resilience.history import Closed
from tests.e2e.resilience.measures import Costs
from tests.e2e.resilience.processes import Hubbub

pytestmark = pytest.mark.e2e

SERVICE_RESTART = 1012
LINGER = 2.0  # seconds
UNNOTICED = 3.0  # seconds

IN_TURN = (
    "account",
    "authorization",
    "presence",
    "push",
    "apps-engine",
    "messaging",
    "stream-hub",
    "ddp-streamer",
    "ddp-streamer",
    "gateway",
)


async def test_a_streamer_says_that_it_restarts(
    hubbub: Hubbub, people: People, rows: list[Costs]
) -> None:
    """Its clients are closed with 1012 and lose nothing; those of the other notice nothing."""
    async with conversation(hubbub, people) as talk:
        old = hubbub.pids("ddp-streamer")
        hubbub.signal(old[0], signal.SIGTERM)
        await hubbub.replaced("ddp-streamer", old[0], copies=2)
        await talk.lasts(LINGER)
        told = [event.code for event in talk.history.events if isinstance(event, Closed)]
        cost = await talk.end("SIGTERM ddp-streamer")
    rows.append(cost)

    assert told == [SERVICE_RESTART, SERVICE_RESTART]
    assert cost.longest <= PROMISE
    assert cost.undisturbed is not None
    assert cost.undisturbed <= UNNOTICED


async def test_everything_restarts_in_turn(
    hubbub: Hubbub, people: People, rows: list[Costs]
) -> None:
    """As when a new version is rolled out, while everybody talks."""
    async with conversation(hubbub, people) as talk:
        for name in IN_TURN:
            old = hubbub.pids(name)
            hubbub.signal(old[0], signal.SIGTERM)
            await hubbub.replaced(name, old[0], copies=len(old))
        await talk.lasts(LINGER)
        told = {event.code for event in talk.history.events if isinstance(event, Closed)}
        cost = await talk.end("SIGTERM of every service in turn")
    rows.append(cost)

    assert told == {SERVICE_RESTART}
    assert cost.longest <= PROMISE
    assert cost.unanswered <= PROMISE
