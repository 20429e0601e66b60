"""How often a client may call: fixed windows, counted per streamer. Pure: time is an argument.

A window begins with the first call and lasts its length, whatever comes; so does the original's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from hubbub.errors import RateLimited

_SWEEP_INTERVAL = 60.0  # seconds between two looks for windows that are over


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `limit` calls in `seconds`; 0: no limit.

    `by` says what is counted together: any of address, user, connection, method.
    `unless`: a permission whose holders may do more.
    """

    name: str
    limit: int
    seconds: float
    by: frozenset[str]
    only: str | None = None
    """The only method that it counts; None: all."""
    subs: bool = True
    """Subscriptions count too."""
    unless: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One method or subscription."""

    name: str
    connection_id: str
    user_id: str | None = None
    address: str | None = None
    is_sub: bool = False


@dataclass(frozen=True, slots=True)
class Excess:
    """An attempt over the limit of `rule`; it may come again in `wait` seconds."""

    rule: Rule
    wait: float

    def error(self) -> RateLimited:
        """As the client sees it."""
        seconds = math.ceil(self.wait)
        return RateLimited(
            "Error, too many requests. Please slow down. You must wait"
            f" {seconds} seconds before trying again.",
            details={"timeToReset": math.ceil(self.wait * 1000)},
        )


class RateLimiter:
    """Counts attempts against rules."""

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = [rule for rule in rules if rule.limit > 0]
        self._windows: dict[tuple[str, ...], list[float]] = {}  # key → [end, count]
        self._sweep_at = 0.0

    def __len__(self) -> int:
        return len(self._windows)

    def check(self, attempt: Attempt, now: float) -> Excess | None:
        """Count an attempt at `now` (monotonic seconds); None when it is within every limit.

        Of several limits that are exceeded, one that nobody is above counts before one that a
        permission lifts, and the longer wait before the shorter. A refused attempt counts too.
        """
        if now >= self._sweep_at:
            self._sweep(now)
        worst: Excess | None = None
        for rule in self._rules:
            key = _key(rule, attempt)
            if key is None:
                continue
            window = self._windows.get(key)
            if window is None or window[0] <= now:
                self._windows[key] = [now + rule.seconds, 1]
                continue
            window[1] += 1
            if window[1] > rule.limit:
                excess = Excess(rule, window[0] - now)
                if worst is None or _weight(excess) > _weight(worst):
                    worst = excess
        return worst

    def _sweep(self, now: float) -> None:
        self._sweep_at = now + _SWEEP_INTERVAL
        for key in [key for key, window in self._windows.items() if window[0] <= now]:
            del self._windows[key]


def _weight(excess: Excess) -> tuple[bool, float]:
    return excess.rule.unless is None, excess.wait


def _key(rule: Rule, attempt: Attempt) -> tuple[str, ...] | None:
    """What the attempt is counted under; None: the rule is not about it."""
    if attempt.is_sub and not rule.subs:
        return None
    if rule.only is not None and (attempt.is_sub or attempt.name != rule.only):
        return None
    key = [rule.name]
    for part in sorted(rule.by):
        value = {
            "address": attempt.address,
            "user": attempt.user_id,
            "connection": attempt.connection_id,
            "method": attempt.name,
        }[part]
        if value is None:
            return None
        key.append(value)
    return tuple(key)
