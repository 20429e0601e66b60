"""Conformance: clients that come back, and what they miss. Named after the checklist's numbers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from pymongo.errors import AutoReconnect

from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.conftest import NewUser, Running, SignIn
from tests.conformance.ddp import CallFailed, Ddp, opened
from tests.conformance.processes import children_running, servers_running
from tests.conformance.rest import Rest, User
from tests.conformance.spare import own_streamers, streamer
from tests.conformance.test_4_streams import group, send
from tests.conformance.test_6_presence import becomes, status_of
from tests.waiting import eventually

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(300)]


@asynccontextmanager
async def returning(url: str, session: str) -> AsyncIterator[Ddp]:
    """A socket that offers an old session and, like the Go SDK, subscribes without a login."""
    async with opened(url, handshake=False) as client:
        await client.send(
            {"msg": "connect", "version": "1", "support": ["1"], "session": session},
            {
                "msg": "sub",
                "id": "1",
                "name": "stream-room-messages",
                "params": ["__my_messages__", True],
            },
        )
        client.session = (await client.wait(msg="connected"))["session"]
        await client.wait_ready("1")
        yield client


@asynccontextmanager
async def signed_in_again(url: str, session: str) -> AsyncIterator[Ddp]:
    """The same soon after its login: who it was is written down a moment behind the answer."""
    deadline = time.monotonic() + 20
    while True:
        async with returning(url, session) as client:
            if _is_signed_in(client) or time.monotonic() > deadline:
                yield client
                return


def _is_signed_in(client: Ddp) -> bool:
    return client.find(msg="added", collection="users") is not None


async def test_094_a_session_comes_back_without_a_login(
    hubbub: Running, rest: Rest, ana: User, bo: User
) -> None:
    """On another streamer than before; its messages flow again, and it may call methods."""
    room_id = await group(rest, ana, bo)
    first, second = await own_streamers(hubbub)
    async with opened(first) as bot:
        await bot.login(ana.username, ana.password)
        session = bot.session
    async with signed_in_again(second, session) as client, opened(first) as writer:
        assert client.session != session
        frame = await client.wait(msg="added", collection="users")
        assert frame["id"] == ana.id
        assert frame["fields"]["username"] == ana.username
        assert set(frame["fields"]) <= {"username", "name", "emails"}
        assert client.frames.index(frame) < client.frames.index(client.all(msg="ready")[0])

        await writer.login(bo.username, bo.password)
        sent = await send(writer, room_id, "are you back?")
        await client.event("room-messages", "__my_messages__", lambda m, _: m["_id"] == sent)
        answer = await client.call("sendMessage", {"rid": room_id, "msg": "I am"})
        assert answer["u"]["_id"] == ana.id

        await rest.ask("POST", "/api/v1/logout", user=ana)
        third = client.session
    async with returning(first, third) as again:
        assert _is_signed_in(again)  # another login's token, its own is still good


async def test_094_a_session_id_works_once_and_the_old_socket_ends(
    hubbub: Running, ana: User
) -> None:
    first, second = await own_streamers(hubbub)
    async with opened(first) as old:
        await old.login(ana.username, ana.password)
        async with signed_in_again(second, old.session) as client:
            assert _is_signed_in(client)
            assert await old.closed() == 1008
            async with returning(second, old.session) as twice:
                assert not _is_signed_in(twice)
            assert client.close_code is None
        async with returning(second, client.session) as same_streamer:
            assert _is_signed_in(same_streamer)


async def test_094_no_identity_comes_back_from_an_ended_login(
    hubbub: Running, ana: User, bo: User
) -> None:
    """After a logout, and when the token was revoked meanwhile; ids nobody had are no error."""
    first, second = await own_streamers(hubbub)
    async with opened(first) as client:
        await client.login(ana.username, ana.password)
        await client.call("logout")
        left = client.session
    async with opened(first) as lost, opened(second) as staying:
        await lost.login(bo.username, bo.password)
        await staying.login(bo.username, bo.password)
        cut = lost.session
        await lost.socket.close()
        await staying.call("removeOtherTokens")
    for session in (left, cut, "x" * 24, "nonsense", "", "23456789ABCDEFGHJKLMNPQR"):
        async with returning(second, session) as client:
            assert not _is_signed_in(client)
            await client.login(ana.username, ana.password)
            assert _is_signed_in(client)


# --- outages --------------------------------------------------------------------------------------


class Stream:
    """Somebody writes without a pause; two listen, one on each streamer."""

    def __init__(self, room_id: str, writer: Ddp, listeners: list[Ddp]) -> None:
        self.room_id = room_id
        self.listeners = listeners
        self.acknowledged: list[str] = []
        self._writer = writer

    async def write(self) -> None:
        """Each message until it is acknowledged, under the same id, as a good client does."""
        while True:
            message = {"_id": random_id(), "rid": self.room_id, "msg": "on and on"}
            while True:
                try:
                    await self._writer.call("sendMessage", message, within=60)
                except CallFailed:
                    await asyncio.sleep(0.1)
                    continue
                break
            self.acknowledged.append(message["_id"])
            await asyncio.sleep(0.02)

    def heard(self, listener: Ddp) -> list[str]:
        return [message["_id"] for (message,) in listener.events("room-messages", self.room_id)]

    def _has_all(self, listener: Ddp, wanted: set[str]) -> bool:
        return wanted <= set(self.heard(listener)) or listener.close_code is not None

    async def catches_up(self, within: float) -> None:
        """What was acknowledged so far is heard by all who were not told to come anew."""
        wanted = set(self.acknowledged)
        assert wanted
        for listener in self.listeners:
            await eventually(partial(self._has_all, listener, wanted), within=within)
            assert listener.close_code in (None, 1012)


@asynccontextmanager
async def flowing(hubbub: Running, rest: Rest, ana: User, bo: User) -> AsyncIterator[Stream]:
    room_id = await group(rest, ana, bo)
    async with AsyncExitStack() as stack:
        listeners = []
        urls = await own_streamers(hubbub)
        for url in urls:
            listener = await stack.enter_async_context(opened(url))
            await listener.login(bo.username, bo.password)
            await listener.subscribe("stream-room-messages", room_id, False)
            listeners.append(listener)
        writer = await stack.enter_async_context(opened(urls[0]))
        await writer.login(ana.username, ana.password)
        stream = Stream(room_id, writer, listeners)
        writing = asyncio.create_task(stream.write(), name="writer")
        try:
            await eventually(lambda: len(stream.heard(listeners[0])) > 10, within=20)
            yield stream
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)


def _in_order(stream: Stream) -> None:
    """Nothing twice on a socket, times and changes never backwards."""
    for listener in stream.listeners:
        shown = [message for (message,) in listener.events("room-messages", stream.room_id)]
        assert len({message["_id"] for message in shown}) == len(shown)
        for key in ("ts", "_updatedAt"):
            times = [message[key]["$date"] for message in shown]
            assert times == sorted(times), key


async def test_087_the_primary_steps_down(
    hubbub: Running, rest: Rest, database: Database, ana: User, bo: User
) -> None:
    """While messages flow: none is lost, and a client that repeats a send makes no second one."""
    async with flowing(hubbub, rest, ana, bo) as stream:
        for _ in range(2):
            with suppress(AutoReconnect):  # the connection may be cut before the answer
                await database.client.admin.command("replSetStepDown", 2, force=True)
            count = len(stream.acknowledged)
            await eventually(partial(_has_grown, stream.acknowledged, count + 20), within=60)
        await stream.catches_up(30)
        _in_order(stream)
        assert all(listener.close_code is None for listener in stream.listeners)


def _has_grown(items: list[str], size: int) -> bool:
    return len(items) > size


async def test_088_nats_is_away_for_five_seconds(
    hubbub: Running, rest: Rest, ana: User, bo: User
) -> None:
    """What was acknowledged is heard, or the socket is told to come anew."""
    async with flowing(hubbub, rest, ana, bo) as stream:
        (nats,) = servers_running(hubbub, "nats-server")
        os.kill(nats, signal.SIGSTOP)
        await asyncio.sleep(5)
        os.kill(nats, signal.SIGKILL)
        begun = len(stream.acknowledged)
        await eventually(lambda: len(stream.acknowledged) > begun + 20, within=60)
        await stream.catches_up(30)
        _in_order(stream)


async def test_089_the_hub_is_killed(hubbub: Running, rest: Rest, ana: User, bo: User) -> None:
    """Its successor goes on where it stopped: nothing twice, nothing missing, nothing backwards."""
    async with flowing(hubbub, rest, ana, bo) as stream:
        for pid in children_running(hubbub, "stream-hub"):
            os.kill(pid, signal.SIGKILL)
        count = len(stream.acknowledged)
        await eventually(lambda: len(stream.acknowledged) > count + 5, within=30)
        await stream.catches_up(30)
        assert all(listener.close_code is None for listener in stream.listeners)
        _in_order(stream)


async def test_099_the_database_comes_back(
    hubbub: Running, rest: Rest, database: Database, ana: User, bo: User
) -> None:
    """It stands still for some seconds and then dies; nothing else has to be restarted."""
    before = {
        service: children_running(hubbub, service)
        for service in ("stream-hub", "messaging", "account", "authorization", "ddp-streamer")
    }
    async with flowing(hubbub, rest, ana, bo) as stream:
        (mongod,) = servers_running(hubbub, "mongod")
        os.kill(mongod, signal.SIGSTOP)
        await asyncio.sleep(8)
        os.kill(mongod, signal.SIGKILL)
        count = len(stream.acknowledged)
        await eventually(lambda: len(stream.acknowledged) > count + 20, within=90)
        await stream.catches_up(30)
        _in_order(stream)
    assert before == {service: children_running(hubbub, service) for service in before}


async def test_079_presence_is_killed_and_nobody_is_lost(
    hubbub: Running, rest: Rest, sign_in: SignIn, new_user: NewUser
) -> None:
    """Who is online stays online and nobody is told otherwise."""
    people = [await new_user() for _ in range(3)]
    watcher_user = await new_user("watcher")
    watcher = await sign_in(watcher_user)
    await watcher.subscribe("stream-user-presence", "", {"added": [one.id for one in people]})
    for one in people:
        await sign_in(one)
        await becomes(rest, watcher_user, one, "online")
    await eventually(lambda: all(watcher.events("user-presence", one.id) for one in people))
    watcher.frames.clear()
    for pid in children_running(hubbub, "presence"):
        os.kill(pid, signal.SIGKILL)
    newcomer = await new_user()
    await sign_in(newcomer)
    await becomes(rest, watcher_user, newcomer, "online", within=60)
    for one in people:
        assert await status_of(rest, watcher_user, one) == "online"
        assert watcher.events("user-presence", one.id) == []


# --- clients nobody here wrote --------------------------------------------------------------------


def _run(
    folder: Path, script: list[str], on_line: Callable[[str], bool], **environment: str
) -> str:
    """Run a script of the npm clients; `on_line` says whether to answer a line with one."""
    told = []
    with subprocess.Popen(
        ["node", *script],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    ) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        for line in node.stdout:
            told.append(line)
            if on_line(line):
                node.stdin.write("done\n")
                node.stdin.flush()
    text = "".join(told)
    assert node.returncode == 0, text
    assert "FAIL" not in text, text
    assert text.strip().endswith("0 failed"), text
    return text


def test_091_accounts_are_away_while_everybody_comes_back(hubbub: Running, clients: Path) -> None:
    """100 clients of four kinds: none ends, all are signed in and listen afterwards."""
    paused = children_running(hubbub, "account")

    def outage(line: str) -> bool:
        if not line.startswith("KILL STREAMERS"):
            return False
        for pid in paused:
            os.kill(pid, signal.SIGSTOP)
        try:
            for pid in children_running(hubbub, "ddp-streamer"):
                os.kill(pid, signal.SIGKILL)
            time.sleep(20)  # the length of the outage
        finally:
            for pid in paused:
                os.kill(pid, signal.SIGCONT)
        return True

    kinds = ["ddpclient", "sdk0", "sdk1", "simpleddp"]
    _run(clients, ["crowd.mjs", "crowd", hubbub.url, "25", *kinds], outage)


def test_092_a_streamer_is_drained_under_everybody(hubbub: Running, clients: Path) -> None:
    """SIGTERM to one of them: whoever was there is served elsewhere, and nobody is refused."""

    def outage(line: str) -> bool:
        if not line.startswith("KILL STREAMERS"):
            return False
        os.kill(children_running(hubbub, "ddp-streamer")[0], signal.SIGTERM)
        return True

    kinds = ["ddpclient", "sdk0", "sdk1", "simpleddp", "ddp"]
    _run(clients, ["crowd.mjs", "crowd", hubbub.url, "4", *kinds], outage, CROWD_PART="some")


async def test_093_a_full_streamer_serves_and_sends_away(hubbub: Running, clients: Path) -> None:
    """1013 after some seconds, and in again as soon as there is room."""
    async with (
        streamer(hubbub, max_connections=2, hard_limit_ratio=9, anonymous_timeout=0) as spare,
        AsyncExitStack() as stack,
    ):
        for _ in range(2):
            await stack.enter_async_context(opened(spare.websocket))
        full = asyncio.get_running_loop()
        url = spare.websocket.replace("ws", "http", 1).removesuffix("/websocket")

        def make_room(line: str) -> bool:
            if line.startswith("CONNECTED 2"):
                asyncio.run_coroutine_threadsafe(stack.aclose(), full)
            return False

        await asyncio.to_thread(_run, clients, ["limit.mjs", "limit", hubbub.url, url], make_room)
        assert await spare.metric("hubbub_streamer_disconnects_total", 'reason="rebalance"') == 2
