"""Who waits for which answer: one inbox, a dictionary of futures, no subscription per call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hubbub.bus.codec import Plain
from hubbub.bus.sweeper import Sweeper
from hubbub.errors import HubbubError, Timeout

_REMEMBERED = 4096  # tokens of calls that gave up, to tell a late answer from a second one


class NoResponders(Exception):
    """Nobody is subscribed: nobody got the request, so sending it again is always safe."""


class ConnectionLost(Exception):
    """The connection broke while a request was under way: nobody knows whether it arrived."""


class NotSent(Exception):
    """The request did not leave this process; `error` is what to tell the caller."""

    def __init__(self, error: HubbubError) -> None:
        super().__init__(error)
        self.error = error


class Waiting:
    """One call that waits for its answer."""

    __slots__ = (
        "again",
        "deadline",
        "due",
        "future",
        "on_silence",
        "sent",
        "token",
        "unheard",
        "vanished",
    )

    def __init__(
        self,
        token: bytes,
        deadline: float,
        due: float,
        on_silence: Callable[[Waiting], float] | None,
        future: asyncio.Future[bytes | Plain],
    ) -> None:
        self.token = token
        self.deadline = deadline  # monotonic seconds
        self.due = due  # when to look at it next
        self.on_silence = on_silence
        self.future = future
        self.sent = 1  # how often it may have reached somebody
        self.again = 0.0  # when silence is worth the next send
        self.unheard = False  # the last of several sends reached nobody
        self.vanished = False  # that happened before: nobody is there, or was for a moment


def repeated(waiting: Waiting) -> bytes:
    """The token of one more send of the same request."""
    return b"%b-%d" % (waiting.token, waiting.sent)


class ReplyTable:
    """Matches answers with the calls that wait for them.

    The first answer to a token wins. Later ones are counted: `late` when the call had given up,
    `second` when it had been answered before.
    """

    def __init__(self, sweeper: Sweeper) -> None:
        self._sweeper = sweeper
        self._waiting: dict[bytes, Waiting] = {}
        self._given_up: dict[bytes, None] = {}
        self._next = 0
        self.late = 0
        self.second = 0
        sweeper.add(self)

    def __len__(self) -> int:
        return len(self._waiting)

    def open(
        self,
        deadline: float,
        *,
        silence_at: float | None = None,
        on_silence: Callable[[Waiting], float] | None = None,
    ) -> Waiting:
        """Begin to wait until `deadline`.

        Args:
            silence_at: when to call `on_silence` first, if no answer came by then.
            on_silence: returns when it wants to be called again; the deadline ends it.
        """
        self._next += 1
        token = b"%x" % self._next
        due = deadline if silence_at is None or silence_at > deadline else silence_at
        future: asyncio.Future[bytes | Plain] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[token] = Waiting(token, deadline, due, on_silence, future)
        if not self._sweeper.armed:
            self._sweeper.arm()
        return waiting

    def answer(self, token: bytes, body: bytes | Plain) -> None:
        """An answer arrived, to whichever of the sends."""
        token = token.partition(b"-")[0]
        waiting = self._waiting.pop(token, None)
        if waiting is None:
            if token in self._given_up:
                self.late += 1
            else:
                self.second += 1
        elif not waiting.future.done():
            waiting.future.set_result(body)

    def nobody(self, token: bytes) -> None:
        """The server said that nobody is subscribed.

        Said of a repeated send it ends nothing: the first one may still be answered by an
        instance that left its group and finishes its work.
        """
        token, repetition, _ = token.partition(b"-")
        waiting = self._waiting.get(token)
        if waiting is None:
            return
        if repetition:
            waiting.unheard = True
        elif waiting.sent == 1:
            self._fail(waiting, NoResponders())

    def give_up(self, waiting: Waiting) -> None:
        """The caller no longer waits; an answer that still comes is late."""
        if self._waiting.pop(waiting.token, None) is not None:
            self._remember(waiting.token)

    def fail_all(self, make_error: Callable[[], Exception]) -> None:
        """Every waiting call fails now."""
        for waiting in list(self._waiting.values()):
            self._remember(waiting.token)
            self._fail(waiting, make_error())

    def sweep(self, now: float) -> bool:
        """See `Swept`."""
        for waiting in [one for one in self._waiting.values() if one.due <= now]:
            if waiting.on_silence is not None and now < waiting.deadline:
                waiting.due = min(waiting.on_silence(waiting), waiting.deadline)
            else:
                self._remember(waiting.token)
                self._fail(waiting, Timeout())
        return bool(self._waiting)

    def _fail(self, waiting: Waiting, error: Exception) -> None:
        self._waiting.pop(waiting.token, None)
        if not waiting.future.done():
            waiting.future.set_exception(error)

    def _remember(self, token: bytes) -> None:
        self._given_up[token] = None
        if len(self._given_up) > _REMEMBERED:
            del self._given_up[next(iter(self._given_up))]
