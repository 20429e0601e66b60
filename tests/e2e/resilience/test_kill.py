"""kill -9 of any one process: everybody talks again within ten seconds, and nothing is lost."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.resilience.conversation import ENOUGH, PROMISE, People, conversation
from tests.e2e.resilience.hearers import hearers
from tests.e2e.resilience.history import Acked, Sent
from tests.e2e.resilience.measures import Costs
from tests.e2e.resilience.processes import Hubbub

pytestmark = pytest.mark.e2e

UNNOTICED = 3.0  # seconds; an outage that others hide costs less than this, on a busy machine

LINGER = 2.0  # seconds; missing events are looked for within two

MIDDLE = 0.3  # seconds that the database stands still, so that the kill hits a transaction

KILLED = (
    "account",
    "authorization",
    "ddp-streamer",
    "gateway",
    "messaging",
    "presence",
    "push",
    "apps-engine",
    "stream-hub",
    "front-door",
    "mongod",
    "nats-server",
)
HIDDEN = frozenset(KILLED) - {"messaging", "stream-hub", "front-door", "mongod", "nats-server"}
"""Who keeps a socket notices nothing of these."""


@pytest.mark.parametrize("name", KILLED)
async def test_everybody_talks_again(
    hubbub: Hubbub, people: People, rows: list[Costs], name: str
) -> None:
    """Two talk, two listen, one writes by REST, and one comes in just after the kill."""
    async with conversation(hubbub, people) as talk:
        old = hubbub.pids(name)
        killed = hubbub.signal(old[0], signal.SIGKILL)
        late = talk.join(people.newcomer)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hubbub.replaced(name, old[0], copies=len(old)))
            tasks.create_task(talk.goes_on())
        await talk.lasts(LINGER)
        cost = await talk.end(f"kill -9 {name}")
    rows.append(cost)

    assert cost.longest <= PROMISE
    assert cost.unanswered <= PROMISE
    assert late.first_shown is not None
    assert late.first_shown - killed <= PROMISE
    if name in HIDDEN:
        assert cost.undisturbed is not None
        assert cost.undisturbed <= UNNOTICED


async def test_a_transaction_loses_its_owner(
    hubbub: Hubbub, people: People, rows: list[Costs]
) -> None:
    """What messaging had begun when it was killed does not stop the room for long."""
    async with conversation(hubbub, people) as talk:
        (mongod,), (old,) = hubbub.pids("mongod"), hubbub.pids("messaging")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hubbub.freeze(mongod, MIDDLE))
            await asyncio.sleep(MIDDLE / 2)
            hubbub.signal(old, signal.SIGKILL)
        await hubbub.replaced("messaging", old)
        await talk.lasts(LINGER)
        cost = await talk.end("kill -9 messaging in a transaction")
    rows.append(cost)

    assert cost.longest <= PROMISE
    assert cost.unanswered <= PROMISE


async def test_apps_and_webhooks_hear_of_every_message(
    hubbub: Hubbub, people: People, rows: list[Costs], tmp_path: Path
) -> None:
    """Of what was said before their engine was killed, while it was away, and after that."""
    async with hearers(hubbub.url, tmp_path) as others, conversation(hubbub, people) as talk:
        await others.have(ENOUGH)  # from now on; a webhook listens a moment after it was made
        listening = time.monotonic()
        await talk.lasts(LINGER)
        (old,) = hubbub.pids("apps-engine")
        hubbub.signal(old, signal.SIGKILL)
        await hubbub.replaced("apps-engine", old)
        await talk.lasts(LINGER)
        cost = await talk.end("kill -9 apps-engine with an app and a webhook")
        rows.append(cost)
        fresh = {
            event.id
            for event in talk.history.events
            if isinstance(event, Sent) and event.at > listening
        }
        said = {event.id for event in talk.history.events if isinstance(event, Acked)} & fresh
        assert len(said) > ENOUGH
        await others.know(said)
