"""An event loop without a clock and without a network: time jumps, and a seed picks who runs.

Callbacks belong to *nodes*, which stand for processes. Within a node they run in the order in
which they were registered, as asyncio promises; between nodes the seed decides, one callback at
a time. A node that is frozen keeps its callbacks until it thaws; one that was killed for ever.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import AbstractEventLoop, BaseEventLoop, Handle, TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar

T = TypeVar("T")

MOST_STEPS = 1_000_000
"""Callbacks of one run: more than any needs, so that one that never ends is found."""


class Livelock(Exception):
    """Callbacks follow callbacks, and nothing comes to an end."""


class Node:
    """One process: its callbacks, and whether it runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: deque[Handle] = deque()
        self.stopped = False
        """Frozen or dead: nothing of it runs."""
        self.dead = False
        self.fuse: tuple[int, Callable[[], None]] | None = None
        """After so many callbacks, do this."""
        self.context = copy_context()
        self.context.run(_NODE.set, self)
        self.tasks: list[asyncio.Task[Any]] = []


_NODE: ContextVar[Node] = ContextVar("node")


class _Task(asyncio.Task[T]):
    """A task that sorts alike in every run: sets of tasks are walked by their hashes."""

    def __init__(self, number: int, *args: Any, **keywords: Any) -> None:
        self._place = number
        super().__init__(*args, **keywords)

    def __hash__(self) -> int:
        return self._place


class SimulatedLoop(BaseEventLoop):
    """Runs until there is nothing left to wait for, in no time at all."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seeded = random.Random(seed)
        self._now = 0.0
        self._timers: list[tuple[float, int, TimerHandle, Node]] = []
        self._numbers = count()
        self._runnable: list[Node] = []
        self.world = Node("world")
        """What is nobody's: the network, the servers, and whoever watches."""
        self.steps = 0
        self.failures: list[str] = []
        """What nobody caught."""
        self.set_task_factory(self._new_task)
        self.set_exception_handler(self._failed)

    # --- what asyncio asks ------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def call_at(  # type: ignore[override]  # typeshed spells the arguments out
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> TimerHandle:
        handle = TimerHandle(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._numbers), handle, self._node_of(context)))
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> TimerHandle:
        return self.call_at(self._now + max(delay, 0.0), callback, *args, context=context)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, self, context)
        self._queue(self._node_of(context), handle)
        return handle

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """It is passed over when its time comes, which is soon."""

    def _run_once(self) -> None:
        runnable = self._runnable
        if not runnable:
            self._jump()
            return
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise Livelock
        index = int(self._seeded.random() * len(runnable)) if len(runnable) > 1 else 0
        node = runnable[index]
        handle = node.ready.popleft()
        if not node.ready:
            runnable[index] = runnable[-1]
            runnable.pop()
        if not handle.cancelled():
            handle._run()
            if node.fuse is not None:
                left, burn = node.fuse
                node.fuse = (left - 1, burn) if left > 1 else None
                if left <= 1:
                    burn()

    def _jump(self) -> None:
        """On to the next moment at which anything happens."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heappop(timers)
        if not timers:
            raise Livelock("everybody waits, and for nothing")
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            _, _, handle, node = heappop(timers)
            if not handle.cancelled():
                self._queue(node, handle)

    def _queue(self, node: Node, handle: Handle) -> None:
        if not node.ready and not node.stopped:
            self._runnable.append(node)
        node.ready.append(handle)

    def _new_task(
        self,
        loop: AbstractEventLoop,
        work: Coroutine[Any, Any, T] | Generator[Any, None, T],
        **keywords: Any,
    ) -> asyncio.Task[T]:
        task: asyncio.Task[T] = _Task(next(self._numbers), work, loop=loop, **keywords)
        self._node_of(None).tasks.append(task)
        return task

    def _failed(self, _: AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.failures.append(f"{context['message']}: {error!r}")

    def _node_of(self, context: Context | None) -> Node:
        found = _NODE.get(None) if context is None else context.get(_NODE)
        return found or self.world

    @property
    def running_node(self) -> Node:
        """Whose callback runs."""
        return self._node_of(None)

    # --- what the simulation does to nodes ----------------------------------------------------

    def stop_node(self, node: Node) -> None:
        """Run nothing of `node` from now on: between two of its callbacks."""
        if not node.stopped:
            node.stopped = True
            if node.ready:
                self._runnable.remove(node)

    def resume_node(self, node: Node) -> None:
        """Go on where it was stopped; what came meanwhile comes now."""
        if node.stopped:
            node.stopped = False
            if node.ready:
                self._runnable.append(node)

    def start_in(self, node: Node, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` as part of `node`."""
        task: asyncio.Task[T] = node.context.run(self.create_task, work)
        return task


class VirtualClock:
    """The loop's time, for code that takes a clock. All machines agree on it."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        return self._loop.time()

    def time(self) -> float:
        return 1_700_000_000 + self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
