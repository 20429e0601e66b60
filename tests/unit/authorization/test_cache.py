"""The cache that facts live in."""

from __future__ import annotations

import asyncio

import pytest

from hubbub.cache import Cache, Found
from hubbub.clock import FakeClock
from hubbub.errors import Unavailable
from tests.waiting import eventually


class Source:
    """Something slow that counts its loads and can be held up or fail."""

    def __init__(self) -> None:
        self.loads: list[list[str]] = []
        self.value = 1
        self.open = asyncio.Event()
        self.open.set()
        self.away = False

    async def load(self, keys: list[str]) -> dict[str, int]:
        self.loads.append(keys)
        value = self.value
        await self.open.wait()
        if self.away:
            raise Unavailable("away")
        return dict.fromkeys(keys, value)


def cached(source: Source, clock: FakeClock, looks: list[Found] | None = None) -> Cache[str, int]:
    on_look = looks.append if looks is not None else None
    return Cache(source.load, max_age=5.0, size=3, clock=clock, on_look=on_look)


async def test_one_load_serves_all() -> None:
    """A hundred callers, one query; and none for who comes later."""
    source = Source()
    source.open.clear()
    cache = cached(source, FakeClock())
    callers = [asyncio.create_task(cache.get("a")) for _ in range(100)]
    await asyncio.sleep(0)
    source.open.set()

    assert await asyncio.gather(*callers) == [1] * 100
    assert await cache.get("a") == 1
    assert source.loads == [["a"]]


async def test_values_expire() -> None:
    """At their age, counted from the start of their load."""
    source, clock = Source(), FakeClock()
    cache = cached(source, clock)
    await cache.get("a")
    clock.advance(4.9)
    await cache.get("a")
    assert len(source.loads) == 1
    clock.advance(0.1)
    source.value = 2

    assert await cache.get("a") == 2


async def test_what_was_forgotten_during_its_load_is_not_kept() -> None:
    """Who asked before may get the old value; who asks after the telling never does."""
    source = Source()
    source.open.clear()
    cache = cached(source, FakeClock())
    early = asyncio.create_task(cache.get("a"))
    await eventually(lambda: source.loads)
    source.value = 2
    cache.forget("a")
    late = asyncio.create_task(cache.get("a"))
    await eventually(lambda: len(source.loads) == 2)
    source.open.set()

    assert (await early, await late) == (1, 2)
    assert await cache.get("a") == 2


async def test_forgetting_by_a_condition() -> None:
    """Kept values and those on their way; the others stay."""
    source = Source()
    cache = cached(source, FakeClock())
    await cache.get_many(["a1", "b1"])
    source.open.clear()
    caller = asyncio.create_task(cache.get("a2"))
    await eventually(lambda: len(source.loads) == 2)
    cache.forget_if(lambda key: key.startswith("a"))
    source.value = 2
    source.open.set()

    assert await caller == 1
    assert await cache.get_many(["a1", "a2", "b1"]) == {"a1": 2, "a2": 2, "b1": 1}


async def test_missing_keys_are_loaded_together() -> None:
    """Present and flying ones are not loaded again."""
    source = Source()
    cache = cached(source, FakeClock())
    await cache.get("a")

    assert await cache.get_many(["a", "b", "c", "b"]) == {"a": 1, "b": 1, "c": 1}
    assert source.loads == [["a"], ["b", "c"]]


async def test_what_different_callers_miss_in_one_turn_is_loaded_together() -> None:
    source = Source()
    cache = cached(source, FakeClock())
    one, many, again = await asyncio.gather(
        cache.get("a"), cache.get_many(["b", "c"]), cache.get("b")
    )
    assert (one, many, again) == (1, {"b": 1, "c": 1}, 1)
    assert source.loads == [["a", "b", "c"]]


async def test_what_was_forgotten_before_its_load_began_is_as_new_as_the_load() -> None:
    source = Source()
    cache = cached(source, FakeClock())
    first = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    cache.forget("a")
    assert await cache.get("a") == 1
    assert await first == 1
    source.value = 2
    assert await cache.get("a") == 1
    cache.forget("a")
    assert await cache.get("a") == 2


async def test_bounded() -> None:
    """The one that was not asked for longest goes."""
    source = Source()
    cache = cached(source, FakeClock())
    for key in "abc":
        await cache.get(key)
    await cache.get("a")
    await cache.get("d")
    assert len(cache) == 3
    source.loads.clear()
    await cache.get_many(["a", "c", "d"])

    assert source.loads == []


async def test_cancelled_caller_does_not_take_the_answer_away() -> None:
    """The load goes on for the others."""
    source = Source()
    source.open.clear()
    cache = cached(source, FakeClock())
    first, second = asyncio.create_task(cache.get("a")), asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    source.open.set()

    assert await second == 1
    assert first.cancelled()
    assert len(source.loads) == 1


async def test_failed_load_may_be_bridged_by_an_old_value() -> None:
    """Only if the caller says so, only up to the age, and never by a forgotten one."""
    source, clock, looks = Source(), FakeClock(), list[Found]()
    cache = cached(source, clock, looks)
    await cache.get("a")
    clock.advance(10)
    source.away = True

    with pytest.raises(Unavailable):
        await cache.get("a")
    assert await cache.get("a", stale_for=30.0) == 1
    clock.advance(20)
    with pytest.raises(Unavailable):
        await cache.get("a", stale_for=30.0)
    cache.forget("a")
    with pytest.raises(Unavailable):
        await cache.get("a", stale_for=1000.0)
    assert looks == ["miss", "stale"]


async def test_failure_is_not_kept() -> None:
    """The next caller tries again."""
    source = Source()
    cache = cached(source, FakeClock())
    source.away = True
    with pytest.raises(Unavailable):
        await cache.get("a")
    source.away = False

    assert await cache.get("a") == 1


async def test_close_stops_loads() -> None:
    """No task is left behind."""
    source = Source()
    source.open.clear()
    cache = cached(source, FakeClock())
    caller = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    await cache.close()
    await asyncio.gather(caller, return_exceptions=True)

    assert [task for task in asyncio.all_tasks() if task.get_name() == "cache_load"] == []


async def test_what_is_wanted_now_waits_for_no_load_of_before() -> None:
    """Neither an entry nor a load that has begun counts; who asks together shares one load."""
    source = Source()
    cache = cached(source, FakeClock())
    assert await cache.get("a") == 1
    source.open.clear()
    early = asyncio.create_task(cache.get("b"))
    await eventually(lambda: source.loads == [["a"], ["b"]])
    source.value = 2

    now = [asyncio.create_task(cache.get_now([key, "a"])) for key in ("b", "b", "c")]
    await eventually(lambda: len(source.loads) == 3)
    source.open.set()
    assert await asyncio.gather(*now) == [{"b": 2, "a": 2}, {"b": 2, "a": 2}, {"c": 2, "a": 2}]
    assert await early == 1
    assert sorted(source.loads[2]) == ["a", "b", "c"]
    assert [await cache.get(key) for key in ("a", "b", "c")] == [2, 2, 2]
    assert len(source.loads) == 3


async def test_what_cannot_be_read_now_is_unknown() -> None:
    """And what others may still believe for a while stays as it is."""
    source = Source()
    cache = cached(source, FakeClock())
    await cache.get("a")
    source.away = True
    with pytest.raises(Unavailable):
        await cache.get_now(["a"])
    assert await cache.get("a") == 1
