"""Closing many sockets: spread, complete, and never in the middle of a login."""

from __future__ import annotations

import asyncio

from services.ddp_streamer.closing import ResyncCloser, drain
from tests.waiting import eventually


class Socket:
    def __init__(self, *, busy: bool = False, in_login: bool = False) -> None:
        self.busy = busy
        self.in_login = in_login
        self.closed = False
        self.closed_at = 0.0

    def close(self, code: int, reason: str) -> None:
        assert (code, reason) == (1012, "SERVICE_RESTART")
        self.closed = True
        self.closed_at = asyncio.get_running_loop().time()


async def test_a_drain_is_spread_over_its_window() -> None:
    sockets = [Socket() for _ in range(200)]
    begun = asyncio.get_running_loop().time()
    assert await drain(sockets, window=0.4, patience=1) == 0
    moments = sorted(socket.closed_at - begun for socket in sockets)
    assert moments[50] > 0.02
    assert moments[-50] > 0.15
    assert all(socket.closed for socket in sockets)


async def test_a_drain_waits_for_answers_but_not_for_ever() -> None:
    quick, never = Socket(busy=True), Socket(busy=True)
    draining = asyncio.create_task(drain([quick, never], window=0.0, patience=0.3))
    await asyncio.sleep(0.1)
    assert not quick.closed
    quick.busy = False
    await eventually(lambda: quick.closed)
    assert await draining == 1
    assert never.closed


async def test_a_resync_never_closes_in_the_middle_of_a_login() -> None:
    closer = ResyncCloser(window=0.1)
    running = asyncio.create_task(closer.run())
    sockets = [Socket() for _ in range(10)]
    waiting = Socket(in_login=True)
    for socket in (*sockets, waiting):
        closer.add(socket)
    await eventually(lambda: all(socket.closed for socket in sockets))
    assert not waiting.closed
    waiting.in_login = False
    await eventually(lambda: waiting.closed)
    running.cancel()
