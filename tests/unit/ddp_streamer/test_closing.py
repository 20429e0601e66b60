"""Closing sockets whose clients have to load anew: never in the middle of a login."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from services.ddp_streamer.closing import ResyncCloser
from services.ddp_streamer.common import Cause
from tests.waiting import eventually


class Socket:
    def __init__(self, *, in_login: bool = False) -> None:
        self.in_login = in_login
        self.closed = False

    def close(self, code: int, reason: str, *, cause: Cause | None = None) -> None:
        assert (code, reason) == (1012, "SERVICE_RESTART")
        assert not self.closed
        self.closed = True
        self.closed_at = asyncio.get_running_loop().time()


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


async def test_who_left_with_a_login_in_line_is_forgotten() -> None:
    closer = ResyncCloser(window=0.05)
    gone = Socket(in_login=True)
    gone.closed = True
    closer.add(gone)
    running = asyncio.create_task(closer.run())
    await eventually(lambda: not closer._waiting)
    running.cancel()


class Hurried:
    """Time of its own: whoever sleeps makes it pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Done(Exception):
    """All are closed."""


async def _moments(count: int, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each of `count` sockets was closed, in seconds behind the first moment."""
    left = count

    class Counted(Socket):
        def close(self, code: int, reason: str, *, cause: Cause | None = None) -> None:
            nonlocal left
            super().close(code, reason, cause=cause)
            left -= 1
            if not left:
                raise Done

    closer = ResyncCloser(window=30.0)
    with monkeypatch.context() as patched:
        Hurried(patched)
        sockets = [Counted() for _ in range(count)]
        for socket in sockets:
            closer.add(socket)
        with suppress(Done):
            await closer.run()
    return sorted(socket.closed_at for socket in sockets)


async def test_many_are_closed_evenly_over_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = await _moments(3_000, monkeypatch)
    assert moments[-1] < 33
    tenths = [sum(3 * n <= at < 3 * n + 3 for at in moments) for n in range(10)]
    assert all(200 < count < 450 for count in tenths), tenths


async def test_never_more_than_two_hundred_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = await _moments(9_000, monkeypatch)
    assert all(later - at >= 0.99 for at, later in zip(moments, moments[200:], strict=False))
    assert moments[-1] < 50


async def test_few_need_not_wait_for_the_whole_window(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = await _moments(5, monkeypatch)
    assert moments[-1] < 2
