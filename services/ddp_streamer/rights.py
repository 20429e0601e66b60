"""Answers of the authorization service, remembered while nothing changes them.

"Nobody answered" is never "no": `learn` waits and asks again. An answer that was overtaken by a
change of what it is about is asked for anew. Answers about rooms are given on what is stored now:
the end of a membership that has gone by already, while others still remember the membership,
would end nothing any more.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from hubbub.bus.caller import CircuitOpen, NobodyAnswers
from hubbub.clock import Clock, SystemClock
from hubbub.contracts.authorization import MAX_QUESTIONS, Authorization, RoomQuestion
from hubbub.errors import Timeout, Unavailable
from hubbub.ids import RoomId, UserId
from services.ddp_streamer.gathering import Gathering
from services.ddp_streamer.tasks import Tasks

_MAX_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class Question:
    """May `user_id` (None: nobody in particular) do `what` with `subject`?

    `access` and `read` are about a room; `permissions` about any of several, joined by spaces.
    """

    what: Literal["access", "read", "permissions"]
    user_id: str | None
    subject: str


@dataclass(slots=True)
class _Asking:
    answer: asyncio.Task[bool]
    overtaken: bool = False


class Rights:
    """What users of this streamer may do, as far as it was asked."""

    def __init__(
        self,
        authorization: Authorization,
        *,
        room_seconds: float = 60.0,
        permission_seconds: float = 30.0,
        patience: float = 10.0,
        clock: Clock | None = None,
    ) -> None:
        self._authorization = authorization
        self._seconds = {
            "access": room_seconds,
            "read": room_seconds,
            "permissions": permission_seconds,
        }
        self._patience = patience
        self._tasks = Tasks()
        self._rooms: Gathering[RoomQuestion, bool | None] = Gathering(
            authorization.judge_rooms, "judge-rooms", tasks=self._tasks, most=MAX_QUESTIONS
        )
        self._clock = clock or SystemClock()
        self._known: OrderedDict[Question, tuple[bool, float]] = OrderedDict()
        self._asking: dict[Question, _Asking] = {}
        self._by_user: dict[str | None, set[Question]] = {}
        self._by_room: dict[str | None, set[Question]] = {}

    # --- asking -------------------------------------------------------------------------------

    def known(self, question: Question) -> bool | None:
        """The remembered answer, or None."""
        found = self._known.get(question)
        if found is None:
            return None
        verdict, until = found
        if until < self._clock.monotonic():
            self._forget(question)
            return None
        return verdict

    def doubt(self, question: Question) -> None:
        """Forget a remembered no.

        Who has just been let into a room subscribes at once, before any event can tell of it.
        """
        if self.known(question) is False:
            self._forget(question)

    async def learn(self, question: Question) -> bool:
        """Ask, unless the answer is remembered.

        Raises:
            Unavailable, Timeout: nobody answered within ten seconds: unknown, not denied.
        """
        while (verdict := self.known(question)) is None:
            asking = self._asking.get(question)
            if asking is None:
                asking = _Asking(asyncio.create_task(self._ask(question), name="rights"))
                asking.answer.add_done_callback(lambda task: task.cancelled() or task.exception())
                self._asking[question] = asking
            verdict = await asyncio.shield(asking.answer)
            if not asking.overtaken:
                return verdict
        return verdict

    async def close(self) -> None:
        """End what is being asked."""
        await self._tasks.close()
        answers = [asking.answer for asking in self._asking.values()]
        for answer in answers:
            answer.cancel()
        if answers:
            await asyncio.wait(answers)

    def known_access(self, user_id: str, room_id: str) -> bool | None:
        return self.known(Question("access", user_id, room_id))

    async def learn_access(self, user_id: str, room_id: str) -> bool:
        return await self.learn(Question("access", user_id, room_id))

    async def learn_permissions(self, user_id: str, permissions: str) -> bool:
        return await self.learn(Question("permissions", user_id, permissions))

    # --- forgetting ---------------------------------------------------------------------------

    def membership_changed(self, user_id: str, room_id: str) -> None:
        """A membership began or ended."""
        self._drop({Question("access", user_id, room_id), Question("read", user_id, room_id)})

    def room_changed(self, room_id: str) -> None:
        """Type, team or existence of a room changed; discussions in it may be concerned too."""
        self._drop(self._by_room.get(room_id, set()))

    def account_changed(self, user_id: str) -> None:
        """A user's roles or active flag changed."""
        self._drop(self._by_user.get(user_id, set()))

    def rights_changed(self, what: str) -> None:
        """Roles, permissions or settings changed: every answer may be another now."""
        self._drop(set(self._known) | set(self._asking))

    # --- inside -------------------------------------------------------------------------------

    async def _ask(self, question: Question) -> bool:
        deadline = self._clock.monotonic() + self._patience
        pause = 0.2
        try:
            while True:
                try:
                    verdict = await self._call(question)
                except (Unavailable, Timeout):
                    if self._clock.monotonic() + pause > deadline:
                        raise
                    await self._clock.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
                    pause = min(1.0, pause * 2)
                    continue
                if not self._asking[question].overtaken:
                    self._remember(question, verdict)
                return verdict
        finally:
            del self._asking[question]

    async def _call(self, question: Question) -> bool:
        user_id = None if question.user_id is None else UserId(question.user_id)
        if question.what == "permissions":
            return await self._authorization.has_at_least_one_permission(
                user_id, question.subject.split()
            )
        room_id = RoomId(question.subject)
        asked = RoomQuestion(room_id=room_id, user_id=user_id, what=question.what)
        try:
            verdict = await self._rooms.ask(asked)
        except (NobodyAnswers, CircuitOpen):  # one of an earlier version knows single rooms only
            verdict = None
        if verdict is not None:
            return verdict
        if question.what == "read":
            return await self._authorization.can_read_room(room_id, user_id, now=True)
        return await self._authorization.can_access_room_id(room_id, user_id, now=True)

    def _remember(self, question: Question, verdict: bool) -> None:
        self._known[question] = verdict, self._clock.monotonic() + self._seconds[question.what]
        self._by_user.setdefault(question.user_id, set()).add(question)
        if question.what != "permissions":
            self._by_room.setdefault(question.subject, set()).add(question)
        if len(self._known) > _MAX_REMEMBERED:
            self._forget(next(iter(self._known)))

    def _drop(self, questions: set[Question]) -> None:
        for question in list(questions):
            asking = self._asking.get(question)
            if asking is not None:
                asking.overtaken = True
            self._forget(question)

    def _forget(self, question: Question) -> None:
        self._known.pop(question, None)
        for index, key in ((self._by_user, question.user_id), (self._by_room, question.subject)):
            questions = index.get(key)
            if questions is not None:
                questions.discard(question)
                if not questions:
                    del index[key]
