"""Where a client stands in the event log, as it tells when it comes back. Pure.

A *position* names a log and a place in it. A client that gives the position of a room with its
sub gets what it missed since then, if all of that can be had; see "Recovery" in the protocol.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from hubbub.errors import BadRequest

MAX_FRAMES: Final = 300  # replayed for one room in a burst of subs
MAX_BURST: Final = 1_000  # replayed to one socket in a burst of subs
MAX_BYTES: Final = 1024 * 1024  # replayed to one socket in a burst of subs
BURST: Final = 10.0  # seconds; a sub of later begins a new burst

_MAX_EPOCH = 128  # characters
_MAX_SEQUENCE = 2**53 - 1  # what a JavaScript client can hold

COLLECTION: Final = "stream-hubbub"
"""The collection of frames about the streams themselves."""

Missed = Literal["not_asked", "epoch_changed", "too_old", "too_many", "failed"]
"""Why a client does not get what it missed, and has to fetch it.

`not_asked`      it has no position yet, or hears the stream already
`epoch_changed`  its position is of another log
`too_old`        the log no longer has all of it
`too_many`       it is more than may be replayed
`failed`         the log did not answer in time
"""


@dataclass(frozen=True, slots=True)
class Position:
    """Everything up to `sequence` of the log `epoch` has been sent, as far as it was asked for."""

    epoch: str
    sequence: int

    def as_json(self) -> dict[str, Any]:
        """As clients know it."""
        return {"epoch": self.epoch, "seq": self.sequence}


@dataclass(frozen=True, slots=True)
class Since:
    """A sub asks for positions. `position`: the one it goes on from; None: it has none."""

    position: Position | None


def since_of(params: list[Any]) -> Since | None:
    """What the params of a sub say about positions; None: they say nothing of them.

    The key `since` stands in the first object behind the event name that has it.

    Raises:
        BadRequest: `since` is there and is neither null nor a position.
    """
    for option in params[1:3]:
        if isinstance(option, dict) and "since" in option:
            return Since(_position(option["since"]))
    return None


def _position(value: Any) -> Position | None:
    if value is None:
        return None
    epoch, sequence = (
        (value.get("epoch"), value.get("seq")) if isinstance(value, dict) else (None, None)
    )
    if (
        isinstance(epoch, str)
        and len(epoch) <= _MAX_EPOCH
        and isinstance(sequence, int)
        and not isinstance(sequence, bool)
        and 0 <= sequence <= _MAX_SEQUENCE
    ):
        return Position(epoch, sequence)
    raise BadRequest(
        'since must be null or {"epoch": text, "seq": whole number}', code="error-invalid-since"
    )


class Allowance:
    """How much one socket may still have replayed in this burst of subs."""

    __slots__ = ("_begun", "_bytes", "_frames")

    def __init__(self) -> None:
        self._begun = float("-inf")
        self._bytes = 0
        self._frames: Counter[str] = Counter()

    def of(self, room: str, now: float) -> tuple[int, int]:
        """Frames and bytes that may be replayed for `room` at `now` (monotonic seconds)."""
        if now - self._begun > BURST:
            self._begun, self._bytes = now, 0
            self._frames.clear()
        frames = min(MAX_FRAMES - self._frames[room], MAX_BURST - self._frames.total())
        return frames, MAX_BYTES - self._bytes

    def spend(self, room: str, payloads: list[bytes]) -> None:
        """These were replayed."""
        self._frames[room] += len(payloads)
        self._bytes += sum(map(len, payloads))


def positioned(message: bytes, sequence: int) -> bytes:
    """A stream's frame with its place in the log behind everything that it had before."""
    return b'%b,"hubbub":{"seq":%d}}' % (message[:-1], sequence)


def ready_extra(position: Position, *, recovered: bool) -> dict[str, Any]:
    """What `ready` of a sub with `since` has besides."""
    return {"hubbub": {**position.as_json(), "recovered": recovered}}


def position_frame(position: Position) -> bytes:
    """Tells where all ready subs of a socket are that were asked for with `since`."""
    return _frame("position", position.as_json())


def resync_frame(rooms: list[str] | None) -> bytes:
    """Tells that events of these rooms are missing for good; None: of everything."""
    return _frame("resync", {"rooms": "all" if rooms is None else rooms})


def _frame(event: str, argument: dict[str, Any]) -> bytes:
    return orjson.dumps(
        {
            "msg": "changed",
            "collection": COLLECTION,
            "id": "id",
            "fields": {"eventName": event, "args": [argument]},
        }
    )
