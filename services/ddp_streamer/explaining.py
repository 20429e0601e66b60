"""From what is remembered to what became of a message, connection by connection."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from hubbub.contracts.explain import Delivery, Outcome, StreamerMemory, StreamerRecall
from hubbub.ids import UserId
from services.ddp_streamer.fanout import MY_MESSAGES, Person
from services.ddp_streamer.fanout.people import People
from services.ddp_streamer.recent import (
    FOREVER,
    REPLAYED,
    WILDCARD,
    Instant,
    Passing,
    Receipts,
    Recent,
    Turn,
    receipts_of,
)
from services.ddp_streamer.session import Session

_LOOK_BACK: Final = 3600.0  # seconds
_MOST: Final = 100  # connections that are told


@dataclass(frozen=True, slots=True)
class Listening:
    """A subscription to messages, also one that has ended."""

    topic: tuple[str, str]
    since: Instant
    until: Instant = FOREVER
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Spell:
    """One user's time on one connection."""

    connection: str
    since: Instant
    until: Instant = FOREVER
    receipts: Receipts = field(default_factory=Receipts)
    listened: Sequence[Listening] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of an event on a connection."""

    outcome: Outcome
    reason: str = ""
    queued: float | None = None
    """Monotonic seconds."""
    written: bool | None = None
    acknowledged: bool | None = None


def judge(
    spell: Spell, room_id: str, passing: Passing | None, turns: Sequence[Turn], moment: float
) -> Judged:
    """What became of an event of `room_id` on this connection. Pure.

    Args:
        passing: how it was handed out; None: it was not, as far as is remembered.
        turns: when the user came into the room and lost it.
        moment: about when the event was published, monotonic seconds.
    """
    if passing is None:
        return _without_passing(spell, room_id, moment)
    sequence, begun, done, at, _, flags = passing
    if spell.since.step > begun:
        return Judged("not_connected", "opened_later")
    if spell.until.step <= begun:
        return Judged("not_connected", spell.receipts.cause)
    found = _listening(spell, room_id, begun, wildcard=bool(flags & WILDCARD))
    # Losing a room ends what listens to it, but not what follows all rooms.
    if _is_outside(turns, sequence) and (
        found is None or (found.topic == MY_MESSAGES and not flags & WILDCARD)
    ):
        return Judged("filtered", "not_member")
    if found is None:
        return _not_listening(spell, room_id, begun)
    if found.until.step <= done:
        return Judged("filtered", "unsubscribed")
    return _queued(spell, at, "recovered" if flags & REPLAYED else "delivered", turns)


def _queued(spell: Spell, at: float, outcome: Outcome, turns: Sequence[Turn]) -> Judged:
    """It was to be queued at the moment `at`."""
    receipts = spell.receipts
    if at >= receipts.closing_at:
        return Judged("not_connected", receipts.cause)
    if any(at > one.written_until.get(spell.connection, math.inf) for one in turns):
        return Judged("filtered", "not_member", queued=at, written=False)
    written = at <= receipts.written_until
    if not written and spell.until is not FOREVER:
        slow = receipts.cause == "slow"
        return Judged("dropped", "slow_client" if slow else receipts.cause, at, written=False)
    acknowledged = (
        written and receipts.pinged_at >= at and receipts.answered_at > receipts.pinged_at
    )
    return Judged(outcome, queued=at, written=written, acknowledged=acknowledged)


def _is_outside(turns: Sequence[Turn], sequence: int) -> bool:
    """Whether the user had lost the room by then, as far as is remembered."""
    before = [one for one in turns if one.sequence < sequence]
    return bool(before) and not max(before, key=lambda one: one.sequence).inside


def _listening(spell: Spell, room_id: str, step: int, *, wildcard: bool) -> Listening | None:
    topics = {MY_MESSAGES} if wildcard else {MY_MESSAGES, ("room-messages", room_id)}
    for one in spell.listened:
        if one.topic in topics and one.since.step <= step < one.until.step:
            return one
    return None


def _not_listening(spell: Spell, room_id: str, step: int) -> Judged:
    """Why nothing of the room was listened to at `step`."""
    for one in spell.listened:
        if one.topic == ("room-messages", room_id) and one.refused and one.until.step <= step:
            return Judged("filtered", "no_permission")
    return Judged("not_subscribed", "unsubscribed")


def _without_passing(spell: Spell, room_id: str, moment: float) -> Judged:
    if spell.since.at > moment:
        return Judged("not_connected", "opened_later")
    if spell.until.at <= moment:
        return Judged("not_connected", spell.receipts.cause)
    topics = {MY_MESSAGES, ("room-messages", room_id)}
    if any(one.topic in topics and one.since.at <= moment < one.until.at for one in spell.listened):
        return Judged("unknown", "not_arrived")
    return Judged("not_subscribed", "unsubscribed")


class Recall(StreamerRecall):
    """The door to a streamer's memory."""

    def __init__(
        self, recent: Recent, people: People, *, pod: Callable[[], str] = socket.gethostname
    ) -> None:
        self._recent = recent
        self._people = people
        self._pod = pod

    async def recall(
        self, user_id: UserId, room_id: str, sequence: int | None, moment: int
    ) -> StreamerMemory:
        """See the contract."""
        recent = self._recent
        passings = recent.passings(sequence) if sequence is not None else []
        at = passings[0][3] if passings else recent.moment(moment)
        forgotten = not passings and at < recent.since
        turns = recent.turns(user_id, room_id)
        spells = sorted(
            (one for one in self._spells(user_id) if one.until.at > at - _LOOK_BACK),
            key=lambda one: one.since.step,
        )
        deliveries = []
        for spell in spells[:_MOST]:
            judged = self._best(spell, room_id, passings, turns, at)
            if sequence is None or forgotten:
                judged = _as_far_as_known(judged, forgotten=forgotten)
            deliveries.append(self._told(spell, judged))
        return StreamerMemory(
            pod=self._pod(),
            since=recent.milliseconds(recent.since),
            arrived=recent.milliseconds(at) if passings else None,
            recipients=sum(passing[4] for passing in passings),
            deliveries=deliveries,
        )

    def _best(
        self,
        spell: Spell,
        room_id: str,
        passings: Sequence[Passing],
        turns: Sequence[Turn],
        at: float,
    ) -> Judged:
        """An event may come by the room's audience and by the wildcard: what became of it is
        what became of the better one."""
        judged = [judge(spell, room_id, passing, turns, at) for passing in passings]
        given = [one for one in judged if one.outcome in ("delivered", "recovered")]
        if given or judged:
            return (given or judged)[0]
        return judge(spell, room_id, None, turns, at)

    def _spells(self, user_id: str) -> Iterator[Spell]:
        for gone in self._recent.presences(user_id):
            yield Spell(
                gone.connection,
                gone.since,
                gone.until,
                gone.receipts,
                [*self._ended(gone.connection)],
            )
        person = self._people.get(user_id)
        if person is not None:
            yield from self._lasting(person)

    def _lasting(self, person: Person) -> Iterator[Spell]:
        for session in list(person.sessions):
            if not isinstance(session, Session) or session.entered is None:
                continue
            listened = [
                Listening(subscription.plan.topic, subscription.since)
                for subscription in session.subscriptions.values()
                if subscription.plan is not None and subscription.since is not None
            ]
            yield Spell(
                session.public_id,
                session.entered,
                receipts=receipts_of(session.connection),
                listened=[*listened, *self._ended(session.public_id)],
            )

    def _ended(self, connection: str) -> Iterator[Listening]:
        for one in self._recent.listened(connection):
            yield Listening(one.topic, one.since, one.until, one.refused)

    def _told(self, spell: Spell, judged: Judged) -> Delivery:
        tell = self._recent.milliseconds
        return Delivery(
            connection=spell.connection,
            outcome=judged.outcome,
            reason=judged.reason,
            opened=tell(spell.since.at),
            closed=None if spell.until is FOREVER else tell(spell.until.at),
            ended_by=spell.receipts.cause,
            queued=None if judged.queued is None else tell(judged.queued),
            written=judged.written,
            acknowledged=judged.acknowledged,
        )


def _as_far_as_known(judged: Judged, *, forgotten: bool) -> Judged:
    """Without the event only times can be compared."""
    if judged.outcome == "not_connected" and not forgotten:
        return judged
    return Judged("unknown", "older_than_memory" if forgotten else "place_unknown")
