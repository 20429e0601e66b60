"""Judges a conversation: history → list of violations. Pure.

    acked-durable    an acknowledged message is stored, once, as it was sent and answered
    nothing-foreign  nothing is stored that nobody sent
    delivered        every stored message was shown to every client that read until the end
    no-silent-hole   when a frame comes, everything older has been shown to that client before
    once             no version of a message comes twice by itself on one socket
    frame-order      the messages of a socket come by ascending date
    stored-order     dates in a room are strictly ascending, and follow real time
    no-hole          the room has as many messages as it has counted
    answered         every send is answered with success in the end; nobody is refused

What a client shows is the union of frames and of answers to "what did I miss?", by `_id`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TypeVar

from tests.e2e.resilience.history import (
    Acked,
    CaughtUp,
    Event,
    Frame,
    History,
    Message,
    Refused,
    Sent,
)

E = TypeVar("E", bound=Event)

MOST_NAMED = 5  # ids that one violation names


def violations(history: History) -> list[str]:
    """Everything that contradicts the promises; empty when they were kept."""
    return [
        *_answered(history),
        *_acked_durable(history),
        *_nothing_foreign(history),
        *_stored_order(history),
        *_real_time(history),
        *_no_hole(history),
        *(found for reader in history.readers for found in _reader(history, reader)),
    ]


def _answered(history: History) -> Iterator[str]:
    for event in _of(history.events, Refused):
        yield f"answered: {event.client}: {event.what}"
    acked = {event.id for event in _of(history.events, Acked)}
    unanswered = [event.id for event in _of(history.events, Sent) if event.id not in acked]
    if unanswered:
        yield f"answered: never with success: {_named(unanswered)}"


def _acked_durable(history: History) -> Iterator[str]:
    copies = Counter(message.id for message in history.stored)
    twice = [message_id for message_id, times in copies.items() if times > 1]
    if twice:
        yield f"acked-durable: stored more than once: {_named(twice)}"
    stored = {message.id: message for message in history.stored}
    texts = {event.id: event.text for event in _of(history.events, Sent)}
    acked = list(_of(history.events, Acked))
    missing = [event.id for event in acked if event.id not in stored]
    if missing:
        yield f"acked-durable: acknowledged, but not stored: {_named(missing)}"
    there = [event for event in acked if event.id in stored]
    altered = [event.id for event in there if stored[event.id].text != texts.get(event.id)]
    if altered:
        yield f"acked-durable: stored with another text: {_named(altered)}"
    moved = [event.id for event in there if stored[event.id].ts != event.ts]
    if moved:
        yield f"acked-durable: stored with another date than answered: {_named(moved)}"


def _nothing_foreign(history: History) -> Iterator[str]:
    sent = {event.id for event in _of(history.events, Sent)}
    foreign = [message.id for message in history.stored if message.id not in sent]
    if foreign:
        yield f"nothing-foreign: stored, but never sent: {_named(foreign)}"


def _stored_order(history: History) -> Iterator[str]:
    for before, after in pairwise(history.stored):
        if after.ts <= before.ts:
            yield (
                f"stored-order: {after.id} ({after.ts}) does not follow {before.id} ({before.ts})"
            )


def _real_time(history: History) -> Iterator[str]:
    """A message that was sent after another one was acknowledged has the later date."""
    stored = {message.id: message.ts for message in history.stored}
    latest = 0
    floors: dict[str, int] = {}
    for event in history.events:
        if isinstance(event, Sent):
            floors[event.id] = latest
        elif isinstance(event, Acked):
            latest = max(latest, event.ts)
    early = [one for one, floor in floors.items() if one in stored and stored[one] <= floor]
    if early:
        yield f"stored-order: older than what was acknowledged before its send: {_named(early)}"


def _no_hole(history: History) -> Iterator[str]:
    if history.counted != len(history.stored):
        yield f"no-hole: the room counted {history.counted}, its history has {len(history.stored)}"


def _reader(history: History, reader: str) -> Iterator[str]:
    events = [event for event in history.events if event.client == reader]
    shown: set[str] = set()
    for event in events:
        if isinstance(event, Frame):
            shown.add(event.message.id)
        elif isinstance(event, CaughtUp):
            shown |= {message.id for message in event.messages}
    missing = [message.id for message in history.stored if message.id not in shown]
    if missing:
        yield f"delivered: {reader} was never shown {_named(missing)}"
    yield from _holes(events, history.stored, reader)
    yield from _sockets(events, reader)


def _holes(events: list[Event], stored: list[Message], reader: str) -> Iterator[str]:
    """Frames that came although something older was not shown yet.

    Between a subscription and the answer to "what did I miss?" nothing can be said.
    """
    shown: set[str] = set()
    complete: set[int] = set()  # sockets that have caught up
    told = 0  # stored[:told] is shown, or its absence was reported
    for event in events:
        if isinstance(event, CaughtUp):
            shown |= {message.id for message in event.messages}
            complete.add(event.socket)
            continue
        if not isinstance(event, Frame):
            continue
        shown.add(event.message.id)
        if event.socket not in complete:
            continue
        while told < len(stored) and stored[told].ts <= event.message.ts:
            if stored[told].id not in shown:
                yield (
                    f"no-silent-hole: {reader} got {event.message.id} on socket {event.socket} "
                    f"without {stored[told].id} before it"
                )
            told += 1


def _sockets(events: list[Event], reader: str) -> Iterator[str]:
    versions: defaultdict[int, set[tuple[str, int]]] = defaultdict(set)
    known: defaultdict[int, set[str]] = defaultdict(set)
    latest: dict[int, Message] = {}
    for event in events:
        if isinstance(event, CaughtUp):
            versions[event.socket].clear()
        if not isinstance(event, Frame):
            continue
        message, socket = event.message, event.socket
        version = (message.id, message.updated_at)
        if version in versions[socket]:
            yield f"once: {reader} got {message.id} twice on socket {socket}"
        versions[socket].add(version)
        if message.id in known[socket]:
            continue  # a later version keeps its old date
        known[socket].add(message.id)
        before = latest.get(socket)
        if before is not None and message.ts <= before.ts:
            yield f"frame-order: {reader} got {message.id} after {before.id} on socket {socket}"
        latest[socket] = message


def _of(events: Iterable[Event], kind: type[E]) -> Iterator[E]:
    return (event for event in events if isinstance(event, kind))


def _named(ids: list[str]) -> str:
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    return ", ".join(ids[:MOST_NAMED]) + more
