"""Circuit breaker: stop calling what keeps failing, and look again now and then.

One per action and process. Closed: calls pass and are counted. Half of at least 20 requests
within a minute failed: open, calls are refused at once. After ten seconds one call may try
(half-open); its success closes the circuit, its failure opens it for ten more seconds. Where the
broker itself says that nobody serves the action, one second is enough: to ask costs nobody
anything, and whoever comes back is found at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum

WINDOW = 60.0  # seconds that are remembered
SLICE = 5.0  # seconds; the window moves in steps of this size
LEAST_REQUESTS = 20
FAILURE_RATIO = 0.5
PAUSE = 10.0  # seconds until an open circuit lets a probe through
NOBODY_PAUSE = 1.0  # the same, where the last failure was that nobody serves the action


class CircuitState(IntEnum):
    """Values of the metric `hubbub_rpc_circuit_state`."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Decides whether a call may go out. Every admitted call must end in exactly one of
    `succeeded`, `failed` or `abandoned`."""

    __slots__ = (
        "_all_failures",
        "_all_requests",
        "_monotonic",
        "_opened_at",
        "_pause",
        "_probing",
        "_slices",
        "state",
    )

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        # [end of the slice, requests, failures], oldest first; the sums over them beside it
        self._slices: deque[list[float]] = deque()
        self._all_requests = 0.0
        self._all_failures = 0.0
        self._opened_at = 0.0
        self._pause = PAUSE
        self._probing = False
        self.state = CircuitState.CLOSED

    def admit(self) -> bool:
        """Whether a call may be made now."""
        if self.state is CircuitState.CLOSED:
            return True
        if self.state is CircuitState.OPEN and self._monotonic() - self._opened_at >= self._pause:
            self.state = CircuitState.HALF_OPEN
            self._probing = False
        if self.state is CircuitState.HALF_OPEN and not self._probing:
            self._probing = True
            return True
        return False

    def succeeded(self) -> None:
        """The callee answered, be it with an error that is the caller's own fault."""
        if self.state is CircuitState.CLOSED:
            self._slice()[1] += 1
            self._all_requests += 1
        elif self.state is CircuitState.HALF_OPEN:
            self._close()

    def failed(self, *, nobody: bool = False) -> None:
        """The callee did not answer, was unavailable, or has a defect; or there is `nobody` to be
        called."""
        if self.state is CircuitState.HALF_OPEN:
            self._open(nobody)
        elif self.state is CircuitState.CLOSED:
            current = self._slice()
            current[1] += 1
            current[2] += 1
            self._all_requests += 1
            self._all_failures += 1
            if (
                self._all_requests >= LEAST_REQUESTS
                and self._all_failures >= FAILURE_RATIO * self._all_requests
            ):
                self._open(nobody)

    def abandoned(self) -> None:
        """The call ended without telling anything about the callee, for example cancelled."""
        self._probing = False

    def _slice(self) -> list[float]:
        now = self._monotonic()
        slices = self._slices
        if slices and now < slices[-1][0]:
            return slices[-1]
        while slices and slices[0][0] <= now - WINDOW:
            _, requests, failures = slices.popleft()
            self._all_requests -= requests
            self._all_failures -= failures
        slices.append([now + SLICE, 0.0, 0.0])
        return slices[-1]

    def _open(self, nobody: bool) -> None:
        self._pause = NOBODY_PAUSE if nobody else PAUSE
        self.state = CircuitState.OPEN
        self._opened_at = self._monotonic()
        self._probing = False

    def _close(self) -> None:
        self.state = CircuitState.CLOSED
        self._probing = False
        self._slices.clear()
        self._all_requests = self._all_failures = 0.0
