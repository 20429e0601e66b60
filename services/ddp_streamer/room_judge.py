"""One room judged again: nobody hears it until it is clear who may, and then nothing is missing.

listening ──the access changed──▶ aside ──may──▶ what the log has since then ──▶ listening
                                    └──may not, or events are lost──▶ ended
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from hubbub.clock import Clock
from hubbub.contracts.event_log import Audience, room_audience
from hubbub.errors import Unavailable
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.fanout import (
    Fanout,
    Listening,
    Topic,
    access_changes,
    membership_end,
    tells_missing,
)
from services.ddp_streamer.rights import Rights
from services.ddp_streamer.session import Session, Subscription
from services.ddp_streamer.tasks import Tasks

AGAIN: Final = 2.0
"""Seconds: whoever answers may hear of a change so much later than this streamer."""


class Routes(Protocol):
    """What judging a room needs of `Audiences`."""

    def position(self, audience: Audience) -> int: ...
    async def read(self, audience: Audience, after: int, upto: int) -> list[Event]: ...


class _Aside:
    """The subscriptions that did hear a room."""

    def __init__(self, room_id: str, silenced: list[tuple[Topic, Listening]]) -> None:
        self.room_id = room_id
        self.listeners = {session for _, session in silenced}
        topics = set(silenced)
        self.of = {
            session: [
                subscription
                for subscription in session.of_room(room_id)
                if subscription.plan is not None and (subscription.plan.topic, session) in topics
            ]
            for session in dict.fromkeys(session for _, session in silenced)
            if isinstance(session, Session)
        }

    def listening(self, session: Session) -> list[Subscription]:
        """Those of `session` that are still open."""
        return [one for one in self.of[session] if session.subscriptions.get(one.id) is one]

    @property
    def sessions(self) -> list[Session]:
        """The sessions of which one still is."""
        return [session for session in self.of if self.listening(session)]

    def end_lost(self) -> None:
        """What they would have heard cannot be had any more."""
        for session in self.sessions:
            session.end_lost(self.room_id)


class RoomJudge:
    """Judges the listeners of rooms whose access has changed."""

    def __init__(
        self,
        rights: Rights,
        fanout: Fanout,
        routes: Routes,
        judge: Callable[[Session], Awaitable[None]],
        *,
        tasks: Tasks,
        clock: Clock,
    ) -> None:
        """
        Args:
            judge: ends the subscriptions of a session that its user may not have.
        """
        self._rights = rights
        self._fanout = fanout
        self._routes = routes
        self._judge = judge
        self._tasks = tasks
        self._clock = clock
        self._rooms = 0

    @property
    def busy(self) -> bool:
        """There are sockets that have not got all of their rooms."""
        return self._rooms > 0

    def room_changed(self, room_id: str, sequence: int) -> None:
        """Nobody hears the room until it is clear who may.

        What the log has behind `sequence` is theirs if they may have it.
        """
        silenced = self._fanout.topics.set_aside(room_id)
        if silenced:
            self._rooms += 1
            self._tasks.spawn(self._room(_Aside(room_id, silenced), sequence), "judge-room")

    async def _room(self, aside: _Aside, sequence: int) -> None:
        room_id = aside.room_id
        try:
            await self._all(aside)
            await self._give_back(aside, sequence)
        except Exception:
            aside.end_lost()  # else they would wait for ever
            raise
        finally:
            self._rooms -= 1
            self._fanout.topics.end_aside(room_id, aside.listeners)
        await self._clock.sleep(AGAIN)
        self._rights.room_changed(room_id)
        await self._all(aside)

    async def _all(self, aside: _Aside) -> None:
        for session in aside.of:
            if session.of_room(aside.room_id):
                await self._judge(session)

    async def _give_back(self, aside: _Aside, sequence: int) -> None:
        """Let those hear the room who still may, from what the log has behind `sequence` on."""
        audience = room_audience(aside.room_id)
        after = sequence
        while aside.sessions:
            position = self._routes.position(audience)
            if after >= position:
                await self._at_its_place(aside)
                return
            try:
                events = await self._routes.read(audience, after, position)
            except Unavailable:
                aside.end_lost()
                return
            for event in events:
                await self._give(aside, event)
            after = position

    async def _give(self, aside: _Aside, event: Event) -> None:
        if access_changes(event):
            # Nobody was listening when it passed, so nobody was judged for it.
            self._rights.room_changed(aside.room_id)
            await self._all(aside)
        elif tells_missing(event):
            aside.end_lost()
        ended = membership_end(event)
        for session in aside.sessions:
            if ended is not None and ended.user_id == session.user_id:
                session.end_room(aside.room_id)
            elif any(_hears(one, event) for one in aside.listening(session)):
                session.send_event(event)

    async def _at_its_place(self, aside: _Aside) -> None:
        """Let them hear, behind what waits for delivery: the log has given that already."""
        here = asyncio.Event()

        def let_hear() -> None:
            for session in aside.sessions:
                for subscription in aside.listening(session):
                    if subscription.plan is not None:
                        self._fanout.topics.add(subscription.plan.topic, session)
            here.set()

        self._fanout.when_delivered(let_hear)
        await here.wait()


def _hears(subscription: Subscription, event: Event) -> bool:
    plan = subscription.plan
    return plan is not None and plan.topic == (event.stream, event.key)
