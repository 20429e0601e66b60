"""Whether this process is started, alive and ready, and what it knows about those it needs.

Checks run in the background once per second; whoever asks reads the last outcome, so a probe
never waits for a dependency. A failing check makes the process *degraded*, not unready: when a
database is away, taking every replica out of service would turn a blip into an outage.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from hubbub.clock import Clock, SystemClock
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.metrics import ProcessMetrics, UpState

log = get_logger(__name__)

Probe = Callable[[], str | Awaitable[str | None] | None]
"""Returns None (or "") when all is well, else what is wrong in a few words."""

CHECK_INTERVAL = 1.0  # seconds
CHECK_TIMEOUT = 2.0  # seconds that one check may take
BEAT_LIMIT = 10.0
"""Seconds without a turn of the event loop after which the process does not count as alive."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check found, and when (monotonic seconds)."""

    name: str
    ok: bool
    detail: str
    at: float


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to one probe."""

    ok: bool
    checks: tuple[Outcome, ...]


@dataclass(slots=True)
class _Check:
    probe: Probe
    decides: Callable[[], bool]
    patience: float
    vital: bool = False
    failing_since: float | None = None  # monotonic


class Health:
    """Readiness that the service declares, and checks that run in the background."""

    def __init__(
        self, metrics: ProcessMetrics, *, stopping: asyncio.Event, clock: Clock | None = None
    ) -> None:
        self._metrics = metrics
        self._stopping = stopping
        self._clock = clock or SystemClock()
        self._checks: dict[str, _Check] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._started = False
        self._refusal = "starting"  # why not ready; "" when ready
        self._said_ready_at = self._clock.monotonic()
        self._beat_at = self._clock.monotonic()
        self._dead: dict[str, float] = {}  # vital task → when it died (monotonic)
        self._closed = False

    def check(
        self,
        name: str,
        probe: Probe,
        *,
        affects_readiness: bool | Callable[[], bool] = False,
        patience: float = 0.0,
        affects_liveness: bool = False,
    ) -> None:
        """Run `probe` every second from now on; `name` is one of a closed set of words.

        `probe` may be plain or async; it returns what is wrong, or None. Its failure is shown
        and makes the process degraded. With `affects_readiness` (asked when it matters, if it
        is a function) a failure that lasts for `patience` seconds takes this process out of
        service. With `affects_liveness` a failure means that only a new start can help, so it is
        nothing for a dependency. The same name again replaces the check.
        """
        decides = affects_readiness if callable(affects_readiness) else lambda: affects_readiness
        self._checks[name] = _Check(probe, decides, patience, affects_liveness)
        self._outcomes.pop(name, None)

    def ready(self) -> None:
        """New work may come. The first call also ends the start."""
        self._started = True
        self._refuse("")

    def not_ready(self, reason: str) -> None:
        """No new work should come, until `ready` is called."""
        self._refuse(reason)

    def closed(self) -> None:
        """The drain is done: whoever was served here is served elsewhere."""
        self._closed = True
        self._metrics.set_state(self.state)

    def beat(self) -> None:
        """The event loop has made a turn."""
        self._beat_at = self._clock.monotonic()

    def died(self, task: str) -> None:
        """A task has ended that this process cannot do its work without."""
        self._dead.setdefault(task, self._clock.monotonic())

    @property
    def is_ready(self) -> bool:
        """Whether this process should get new work now."""
        return self.readiness().ok

    @property
    def state(self) -> UpState:
        """The one word for what this process is doing."""
        if self._closed:
            return "closed"
        if self._stopping.is_set():
            return "draining"
        if not self._started:
            return "starting"
        fine = not self._refusal and all(outcome.ok for outcome in self._outcomes.values())
        return "serving" if fine else "degraded"

    def startup(self) -> Report:
        """One-time work is finished."""
        return Report(self._started, (self._declared("start", ok=self._started),))

    def liveness(self) -> Report:
        """The process can still get on: its loop turns and nothing vital has died.

        No dependency is asked: starting again would not bring it back.
        """
        silence = self._clock.monotonic() - self._beat_at
        turns = silence < BEAT_LIMIT
        detail = "" if turns else f"no turn for {silence:.0f} s"
        loop = Outcome("event_loop", ok=turns, detail=detail, at=self._beat_at)
        dead = [Outcome(name, ok=False, detail="died", at=at) for name, at in self._dead.items()]
        vital = [outcome for name, outcome in self._outcomes.items() if self._checks[name].vital]
        fine = turns and not dead and all(outcome.ok for outcome in vital)
        return Report(fine, (loop, *dead, *vital))

    def readiness(self) -> Report:
        """New work should come here. Checks that do not decide it are listed all the same."""
        refusal = "draining" if self._stopping.is_set() else self._refusal
        service = Outcome("service", ok=not refusal, detail=refusal, at=self._said_ready_at)
        refused = any(self._refuses(check) for check in self._checks.values())
        return Report(not refusal and not refused, (service, *self._outcomes.values()))

    def _refuses(self, check: _Check) -> bool:
        since = check.failing_since
        lasts = since is not None and self._clock.monotonic() - since >= check.patience
        return lasts and check.decides()

    async def watch(self) -> None:
        """Run all checks every second, until cancelled."""
        while True:
            await self.run_checks()
            self._metrics.set_state(self.state)
            await self._clock.sleep(CHECK_INTERVAL)

    async def run_checks(self) -> None:
        """Run every check once, one after another."""
        for name, check in list(self._checks.items()):
            problem = await self._problem(name, check.probe)
            before = self._outcomes.get(name)
            if self._checks.get(name) is not check:
                continue  # replaced meanwhile
            outcome = Outcome(name, not problem, problem, self._clock.monotonic())
            self._outcomes[name] = outcome
            if outcome.ok:
                check.failing_since = None
            elif check.failing_since is None:
                check.failing_since = outcome.at
            self._metrics.dependency_up.labels(name).set(outcome.ok)
            if before is not None and before.ok != outcome.ok:
                _tell(outcome)

    async def _problem(self, name: str, probe: Probe) -> str:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                answer = probe()
                return (await answer if inspect.isawaitable(answer) else answer) or ""
        except TimeoutError:
            return f"no answer in {CHECK_TIMEOUT:g} s"
        except Exception as error:  # a check that breaks is a failed check, not a dead process
            log.debug("check_raised", check=name, exc_info=True)
            return f"{type(error).__name__}: {error}"[:200]

    def _refuse(self, reason: str) -> None:
        self._refusal = reason
        self._said_ready_at = self._clock.monotonic()
        self._metrics.set_state(self.state)

    def _declared(self, name: str, *, ok: bool) -> Outcome:
        return Outcome(name, ok, "" if ok else "starting", self._said_ready_at)


def _tell(outcome: Outcome) -> None:
    status: Literal["check_passes", "check_fails"] = "check_passes" if outcome.ok else "check_fails"
    if outcome.ok:
        log.info(status, check=outcome.name)
    else:
        log.warning(status, check=outcome.name, detail=outcome.detail)
