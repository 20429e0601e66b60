"""Keeps one app running, and gives up on one that keeps failing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from hubbub.clock import Clock
from hubbub.errors import HubbubError, Unavailable
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger
from services.apps_engine.confinement.plan import Plan
from services.apps_engine.confinement.report import Confinement
from services.apps_engine.domain.boundaries import Boundary, active
from services.apps_engine.domain.pace import Window, pause_before_restart
from services.apps_engine.processes import AppProcess, Bounding, Bridge, Cause, Ending

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often an app may fail, and how long it waits for its next try."""

    failures: int = 5
    """Failures within `span` after which the app is disabled."""
    span: float = 600.0  # seconds
    first_pause: float = 1.0  # seconds
    longest_pause: float = 60.0  # seconds


class Listener(Protocol):
    """Who hears what becomes of an app. None of these may fail."""

    async def started(self, declared: dict[str, Any], confinement: Confinement) -> None:
        """It runs. `declared` is its answer to `start`, unjudged: raise ValueError to refuse it."""
        ...

    async def failed(self, ending: Ending, pause: float) -> None:
        """It ended and is started again in `pause` seconds."""
        ...

    async def disabled(self, reason: str) -> None:
        """It failed too often, or cannot run here, and is not started again."""
        ...


class Supervisor:
    """One app that should run; `run` is its task, and owns every process of the app."""

    def __init__(
        self,
        plan: Plan,
        start_args: Callable[[], dict[str, Any]],
        bridge: Bridge,
        listener: Listener,
        *,
        bounding: Bounding,
        patience: Patience,
        clock: Clock,
    ) -> None:
        """
        Args:
            start_args: the arguments of `start`, asked for at each start.
        """
        self._plan = plan
        self._start_args = start_args
        self._bridge = bridge
        self._listener = listener
        self._bounding = bounding
        self._patience = patience
        self._clock = clock
        self._failures = Window(patience.failures, patience.span)
        self._in_a_row = 0
        self._process: AppProcess | None = None
        self._running: AppProcess | None = None
        self._stopping = asyncio.Event()

    @property
    def process(self) -> AppProcess | None:
        """The process that has been started and may be called; None between two of them."""
        running = self._running
        return running if running and not running.ending else None

    async def call(self, name: str, args: dict[str, Any], deadline: float | None = None) -> Any:
        """Call the app; see `AppProcess.call`.

        Raises:
            Unavailable: it is not running at the moment.
        """
        if (process := self.process) is None:
            raise Unavailable("The app is not running")
        return await process.call(name, args, deadline)

    async def run(self) -> None:
        """Keep the app running until `stop`, or until it failed too often. A cancellation ends
        the process at once."""
        while not self._stopping.is_set():
            ending = await self._live()
            heed_cancellation()
            if self._stopping.is_set():
                return
            if ending.cause is Cause.REFUSED:
                await self._give_up(ending.detail)
                return
            failures = self._failures.add(self._clock.monotonic())
            self._in_a_row = 1 if failures == 1 else self._in_a_row + 1
            if failures >= self._patience.failures:
                await self._give_up(
                    f"ended {failures} times within {self._patience.span / 60:g} minutes; "
                    f"at last it {ending.detail}"
                )
                return
            await self._pause(ending)

    async def stop(self) -> None:
        """Let `run` return: the app is asked to stop, and ended when it does not."""
        self._stopping.set()
        if self._process:
            await self._process.stop()

    async def _live(self) -> Ending:
        """One process, from its start to its end."""
        try:
            process = await AppProcess.spawn(
                self._plan, self._bridge, bounding=self._bounding, clock=self._clock
            )
        except OSError as error:  # too many processes, or no memory for one
            return Ending(Cause.NOT_STARTED, f"could not be started: {error.strerror}")
        self._process = process
        try:
            if self._stopping.is_set():  # while it was being started
                return await process.kill()
            try:
                declared = await process.start(self._start_args())
                confinement = process.confinement or Confinement()
                await self._listener.started(declared, confinement)
            except (HubbubError, ValueError) as error:
                return await process.reject(f"did not start: {error}")
            self._running = process
            self._say(confinement)
            return await process.wait()
        finally:
            self._process = self._running = None
            await process.kill()

    def _say(self, confinement: Confinement) -> None:
        """Into the log, what keeps this app in, and what does not on this machine."""
        holding = active(confinement)
        absent = sorted(set(Boundary) - holding)
        say = log.warning if absent else log.info
        say(
            "app_started",
            app=self._plan.app,
            boundaries=sorted(holding),
            lacking=absent,
            means=sorted(means for means in confinement.findings if confinement.has(means)),
        )

    async def _pause(self, ending: Ending) -> None:
        pause = pause_before_restart(
            self._in_a_row, first=self._patience.first_pause, most=self._patience.longest_pause
        )
        log.warning("app_ended", app=self._plan.app, cause=ending.cause.value, pause=pause)
        await self._listener.failed(ending, pause)
        waiting = asyncio.ensure_future(self._clock.sleep(pause))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            stopping.cancel()

    async def _give_up(self, reason: str) -> None:
        log.error("app_disabled", app=self._plan.app)
        await self._listener.disabled(reason)
