"""Storms of the same warning: one line, and then how many there were."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import structlog
from structlog.typing import WrappedLogger

EventDict = MutableMapping[str, Any]

_REPEAT_PAUSE: Final = 10.0  # seconds in which an identical warning is not written again
_REPEAT_REMEMBERED: Final = 256  # warnings
_NOT_IDENTITY: Final = frozenset({"trace_id", "span_id", "req", "dur_ms"})


def _identifies(key: str) -> bool:
    # What begins with an underscore belongs to the library that writes the line.
    return key not in _NOT_IDENTITY and not key.startswith("_")


def _is_own(key: str) -> bool:
    return key not in ("event", "exc_info") and not key.startswith("_")


class _Held:
    """A warning that was written, and how often it came again since."""

    __slots__ = ("at", "event", "times")

    def __init__(self, at: float, event: EventDict) -> None:
        self.at = at  # monotonic seconds
        self.event = event
        self.times = 0


class Collapse:
    """Writes identical warnings once per ten seconds, and then how many there were.

    What differs from request to request, ids of traces and durations, does not make them
    different. The number of a storm that is over is written with the next line of any kind.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, _Held] = OrderedDict()  # oldest first

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        now = self._clock()
        if event.get("level") != "warning":
            self._tell_overdue(now)
            return event
        identity = repr(sorted((key, repr(one)) for key, one in event.items() if _identifies(key)))
        held = self._seen.get(identity)
        if held is not None and now - held.at < _REPEAT_PAUSE:
            held.times += 1
            raise structlog.DropEvent
        self._seen.pop(identity, None)
        self._seen[identity] = _Held(now, dict(event))
        if held is not None and held.times:
            event["repeated"] = held.times
        self._tell_overdue(now)
        return event

    def _tell_overdue(self, now: float) -> None:
        while self._seen:
            identity, held = next(iter(self._seen.items()))
            if now - held.at < _REPEAT_PAUSE and len(self._seen) <= _REPEAT_REMEMBERED:
                return
            del self._seen[identity]
            if held.times:
                keys = {key: one for key, one in held.event.items() if _is_own(key)}
                name = keys.pop("logger", "")
                again = structlog.get_logger(logger_name=name)
                again.warning(held.event["event"], **keys, repeated=held.times)
