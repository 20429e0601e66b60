"""Processes that are asked to leave: nobody is refused, cut off or forgotten on their way out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect

from hubbub.bus import BusSettings, NatsBus
from hubbub.contracts.base import listen
from hubbub.contracts.streamers import REPORT_INTERVAL, StreamerControl, StreamerReported
from hubbub.errors import Timeout
from hubbub.ids import random_id
from tests.conformance.conftest import Running
from tests.conformance.rest import Rest, User
from tests.conformance.spare import Streamer, streamer
from tests.e2e.resilience.crowd import Balancer, gathered
from tests.e2e.resilience.line import Document, opened
from tests.e2e.resilience.processes import Hubbub
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

SERVICE_RESTART = 1012
OFFLINE = 0
LONERS = 10  # users with one socket each
COUPLES = 2  # users who share the other sockets


@pytest.fixture(scope="module")
def users(hubbub: Hubbub) -> list[User]:
    """Fresh users, signed in."""

    async def register() -> list[User]:
        async with aiohttp.ClientSession() as session:
            rest, tail = Rest(session, hubbub.url), random_id(6).lower()
            names = [f"drain-{number}-{tail}" for number in range(LONERS + COUPLES)]
            return [await rest.register(name) for name in names]

    return asyncio.run(register())


@pytest.fixture
def running(hubbub: Hubbub) -> Running:
    """The same Hubbub, as those see it who start streamers of their own beside it."""
    return Running(hubbub.url, hubbub.data.parent)


@asynccontextmanager
async def two_streamers(running: Running, **settings: float) -> AsyncIterator[list[Streamer]]:
    """Two streamers that a test may end; started beside each other."""
    async with AsyncExitStack() as stack:
        yield await asyncio.gather(
            *(
                stack.enter_async_context(streamer(running, environment=None, **settings))
                for _ in range(2)
            )
        )


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_a_streamer_leaves_and_nobody_is_worse_for_it(
    hubbub: Hubbub, running: Running, users: list[User]
) -> None:
    """240 sockets on two streamers, of which one is asked to go while a call is under way."""
    seen: dict[str, list[int]] = {user.id: [] for user in users}

    def on_presence(collection: str, fields: Document) -> None:
        if collection == "stream-user-presence":
            seen[fields["eventName"]].append(fields["args"][0][1])

    async with two_streamers(running, drain_delay=1, drain_window=3, drain_patience=20) as pair:
        leaving, staying = pair
        balancer = Balancer(pair)
        everybody = users[:LONERS] + users[LONERS:] * ((240 - LONERS) // COUPLES)
        async with (
            gathered(everybody, balancer) as crowd,
            opened(staying.websocket, on_presence) as (watcher, _, _),
            opened(leaving.websocket, lambda *_: None) as (caller, calling, call_socket),
        ):
            await watcher.connect()
            await watcher.call("login", {"resume": users[0].token})
            await watcher.subscribe("stream-user-presence", "", {"added": [u.id for u in users]})
            await caller.connect()
            await caller.call("login", {"resume": users[-1].token})
            there = len(crowd.on(leaving))
            assert there > 60
            messaging = hubbub.pids("messaging")
            for pid in messaging:
                os.kill(pid, signal.SIGSTOP)
            try:
                call = asyncio.create_task(caller.call("rooms/get"))
                await asyncio.sleep(0.1)
                leaving.process.send_signal(signal.SIGTERM)
                await eventually(partial(_is_draining, leaving), within=10.0)
                # Whoever was sent here by somebody who does not know yet is served.
                assert await get(f"http://127.0.0.1:{leaving.port}/health") == (500, "not healthy")
                assert (await get(f"http://127.0.0.1:{leaving.ops_port}/livez"))[0] == 200
                late = await connect(leaving.websocket)
                await eventually(lambda: len(crowd.closes) >= there, within=12)
                assert not call.done()
                assert calling.done() is False
            finally:
                for pid in messaging:
                    os.kill(pid, signal.SIGCONT)
            assert isinstance(await call, list)
            await calling
            assert call_socket.close_code == SERVICE_RESTART
            await late.wait_closed()
            assert late.close_code == SERVICE_RESTART
            assert await leaving.ended(20) == 0
            await eventually(lambda: len(crowd.on(staying)) == len(everybody), within=30)
            moments = [moment for moment, _ in crowd.closes]
            assert {code for _, code in crowd.closes} == {SERVICE_RESTART}
            assert crowd.refused == []
            assert len(moments) == there
            assert max(moments) - min(moments) > 1.5
            assert _busiest(moments, 0.5) < there / 2
            # Longer than presence waits before it says that somebody is gone.
            await asyncio.sleep(3)
            assert not [name for name, states in seen.items() if OFFLINE in states]
        drained = _said(running, leaving, "drained")
        assert (drained["forced"], drained["sessions"] >= there) == (0, True)


async def _is_draining(leaving: Streamer) -> bool:
    status, text = await get(f"http://127.0.0.1:{leaving.ops_port}/readyz")
    return status == 503 and json.loads(text)["checks"][0]["detail"] == "draining"


def _busiest(moments: list[float], span: float) -> int:
    """The most that happened within `span` seconds."""
    return max(sum(first <= one < first + span for one in moments) for first in moments)


def _said(running: Running, one: Streamer, event: str) -> dict[str, Any]:
    """The line of a streamer's log about `event`."""
    for file in (running.data / "log").glob("spare-*.log"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        if any(line["msg"] == "serving" and line["port"] == one.port for line in lines):
            return next(line for line in lines if line["msg"] == event)
    raise AssertionError(f"no log of the streamer on port {one.port}")


async def test_who_insists_waits_three_seconds(running: Running, users: list[User]) -> None:
    """A second signal, in the middle of a drain that would have taken minutes."""
    async with two_streamers(running, drain_window=60) as pair:
        leaving, staying = pair
        balancer = Balancer([leaving])
        async with gathered(users * 5, balancer) as crowd:
            balancer.ready = [staying]
            balancer._streamers[:] = [staying]
            leaving.process.send_signal(signal.SIGTERM)
            await eventually(partial(_is_draining, leaving), within=10.0)
            await asyncio.sleep(0.5)
            assert leaving.process.poll() is None
            asked = time.monotonic()
            leaving.process.send_signal(signal.SIGTERM)
            assert await leaving.ended(20) == 0
            assert time.monotonic() - asked < 20
            await eventually(lambda: len(crowd.on(staying)) == len(crowd.members), within=30)
            assert {code for _, code in crowd.closes} == {SERVICE_RESTART}
            assert crowd.refused == []
        assert _said(running, leaving, "drained")["forced"] == 0


class Operator:
    """Hears what streamers report."""

    def __init__(self) -> None:
        self.heard: dict[str, StreamerReported] = {}

    @listen(StreamerReported, to="all")
    async def on_reported(self, event: StreamerReported) -> None:
        self.heard[event.instance] = event


async def test_an_operator_rebalances_and_drains(running: Running, users: list[User]) -> None:
    """By the reports of the streamers, and by asking exactly one of them."""
    operator = Operator()
    bus = NatsBus(
        BusSettings(
            HUBBUB_NATS_URL=running.address("nats_url"),
            HUBBUB_NATS_KEYS=running.address("nats_keys"),
        ),
        service="operator",
        instance=f"operator-{random_id(4)}",
    )
    await bus.connect()
    try:
        await bus.listen(operator, service="operator")
        async with two_streamers(running, drain_window=1) as pair:
            leaving, staying = pair
            _, text = await get(f"http://127.0.0.1:{leaving.ops_port}/version")
            instance = json.loads(text)["instance"]
            balancer = Balancer([leaving])
            async with gathered(users * 2, balancer) as crowd:
                count = len(crowd.members)
                balancer.ready = [staying]
                balancer._streamers[:] = [staying]
                report = await eventually(
                    lambda: _with(operator.heard.get(instance), connections=count),
                    within=6 * REPORT_INTERVAL,
                )
                assert (report.pod, report.draining) == (socket.gethostname(), False)
                assert report.connection_limit == 10_000
                control = bus.proxy(StreamerControl, to=instance)
                # Users have two sockets here, and each of them loses one at most.
                assert await control.shed(5) == 0
                assert await control.shed(5, 0.0) == 5
                await eventually(lambda: len(crowd.on(staying)) == 5)
                assert await control.shed(100, 0.0) == len(users) - 5
                await eventually(lambda: len(crowd.on(staying)) == len(users))
                assert await leaving.metric(
                    "hubbub_streamer_disconnects_total", 'reason="rebalance"'
                ) == len(users)
                with pytest.raises(Timeout):  # NATS lets nobody ask whichever there is
                    await bus.proxy(StreamerControl).drain()
                assert leaving.process.poll() is None
                assert await control.drain(2.0) is True
                assert await control.drain() is False
                await eventually(lambda: operator.heard[instance].draining, within=10.0)
                assert await leaving.ended(20) == 0
                await eventually(lambda: len(crowd.on(staying)) == count)
                assert {code for _, code in crowd.closes} == {SERVICE_RESTART}
                assert crowd.refused == []
    finally:
        await bus.close()


def _with(report: StreamerReported | None, *, connections: int) -> StreamerReported | None:
    return report if report is not None and report.connections == connections else None


async def test_a_gateway_finishes_what_it_has_begun(
    hubbub: Hubbub, running: Running, users: list[User]
) -> None:
    """Its door stays open for a while; then it answers what was asked, and goes."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port, ops_port = one.getsockname()[1], other.getsockname()[1]
    url, ops = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{ops_port}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
    environment = {
        **kept,
        **running.bus_environment,
        "HUBBUB_MONGO_URL": running.address("mongo_url"),
        "HUBBUB_OPS_PORT": str(ops_port),
        "HUBBUB_GATEWAY_PORT": str(port),
        "HUBBUB_GATEWAY_DRAIN_DELAY": "1",
    }
    messaging = hubbub.pids("messaging")
    with (running.data / "log" / "spare-gateway.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220  begins at once
            [sys.executable, "-m", "hubbub.cli.main", "run", "gateway"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        await eventually(partial(_answers, f"{ops}/readyz"), within=30)
        assert (await get(f"{url}/health"))[0] == 200
        async with aiohttp.ClientSession(headers=users[0].headers) as session:

            async def rooms() -> tuple[int, Any]:
                async with session.get(f"{url}/api/v1/rooms.get") as answer:
                    return answer.status, await answer.json()

            assert (await rooms())[0] == 200
            for pid in messaging:
                os.kill(pid, signal.SIGSTOP)
            try:
                slow = asyncio.create_task(rooms())
                await asyncio.sleep(0.1)
                process.send_signal(signal.SIGTERM)
                await eventually(partial(_refuses, f"{ops}/readyz"), within=10.0)
                async with session.get(f"{url}/health") as answer:
                    assert (answer.status, answer.headers["Connection"]) == (500, "close")
                async with session.get(f"{url}/api/v1/me") as answer:
                    assert answer.status == 200
                await eventually(partial(_is_gone, port), within=5)
                assert not slow.done()
            finally:
                for pid in messaging:
                    os.kill(pid, signal.SIGCONT)
            status, body = await slow
            assert (status, body["success"]) == (200, True)
        assert await asyncio.to_thread(process.wait, 10) == 0
    finally:
        if process.poll() is None:
            process.kill()
        await asyncio.to_thread(process.wait)


async def _answers(url: str) -> bool:
    try:
        return (await get(url))[0] == 200
    except aiohttp.ClientError:
        return False


async def _refuses(url: str) -> bool:
    return (await get(url))[0] == 503


async def _is_gone(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return True
    writer.close()
    return False
