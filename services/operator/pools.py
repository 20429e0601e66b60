"""A task for each pool, from the moment it is seen until it is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from hubbub.telemetry.log import get_logger
from services.operator.kubernetes import ApiError
from services.operator.metrics import OperatorMetrics, Outcome

log = get_logger(__name__)

KIND = "StreamerPool"
PASS_TIMEOUT = 45.0
"""Seconds that one pass may take. Whatever it was waiting for, the next one looks again."""

LookAfter = Callable[[str], Awaitable[bool]]
"""One pass over the named pool; False when it is gone."""


class Pools:
    """Runs a pass over every known pool each `interval` seconds, and at once after a change."""

    def __init__(self, look_after: LookAfter, *, interval: float, metrics: OperatorMetrics) -> None:
        self._look_after = look_after
        self._interval = interval
        self._metrics = metrics
        self._changes: dict[str, asyncio.Event] = {}
        self._generations: dict[str, int | None] = {}
        self._ticks: dict[str, float] = {}
        self._arrived = asyncio.Event()
        self._tick = time.monotonic()

    def seen(self, name: str, generation: int | None) -> None:
        """The watch saw this pool: new, changed, or deleted. Changes of its status are nothing."""
        change = self._changes.get(name)
        if change is None:
            self._changes[name] = asyncio.Event()
            self._arrived.set()
        elif self._generations.get(name) != generation:
            change.set()
        self._generations[name] = generation

    @property
    def tick_age(self) -> float:
        """Seconds since the pass that ended longest ago; passes that fail count too."""
        return time.monotonic() - min([self._tick, *self._ticks.values()])

    async def run(self) -> None:
        """Look after pools until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            kept: set[str] = set()
            while True:
                for name in set(self._changes) - kept:
                    kept.add(name)
                    tasks.create_task(self._keep(name, kept), name=f"pool {name}")
                self._tick = time.monotonic()
                self._arrived.clear()
                try:
                    async with asyncio.timeout(self._interval):
                        await self._arrived.wait()
                except TimeoutError:
                    continue

    async def _keep(self, name: str, kept: set[str]) -> None:
        change = self._changes[name]
        self._ticks[name] = time.monotonic()
        while True:
            change.clear()
            outcome = await self._pass(name)
            self._ticks[name] = time.monotonic()
            if outcome == "gone" and not change.is_set():
                break
            try:
                async with asyncio.timeout(self._interval):
                    await change.wait()
            except TimeoutError:
                continue
        log.info("pool_gone", pool=name)
        del self._changes[name], self._generations[name], self._ticks[name]
        kept.discard(name)

    async def _pass(self, name: str) -> Outcome:
        began = time.monotonic()
        outcome: Outcome = "error"
        try:
            async with asyncio.timeout(PASS_TIMEOUT):
                outcome = "ok" if await self._look_after(name) else "gone"
        except ApiError as error:
            log.warning("pass_failed", pool=name, reason=str(error))
        except TimeoutError:
            outcome = "timeout"
            log.warning("pass_timed_out", pool=name, seconds=PASS_TIMEOUT)
        except Exception:
            # A pool that cannot be read must not end the care for the others.
            log.exception("pass_broke", pool=name)
        finally:
            self._metrics.reconciled(KIND, outcome, time.monotonic() - began)
        return outcome
