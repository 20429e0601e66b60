"""Messages of one user to one room travel in order, however many there are.

Each waits for a commit by a majority. Were they carried one by one, somebody who said forty things
while the streamer, or the database, stood still would wait for forty commits. So while a message
is on its way those behind it gather, and then go together, in one call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from hubbub.bus import call_context, current_call
from hubbub.bus.faults import decode_error
from hubbub.contracts.documents import Document
from hubbub.contracts.messages import AT_ONCE, NewMessage
from hubbub.contracts.messaging import Messaging
from hubbub.errors import Timeout, Unavailable
from hubbub.ids import UserId
from hubbub.telemetry.log import get_logger
from services.ddp_streamer.tasks import Tasks

log = get_logger(__name__)

_LETTERS: Final = 32 * 1024  # of one call; the answer is larger, and NATS takes a megabyte

_Key = tuple[UserId, str]


class _Waiting:
    """A message that goes with the next convoy."""

    __slots__ = ("answer", "message", "request_id")

    def __init__(self, message: NewMessage) -> None:
        self.message = message
        self.request_id = current_call().request_id
        self.answer: asyncio.Future[Document] = asyncio.get_running_loop().create_future()


class Convoys:
    """One per user and room on its way at a time."""

    def __init__(self, messaging: Messaging, tasks: Tasks) -> None:
        self._messaging = messaging
        self._tasks = tasks
        self._waiting: dict[_Key, deque[_Waiting]] = {}  # of those with something on its way

    async def send(self, user_id: UserId, message: NewMessage) -> Document:
        """As `Messaging.send_message`, behind what the user sent to that room before.

        Cancelling it takes a message that waits out of the queue.
        """
        key = (user_id, message.room_id)
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = deque()
            try:
                return await self._messaging.send_message(user_id, message)
            finally:
                self._next(key)
        entry = _Waiting(message)
        waiting.append(entry)
        return await entry.answer

    def _next(self, key: _Key) -> None:
        """What was on its way has arrived."""
        if convoy := _convoy(self._waiting[key]):
            self._tasks.spawn(self._carry(key, convoy), "convoy")
        else:
            del self._waiting[key]

    async def _carry(self, key: _Key, convoy: list[_Waiting]) -> None:
        user_id, _ = key
        try:
            with call_context(request_id=convoy[0].request_id, user_id=user_id):
                if len(convoy) == 1 or not await self._together(user_id, convoy):
                    await self._one_by_one(user_id, convoy)
        finally:
            for entry in convoy:
                _fail(entry, Unavailable("The outcome is not known, try again with the same id"))
            self._next(key)

    async def _together(self, user_id: UserId, convoy: list[_Waiting]) -> bool:
        """False: nobody knows what became of them, and one of them may be the reason."""
        try:
            sent = await self._messaging.send_messages(user_id, [entry.message for entry in convoy])
        except (Unavailable, Timeout) as error:
            for entry in convoy:
                _fail(entry, error)
            return True
        except Exception as error:
            # A defect that one of them shows, or a messaging that is older than this streamer.
            log.info("convoy_taken_apart", messages=len(convoy), reason=type(error).__name__)
            return False
        for entry, one in zip(convoy, sent, strict=True):
            if one.refusal is not None:
                _fail(entry, decode_error(one.refusal.encode()))
            elif not entry.answer.done():
                entry.answer.set_result(one.message or {})
        return True

    async def _one_by_one(self, user_id: UserId, convoy: list[_Waiting]) -> None:
        for entry in convoy:
            try:
                message = await self._messaging.send_message(user_id, entry.message)
            except Exception as error:  # handed to whoever waits
                _fail(entry, error)
            else:
                if not entry.answer.done():
                    entry.answer.set_result(message)


def _convoy(waiting: deque[_Waiting]) -> list[_Waiting]:
    """Those that go next."""
    convoy: list[_Waiting] = []
    size = 0
    while waiting and len(convoy) < AT_ONCE:
        entry = waiting[0]
        if not entry.answer.done():  # else nobody waits for it any more
            size += _weight(entry.message)
            if convoy and size > _LETTERS:
                break
            convoy.append(entry)
        waiting.popleft()
    return convoy


def _weight(message: NewMessage) -> int:
    """In letters; what is more than text may be of any size, and goes alone."""
    alone = message.attachments or message.custom_fields or message.bot
    return _LETTERS + 1 if alone else len(message.text)


def _fail(entry: _Waiting, error: Exception) -> None:
    if not entry.answer.done():
        entry.answer.set_exception(error)
