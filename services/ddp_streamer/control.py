"""What operators may ask of this one streamer: to drain, or to let go of some clients."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Protocol

from hubbub.clock import Clock, SystemClock
from hubbub.contracts.streamers import StreamerControl
from hubbub.errors import BadRequest
from hubbub.telemetry.log import get_logger
from services.ddp_streamer.drain import Leaving

log = get_logger(__name__)

_LONGEST_WINDOW = 3_600.0  # seconds
_SPARED = 3_600.0  # seconds for which a user is left alone after one of its sockets was shed


class Sheddable(Leaving, Protocol):
    """A session that may be asked to come back elsewhere."""

    @property
    def user_id(self) -> str | None: ...


class Shedding:
    """Chooses who is asked to come back elsewhere."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        shuffle: Callable[[list[Sheddable]], None] = random.shuffle,
    ) -> None:
        self._clock = clock or SystemClock()
        self._shuffle = shuffle
        self._shed_at: dict[str, float] = {}  # user id → when (monotonic)

    def choose(self, sessions: Iterable[Sheddable], count: int, youngest: float) -> list[Sheddable]:
        """Up to `count` of `sessions`, picked at random and remembered.

        Spares those younger than `youngest` seconds, those that wait for an answer, and users
        of whom one was chosen within the last hour.
        """
        now = self._clock.monotonic()
        self._forget_before(now - _SPARED)
        candidates = [session for session in sessions if _may_go(session, youngest)]
        self._shuffle(candidates)
        chosen: list[Sheddable] = []
        for session in candidates:
            if len(chosen) >= count:
                break
            if session.user_id is not None:
                if session.user_id in self._shed_at:
                    continue
                self._shed_at[session.user_id] = now
            chosen.append(session)
        return chosen

    def _forget_before(self, moment: float) -> None:
        for user_id in [user_id for user_id, at in self._shed_at.items() if at <= moment]:
            del self._shed_at[user_id]


def _may_go(session: Sheddable, youngest: float) -> bool:
    waits = session.busy or session.in_login
    return not session.closed and not waits and session.age >= youngest


class Control(StreamerControl):
    """Answers operators. Served for this instance alone, never in a group."""

    def __init__(
        self,
        *,
        begin_drain: Callable[[float | None], bool],
        is_draining: Callable[[], bool],
        sessions: Callable[[], Iterable[Sheddable]],
        close: Callable[[list[Sheddable]], None],
        shedding: Shedding | None = None,
    ) -> None:
        """
        Args:
            begin_drain: given the window; whether it was not begun before.
            close: closes sessions soon, each with its answers, at a bearable pace.
        """
        self._begin_drain = begin_drain
        self._is_draining = is_draining
        self._sessions = sessions
        self._close = close
        self._shedding = shedding or Shedding()

    async def drain(self, window: float | None = None) -> bool:
        """See the contract. Raises: BadRequest: no number of seconds up to an hour."""
        if window is not None and not 0 <= window <= _LONGEST_WINDOW:
            raise BadRequest(f"window: expected seconds between 0 and {_LONGEST_WINDOW:g}")
        return self._begin_drain(window)

    async def shed(self, connections: int, youngest: float = 600.0) -> int:
        """See the contract. In a drain everybody goes anyway: none then."""
        if self._is_draining() or connections <= 0:
            return 0
        chosen = self._shedding.choose(self._sessions(), connections, youngest)
        if chosen:
            log.info("shedding", asked=connections, chosen=len(chosen))
            self._close(chosen)
        return len(chosen)
