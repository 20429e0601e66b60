"""Calls in both directions over one stream of frames. Standard library only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from hubbub.apps.engine import Refused
from hubbub.apps.wire import (
    CALL_DEADLINE,
    Answer,
    Broken,
    Call,
    Decoder,
    Frame,
    Refusal,
    Tell,
    Unsendable,
    encode,
)

RUNNING: Final = 32
"""Calls of the other side that are worked on at once."""

WAITING: Final = 256
"""More of them that are kept until one of those is done; any more are refused."""

UNSENT: Final = 1 << 20
"""Bytes that the other side has not taken yet above which tells are dropped."""

_READ: Final = 1 << 16

Answering = Callable[[str, Mapping[str, Any]], Awaitable[Any]]


class Line:
    """Our end of a stream. `run` reads it and answers; meanwhile `call` and `tell` work."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answering: Answering,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._answering = answering
        self._turn = asyncio.Semaphore(RUNNING)
        self._answers: set[asyncio.Task[None]] = set()
        self._last_id = 0
        self._awaited: dict[int, asyncio.Future[Any]] = {}
        self._over = False
        self.dropped = 0
        """Tells that were not sent, because the other side did not keep up."""

    async def run(self) -> None:
        """Read and answer until the other side closes; then what is still running is cancelled.

        Raises: Broken: what came is no frame, or ended in the middle of one.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                await self._read(tasks)
                # Who asked is gone, and so is whoever the handlers would ask.
                for task in self._answers:
                    task.cancel()
        except* Broken as group:
            raise group.exceptions[0] from None
        finally:
            self._over = True
            for waiting in self._awaited.values():
                if not waiting.done():
                    waiting.set_exception(Refused("closed", "the other side is gone"))
            self._awaited.clear()

    async def call(self, name: str, args: dict[str, Any]) -> Any:
        """Ask the other side for something; returns its answer.

        Raises: Refused: it says no, gives no answer in time, or `args` cannot be sent.
        """
        if self._over:
            raise Refused("closed", "the other side is gone")
        self._last_id += 1
        number = self._last_id
        waiting = self._awaited[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(encode(Call(number, name, args)))
            async with asyncio.timeout(CALL_DEADLINE):
                await self._writer.drain()
                return await waiting
        except Unsendable as error:
            raise Refused("unsendable", f"{name}: {error}") from error
        except TimeoutError as error:
            raise Refused("timeout", f"{name}: no answer in {CALL_DEADLINE:g} s") from error
        except ConnectionError as error:
            raise Refused("closed", "the other side is gone") from error
        finally:
            self._awaited.pop(number, None)

    def tell(self, name: str, args: dict[str, Any]) -> None:
        """Let the other side know; dropped when it is gone or does not keep up.

        Raises: Unsendable.
        """
        if self._over or self._writer.transport.get_write_buffer_size() > UNSENT:
            self.dropped += 1
            return
        self._writer.write(encode(Tell(name, args)))

    async def _read(self, tasks: asyncio.TaskGroup) -> None:
        decoder = Decoder()
        while data := await self._reader.read(_READ):
            for frame in decoder.feed(data):
                self._take(frame, tasks)
        if decoder.pending:
            raise Broken("the stream ended within a frame")

    def _take(self, frame: Frame, tasks: asyncio.TaskGroup) -> None:
        match frame:
            case Call() as call:
                if len(self._answers) >= RUNNING + WAITING:
                    self._send(Refusal(call.id, "busy", "too many calls at once"))
                    return
                task = tasks.create_task(self._answer(call), name=call.name)
                self._answers.add(task)
                task.add_done_callback(self._answers.discard)
            case Answer(id=number, value=value):
                if (waiting := self._awaited.get(number)) and not waiting.done():
                    waiting.set_result(value)
            case Refusal(id=number, code=code, reason=reason):
                if (waiting := self._awaited.get(number)) and not waiting.done():
                    waiting.set_exception(Refused(code, reason))
            case Tell():
                pass  # the engine tells apps nothing yet; a later one may

    async def _answer(self, call: Call) -> None:
        try:
            async with self._turn:
                value = await self._answering(call.name, call.args)
            self._send(Answer(call.id, value))
            await self._writer.drain()
        except Refused as error:
            self._send(Refusal(call.id, error.code, error.reason))
        except Unsendable as error:
            self._send(Refusal(call.id, "unsendable", str(error)))
        except ConnectionError:
            pass  # `run` sees it too

    def _send(self, frame: Frame) -> None:
        if not self._over:
            self._writer.write(encode(frame))
