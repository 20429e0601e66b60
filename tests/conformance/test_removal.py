"""Conformance 043, at length: whoever was removed from a room gets nothing of it any more.

A thousand removals while messages flow, over two streamers, seen by sockets that listen in every
way there is. Judged by the times that the database gave the messages: whatever came behind the
message of the removal is forbidden to the removed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from hubbub.ids import random_id
from tests.conformance.conftest import NewUser, Running
from tests.conformance.ddp import Ddp, opened
from tests.conformance.rest import Rest, User
from tests.conformance.spare import own_streamers
from tests.conformance.test_4_streams import group
from tests.waiting import eventually

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

ROOMS = 10
ROUNDS = 100  # in each room
PACE = 0.1  # seconds between two messages of a room

MY_MESSAGES = "__my_messages__"


class Witness:
    """A socket, and what it saw of a room, however it got it."""

    def __init__(self, client: Ddp, room_id: str) -> None:
        self.client = client
        self._room_id = room_id
        self._messages: list[dict[str, Any]] = []

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The room's messages so far, in the order of their arrival."""
        frames, keys = self.client.frames, (self._room_id, MY_MESSAGES)
        taken = [frame for frame in frames if frame.get("collection") == "stream-room-messages"]
        if taken:
            self.client.frames = [frame for frame in frames if frame not in taken]
            self.client.texts.clear()
        for frame in taken:
            event, args = frame["fields"]["eventName"], frame["fields"].get("args")
            if frame["msg"] == "changed" and event in keys and args[0]["rid"] == self._room_id:
                self._messages.append({**args[0], "event": event})
        return self._messages

    def forget_answers(self) -> None:
        """What was asked so far has been answered."""
        _ = self.messages
        self.client.frames.clear()


@dataclass
class Scene:
    """A private room with somebody who is removed again and again."""

    room_id: str
    victim: User
    owner: Witness
    """Adds and removes, and sees everything."""
    writer: Ddp
    listening: Witness
    """The victim on one streamer, with subscriptions to the room and to all rooms."""
    following: Witness
    """The victim on the other streamer, with a subscription to all rooms."""


@asynccontextmanager
async def scene(
    rest: Rest, stack: AsyncExitStack, urls: list[str], owner: User, victim: User
) -> AsyncIterator[Scene]:
    room_id = await group(rest, owner)
    clients = []
    for url, user in (
        (urls[0], owner),
        (urls[1], owner),
        (urls[0], victim),
        (urls[1], victim),
    ):
        client = await stack.enter_async_context(opened(url))
        await client.login(user.username, user.password)
        clients.append(client)
    first, writer, *victims = clients
    await first.subscribe("stream-room-messages", room_id, False)
    for client in victims:
        await client.subscribe("stream-room-messages", MY_MESSAGES, False)
    made = Scene(
        room_id,
        victim,
        Witness(first, room_id),
        writer,
        *(Witness(client, room_id) for client in victims),
    )
    writing = asyncio.create_task(_write(made), name="writer")
    try:
        yield made
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def _write(scene: Scene) -> None:
    """One message after another, with a breath between them for everybody else."""
    for number in itertools.count():
        message = {"_id": random_id(), "rid": scene.room_id, "msg": f"{number}"}
        await scene.writer.call("sendMessage", message, within=30)
        scene.writer.frames.clear()
        scene.writer.texts.clear()
        await asyncio.sleep(PACE)


async def _round(scene: Scene, number: int) -> None:
    owner, listening = scene.owner, scene.listening
    person = {"rid": scene.room_id, "username": scene.victim.username}
    await owner.client.call(
        "addUsersToRoom", {"rid": scene.room_id, "users": [scene.victim.username]}
    )
    sub_id = await listening.client.subscribe(
        "stream-room-messages", scene.room_id, False, id=f"room-{number}"
    )
    seen = len(listening.messages)
    await eventually(
        lambda: any(m["event"] == scene.room_id for m in listening.messages[seen:]), within=30
    )
    await owner.client.call("removeUserFromRoom", person)
    behind = len(owner.messages)
    ended = await listening.client.wait(msg="nosub", id=sub_id, within=5)
    assert ended["error"]["error"] == "not-allowed"
    await eventually(lambda: len(owner.messages) > behind + 1, within=30)
    removed_at = max(_time(message) for message in owner.messages if message.get("t") == "ru")
    for witness in (listening, scene.following):
        await witness.client.settle()
        # What comes once the victim is in the room again is no leak: the history would show it.
        assert [one for one in witness.messages if _time(one) > removed_at] == []
        witness.forget_answers()
    owner.forget_answers()


def _time(message: dict[str, Any]) -> int:
    at: int = message["ts"]["$date"]
    return at


async def test_043_a_thousand_removals_while_messages_flow(
    hubbub: Running, rest: Rest, new_user: NewUser
) -> None:
    urls = await own_streamers(hubbub)
    assert len(urls) == 2
    async with AsyncExitStack() as stack:
        scenes = []
        for index in range(ROOMS):
            turned = urls if index % 2 else urls[::-1]
            scenes.append(
                await stack.enter_async_context(
                    scene(rest, stack, turned, await new_user("owner"), await new_user("victim"))
                )
            )

        async def rounds(one: Scene) -> None:
            for number in range(ROUNDS):
                await _round(one, number)

        async with asyncio.TaskGroup() as all_rounds:
            for one in scenes:
                all_rounds.create_task(rounds(one))
        removals = [m for one in scenes for m in one.owner.messages if m.get("t") == "ru"]
        assert len(removals) == ROOMS * ROUNDS
        for one in scenes:
            assert len(one.following.messages) > ROUNDS / 2
