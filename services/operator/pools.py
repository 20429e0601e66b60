"""A task for each pool or app, from the moment it is seen until it is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable

from hubbub.telemetry.log import get_logger
from services.operator.kubernetes import ApiError
from services.operator.metrics import OperatorMetrics, Outcome

log = get_logger(__name__)

KIND = "StreamerPool"
PASS_TIMEOUT = 45.0
"""Seconds that one pass may take. Whatever it was waiting for, the next one looks again."""

LookAfter = Callable[[str], Awaitable[bool]]
"""One pass over the named object; False when it is gone."""


class NotYet(Exception):
    """A pass could not come to its end, as something is lacking that may come by itself."""


class Pools:
    """Runs a pass over every known object of a kind each `interval` seconds, and at once after a
    change."""

    def __init__(
        self,
        look_after: LookAfter,
        *,
        interval: float,
        metrics: OperatorMetrics,
        kind: str = KIND,
        retry: float | None = None,
        timeout: float = PASS_TIMEOUT,
    ) -> None:
        """
        Args:
            retry: seconds until the next pass after one that did not come to its end; None: as
                after any other.
            timeout: seconds that one pass may take.
        """
        self._look_after = look_after
        self._interval = interval
        self._retry = interval if retry is None else min(retry, interval)
        self._timeout = timeout
        self._kind = kind
        self._metrics = metrics
        self._changes: dict[str, asyncio.Event] = {}
        self._revisions: dict[str, Hashable] = {}
        self._ticks: dict[str, float] = {}
        self._arrived = asyncio.Event()
        self._tick = time.monotonic()

    def seen(self, name: str, revision: Hashable) -> None:
        """The watch saw this object: new, changed, or deleted. Changes of its status are nothing:
        they leave the revision as it is."""
        change = self._changes.get(name)
        if change is None:
            self._changes[name] = asyncio.Event()
            self._arrived.set()
        elif self._revisions.get(name) != revision:
            change.set()
        self._revisions[name] = revision

    @property
    def tick_age(self) -> float:
        """Seconds since the pass that ended longest ago; passes that fail count too."""
        return time.monotonic() - min([self._tick, *self._ticks.values()])

    async def run(self) -> None:
        """Look after them until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            kept: set[str] = set()
            while True:
                for name in set(self._changes) - kept:
                    kept.add(name)
                    tasks.create_task(self._keep(name, kept), name=f"{self._kind} {name}")
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
            pause = self._interval if outcome in ("ok", "gone") else self._retry
            try:
                async with asyncio.timeout(pause):
                    await change.wait()
            except TimeoutError:
                continue
        log.info("object_gone", kind=self._kind, name=name)
        del self._changes[name], self._revisions[name], self._ticks[name]
        kept.discard(name)

    async def _pass(self, name: str) -> Outcome:
        began = time.monotonic()
        outcome: Outcome = "error"
        try:
            async with asyncio.timeout(self._timeout):
                outcome = "ok" if await self._look_after(name) else "gone"
        except NotYet as lacking:
            outcome = "waiting"
            log.info("pass_waits", kind=self._kind, name=name, reason=str(lacking))
        except ApiError as error:
            log.warning("pass_failed", kind=self._kind, name=name, reason=str(error))
        except TimeoutError:
            outcome = "timeout"
            log.warning("pass_timed_out", kind=self._kind, name=name, seconds=self._timeout)
        except Exception:
            # One that cannot be read must not end the care for the others.
            log.exception("pass_broke", kind=self._kind, name=name)
        finally:
            self._metrics.reconciled(self._kind, outcome, time.monotonic() - began)
        return outcome
