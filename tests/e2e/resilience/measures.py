"""What a fault cost: pauses and counts of one conversation. Pure; times in seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.e2e.resilience.history import (
    Acked,
    CaughtUp,
    Closed,
    Frame,
    History,
    Joined,
    Opened,
    Sent,
)


@dataclass(frozen=True, slots=True)
class Costs:
    """One row of the table."""

    fault: str
    undisturbed: float | None
    """Longest time without a new message at a client that kept its socket; None: none did."""
    longest: float
    """The same at the worst client."""
    unanswered: float
    """Longest time in which one of those who write got no acknowledgement."""
    sent: int
    acked: int
    delivered: int
    """Messages that came by themselves, over all clients."""
    caught_up: int
    """Messages that a client saw first because it asked for them after it came back."""
    reconnects: int


def costs(history: History, fault: str, began: float, ended: float) -> Costs:
    """Measure the span from `began` to `ended`; its edges count as events."""
    joined = {event.client: event.at for event in history.events if isinstance(event, Joined)}
    pauses = {
        reader: longest_pause(_news(history, reader), max(began, since), ended)
        for reader, since in joined.items()
    }
    lost = {
        event.client
        for event in history.events
        if isinstance(event, Closed) and began <= event.at <= ended
    }
    calm = [
        pause for reader, pause in pauses.items() if reader not in lost and joined[reader] <= began
    ]
    return Costs(
        fault=fault,
        undisturbed=max(calm, default=None),
        longest=max(pauses.values()),
        unanswered=max(
            longest_pause(_acks(history, writer), began, ended) for writer in writers(history)
        ),
        sent=sum(isinstance(event, Sent) for event in history.events),
        acked=sum(isinstance(event, Acked) for event in history.events),
        delivered=sum(isinstance(event, Frame) for event in history.events),
        caught_up=sum(_came_late(history, reader) for reader in history.readers),
        reconnects=sum(isinstance(event, Opened) and event.socket > 1 for event in history.events),
    )


def longest_pause(moments: Iterable[float], began: float, ended: float) -> float:
    """The longest time without any of `moments` between two others, or an edge."""
    inside = [moment for moment in moments if began <= moment <= ended]
    return max(later - earlier for earlier, later in pairwise([began, *sorted(inside), ended]))


def writers(history: History) -> set[str]:
    """Who sent anything."""
    return {event.client for event in history.events if isinstance(event, Sent)}


def _acks(history: History, writer: str) -> list[float]:
    return [e.at for e in history.events if isinstance(e, Acked) and e.client == writer]


def _news(history: History, reader: str) -> list[float]:
    """When this client was shown something that it had not seen before."""
    shown: set[str] = set()
    moments = []
    for event in history.events:
        if event.client != reader:
            continue
        ids = _ids(event)
        if ids - shown:
            moments.append(event.at)
            shown |= ids
    return moments


def _came_late(history: History, reader: str) -> int:
    """Messages first seen in an answer on a socket after the first one."""
    shown: set[str] = set()
    late = 0
    for event in history.events:
        if event.client != reader:
            continue
        ids = _ids(event)
        if isinstance(event, CaughtUp) and event.socket > 1:
            late += len(ids - shown)
        shown |= ids
    return late


def _ids(event: object) -> set[str]:
    if isinstance(event, Frame):
        return {event.message.id}
    if isinstance(event, CaughtUp):
        return {message.id for message in event.messages}
    return set()


def table(rows: Sequence[Costs]) -> list[str]:
    """The lines of a table for people."""
    head = (
        f"{'fault':<34}{'undisturbed':>12}{'longest':>9}{'unacked':>9}"
        f"{'sent':>7}{'acked':>7}{'delivered':>11}{'caught up':>11}{'reconnects':>12}"
    )
    lines = [head, "-" * len(head)]
    for row in rows:
        undisturbed = "-" if row.undisturbed is None else f"{row.undisturbed:.2f} s"
        lines.append(
            f"{row.fault:<34}{undisturbed:>12}{row.longest:>7.2f} s{row.unanswered:>7.2f} s"
            f"{row.sent:>7}{row.acked:>7}{row.delivered:>11}{row.caught_up:>11}{row.reconnects:>12}"
        )
    return lines
