"""Closing sockets whose clients have to load anew: never in the middle of a login."""

from __future__ import annotations

import asyncio

from services.ddp_streamer.closing import ResyncCloser
from services.ddp_streamer.common import Cause
from tests.waiting import eventually


class Socket:
    def __init__(self, *, in_login: bool = False) -> None:
        self.in_login = in_login
        self.closed = False

    def close(self, code: int, reason: str, *, cause: Cause | None = None) -> None:
        assert (code, reason) == (1012, "SERVICE_RESTART")
        self.closed = True


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
