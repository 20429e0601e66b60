"""One call for all who ask at the same time.

Alone, a question is asked at once. While calls are under way the next one gathers, so that in a
storm hundreds of questions share a round trip, and the more that come the less each of them costs.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from hubbub.errors import HubbubError, Internal, Unavailable
from services.ddp_streamer.tasks import Tasks

Q = TypeVar("Q")
A = TypeVar("A")

_BESIDE = 2  # calls under way


class Gathering(Generic[Q, A]):
    """Asks questions together."""

    def __init__(
        self,
        ask: Callable[[list[Q]], Awaitable[Sequence[A]]],
        name: str,
        *,
        tasks: Tasks,
        most: int,
    ) -> None:
        """
        Args:
            ask: answers some questions, in their order; its calls have deadlines of their own.
            name: of its tasks.
            most: questions in one call.
        """
        self._ask = ask
        self._name = name
        self._tasks = tasks
        self._most = most
        self._waiting: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._due = False
        self._calls = 0

    async def ask(self, question: Q) -> A:
        """The answer. Raises: HubbubError: what the call raised for all who were in it."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()
        self._waiting.append((question, answer))
        self._call_soon()
        return await answer

    def _call_soon(self) -> None:
        """Behind those who ask in this turn of the loop, too."""
        if not self._due and self._calls < _BESIDE:
            self._due = True
            # A context of its own: the call serves many and is no part of one's request.
            asyncio.get_running_loop().call_soon(self._call, context=contextvars.Context())

    def _call(self) -> None:
        self._due = False
        batch: list[tuple[Q, asyncio.Future[A]]] = []
        while self._waiting and len(batch) < self._most:
            question, answer = self._waiting.popleft()
            if not answer.done():  # else nobody waits for it any more
                batch.append((question, answer))
        if batch:
            self._calls += 1
            task = self._tasks.start(self._answer(batch), self._name)
            task.add_done_callback(lambda _: self._on_called(batch))
        if self._waiting:
            self._call_soon()

    async def _answer(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._ask([question for question, _ in batch])
            if len(answers) != len(batch):
                raise Internal("not every question was answered")
        except HubbubError as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            return
        for (_, answer), value in zip(batch, answers, strict=True):
            if not answer.done():
                answer.set_result(value)

    def _on_called(self, batch: list[tuple[Q, asyncio.Future[A]]]) -> None:
        self._calls -= 1
        for _, answer in batch:
            if not answer.done():  # the call was cancelled, or failed by a defect
                answer.set_exception(Unavailable("the call has ended"))
        if self._waiting:
            self._call_soon()
