"""A task per pool, and the proof that they all get on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from hubbub.tasks import owned
from services.operator.kubernetes import ApiError
from services.operator.metrics import OperatorMetrics
from services.operator.pools import NotYet, Pools
from tests.waiting import eventually


class Work:
    """Counts passes; does what the test says in each."""

    def __init__(self) -> None:
        self.passes: list[str] = []
        self.present = {"a", "b"}
        self.before: Callable[[str], None] = lambda name: None
        self.stuck = asyncio.Event()
        self.stuck.set()

    async def __call__(self, name: str) -> bool:
        self.passes.append(name)
        self.before(name)
        await self.stuck.wait()
        return name in self.present


@asynccontextmanager
async def running(
    work: Work, *, interval: float = 60.0, **more: Any
) -> AsyncIterator[tuple[Pools, CollectorRegistry]]:
    """Pools that are looked after."""
    registry = CollectorRegistry()
    pools = Pools(work, interval=interval, metrics=OperatorMetrics(registry), **more)
    async with owned(pools.run()):
        yield pools, registry


def outcomes(registry: CollectorRegistry, outcome: str) -> float:
    """How many passes ended like that."""
    labels = {"kind": "StreamerPool", "outcome": outcome}
    return registry.get_sample_value("hubbub_operator_reconciles_total", labels) or 0.0


async def test_a_pool_is_looked_after_from_when_it_is_seen() -> None:
    """At once, and at once again when its spec changes, but not when its status does."""
    work = Work()
    async with running(work) as (pools, _):
        pools.seen("a", 1)
        await eventually(lambda: work.passes == ["a"])
        pools.seen("a", 1)
        pools.seen("b", 1)
        await eventually(lambda: work.passes == ["a", "b"])
        pools.seen("a", 2)
        await eventually(lambda: work.passes == ["a", "b", "a"])


async def test_it_is_looked_after_again_and_again() -> None:
    """Without anybody saying anything."""
    work = Work()
    async with running(work, interval=0.01) as (pools, _):
        pools.seen("a", 1)
        await eventually(lambda: len(work.passes) > 5)


async def test_a_pool_that_is_gone_is_let_go() -> None:
    """And looked after again when there is a new one of that name."""
    work = Work()
    work.present = set()
    async with running(work) as (pools, registry):
        pools.seen("a", 1)
        await eventually(lambda: outcomes(registry, "gone") == 1)
        await eventually(lambda: "a" not in pools._changes)
        work.present = {"a"}
        pools.seen("a", 1)
        await eventually(lambda: outcomes(registry, "ok") == 1)


@pytest.mark.parametrize("error", [ApiError(500, "Broken", "", frozenset()), ValueError("odd")])
async def test_a_pass_that_fails_does_not_end_the_care(error: Exception) -> None:
    """Not for this pool, and not for the others."""
    work = Work()

    def fail(name: str) -> None:
        if name == "a":
            raise error

    work.before = fail
    async with running(work, interval=0.01) as (pools, registry):
        pools.seen("a", 1)
        pools.seen("b", 1)
        await eventually(lambda: outcomes(registry, "error") > 2 and outcomes(registry, "ok") > 2)


async def test_what_is_lacking_is_looked_for_sooner() -> None:
    """The next pass comes after `retry`, not after `interval`; such a pass is no failure."""
    work = Work()

    def lacks(name: str) -> None:
        if len(work.passes) < 3:
            raise NotYet(name)

    work.before = lacks
    async with running(work, retry=0.01) as (pools, registry):
        pools.seen("a", ("uid", 1))
        await eventually(lambda: outcomes(registry, "ok") == 1)
        assert outcomes(registry, "waiting") == 2
        assert outcomes(registry, "error") == 0


async def test_an_object_that_was_made_anew_is_another_one() -> None:
    """Although its generation is 1 again."""
    work = Work()
    async with running(work) as (pools, _):
        pools.seen("a", ("first", 1))
        await eventually(lambda: len(work.passes) == 1)
        pools.seen("a", ("second", 1))
        await eventually(lambda: len(work.passes) == 2)


async def test_a_pass_that_hangs_is_ended() -> None:
    """The next one may find what it needs."""
    work = Work()
    work.stuck.clear()
    async with running(work, interval=0.01, timeout=0.02) as (pools, registry):
        pools.seen("a", 1)
        await eventually(lambda: outcomes(registry, "timeout") > 0)
        work.stuck.set()
        await eventually(lambda: outcomes(registry, "ok") > 0)


async def test_the_age_of_the_last_pass_shows_one_that_hangs() -> None:
    """While others get on, and while there are no pools at all."""
    work = Work()
    async with running(work, interval=0.01) as (pools, _):
        await asyncio.sleep(0)
        assert pools.tick_age < 0.5
        work.before = lambda name: work.stuck.clear() if name == "a" else work.stuck.set()
        pools.seen("a", 1)
        await eventually(lambda: pools.tick_age > 0.2)
