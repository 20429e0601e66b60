"""What an operation costs, counted by the services themselves: calls and database commands.

Each operation is done many times by a client of a running Hubbub, after it was done often enough
to fill the caches; the counters before and after say what one of them costs. The table in
docs/architecture.md is written from here: `HUBBUB_WRITE_COSTS=1` puts it right.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hubbub.ids import random_id
from tests.conformance.conftest import Running, SignIn
from tests.conformance.ddp import Ddp, opened
from tests.conformance.meters import read
from tests.conformance.rest import Rest, User

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(240)]

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
WRITE = bool(os.environ.get("HUBBUB_WRITE_COSTS"))
TIMES = 60
WARM = 3  # times before it counts

Operation = Callable[[int], Awaitable[object]]

RARELY = 0.3  # per operation; caches that are filled anew, and what happens beside the test
_EACH_TIME = 0.9  # per operation; what is less is done for several at once
_GATHERED = "→ presence."  # told for many sockets at once; how many depends on the machine's speed


@dataclass(frozen=True)
class Cost:
    """Of one operation, on average."""

    calls: dict[str, float]
    commands: dict[str, float]

    def called(self, pattern: str) -> float:
        return sum(count for name, count in self.calls.items() if re.search(pattern, name))

    def commanded(self, pattern: str) -> float:
        return sum(count for name, count in self.commands.items() if re.search(pattern, name))


@dataclass(frozen=True)
class Stage:
    """A client that acts, and somebody beside it."""

    hubbub: Running
    rest: Rest
    socket: Ddp
    me: User
    other: User
    room_id: str

    async def cost(self, operation: Operation) -> Cost:
        """What the counters say of `TIMES` operations, less what an idle Hubbub does."""
        for number in range(WARM):
            await operation(-1 - number)
        before = await read(self.hubbub)
        for number in range(TIMES):
            await operation(number)
        spent = await read(self.hubbub) - before
        return Cost(_each(spent.calls), _each(spent.commands))


def _each(counts: Counter[str]) -> dict[str, float]:
    """Per operation."""
    return {name: count / TIMES for name, count in sorted(counts.items())}


@pytest.fixture
async def stage(hubbub: Running, rest: Rest, sign_in: SignIn, ana: User, bo: User) -> Stage:
    name = f"costs-{random_id(8).lower()}"
    room = (await rest.post("channels.create", ana, name=name, members=[bo.username]))["channel"]
    return Stage(hubbub, rest, await sign_in(ana), ana, bo, room["_id"])


async def sending(stage: Stage) -> Cost:
    async def send(number: int) -> None:
        await stage.socket.call("sendMessage", {"rid": stage.room_id, "msg": f"n{number}"})

    return await stage.cost(send)


async def editing(stage: Stage) -> Cost:
    said = await stage.socket.call("sendMessage", {"rid": stage.room_id, "msg": "first"})

    async def edit(number: int) -> None:
        await stage.socket.call("updateMessage", {"_id": said["_id"], "msg": f"n{number}"})

    return await stage.cost(edit)


async def reacting(stage: Stage) -> Cost:
    said = await stage.socket.call("sendMessage", {"rid": stage.room_id, "msg": "first"})
    turns = itertools.cycle([True, False])

    async def react(number: int) -> None:
        await stage.socket.call("setReaction", ":x:", said["_id"], next(turns))

    return await stage.cost(react)


async def reading(stage: Stage) -> Cost:
    async def mark(number: int) -> None:
        await stage.socket.call("readMessages", stage.room_id)

    return await stage.cost(mark)


async def joining(stage: Stage) -> Cost:
    rooms = [
        (
            await stage.rest.post(
                "channels.create", stage.other, name=f"j{n}-{random_id(8).lower()}"
            )
        )["channel"]["_id"]
        for n in range(TIMES + WARM)
    ]

    async def join(number: int) -> None:
        await stage.socket.call("joinRoom", rooms.pop())

    return await stage.cost(join)


async def loading(stage: Stage) -> Cost:
    async def load(number: int) -> None:
        await stage.socket.call("loadHistory", stage.room_id, None, 50)

    return await stage.cost(load)


async def listing(stage: Stage) -> Cost:
    async def list_all(number: int) -> None:
        await stage.socket.call("subscriptions/get")

    return await stage.cost(list_all)


async def resuming(stage: Stage) -> Cost:
    async def resume(number: int) -> None:
        async with opened(stage.hubbub.websocket) as client:
            await client.call("login", {"resume": stage.me.token})

    return await stage.cost(resume)


OPERATIONS = {
    "send a message": sending,
    "edit a message": editing,
    "react to a message": reacting,
    "mark a room as read": reading,
    "join a channel": joining,
    "load the history of a room": loading,
    "list the own memberships": listing,
    "sign in with a token": resuming,
}


async def test_what_operations_cost(stage: Stage) -> None:
    """The budget of each, and the table in the page about the architecture."""
    costs = {name: await measured(stage) for name, measured in OPERATIONS.items()}

    send = costs["send a message"]
    assert send.called(r"^ddp-streamer → messaging\.send_message") == 1
    assert send.called(r"^ddp-streamer → ") < 1 + RARELY
    assert send.called(r"→ authorization\.") <= 1 + RARELY
    assert send.commanded(r"commitTransaction") <= 1 + RARELY
    # The transaction: the room, the author's membership, the messages. Counters come behind it,
    # for many messages at once.
    assert send.commanded(r"messaging (find|aggregate|findAndModify)$") <= 3 + RARELY
    assert send.commanded(r"^(account|authorization|ddp-streamer|gateway) ") < RARELY
    for name in ("edit a message", "react to a message", "mark a room as read"):
        assert 1 <= costs[name].called(r"^ddp-streamer → messaging\.") < 1 + RARELY, name
        assert costs[name].commanded(r"^(account|authorization) ") < RARELY, name
    for name in ("load the history of a room", "list the own memberships"):
        assert costs[name].called(r"^ddp-streamer → ") < 1 + RARELY, name
        assert costs[name].commanded(r"insert|update|Modify|Transaction") < RARELY, name
        assert costs[name].commanded(r"^account ") < RARELY, name
    # Who was removed a moment ago reads nothing: room and membership are read for the answer.
    assert costs["load the history of a room"].commanded(r"^authorization ") <= 2 + RARELY
    assert costs["list the own memberships"].commanded(r"^authorization ") < RARELY
    assert costs["sign in with a token"].called(r"→ account\.(login|resume)") == 1
    _compare_with_page(costs)


def _compare_with_page(costs: dict[str, Cost]) -> None:
    text = PAGE.read_text()
    before, start, rest = text.partition("<!-- costs -->\n")
    _, end, after = rest.partition("\n<!-- end -->")
    assert start, "the page has no place for the table"
    assert end, "the page has no end of the table"
    written = before + start + _table(costs) + end + after
    if WRITE:
        PAGE.write_text(written)
    assert written == PAGE.read_text(), "HUBBUB_WRITE_COSTS=1 puts the table right"


def _table(costs: dict[str, Cost]) -> str:
    lines = ["| operation | calls | commands to MongoDB |", "|---|---|---|"]
    for name, cost in costs.items():
        lines.append(f"| {name} | {_listed(cost.calls)} | {_listed(cost.commands)} |")
    return "\n".join(lines)


def _listed(counts: dict[str, float]) -> str:
    """What is done each time."""
    each_time = {
        name: round(count)
        for name, count in counts.items()
        if count > _EACH_TIME and _GATHERED not in name
    }
    return "<br>".join(f"{count} {name}" for name, count in each_time.items()) or "none"
