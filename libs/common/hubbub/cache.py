"""A bounded cache in front of something slow: entries expire, one load serves all who wait, and
what is missed in one turn of the event loop is loaded together.

It never answers with something it was told to forget, even when the telling came while the
load was under way, and it never turns a failed load into an answer.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from hubbub.clock import Clock, SystemClock
from hubbub.errors import Unavailable

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Found = Literal["hit", "miss", "stale"]
"""What a look into the cache found: an entry; none, so it was loaded; or an expired one that had
to do because the load failed."""

LoadMany = Callable[[list[K]], Awaitable[Mapping[K, V]]]


@dataclass(frozen=True, slots=True)
class _Entry(Generic[V]):
    value: V
    loaded_at: float  # monotonic seconds, taken before the load began


class Cache(Generic[K, V]):
    """Values by key, loaded on demand.

    Close it: loads run in tasks that belong to the cache, so that a caller who gives up does
    not take the others' answer away.
    """

    def __init__(
        self,
        load: LoadMany[K, V],
        *,
        max_age: float,
        size: int,
        clock: Clock | None = None,
        on_look: Callable[[Found], None] | None = None,
    ) -> None:
        """
        Args:
            load: gives the values of some keys, in one go. Every key asked for must be there.
            max_age: seconds after which a value no longer counts, from the start of its load.
            size: values kept; the one that was asked for longest ago goes first.
            on_look: called once per key looked up, for metrics.
        """
        self._load = load
        self._max_age = max_age
        self._size = size
        self._clock = clock or SystemClock()
        self._on_look = on_look or _ignore
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()  # longest unused first
        self._flights: dict[K, asyncio.Task[Mapping[K, V]]] = {}
        self._tasks: set[asyncio.Task[Mapping[K, V]]] = set()
        self._boarding: tuple[dict[K, None], asyncio.Task[Mapping[K, V]]] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: K, *, stale_for: float = 0.0) -> V:
        """The value of `key`; see `get_many`."""
        entry = self._fresh(key)
        if entry is not None:
            self._on_look("hit")
            return entry.value
        return (await self.get_many([key], stale_for=stale_for))[key]

    async def get_many(self, keys: Iterable[K], *, stale_for: float = 0.0) -> dict[K, V]:
        """The values of `keys`; the missing ones are loaded together.

        Args:
            stale_for: when the load fails with `Unavailable`, values up to this age (seconds)
                still count, unless they were forgotten.

        Raises: whatever the load raises; a failure is not kept.
        """
        found: dict[K, V] = {}
        waiting: dict[K, asyncio.Task[Mapping[K, V]]] = {}
        missing: list[K] = []
        for key in dict.fromkeys(keys):
            entry = self._fresh(key)
            if entry is not None:
                found[key] = entry.value
            elif key in self._flights:
                waiting[key] = self._flights[key]
            else:
                missing.append(key)
        if missing:
            waiting.update(dict.fromkeys(missing, self._board(missing)))
        for _ in found:
            self._on_look("hit")
        for key, task in waiting.items():
            found[key] = await self._landing(key, task, stale_for)
        return found

    async def get_now(self, keys: Iterable[K]) -> dict[K, V]:
        """The values of `keys` as they are at this moment, or later.

        What is remembered does not count, nor what a load brings that has already begun. Those
        who ask in the same turn of the event loop share one load.

        Raises: whatever the load raises.
        """
        wanted = list(dict.fromkeys(keys))
        if not wanted:
            return {}
        task = self._board(wanted)
        return {key: await self._landing(key, task, 0.0) for key in wanted}

    def peek(self, key: K) -> V | None:
        """The value of `key` if it is there and fresh, without loading."""
        entry = self._fresh(key)
        if entry is None:
            return None
        self._on_look("hit")
        return entry.value

    def forget(self, key: K) -> None:
        """The value may have changed: whoever asks from now on gets it loaded anew."""
        self._entries.pop(key, None)
        self._flights.pop(key, None)

    def forget_if(self, is_meant: Callable[[K], bool]) -> None:
        """`forget` for every key that is meant; looks at all of them."""
        for key in [key for key in (*self._entries, *self._flights) if is_meant(key)]:
            self.forget(key)

    def forget_all(self) -> None:
        """Every value may have changed."""
        self._entries.clear()
        self._flights.clear()

    async def close(self) -> None:
        """Stop the loads that are under way."""
        self.forget_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _landing(self, key: K, task: asyncio.Task[Mapping[K, V]], stale_for: float) -> V:
        try:
            # Shielded: the load goes on for the others when this caller is cancelled.
            value = (await asyncio.shield(task))[key]
        except Unavailable:
            entry = self._entries.get(key)
            if entry is None or self._age(entry) >= stale_for:
                raise
            self._on_look("stale")
            return entry.value
        self._on_look("miss")
        return value

    def _fresh(self, key: K) -> _Entry[V] | None:
        entry = self._entries.get(key)
        if entry is None or self._age(entry) >= self._max_age:
            return None
        self._entries.move_to_end(key)
        return entry

    def _age(self, entry: _Entry[V]) -> float:
        return self._clock.monotonic() - entry.loaded_at

    def _board(self, keys: list[K]) -> asyncio.Task[Mapping[K, V]]:
        """Have `keys` loaded by a load that has not begun."""
        if self._boarding is None:
            together = dict.fromkeys(keys)
            self._boarding = together, self._take_off(together)
        else:
            together, task = self._boarding
            together.update(dict.fromkeys(keys))
            self._flights.update(dict.fromkeys(keys, task))
        return self._boarding[1]

    def _take_off(self, keys: Collection[K]) -> asyncio.Task[Mapping[K, V]]:
        # A context of its own: the load serves many callers and has none of their deadlines.
        task: asyncio.Task[Mapping[K, V]] = asyncio.get_running_loop().create_task(
            self._fly(keys), name="cache_load", context=contextvars.Context()
        )
        self._tasks.add(task)
        self._flights.update(dict.fromkeys(keys, task))
        task.add_done_callback(self._landed)
        return task

    async def _fly(self, boarded: Collection[K]) -> Mapping[K, V]:
        task: Any = asyncio.current_task()
        if self._boarding is not None and self._boarding[1] is task:
            self._boarding = None
        keys = list(boarded)
        began = self._clock.monotonic()
        try:
            values = await self._load(keys)
            for key in keys:
                if self._flights.get(key) is task:  # else it was forgotten meanwhile
                    self._keep(key, _Entry(values[key], began))
            return values
        finally:
            for key in keys:
                if self._flights.get(key) is task:
                    del self._flights[key]

    def _keep(self, key: K, entry: _Entry[V]) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def _landed(self, task: asyncio.Task[Mapping[K, V]]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # callers see it; nobody may be left to


def _ignore(_: Found) -> None:
    """Nobody counts."""
