"""What was acknowledged stays, whatever happens to the database's primary.

Three members, as in production. People write as fast as they can while the primary is frozen,
thawed, and another one killed; whatever they get no answer to they send again with its id.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr

from hubbub.contracts.documents import Document
from hubbub.contracts.messages import NewMessage
from hubbub.errors import Timeout, Unavailable
from hubbub.ids import RoomId, UserId
from hubbub.local.programs import CannotStart, find_mongod
from hubbub.mongo import Database, MongoSettings, check, connect
from tests.integration.messaging.house import House, house
from tests.integration.three_nodes import Nodes, three_nodes
from tests.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ROOMS = 3
WRITERS = 4  # per room
LIMIT = 90.0  # seconds until writing goes on; the report of faults says how long it really takes


@dataclass
class Writer:
    """Sends one message after the other, each until it is acknowledged."""

    home: House
    user_id: UserId
    room_id: RoomId
    name: str
    acked: dict[str, Document] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    """Those that got an error before they were acknowledged."""

    async def write(self, stop: asyncio.Event) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            message_id = f"{self.name}-{number}"
            self.texts[message_id] = f"{self.name}:{number}"
            self.acked[message_id] = await self._until_acked(message_id)

    async def _until_acked(self, message_id: str) -> Document:
        while True:
            try:
                return await self.again(message_id)
            except (Unavailable, Timeout):
                self.unknown.add(message_id)
                await asyncio.sleep(0.05)

    async def again(self, message_id: str) -> Document:
        fields = {"_id": message_id, "rid": self.room_id, "msg": self.texts[message_id]}
        message = NewMessage.model_validate(fields)
        return await self.home.messaging.send_message(self.user_id, message)


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    try:
        find_mongod()
    except CannotStart as reason:
        pytest.skip(str(reason))
    async with three_nodes(tmp_path) as running:
        yield running


async def test_what_was_acknowledged_outlives_its_primary(nodes: Nodes) -> None:
    client = connect(MongoSettings(url=SecretStr(nodes.url)), app_name="tests")
    async with client:
        await check(client)
        async with house(client["primary_loss"]) as home:
            await _write_through_faults(home, nodes, client["primary_loss"])


async def _write_through_faults(home: House, nodes: Nodes, database: Database) -> None:
    people = await home.users("ada", *(f"w{number}" for number in range(WRITERS)))
    names = [f"w{number}" for number in range(WRITERS)]
    writers = [
        Writer(home, user_id, room_id, f"{name}-{index}")
        for index, room_id in enumerate([await home.room(people[0], *names) for _ in range(ROOMS)])
        for user_id, name in zip(people[1:], names, strict=True)
    ]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for writer in writers:
            tasks.create_task(writer.write(stop))
        await _goes_on(writers)

        first = await nodes.primary()
        nodes.freeze(first)
        second = await nodes.primary(besides=first)
        await _goes_on(writers)
        nodes.thaw(first)
        await _goes_on(writers)

        assert await nodes.primary() == second
        nodes.kill(second)
        assert await nodes.primary(besides=second) != second
        await _goes_on(writers)
        stop.set()

    assert any(writer.unknown for writer in writers)
    await _agrees(writers, database)
    await _same_answers(writers)
    await _agrees(writers, database)


async def _goes_on(writers: list[Writer]) -> None:
    """Everybody has some more acknowledged."""
    before = [len(writer.acked) for writer in writers]

    def all_acked() -> bool:
        return all(
            len(writer.acked) > count + 5 for writer, count in zip(writers, before, strict=True)
        )

    await eventually(all_acked, within=LIMIT, what="everybody's messages are acknowledged again")


async def _agrees(writers: list[Writer], database: Database) -> None:
    """Exactly what was acknowledged is stored, once, in an order without holes."""
    sent = {message_id: text for writer in writers for message_id, text in writer.texts.items()}
    acked = {message_id for writer in writers for message_id in writer.acked}
    stored: dict[str, list[Document]] = defaultdict(list)
    query = {"_id": {"$regex": "^w"}}
    async for message in database["rocketchat_message"].find(query, sort=[("seq", 1)]):
        stored[message["rid"]].append(message)

    assert acked == set(sent)
    everything = list(itertools.chain.from_iterable(stored.values()))
    assert {message["_id"]: message["msg"] for message in everything} == sent
    assert len(everything) == len(sent)
    for room_id, messages in stored.items():
        room = await database["rocketchat_room"].find_one({"_id": room_id})
        assert room is not None
        assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
        assert (room["seq"], room["msgs"]) == (len(messages), len(messages))
        moments = [message["ts"] for message in messages]
        assert moments == sorted(set(moments))


async def _same_answers(writers: list[Writer]) -> None:
    """Sent once more, each is answered as it was."""
    for writer in writers:
        repeated = [*sorted(writer.unknown), *list(writer.acked)[-3:]]
        for message_id in repeated:
            assert await writer.again(message_id) == writer.acked[message_id]
