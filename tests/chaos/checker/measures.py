"""How much happened, and how long it took. What the numbers mean stands in `verdict`.

A wait belongs to a fault if any part of it lies between the fault and `Bounds.quiet` seconds after
its end. So one wait may belong to several faults, if they overlap. Who is made to read slowly
waits for that: their waits are told apart from those of all others.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from math import ceil, inf

from tests.chaos.checker.timeline import Timeline
from tests.chaos.checker.verdict import Bounds, Counts, Invariant, Pauses, Violation
from tests.chaos.history import Fault, Frame, Resync


def counts(timeline: Timeline, violations: Iterable[Violation], readers: int) -> Counts:
    """`readers`: how many were judged until the end."""
    sent = [one for one in timeline.writings.values() if one.sends]
    acked = sum(bool(one.acks) for one in sent)
    refused = sum(one.refused for one in sent)
    broken = Counter(violation.invariant for violation in violations)
    return Counts(
        sent=len(sent),
        acked=acked,
        unknown=len(sent) - acked - refused,
        refused=refused,
        repeated=sum(len(one.sends) - 1 for one in sent),
        delivered=sum(
            isinstance(one, Frame) and one.edited is None
            for shown in timeline.shown.values()
            for one in shown
        ),
        recovered=sum(1 for _ in _recovered(timeline)),
        readers=readers,
        lost=broken[Invariant.ACKED_DURABLE] + broken[Invariant.ACKED_DELIVERED],
        doubled=broken[Invariant.ONCE] + broken[Invariant.UNKNOWN_SAFE],
        misordered=broken[Invariant.SAME_ORDER],
        leaked=broken[Invariant.NO_LEAK],
    )


def _recovered(timeline: Timeline) -> Iterator[str]:
    for listenings in timeline.listenings.values():
        shown: set[str] = set()
        for listening in listenings:
            ready = inf if listening.ready is None else listening.ready.t_mono
            begins = listening.first
            for event in listening.events:
                if isinstance(event, Resync):
                    begins = False
                    continue
                live = isinstance(event, Frame) and event.t_mono >= ready
                messages = (event,) if isinstance(event, Frame) else event.messages
                for one in messages:
                    if one.id not in shown and not live and not begins:
                        yield one.id
                    shown.add(one.id)


@dataclass(frozen=True, slots=True)
class _Wait:
    """Monotonic seconds."""

    who: str
    since: float
    until: float
    """Infinite: it never ended."""


def pauses(timeline: Timeline, bounds: Bounds) -> list[Pauses]:
    """Per fault, in the order of their beginnings."""
    windows = [
        (fault, fault.t_mono, (timeline.end if healed is None else healed.t_mono) + bounds.quiet)
        for fault, healed in timeline.faults
    ]
    kinds = [list(of(timeline)) for of in (_deliveries, _recoveries, _writes)]
    delivery, recovery, write = (
        _longest(windows, (wait for wait in waits if wait.who not in timeline.slowed))
        for waits in kinds
    )
    slowed = _longest(windows, (wait for wait in chain(*kinds) if wait.who in timeline.slowed))
    frames = [wait for wait in _frames(timeline) if wait.who not in timeline.slowed]
    first = min((began for _, began, _ in windows), default=inf)
    before = _p99(wait for wait in frames if wait.since < first)
    return [
        Pauses(
            fault=fault.fault,
            began=began,
            ended=ended,
            delivery=delivery[index],
            recovery=recovery[index],
            write=write[index],
            slowed=slowed[index],
            p99_before=before,
            p99=_p99(wait for wait in frames if began <= wait.since < ended - bounds.quiet),
        )
        for index, (fault, began, ended) in enumerate(windows)
    ]


def _p99(waits: Iterable[_Wait]) -> float | None:
    took = sorted(wait.until - wait.since for wait in waits)
    return took[ceil(0.99 * len(took)) - 1] if took else None


def _frames(timeline: Timeline) -> Iterator[_Wait]:
    """From the only attempt to send to the frame, where the subscription stood before."""
    for (user, room), listenings in timeline.listenings.items():
        for listening in listenings:
            ready = inf if listening.ready is None else listening.ready.t_mono
            seen: set[str] = set()
            for event in listening.events:
                if not isinstance(event, Frame) or event.id in seen:
                    continue
                seen.add(event.id)
                writing = timeline.writings.get((room, event.id))
                if writing is not None and len(writing.sends) == 1:
                    sent = writing.sends[0].t_mono
                    if ready <= sent <= event.t_mono:
                        yield _Wait(user, sent, event.t_mono)


def _deliveries(timeline: Timeline) -> Iterator[_Wait]:
    for (user, room), listenings in timeline.listenings.items():
        for listening in listenings:
            if listening.ready is None:
                continue
            seen: set[str] = set()
            for event in listening.events:
                if not isinstance(event, Frame) or event.id in seen:
                    continue
                seen.add(event.id)
                answered = _answered(timeline, room, event.id)
                if answered is not None and answered >= listening.ready.t_mono:
                    yield _Wait(user, answered, max(answered, event.t_mono))


def _recoveries(timeline: Timeline) -> Iterator[_Wait]:
    """Of those who were members all the time: who was removed does not wait."""
    for key, shown in timeline.shown.items():
        if key in timeline.moves:
            continue
        readies = {
            id(event): listening.ready.t_mono
            for listening in timeline.listenings.get(key, ())
            if listening.ready is not None
            for event in listening.events
        }
        begins = min(readies.values(), default=inf)
        seen: set[str] = set()
        for event in shown:
            for one in (event,) if isinstance(event, Frame) else event.messages:
                if one.id in seen:
                    continue
                seen.add(one.id)
                answered = _answered(timeline, key[1], one.id)
                if answered is None or answered < begins:
                    continue
                if not isinstance(event, Frame) or readies.get(id(event), inf) > answered:
                    yield _Wait(key[0], answered, max(answered, event.t_mono))


def _writes(timeline: Timeline) -> Iterator[_Wait]:
    for writing in timeline.writings.values():
        if writing.sends and not writing.refused:
            answered = writing.acks[0].t_mono if writing.acks else inf
            yield _Wait(writing.sends[0].user, writing.sends[0].t_mono, answered)


def _answered(timeline: Timeline, room: str, message_id: str) -> float | None:
    writing = timeline.writings.get((room, message_id))
    return writing.acks[0].t_mono if writing is not None and writing.acks else None


Windows = Sequence[tuple[Fault, float, float]]


def _longest(windows: Windows, waits: Iterable[_Wait]) -> list[float | None]:
    """Window by window; `windows` ascend by their beginnings."""
    longest: list[float | None] = [None for _ in windows]
    # Windows before the first whose end, or that of any before it, is not past need no look.
    ends = list(accumulate((ended for _, _, ended in windows), max))
    for wait in waits:
        for index in range(bisect_left(ends, wait.since), len(windows)):
            _, began, ended = windows[index]
            if began > wait.until:
                break
            if ended >= wait.since:
                taken = (ended if wait.until == inf else wait.until) - wait.since
                longest[index] = max(longest[index] or 0.0, taken)
    return longest
