"""What the log holds, asked for once by all who want to know it at the same time."""

from __future__ import annotations

import asyncio
from typing import Protocol

from services.ddp_streamer.audiences.log import LogState
from services.ddp_streamer.tasks import Tasks


class Reader(Protocol):
    """What is needed of a `LogReader`."""

    async def state(self) -> LogState: ...


class SharedState:
    """The log's state. One question is on its way at a time; whoever comes meanwhile waits for
    the next one, which answers all of them: no answer is older than the wish for it."""

    def __init__(self, reader: Reader, *, tasks: Tasks) -> None:
        self._reader = reader
        self._tasks = tasks
        self._next: asyncio.Future[LogState] | None = None  # not asked yet
        self._asking = False

    async def now(self) -> LogState:
        """What the log holds, as of this moment or later. Raises: LogUnavailable."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            if not self._asking:
                self._asking = True
                self._tasks.spawn(self._ask(), "log-state")
        return await asyncio.shield(self._next)

    async def _ask(self) -> None:
        """Ask until nobody waits."""
        try:
            while (answer := self._next) is not None:
                self._next = None
                await self._answer(answer)
        finally:
            self._asking = False
            if self._next is not None:  # this was cancelled
                self._next.cancel()
                self._next = None

    async def _answer(self, answer: asyncio.Future[LogState]) -> None:
        try:
            answer.set_result(await self._reader.state())
        except Exception as error:
            answer.set_exception(error)
            answer.exception()  # everybody may have gone
        finally:
            answer.cancel()  # nothing, unless this was cancelled
