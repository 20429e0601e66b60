"""The primary of the database steps down while everybody talks."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial

import aiohttp
import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import ConnectionFailure

from tests.conformance.rest import Rest, User
from tests.e2e.resilience.clients import REPEAT, TRY_AGAIN
from tests.e2e.resilience.conversation import PROMISE, People, conversation
from tests.e2e.resilience.line import Document, Failed, Line, opened
from tests.e2e.resilience.measures import Costs
from tests.e2e.resilience.processes import Hubbub
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

LINGER = 3.0  # seconds
ROOMS = 20
MESSAGES = 500  # to each room; as many frames as a client may send at once
AT_ONCE = 4  # messages of a sender that are not answered yet


async def test_087_the_primary_steps_down(
    hubbub: Hubbub, people: People, rows: list[Costs]
) -> None:
    """Three times while everybody talks: all that was acknowledged arrives."""
    async with conversation(hubbub, people) as talk:
        for _ in range(3):
            await _step_down(hubbub)
            await talk.goes_on()
        await talk.lasts(LINGER)
        cost = await talk.end("the primary steps down three times")
    rows.append(cost)
    assert cost.longest <= PROMISE


async def test_087_ten_thousand_messages_while_the_primary_steps_down(hubbub: Hubbub) -> None:
    """Everything is acknowledged, stored once, and arrives in the order of the room, twice at
    most."""
    acked: set[str] = set()
    closed: list[str] = []
    arrived: defaultdict[str, list[str]] = defaultdict(list)

    def hear(collection: str, fields: Document) -> None:
        if collection == "stream-room-messages":
            arrived[fields["eventName"]].append(fields["args"][0]["_id"])

    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        places = await _places(Rest(session, hubbub.url))
        for _, listener, room_id in places:
            line = await _line(stack, hubbub, listener, hear, closed)
            await line.subscribe("stream-room-messages", room_id, False)
        async with asyncio.TaskGroup() as senders:
            for sender, _, room_id in places:
                line = await _line(stack, hubbub, sender, hear, closed)
                senders.create_task(_send_all(line, room_id, acked))
            for part in (0.2, 0.6):
                due = part * ROOMS * MESSAGES
                await eventually(partial(_more_than, acked, due), within=120.0)
                assert len(acked) < ROOMS * MESSAGES
                await _step_down(hubbub)
        assert len(acked) == ROOMS * MESSAGES
        with suppress(AssertionError):  # told below, in detail
            await eventually(lambda: len(set().union(*arrived.values())) >= len(acked), within=30.0)
        assert closed == []
        assert {room_id: len(set(arrived[room_id])) for _, _, room_id in places} == {
            room_id: MESSAGES for _, _, room_id in places
        }

    assert {_id for ids in arrived.values() for _id in ids} == acked
    assert max(Counter(_id for ids in arrived.values() for _id in ids).values()) <= 2
    async with AsyncMongoClient[dict[str, object]](hubbub.mongo_url) as client:
        messages = client.get_default_database()["rocketchat_message"]
        for _, _, room_id in places:
            stored = await messages.find({"rid": room_id, "t": None}).sort("ts", 1).to_list()
            assert [one["_id"] for one in stored] == list(dict.fromkeys(arrived[room_id]))


def _more_than(acked: set[str], count: float) -> bool:
    return len(acked) > count


async def _places(rest: Rest) -> list[tuple[User, User, str]]:
    """Who sends, who listens, and where."""
    places = []
    for _ in range(ROOMS):
        sender, listener = [await rest.register(f"many-{secrets.token_hex(6)}") for _ in range(2)]
        room = await rest.post(
            "groups.create",
            sender,
            name=f"many-{secrets.token_hex(6)}",
            members=[listener.username],
        )
        places.append((sender, listener, room["group"]["_id"]))
    return places


async def _line(
    stack: AsyncExitStack,
    hubbub: Hubbub,
    user: User,
    hear: Callable[[str, Document], None],
    closed: list[str],
) -> Line:
    """A socket of this user, open until the stack ends; if not so long, it is in `closed`."""
    url = hubbub.url.replace("http", "ws", 1) + "/websocket"
    line, reading, socket = await stack.enter_async_context(opened(url, hear))
    reading.add_done_callback(
        lambda _: closed.append(f"{user.username} {socket.close_code} {socket.close_reason}")
    )
    await line.connect()
    await line.call("login", {"resume": user.token})
    return line


async def _send_all(line: Line, room_id: str, acked: set[str]) -> None:
    """Send to one room, several messages at once, each until it is acknowledged."""
    left = iter([secrets.token_hex(8) for _ in range(MESSAGES)])

    async def send() -> None:
        for message_id in left:
            message = {"_id": message_id, "rid": room_id, "msg": "one of many"}
            while message_id not in acked:
                try:
                    await line.call("sendMessage", message)
                except Failed as failure:
                    if failure.code not in TRY_AGAIN:
                        raise
                    await asyncio.sleep(REPEAT)
                else:
                    acked.add(message_id)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(send())


async def _step_down(hubbub: Hubbub) -> None:
    """Make the primary resign for two seconds, and wait until there is one again."""
    async with AsyncMongoClient[dict[str, object]](hubbub.mongo_url) as client:
        with suppress(ConnectionFailure):  # it may cut its connections
            await client.admin.command(
                {"replSetStepDown": 2, "secondaryCatchUpPeriodSecs": 0, "force": True}
            )

        async def leads() -> bool:
            hello = await client.admin.command("hello")
            return bool(hello.get("isWritablePrimary"))

        await asyncio.sleep(0.5)
        await eventually(leads, within=20.0, what="there is a primary again")
