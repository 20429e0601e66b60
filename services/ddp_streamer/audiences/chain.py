"""The order of one audience: every event of the log once, in the log's order.

Pure: fed with what arrives, it answers with what may pass and says what is missing.

    closed ──start(base)──▶ flowing ──a hole, or suspect()──▶ waiting ──caught up──▶ flowing

While *waiting*, live events are held; whoever keeps the chain reads the log behind `last` and
feeds it with `fetched`, then says `reached_end`. Nothing is ever skipped: what cannot be found
raises `Lost`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

MAX_HELD = 1_000  # events of one audience that wait behind a hole
MAX_HELD_BYTES = 1024 * 1024

_BY_SEQUENCE = attrgetter("sequence")


class Lost(Exception):
    """Continuity cannot be proven: events are missing that nobody has any more."""


class Link(Protocol):
    """What a chain needs to know of an event."""

    @property
    def sequence(self) -> int: ...
    @property
    def last_sequence(self) -> int: ...
    @property
    def id(self) -> str: ...
    @property
    def payload(self) -> bytes: ...


L = TypeVar("L", bound=Link)


class Chain(Generic[L]):
    """The events of one audience.

    Args:
        linked: events name their predecessor. Those of a wildcard do not (each names that of its
            own subject): there, holes cannot be seen and only `suspect` closes the chain.
    """

    __slots__ = (
        "_held",
        "_held_bytes",
        "_last_id",
        "_wanted",
        "base",
        "flowing",
        "last",
        "linked",
    )

    def __init__(self, *, linked: bool = True) -> None:
        self.linked = linked
        self.base = 0
        """Where it began: events up to here never passed."""
        self.last = 0
        """Sequence of the last event that passed; everything up to it has passed or never was."""
        self.flowing = False
        """Live events pass. Otherwise they are held, and the log has to be read."""
        self._wanted: int | None = None  # the log must be read up to here; None: not known yet
        self._last_id = ""
        self._held: list[L] = []
        self._held_bytes = 0

    @property
    def heard(self) -> int:
        """Sequence of the last event that passed since the beginning; 0: none has."""
        return self.last if self._last_id else 0

    @property
    def heard_id(self) -> str:
        """Id of that event."""
        return self._last_id

    @property
    def held_bytes(self) -> int:
        """Payload that waits behind a hole."""
        return self._held_bytes

    def start(self, base: int) -> Sequence[L]:
        """Begin behind `base`. Returns: held events that may pass."""
        self.base = self.last = base
        self._last_id = ""
        return self.prove(base)

    def take(self, event: L) -> Sequence[L]:
        """A live event. Returns: what may pass now, in order.

        Raises:
            Lost: too much is held, or the log was replaced: a known sequence has another id.
        """
        if event.sequence <= self.last:
            if event.sequence == self.last and self._last_id and event.id != self._last_id:
                raise Lost("the log was replaced")
            return ()
        if self.flowing:
            if not self.linked or event.last_sequence <= self.last:
                self._pass(event)
                return (event,)
            self.flowing = False
            self._wanted = event.last_sequence
        self._hold(event)
        return ()

    def suspect(self) -> None:
        """Something may have been missed: hold what comes until `prove` or `reached_end`."""
        self.flowing = False
        self._wanted = None

    def prove(self, top: int) -> Sequence[L]:
        """The log's last event of this audience is `top`, or was a moment ago.

        Returns: held events that may pass, when nothing is missing.
        """
        if not self.flowing:
            self._wanted = max(top, self._wanted or 0)
        elif top > self.last:
            self.flowing = False
            self._wanted = top
        return self._release()

    def fetched(self, event: L) -> Sequence[L]:
        """An event read from the log behind `last`, in the log's order. Returns: what may pass."""
        if event.sequence <= self.last:
            return ()
        self._pass(event)
        return (event, *self._release())

    def reached_end(self) -> Sequence[L]:
        """The log has nothing behind `last`. Returns: held events that may pass.

        The chain stays closed when the log must have more: it may come from a copy that lags.
        """
        if self._wanted is None:
            # Nothing more was there when the log answered: only held events can come behind.
            self._wanted = self._before_held() if self.linked else self.last
        return self._release()

    @property
    def missing(self) -> bool:
        """An event is known to exist that neither arrived nor was read."""
        return not self.flowing and self._wanted is not None and self._wanted > self.last

    @property
    def known_top(self) -> int:
        """Sequence of the last event that is known to exist."""
        held = self._held[-1].sequence if self._held else 0
        return max(self.last, self._wanted or 0, held)

    def drop_held(self) -> None:
        """Forget what is held: the chain is lost, or nobody listens."""
        self._held.clear()
        self._held_bytes = 0

    def _before_held(self) -> int:
        return self._held[0].last_sequence if self._held else self.last

    def _pass(self, event: L) -> None:
        self.last = event.sequence
        self._last_id = event.id

    def _hold(self, event: L) -> None:
        index = len(self._held)
        if index and self._held[-1].sequence >= event.sequence:
            index = bisect_left(self._held, event.sequence, key=_BY_SEQUENCE)
            if self._held[index].sequence == event.sequence:
                return
        self._held.insert(index, event)
        self._held_bytes += len(event.payload)
        if len(self._held) > MAX_HELD or self._held_bytes > MAX_HELD_BYTES:
            raise Lost("too much is waiting")

    def _release(self) -> Sequence[L]:
        """Let pass what follows without a hole; flow again when nothing is missing."""
        passed: list[L] = []
        if self._wanted is None or self._wanted > self.last:
            return passed
        taken = 0
        for event in self._held:
            if event.sequence > self.last:
                if self.linked and event.last_sequence > self.last:
                    self._wanted = event.last_sequence
                    break
                self._pass(event)
                passed.append(event)
            taken += 1
        self._held_bytes -= sum(len(event.payload) for event in self._held[:taken])
        del self._held[:taken]
        if not self._held:
            self.flowing = True
            self._wanted = None
        return passed
