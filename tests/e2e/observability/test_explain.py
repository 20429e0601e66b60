"""`hubbub explain` on a whole Hubbub, by REST and on the command line."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.rest import User
from tests.e2e.observability.conftest import Scene
from tests.e2e.resilience.line import Line, opened

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc"),
]


class Reading:
    """One socket of a user, and the messages that it got."""

    def __init__(self, line: Line, got: asyncio.Queue[dict[str, Any]]) -> None:
        self.line = line
        self._got = got

    async def gets(self, message_id: str) -> None:
        """Wait for the message."""
        async with asyncio.timeout(5):
            while (await self._got.get())["_id"] != message_id:
                pass


@asynccontextmanager
async def reading(scene: Scene, user: User, *rooms: str) -> AsyncIterator[Reading]:
    """A socket on which `user` follows `rooms`."""
    got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def on_event(collection: str, fields: dict[str, Any]) -> None:
        if collection == "stream-room-messages":
            got.put_nowait(fields["args"][0])

    url = scene.hubbub.url.replace("http", "ws", 1) + "/websocket"
    async with opened(url, on_event) as (line, _, _):
        await line.connect()
        await line.call("login", {"resume": user.token})
        for room_id in rooms:
            await line.subscribe("stream-room-messages", room_id, False)
        yield Reading(line, got)


async def said(scene: Scene, room_id: str) -> str:
    """A message of ana's; returns when she has it on a socket, so that it was fanned out."""
    message_id = secrets.token_hex(8)
    async with reading(scene, scene.ana, room_id) as ears:
        message = {"_id": message_id, "rid": room_id, "msg": "words"}
        await ears.line.call("sendMessage", message)
        await ears.gets(message_id)
    return message_id


async def explained(scene: Scene, user: User, message_id: str) -> dict[str, Any]:
    return await scene.rest.get("hubbub/explain", scene.admin, userId=user.id, messageId=message_id)


async def test_delivered(scene: Scene) -> None:
    """By both doors; ids and moments of every station, and no word of the message."""
    room_id = await scene.room(scene.bo)
    async with reading(scene, scene.bo, room_id) as ears:
        message_id = await said(scene, room_id)
        await ears.gets(message_id)

        told = await explained(scene, scene.bo, message_id)

        assert told["verdict"]["outcome"] == "delivered"
        assert told["message"]["roomId"] == room_id
        assert told["message"]["authorId"] == scene.ana.id
        assert (told["wasMember"], told["access"]["read"]) == (True, True)
        assert told["event"]["sequence"] > 0
        deliveries = [d for s in told["streamers"] for d in s["memory"]["deliveries"]]
        assert [d["outcome"] for d in deliveries] == ["delivered"]
        assert deliveries[0]["written"] is True
        assert deliveries[0]["closed"] is None
        moments = (told["event"]["committed"], told["event"]["published"], deliveries[0]["queued"])
        assert sorted(moment[:16] for moment in moments) == [moment[:16] for moment in moments]
        assert "words" not in json.dumps(told)

        by_name = await scene.rest.get(
            "hubbub/explain", scene.admin, username=scene.bo.username, messageId=message_id
        )
        assert by_name["verdict"] == told["verdict"]
        assert await on_the_command_line(scene, scene.bo.username, message_id, "--json") == (
            {key: value for key, value in told.items() if key != "success"}
        )
        shown = await on_the_command_line(scene, scene.bo.id, message_id)
        assert shown.splitlines()[-1] == (
            f"{message_id} for {scene.bo.id}: {told['verdict']['text']}"
        )


async def test_not_a_member(scene: Scene) -> None:
    """Who was never there; who left before it, with a socket that had listened."""
    room_id = await scene.room(scene.bo)
    async with reading(scene, scene.bo, room_id):
        await scene.rest.post("groups.kick", scene.ana, roomId=room_id, userId=scene.bo.id)
        message_id = await said(scene, room_id)

        told = await explained(scene, scene.bo, message_id)

    assert (told["verdict"]["outcome"], told["verdict"]["reason"]) == ("filtered", "not_member")
    assert (told["wasMember"], told["isMember"], told["access"]["read"]) == (False, False, False)
    [stay] = told["stays"]
    assert stay["until"] is not None
    deliveries = [d for s in told["streamers"] for d in s["memory"]["deliveries"]]
    [open_one] = [d for d in deliveries if d["closed"] is None]
    assert (open_one["outcome"], open_one["reason"]) == ("filtered", "not_member")


async def test_not_connected(scene: Scene) -> None:
    """A member whose socket ended before, and who came back after it."""
    room_id = await scene.room(scene.bo)
    async with reading(scene, scene.bo, room_id):
        pass
    message_id = await said(scene, room_id)
    async with reading(scene, scene.bo, room_id):
        told = await explained(scene, scene.bo, message_id)

    assert told["verdict"]["outcome"] == "not_connected"
    assert told["wasMember"] is True
    deliveries = [d for s in told["streamers"] for d in s["memory"]["deliveries"]]
    assert {d["outcome"] for d in deliveries} == {"not_connected"}
    assert {d["reason"] for d in deliveries} == {"client", "opened_later"}


async def test_not_subscribed(scene: Scene) -> None:
    """A member on a socket that listens to another room."""
    room_id, other = await scene.room(scene.bo), await scene.room(scene.bo)
    async with reading(scene, scene.bo, other):
        message_id = await said(scene, room_id)
        told = await explained(scene, scene.bo, message_id)

    assert told["verdict"]["outcome"] == "not_subscribed"
    deliveries = [d for s in told["streamers"] for d in s["memory"]["deliveries"]]
    assert "not_subscribed" in {d["outcome"] for d in deliveries}


async def test_a_follower_of_all_rooms(scene: Scene) -> None:
    """`__my_messages__` counts as listening to the room."""
    room_id = await scene.room(scene.bo)
    async with reading(scene, scene.bo) as ears:
        await ears.line.subscribe("stream-room-messages", "__my_messages__", False)
        message_id = await said(scene, room_id)
        await ears.gets(message_id)
        told = await explained(scene, scene.bo, message_id)

    assert told["verdict"]["outcome"] == "delivered"


async def test_an_unknown_message_and_an_unknown_user(scene: Scene) -> None:
    """Said so, by both doors."""
    query = {"userId": scene.bo.id, "messageId": "nowhere"}
    path = "/api/v1/hubbub/explain"
    answer = await scene.rest.ask("GET", path, user=scene.admin, query=query)
    assert answer.status == 400
    assert answer.body["errorType"] == "error-message-not-found"
    query = {"userId": "nobody", "messageId": "nowhere"}
    answer = await scene.rest.ask("GET", path, user=scene.admin, query=query)
    assert answer.status == 400

    shown = await on_the_command_line(scene, scene.bo.id, "nowhere", status=1)
    assert shown.startswith("hubbub: no message has the id 'nowhere'")
    shown = await on_the_command_line(scene, "nobody", "nowhere", status=1)
    assert shown.startswith("hubbub: no user has the name or the id 'nobody'")


async def test_only_administrators_are_told(scene: Scene) -> None:
    """Who is in which room is nobody else's business."""
    query = {"userId": scene.ana.id, "messageId": "any"}
    answer = await scene.rest.ask("GET", "/api/v1/hubbub/explain", user=scene.ana, query=query)
    assert answer.status == 403


async def on_the_command_line(
    scene: Scene, user: str, message_id: str, *more: str, status: int = 0
) -> Any:
    """What the command prints; with `--json`, read."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hubbub.cli.main", "explain",
        "--user", user, "--message", message_id, *more,
        env={"HUBBUB_DATA": str(scene.hubbub.data)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert process.returncode == status, (output, errors)
    text = (errors if status else output).decode()
    return json.loads(text) if more else text
