"""Recovery across streamers: what docs/protocol.md promises to clients that ask for it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from tests.conformance.conftest import Running
from tests.conformance.ddp import Ddp, Frame, opened
from tests.conformance.rest import Rest, User
from tests.conformance.spare import own_streamers, streamer
from tests.conformance.test_4_streams import group, send
from tests.waiting import eventually

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(180)]


def _heard(client: Ddp, room_id: str) -> list[str]:
    return [message["_id"] for (message,) in client.events("room-messages", room_id)]


def _has(client: Ddp, room_id: str, count: int) -> bool:
    return len(_heard(client, room_id)) >= count


async def _subscribe(client: Ddp, stream: str, event: str, since: Any) -> Frame:
    """The `ready` of a sub that says where the client was."""
    sub_id = await client.subscribe(f"stream-{stream}", event, {"since": since})
    ready = client.find(msg="ready", subs=[sub_id])
    assert ready is not None
    return ready


def _position(client: Ddp, ready: Frame) -> dict[str, Any]:
    places = [frame["hubbub"]["seq"] for frame in client.frames if "hubbub" in frame]
    return {"epoch": ready["hubbub"]["epoch"], "seq": max(places)}


@pytest.mark.parametrize("sockjs", [False, True])
async def test_a_streamer_is_killed_and_nothing_is_missed_or_comes_twice(
    hubbub: Running, rest: Rest, ana: User, bo: User, sockjs: bool
) -> None:
    room_id = await group(rest, ana, bo)
    first, second = await own_streamers(hubbub)
    sent: list[str] = []
    go_on = True

    async def write(writer: Ddp) -> None:
        while go_on:
            sent.append(await send(writer, room_id, "on and on"))
            await asyncio.sleep(0.02)

    async with opened(first) as writer, opened(second) as plain:
        await writer.login(ana.username, ana.password)
        await plain.login(bo.username, bo.password)
        await plain.subscribe("stream-room-messages", room_id, False)
        async with streamer(hubbub) as doomed, opened(doomed.websocket) as before:
            await before.login(bo.username, bo.password)
            ready = await _subscribe(before, "room-messages", room_id, None)
            assert ready["hubbub"]["recovered"] is False
            writing = asyncio.create_task(write(writer))
            await eventually(partial(_has, before, room_id, 10), within=30)
            doomed.process.kill()
            await doomed.ended()
            assert await before.closed() == 1006
            where = _position(before, ready)
        missed = len(sent)
        await eventually(lambda: len(sent) > missed + 10, within=30)
        url = second.replace("/websocket", "/sockjs/1/abcdefgh/websocket") if sockjs else second
        async with opened(url, sockjs=sockjs) as after:
            await after.login(bo.username, bo.password)
            ready = await _subscribe(after, "room-messages", room_id, where)
            assert ready["hubbub"]["recovered"] is True
            replayed = len(_heard(after, room_id))
            assert replayed >= 10
            await eventually(partial(_has, after, room_id, replayed + 5), within=30)
            go_on = False
            await writing
            await eventually(lambda: sent[-1] in _heard(after, room_id), within=30)
            assert _heard(before, room_id) + _heard(after, room_id) == sent
        await eventually(lambda: sent[-1] in _heard(plain, room_id), within=30)
        assert not any("hubbub" in frame for frame in plain.frames)


async def test_edits_and_deletions_of_the_meantime_come_too(
    hubbub: Running, rest: Rest, ana: User, bo: User
) -> None:
    room_id = await group(rest, ana, bo)
    first, second = await own_streamers(hubbub)
    event = f"{room_id}/deleteMessage"
    async with opened(first) as writer:
        await writer.login(ana.username, ana.password)
        edited, deleted = [await send(writer, room_id, text) for text in ("one", "two")]
        async with opened(second) as before:
            await before.login(bo.username, bo.password)
            ready = await _subscribe(before, "room-messages", room_id, None)
            await _subscribe(before, "notify-room", event, None)
            where = _position(before, ready)
        await writer.call("updateMessage", {"_id": edited, "rid": room_id, "msg": "one, better"})
        await writer.call("deleteMessage", {"_id": deleted})
        # The log has them all when a later message of the room has come to somebody.
        await writer.subscribe("stream-room-messages", room_id, False)
        last = await send(writer, room_id, "three")
        await eventually(lambda: last in _heard(writer, room_id), within=30)
        async with opened(first) as after:
            await after.login(bo.username, bo.password)
            for stream, name in (("room-messages", room_id), ("notify-room", event)):
                ready = await _subscribe(after, stream, name, where)
                assert ready["hubbub"]["recovered"] is True
            shown = {
                message["_id"]: message for (message,) in after.events("room-messages", room_id)
            }
            assert shown[edited]["msg"] == "one, better"
            assert last in shown
            assert after.events("notify-room", event) == [[{"_id": deleted}]]


async def test_who_was_removed_meanwhile_gets_nothing(
    hubbub: Running, rest: Rest, ana: User, bo: User
) -> None:
    room_id = await group(rest, ana, bo)
    first, second = await own_streamers(hubbub)
    async with opened(first) as writer, opened(second) as staying:
        await writer.login(ana.username, ana.password)
        await staying.login(bo.username, bo.password)
        ready = await _subscribe(staying, "room-messages", room_id, None)
        where = _position(staying, ready)
        await rest.post("groups.kick", ana, roomId=room_id, userId=bo.id)
        await staying.wait(msg="nosub")
        await send(writer, room_id, "about bo")
        async with opened(second) as after:
            await after.login(bo.username, bo.password)
            await after.send(
                {
                    "msg": "sub",
                    "id": "again",
                    "name": "stream-room-messages",
                    "params": [room_id, {"since": where}],
                }
            )
            refusal = await after.wait(msg="nosub", id="again")
            assert refusal["error"]["error"] == "not-allowed"
            assert _heard(after, room_id) == []
