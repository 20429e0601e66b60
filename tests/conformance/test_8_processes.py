"""Conformance: several streamers, and processes that end. Named after the checklist's numbers."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.conftest import Anonymous, NewUser, Running, SignIn
from tests.conformance.ddp import CallFailed, Ddp, opened
from tests.conformance.processes import children_running
from tests.conformance.rest import Rest, User
from tests.conformance.spare import own_streamers, streamer
from tests.conformance.test_4_streams import group, send
from tests.conformance.test_6_presence import becomes, status_of
from tests.waiting import eventually

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(180)]

MIB = 1024 * 1024


@asynccontextmanager
async def signed_in(url: str, user: User) -> AsyncIterator[Ddp]:
    async with opened(url) as client:
        await client.login(user.username, user.password)
        yield client


async def test_009_silence_is_asked_about_and_ends(hubbub: Running) -> None:
    """A ping after the interval, never before `connected`; then 4408, which is not 4000."""
    async with (
        streamer(hubbub, heartbeat_interval=1, heartbeat_timeout=1) as quick,
        opened(quick.websocket, handshake=False) as stranger,
        opened(quick.websocket) as answering,
        opened(quick.websocket) as silent,
    ):
        begun = time.monotonic()

        async def answer() -> None:
            for count in itertools.count(1):
                await eventually(partial(_has_pings, answering, count), within=10)
                await answering.send({"msg": "pong"})

        answers = asyncio.create_task(answer())
        try:
            assert await silent.wait(msg="ping") == {"msg": "ping"}
            assert time.monotonic() - begun > 0.7
            assert await silent.closed() == 4408
            assert silent.socket.close_reason == "TIMEOUT"
            assert 1.7 < time.monotonic() - begun < 10
            await eventually(lambda: _has_pings(answering, 3), within=15)
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
        assert answering.close_code is None
        assert stranger.texts == ['{"server_id":"0"}']
        assert stranger.close_code is None


def _has_pings(client: Ddp, count: int) -> bool:
    return len(client.all(msg="ping")) >= count


async def test_013_a_drain_gives_every_answer(
    hubbub: Running, rest: Rest, ana: User, bo: User
) -> None:
    """1012 at once for who waits for nothing; for the others behind their results."""
    room_id = await group(rest, ana)
    paused = [*children_running(hubbub, "messaging"), *children_running(hubbub, "account")]
    assert len(paused) == 2
    async with AsyncExitStack() as stack:
        spare = await stack.enter_async_context(
            streamer(hubbub, drain_window=0.3, drain_patience=30)
        )
        idle, busy = [
            await stack.enter_async_context(signed_in(spare.websocket, user)) for user in (bo, ana)
        ]
        sockjs = await stack.enter_async_context(
            opened(spare.websocket.replace("/web", "/sockjs/1/s/web"), sockjs=True)
        )
        waiting = await stack.enter_async_context(opened(spare.websocket))
        try:
            for pid in paused:
                os.kill(pid, signal.SIGSTOP)
            message = {"_id": random_id(), "rid": room_id, "msg": "under way"}
            await busy.send(
                {"msg": "method", "id": "m", "method": "sendMessage", "params": [message]}
            )
            await waiting.send(
                {"msg": "method", "id": "l", "method": "login", "params": [{"resume": bo.token}]}
            )
            for client in (busy, waiting):
                await client.settle()
            spare.process.send_signal(signal.SIGTERM)

            assert await idle.closed() == 1012
            assert await sockjs.closed() == 1012
            assert sockjs.texts[-1] == 'c[1012,"SERVICE_RESTART"]'
            for client in (busy, waiting):
                await client.settle()
                assert client.close_code is None
        finally:
            for pid in paused:
                os.kill(pid, signal.SIGCONT)
        for client, call in ((busy, "m"), (waiting, "l")):
            assert "error" not in await client.answer(call, within=20)
            assert await client.closed(within=20) == 1012
            assert client.socket.close_reason == "SERVICE_RESTART"
        assert await spare.ended() == 0


async def test_027_what_is_sent_right_after_ready_arrives(
    hubbub: Running, database: Database, ana: User
) -> None:
    """120 rooms that nobody listened to before, on each of two streamers."""
    repetitions = 120

    async def one_streamer(url: str) -> None:
        rooms = [f"ready-{random_id()}" for _ in range(repetitions)]
        await database["rocketchat_room"].insert_many(
            [_channel(room_id, "channel") | {"name": room_id} for room_id in rooms]
        )
        async with signed_in(url, ana) as client:
            for room_id in rooms:
                await client.subscribe("stream-room-messages", room_id, False)
                message = _message(room_id, ana)
                await database["rocketchat_message"].insert_one(message)
                await client.event(
                    "room-messages", room_id, lambda m, sent=message: m["_id"] == sent["_id"]
                )
                assert len(client.events("room-messages", room_id)) == 1

    addresses = await own_streamers(hubbub)
    assert len(addresses) == 2
    async with asyncio.TaskGroup() as both:
        for address in addresses:
            both.create_task(one_streamer(address))


def _channel(room_id: str, name: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "_id": room_id,
        "t": "c",
        "name": name,
        "msgs": 0,
        "usersCount": 0,
        "u": {"_id": "", "username": ""},
        "ts": now,
        "ro": False,
        "sysMes": True,
        "default": False,
        "_updatedAt": now,
    }


def _message(room_id: str, author: User, text: str = "inserted") -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "_id": random_id(),
        "rid": room_id,
        "msg": text,
        "ts": now,
        "u": {"_id": author.id, "username": author.username},
        "_updatedAt": now,
    }


async def test_029_subscribing_again_and_again_keeps_nothing(
    hubbub: Running, rest: Rest, ana: User
) -> None:
    """5,000 times on one socket: the process grows by less than what one kept object each takes."""
    rooms = [await group(rest, ana) for _ in range(5)]
    subs = [
        *(("stream-room-messages", room_id) for room_id in rooms),
        ("stream-notify-user", f"{ana.id}/message"),
        ("stream-notify-user", f"{ana.id}/rooms-changed"),
        ("stream-room-messages", "__my_messages__"),
        ("stream-user-presence", ""),
        ("stream-notify-logged", "roles-change"),
    ]

    async def cycles(client: Ddp, count: int) -> None:
        """The last sub of each batch is a stream with a `ready`, and all come in order."""
        for _ in range(count // 100):
            ids = [f"{number}" for number in range(100)]
            for number, sub_id in enumerate(ids):
                name, key = subs[number % len(subs)]
                params = [key, {"number": number}]
                await client.send({"msg": "sub", "id": sub_id, "name": name, "params": params})
            await client.wait_ready(ids[-1])
            await client.send(*({"msg": "unsub", "id": sub_id} for sub_id in ids))
            await client.settle()
            client.frames.clear()
            client.texts.clear()

    async with (
        # What is remembered for `hubbub explain` is bounded; here it is full from the beginning.
        streamer(hubbub, frames_per_second=1e6, frame_burst=1_000_000, recent_events=100) as spare,
        signed_in(spare.websocket, ana) as client,
    ):
        await cycles(client, 1_000)
        before = await spare.metric("process_resident_memory_bytes")
        await cycles(client, 5_000)
        await client.settle()
        after = await spare.metric("process_resident_memory_bytes")

        async def nothing_left() -> bool:
            return await spare.metric("hubbub_streamer_subscriptions") == 0

        await eventually(nothing_left)
        assert after - before < MIB
        await client.subscribe("stream-room-messages", rooms[0], False)


async def test_035_a_login_waits_for_an_account_that_is_down(
    hubbub: Running, anonymous: Anonymous, ana: User
) -> None:
    """Pings are answered meanwhile, and it succeeds when the service is back."""
    client = await anonymous()
    _kill(hubbub, "account")
    await client.send(
        {"msg": "method", "id": "l", "method": "login", "params": [{"resume": ana.token}]}
    )
    await client.settle()
    assert client.find(msg="result", id="l") is None

    answer = await client.answer("l", within=60)
    assert answer["result"]["id"] == ana.id
    assert answer["result"]["token"] == ana.token


async def test_035_a_login_that_nobody_decides_is_no_refusal(hubbub: Running, ana: User) -> None:
    """503 after the hold, then 1013; the token is as good as before."""
    (account,) = children_running(hubbub, "account")
    impatient = {"HUBBUB_BUS_ACCOUNT_LOGIN_TIMEOUT": "0.5"}
    async with (
        streamer(hubbub, login_hold_seconds=1, environment=impatient) as spare,
        opened(spare.websocket) as client,
        opened(spare.websocket) as next_time,
    ):
        os.kill(account, signal.SIGSTOP)
        try:
            with pytest.raises(CallFailed) as caught:
                await client.call("login", {"resume": ana.token})
        finally:
            os.kill(account, signal.SIGCONT)

        assert caught.value.code == 503
        assert caught.value.error["reason"] == "Login temporarily unavailable"
        assert 2 <= caught.value.error["details"]["retryAfter"] <= 8
        assert (await next_time.call("login", {"resume": ana.token}))["id"] == ana.id
        assert await client.closed(within=15) == 1013
        assert client.socket.close_reason == "TRY_AGAIN_LATER"


def _kill(hubbub: Running, service: str) -> None:
    for pid in children_running(hubbub, service):
        os.kill(pid, signal.SIGKILL)


async def test_057_every_event_once_on_every_streamer(
    hubbub: Running, rest: Rest, database: Database, ana: User, bo: User
) -> None:
    """Three streamers, one socket on each, an event of every kind."""
    room_id, quiet = await group(rest, ana, bo), await group(rest, ana)
    async with AsyncExitStack() as stack:
        spare = await stack.enter_async_context(streamer(hubbub))
        addresses = [*await own_streamers(hubbub), spare.websocket]
        assert len(addresses) == 3
        listeners = [
            await stack.enter_async_context(signed_in(address, ana)) for address in addresses
        ]
        writer = await stack.enter_async_context(signed_in(addresses[0], bo))
        for listener in listeners:
            for stream, key in (
                ("room-messages", room_id),
                ("room-messages", "__my_messages__"),
                ("room-data", quiet),
                ("notify-room", f"{room_id}/user-activity"),
                ("notify-room", f"{room_id}/typing"),
                ("notify-room", f"{room_id}/deleteMessage"),
                ("notify-user", f"{ana.id}/subscriptions-changed"),
                ("notify-user", f"{ana.id}/rooms-changed"),
                ("notify-user", f"{ana.id}/userData"),
                ("notify-user", f"{ana.id}/notification"),
                ("notify-logged", "permissions-changed"),
                ("notify-all", "public-settings-changed"),
                ("roles", "roles"),
            ):
                await listener.subscribe(f"stream-{stream}", key, False)
            await listener.subscribe("stream-user-presence", "", {"added": [bo.id]})

        mark = random_id()
        first = await send(writer, room_id, f"@{ana.username} {mark}")
        await writer.call("deleteMessage", {"_id": first, "rid": room_id})
        activity = (f"{room_id}/user-activity", bo.username, ["user-typing"], {"mark": mark})
        await writer.call("stream-notify-room", *activity)
        await writer.call("setUserStatus", "busy", mark)
        for collection, query, change in (
            ("rocketchat_room", {"_id": quiet}, {"topic": mark}),
            ("rocketchat_subscription", {"rid": room_id, "u._id": ana.id}, {"prid": mark}),
            ("users", {"_id": ana.id}, {"settings.preferences.mark": mark}),
            ("rocketchat_permissions", {"_id": "view-logs"}, {"mark": mark}),
            ("rocketchat_settings", {"_id": "Site_Name"}, {"value": mark}),
            ("rocketchat_roles", {"_id": "bot"}, {"mark": mark}),
        ):
            await database[collection].update_one(query, {"$set": change})

        def counts(listener: Ddp) -> dict[str, int]:
            marked = [text for text in listener.texts if mark in text]
            found = {
                name: len([text for text in marked if part in text])
                for name, part in {
                    "message": f'"eventName":"{room_id}","args":[{{"_id":"{first}"',
                    "my message": '"eventName":"__my_messages__"',
                    "room data": '"stream-room-data"',
                    "activity": "/user-activity",
                    "subscription": "/subscriptions-changed",
                    "room": f'/rooms-changed","args":["updated",{{"_id":"{quiet}"',
                    "user data": "/userData",
                    "notification": "/notification",
                    "permission": '"permissions-changed"',
                    "setting": '"public-settings-changed"',
                    "role": '"eventName":"roles"',
                    "presence": '"stream-user-presence"',
                }.items()
            }
            found["typing"] = len(listener.events("notify-room", f"{room_id}/typing"))
            found["deleted"] = len(listener.events("notify-room", f"{room_id}/deleteMessage"))
            return found

        def complete(listener: Ddp) -> bool:
            return all(counts(listener).values())

        for listener in listeners:
            await eventually(partial(complete, listener), within=15)
        last = await send(writer, room_id, "last")
        for listener in listeners:
            await listener.event("room-messages", room_id, lambda m: m["_id"] == last)
            await listener.settle()
            assert counts(listener) == dict.fromkeys(counts(listener), 1)


async def test_077_and_079_presence_survives_its_own_end_and_tells_a_streamers(
    hubbub: Running, rest: Rest, sign_in: SignIn, new_user: NewUser, ana: User, bo: User, cy: User
) -> None:
    """Presence is killed: nobody is lost. A streamer is killed: who does not come back is offline
    within 60 s, who does never was."""
    dora = await new_user("dora")
    watcher, staying = await sign_in(dora), await sign_in(ana)
    async with (
        streamer(hubbub) as spare,
        signed_in(spare.websocket, bo) as lost,
        signed_in(spare.websocket, cy) as leaving,
    ):
        for user in (ana, bo, cy):
            await becomes(rest, dora, user, "online")
        await watcher.subscribe("stream-user-presence", "", {"added": [ana.id, bo.id, cy.id]})
        _kill(hubbub, "presence")
        await staying.call("UserPresence:online")

        async def works_again() -> bool:
            try:
                await staying.call("setUserStatus", "online", "back")
            except CallFailed:  # it is down
                return False
            return True

        await eventually(works_again, within=60)
        await eventually(lambda: _codes(watcher, ana, "back") == [1], within=15)
        for user in (ana, bo, cy):
            assert await status_of(rest, dora, user) == "online"
        watcher.frames.clear()
        os.kill(spare.process.pid, signal.SIGKILL)
        await lost.closed()
        await leaving.closed()
        killed = time.monotonic()
        await sign_in(cy)

        await eventually(lambda: _codes(watcher, bo) == [0], within=60)
        assert time.monotonic() - killed < 60
        await becomes(rest, dora, bo, "offline")
        for user in (ana, cy):
            assert await status_of(rest, dora, user) == "online"
            assert 0 not in _codes(watcher, user)


def _codes(watcher: Ddp, user: User, text: str | None = None) -> list[int]:
    """Every status of a user that the watcher was told, those with this text."""
    told = watcher.events("user-presence", user.id)
    return [status for ((_, status, said),) in told if text is None or said == text]
