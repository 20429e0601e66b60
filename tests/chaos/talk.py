"""What the people of the drill do: say things, correct them, end memberships and begin them again.

Nothing is given up because an answer did not come: it is repeated with the same `_id` until it
is answered, which is always right.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.chaos.history import (
    Ack,
    Add,
    Added,
    Edit,
    Edited,
    Err,
    Recorder,
    Remove,
    Removed,
    Send,
)
from tests.chaos.reader import TRY_AGAIN, Reader
from tests.chaos.wire import Wire
from tests.e2e.resilience.line import Broken, Failed, Unanswered

AT_ONCE = 400  # things that wait for an answer; beyond, people wait before they begin anew
FIRST_PAUSE = 0.2  # seconds until something is repeated
LONGEST_PAUSE = 2.0  # seconds
REMEMBERED = 20  # latest messages of a person that may be edited
AWAY = (0.05, 0.5)  # seconds that somebody stays removed
NOT_THERE = "error-user-not-in-room"


@dataclass(frozen=True, slots=True)
class Rates:
    """How much happens, per second."""

    sends: float
    edits: float
    removals: float


class Talk:
    """Everything that is done in some rooms. `begin`, then `stop`, then `finished`."""

    def __init__(
        self,
        rates: Rates,
        writers: Mapping[str, Sequence[Reader]],
        guests: Mapping[str, Sequence[Reader]],
        recorder: Recorder,
        proc: str,
        mark: str,
        dice: random.Random,
    ) -> None:
        """
        Args:
            mark: begins the ids of all messages, so that no other run has the same.
            writers: room → members who stay; the first one is its owner.
            guests: room → members who only read, and who are removed and invited again.
        """
        self._rates = rates
        self._writers = writers
        self._guests = guests
        self._recorder = recorder
        self._proc = proc
        self._mark = mark
        self._dice = dice
        self._said: defaultdict[str, int] = defaultdict(int)
        self._edits = 0
        self._mine: defaultdict[str, deque[tuple[str, str]]] = defaultdict(
            lambda: deque(maxlen=REMEMBERED)
        )
        self._away: set[tuple[str, str]] = set()
        self._stopping = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()
        self._rhythms: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """From now on things happen."""
        for rate, act in (
            (self._rates.sends, self._somebody_says),
            (self._rates.edits, self._somebody_edits),
            (self._rates.removals, self._somebody_is_removed),
        ):
            if rate > 0:
                self._rhythms.append(asyncio.create_task(self._repeat(act, rate)))

    async def stop(self) -> None:
        """Begin nothing new, and wait until everything that was begun is answered."""
        self._stopping.set()
        await asyncio.gather(*self._rhythms)
        if self._waiting:
            await asyncio.gather(*self._waiting)

    async def close(self) -> None:
        """Give up what is still waiting."""
        tasks = [*self._rhythms, *self._waiting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _repeat(self, act: Callable[[], Awaitable[None] | None], rate: float) -> None:
        """Do it so often per second; what could not be begun in time is not made up for."""
        due = time.monotonic()
        while not self._stopping.is_set():
            if len(self._waiting) < AT_ONCE and (doing := act()) is not None:
                task = asyncio.ensure_future(doing)
                self._waiting.add(task)
                task.add_done_callback(self._done)
            due = max(due + self._dice.expovariate(rate), time.monotonic() - 1.0)
            await asyncio.sleep(due - time.monotonic())

    def _done(self, task: asyncio.Future[None]) -> None:
        self._waiting.discard(task)
        if not task.cancelled() and task.exception() is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a doing of the drill failed", "exception": task.exception()}
            )

    # --- messages ---

    def _somebody_says(self) -> Awaitable[None] | None:
        room = self._dice.choice(list(self._writers))
        online = [writer for writer in self._writers[room] if writer.wire is not None]
        if not online:
            return None
        return self._say(self._dice.choice(online), room)

    async def _say(self, writer: Reader, room: str) -> None:
        self._said[writer.name] += 1
        body = f"{writer.name}:{self._said[writer.name]}"
        key = f"{self._mark}{self._dice.getrandbits(64):016x}"
        message = {"_id": key, "rid": room, "msg": body}
        said = {"room": room, "id": key, "user": writer.name}

        async def attempt(wire: Wire) -> None:
            self._note(Send, **said, body=body, socket=writer.socket)
            stored = await wire.call("sendMessage", message)
            self._note(Ack, **said, ts=int(stored["ts"]["$date"]))

        def failed(outcome: str, reason: str) -> None:
            self._note(Err, **said, outcome=outcome, reason=reason)

        if await self._until_answered(writer, attempt, failed):
            self._mine[writer.name].append((room, key))

    def _somebody_edits(self) -> Awaitable[None] | None:
        able = [
            writer
            for writers in self._writers.values()
            for writer in writers
            if writer.wire is not None and self._mine[writer.name]
        ]
        if not able:
            return None
        writer = self._dice.choice(able)
        return self._edit(writer, *self._dice.choice(self._mine[writer.name]))

    async def _edit(self, writer: Reader, room: str, message: str) -> None:
        self._edits += 1
        body = f"{writer.name}:edit-{self._edits}"
        done = {"room": room, "id": message, "user": writer.name, "body": body}

        async def attempt(wire: Wire) -> None:
            self._note(Edit, **done)
            await wire.call("updateMessage", {"_id": message, "rid": room, "msg": body})
            self._note(Edited, **done)

        await self._until_answered(writer, attempt, lambda outcome, reason: None)

    # --- memberships ---

    def _somebody_is_removed(self) -> Awaitable[None] | None:
        present = [
            (room, guest)
            for room, guests in self._guests.items()
            for guest in guests
            if (room, guest.name) not in self._away
        ]
        if not present:
            return None
        room, guest = self._dice.choice(present)
        self._away.add((room, guest.name))
        return self._take_and_give_back(room, guest)

    async def _take_and_give_back(self, room: str, guest: Reader) -> None:
        owner, who = self._writers[room][0], {"room": room, "user": guest.name}

        async def remove(wire: Wire) -> None:
            self._note(Remove, **who)
            try:
                await wire.call("removeUserFromRoom", {"rid": room, "username": guest.name})
            except Failed as failure:
                if failure.code != NOT_THERE:  # an earlier attempt did it
                    raise
            self._note(Removed, **who)

        async def add(wire: Wire) -> None:
            self._note(Add, **who)
            await wire.call("addUsersToRoom", {"rid": room, "users": [guest.name]})
            self._note(Added, **who)

        if await self._until_answered(owner, remove, _must_work("removeUserFromRoom")):
            await asyncio.sleep(self._dice.uniform(*AWAY))
            await self._until_answered(owner, add, _must_work("addUsersToRoom"))
        self._away.discard((room, guest.name))

    async def _until_answered(
        self,
        who: Reader,
        attempt: Callable[[Wire], Awaitable[None]],
        failed: Callable[[str, str], None],
    ) -> bool:
        """Try until it succeeds (True) or is refused for good."""
        pause = FIRST_PAUSE
        while True:
            wire = await who.online()
            try:
                await attempt(wire)
            except Failed as failure:
                if failure.code not in TRY_AGAIN:
                    failed("refused", str(failure))
                    return False
                failed("unknown", str(failure.code))
            except (Broken, Unanswered) as silence:
                failed("unknown", f"{type(silence).__name__} {silence}".strip())
            else:
                return True
            await asyncio.sleep(pause * self._dice.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _note(self, kind: Any, **values: Any) -> None:
        self._recorder.write(kind(proc=self._proc, **values))


def _must_work(what: str) -> Callable[[str, str], None]:
    """For what an owner may always do."""

    def failed(outcome: str, reason: str) -> None:
        if outcome == "refused":
            raise AssertionError(f"{what} was refused: {reason}")

    return failed
