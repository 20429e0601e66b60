"""What became of everything that was said while something happened. Pure; times in seconds.

A message is lost for a reader when neither a frame nor an answer to "what did I miss?" brought
it: that is what people would not see. What frames alone did not bring is told beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.e2e.resilience.checker import violations
from tests.e2e.resilience.history import Acked, CaughtUp, Closed, Event, Frame, History, Sent
from tests.e2e.resilience.measures import longest_pause

DOUBLED = "once"
MISORDERED = ("frame-order", "stored-order")
HOLES = "no-silent-hole"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the table."""

    what: str
    sockets: int
    seconds: float
    acked: int
    stored: int
    delivered: int
    """Messages that came by themselves, over all readers."""
    lost: int
    """Over all readers: stored, and never shown."""
    not_by_frames: int
    """Over all readers: said while they were there, and brought by no frame."""
    doubled: int
    misordered: int
    holes: int
    """Frames that came although something older was still missing."""
    reconnects: int
    failed_in_a_row: int
    """Most attempts of one reader to come back that failed one after another."""
    codes: tuple[int, ...]
    """With which sockets were closed."""
    longest_gap: float
    """Longest time without a new message, of the worst reader."""
    unanswered: float
    """Longest time without an acknowledgement, of the worst writer."""
    violations: tuple[str, ...]
    """Everything that contradicts a promise, in words."""


def judge(what: str, histories: Sequence[History], *, began: float, ended: float) -> Verdict:
    """The verdict on rooms that were talked in from `began` to `ended`."""
    found = [broken for history in histories for broken in violations(history)]
    readers = [(history, reader) for history in histories for reader in history.readers]
    events = [event for history in histories for event in history.events]
    return Verdict(
        what=what,
        sockets=len(readers),
        seconds=ended - began,
        acked=sum(isinstance(event, Acked) for event in events),
        stored=sum(len(history.stored) for history in histories),
        delivered=sum(isinstance(event, Frame) for event in events),
        lost=sum(len(_never_shown(history, reader)) for history, reader in readers),
        not_by_frames=sum(len(_not_by_frames(h, reader, began)) for h, reader in readers),
        doubled=_count(found, DOUBLED),
        misordered=_count(found, *MISORDERED),
        holes=_count(found, HOLES),
        reconnects=sum(len(_comebacks(history, reader)) - 1 for history, reader in readers),
        failed_in_a_row=max((_failed_in_a_row(h, reader) for h, reader in readers), default=0),
        codes=tuple(
            sorted(
                event.code or 0
                for event in events
                if isinstance(event, Closed) and began <= event.at <= ended
            )
        ),
        longest_gap=max(
            (longest_pause(_news(h, reader), began, ended) for h, reader in readers), default=0.0
        ),
        unanswered=max(
            (longest_pause(acks, began, ended) for h in histories for acks in _acks(h)),
            default=0.0,
        ),
        violations=tuple(found),
    )


def _count(found: Iterable[str], *promises: str) -> int:
    return sum(text.partition(":")[0] in promises for text in found)


def _of(history: History, reader: str) -> list[Event]:
    return [event for event in history.events if event.client == reader]


def _never_shown(history: History, reader: str) -> set[str]:
    shown: set[str] = set()
    for event in _of(history, reader):
        shown |= _ids(event)
    return {message.id for message in history.stored} - shown


def _not_by_frames(history: History, reader: str, since: float) -> set[str]:
    said = {event.id for event in history.events if isinstance(event, Sent) and event.at >= since}
    framed = {event.message.id for event in _of(history, reader) if isinstance(event, Frame)}
    return (said & {message.id for message in history.stored}) - framed


def _comebacks(history: History, reader: str) -> list[int]:
    """Numbers of the sockets on which a reader asked what it missed, and was told."""
    return sorted({e.socket for e in _of(history, reader) if isinstance(e, CaughtUp)})


def _failed_in_a_row(history: History, reader: str) -> int:
    """Sockets are numbered by attempts."""
    return max((later - one - 1 for one, later in pairwise(_comebacks(history, reader))), default=0)


def _news(history: History, reader: str) -> list[float]:
    shown: set[str] = set()
    moments = []
    for event in _of(history, reader):
        ids = _ids(event)
        if ids - shown:
            moments.append(event.at)
            shown |= ids
    return moments


def _acks(history: History) -> list[list[float]]:
    moments: dict[str, list[float]] = {}
    for event in history.events:
        if isinstance(event, Sent):
            moments.setdefault(event.client, [])
        elif isinstance(event, Acked):
            moments[event.client].append(event.at)
    return list(moments.values())


def _ids(event: Event) -> set[str]:
    if isinstance(event, Frame):
        return {event.message.id}
    if isinstance(event, CaughtUp):
        return {message.id for message in event.messages}
    return set()


def table(verdicts: Sequence[Verdict]) -> list[str]:
    """The lines of a table for people."""
    head = (
        f"{'while':<40}{'sockets':>8}{'for':>8}{'acked':>7}{'stored':>7}{'delivered':>10}"
        f"{'LOST':>6}{'unframed':>9}{'doubled':>8}{'misord.':>8}{'holes':>6}"
        f"{'reconn.':>8}{'failed':>7}{'gap':>8}{'unacked':>9}"
    )
    lines = [head, "-" * len(head)]
    lines += [
        f"{row.what:<40}{row.sockets:>8}{row.seconds:>6.0f} s{row.acked:>7}{row.stored:>7}"
        f"{row.delivered:>10}{row.lost:>6}{row.not_by_frames:>9}{row.doubled:>8}"
        f"{row.misordered:>8}{row.holes:>6}{row.reconnects:>8}{row.failed_in_a_row:>7}"
        f"{row.longest_gap:>6.2f} s{row.unanswered:>7.2f} s"
        for row in verdicts
    ]
    return lines
