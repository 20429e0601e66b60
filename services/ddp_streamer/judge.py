"""Subscriptions judged again, when what allowed them may have changed.

Everything is looked at twice: at once, and two seconds later, because whoever answers may hear of
a change a moment after this streamer did. The end of a membership needs no judgement: it takes
effect in its place among the room's events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Final

from hubbub.clock import Clock, SystemClock
from hubbub.contracts.authorization import Authorization
from hubbub.errors import HubbubError
from hubbub.ids import RoomId, UserId
from hubbub.telemetry.log import get_logger
from services.ddp_streamer.fanout import Fanout, Person
from services.ddp_streamer.rights import Question, Rights
from services.ddp_streamer.room_judge import AGAIN, RoomJudge, Routes
from services.ddp_streamer.session import Session, Subscription
from services.ddp_streamer.streams import not_allowed
from services.ddp_streamer.tasks import Tasks

log = get_logger(__name__)

_PARALLEL: Final = 32  # users who are judged beside each other
_CHUNK: Final = 500  # rooms in one question
_PREVIEW: Final = "preview-c-room"


class Judge:
    """Ends subscriptions whose users may not have them any more."""

    def __init__(
        self,
        authorization: Authorization,
        rights: Rights,
        fanout: Fanout,
        routes: Routes,
        sessions: Collection[Session],
        *,
        tasks: Tasks,
        clock: Clock | None = None,
    ) -> None:
        """
        Args:
            sessions: all sessions of this streamer; looked at, never changed.
        """
        self._authorization = authorization
        self._rights = rights
        self._fanout = fanout
        self._sessions = sessions
        self._tasks = tasks
        self._clock = clock or SystemClock()
        self._gate = asyncio.Semaphore(_PARALLEL)
        self.rooms = RoomJudge(
            rights, fanout, routes, self._one_by_one, tasks=tasks, clock=self._clock
        )
        """Judges the listeners of single rooms."""
        self._everybody = asyncio.Event()
        self._strangers = asyncio.Event()

    # --- occasions ----------------------------------------------------------------------------

    def rights_changed(self, what: str) -> None:
        """Permissions, or settings that say what those may do who are not signed in."""
        if what in ("permissions", "all"):
            self._everybody.set()
        if what != "roles":
            self._strangers.set()

    def person_changed(self, person: Person) -> None:
        """Roles or memberships of a user."""
        self._tasks.spawn(self._twice(person), "judge-person")

    async def judge_everybody(self) -> None:
        """Whenever permissions changed, until cancelled. Changes that come together are one."""
        while True:
            await self._everybody.wait()
            self._everybody.clear()
            await self._persons(self._fanout.people)
            await self._clock.sleep(AGAIN)
            self._rights.rights_changed("permissions")
            await self._persons(self._fanout.people)

    async def judge_strangers(self) -> None:
        """Those who are not signed in, whenever permissions or settings changed."""
        while True:
            await self._strangers.wait()
            self._strangers.clear()
            await self._anonymous()
            await self._clock.sleep(AGAIN)
            await self._anonymous()

    # --- users --------------------------------------------------------------------------------

    async def _persons(self, people: Iterable[Person]) -> None:
        async with asyncio.TaskGroup() as group:
            for person in people:
                await self._gate.acquire()
                judging = group.create_task(self._person(person), name="judge-person")
                judging.add_done_callback(lambda _: self._gate.release())

    async def _twice(self, person: Person) -> None:
        async with self._gate:
            await self._person(person)
        await self._clock.sleep(AGAIN)
        self._rights.account_changed(person.user_id)
        async with self._gate:
            await self._person(person)

    async def _person(self, person: Person) -> None:
        """All rooms in one question, and the rest one by one."""
        asked = list(_questions(person))
        if not asked:
            return
        try:
            refused = await self._refused(person.user_id, {question for _, _, question in asked})
        except HubbubError as error:
            log.warning("not_judged", reason=type(error).__name__)
            for session in {session for session, _, _ in asked}:
                session.end_lost()
            return
        for session, subscription, question in asked:
            if question in refused:
                session.end(subscription, not_allowed())

    async def _refused(self, user_id: str, questions: set[Question]) -> set[Question]:
        rooms = sorted({q.subject for q in questions if q.what != "permissions"})
        accessible: set[str] = set()
        for start in range(0, len(rooms), _CHUNK):
            chunk = [RoomId(room_id) for room_id in rooms[start : start + _CHUNK]]
            accessible |= set(await self._authorization.accessible_rooms(chunk, UserId(user_id)))
        may_preview = bool(accessible) and await self._authorization.has_permission(
            UserId(user_id), _PREVIEW
        )
        refused = set()
        for question in questions:
            if question.what == "permissions" or (
                question.what == "read" and question.subject in accessible and not may_preview
            ):
                allowed = await self._rights.learn(question)
            else:
                allowed = question.subject in accessible
            if not allowed:
                refused.add(question)
        return refused

    # --- everybody else -----------------------------------------------------------------------

    async def _anonymous(self) -> None:
        for session in [session for session in self._sessions if session.person is None]:
            await self._one_by_one(session)

    async def _one_by_one(self, session: Session) -> None:
        for subscription in list(session.subscriptions.values()):
            plan = subscription.plan
            if plan is None or plan.question is None:
                continue
            try:
                allowed = await self._rights.learn(plan.question)
            except HubbubError as error:
                log.warning("not_judged", reason=type(error).__name__)
                session.end_lost()
                return
            if not allowed:
                session.end(subscription, not_allowed())


def _questions(person: Person) -> Iterable[tuple[Session, Subscription, Question]]:
    for session in list(person.sessions):
        if isinstance(session, Session):
            for subscription in list(session.subscriptions.values()):
                if subscription.plan is not None and subscription.plan.question is not None:
                    yield session, subscription, subscription.plan.question
