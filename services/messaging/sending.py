"""Sending messages."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from hubbub.bus.faults import encode_error
from hubbub.contracts.messages import InvalidRoom, MessageNotFound, NewMessage, Sent
from hubbub.contracts.tracing import TRACE_FIELD
from hubbub.errors import HubbubError, Unavailable
from hubbub.ids import UserId, random_id
from hubbub.mongo import answering
from hubbub.telemetry.tracing import recorded_parent
from services.messaging.desk import Desk
from services.messaging.domain import file_messages, foreign, records, sending, text
from services.messaging.domain.sending import Person


class _Turn:
    """The place of one of several messages that have to be stored in their order."""

    def __init__(self, behind: _Turn | None = None) -> None:
        self._behind = behind
        self.taken = asyncio.Event()
        if behind is None:
            self.taken.set()

    async def take(self) -> None:
        """Wait until the one before has taken its turn; then the next one may. Once is enough."""
        if self._behind is not None:
            await self._behind.taken.wait()
        self.taken.set()


class Sending:
    """The door for new messages."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def send_message(
        self, user_id: UserId, message: NewMessage, allow_empty: bool = False
    ) -> dict[str, Any]:
        """See the contract."""
        if message.attachments:
            claims = file_messages.without_claims(message.attachments)
            message = message.model_copy(update={"attachments": claims})
        return await self.accept(user_id, message, allow_empty=allow_empty)

    async def send_messages(self, user_id: UserId, messages: list[NewMessage]) -> list[Sent]:
        """See the contract. What each needs is looked up at the same time for all of them."""
        turn, sends = _Turn(), []
        async with asyncio.TaskGroup() as tasks:
            for message in messages:
                turn = _Turn(behind=turn)
                sends.append(tasks.create_task(self._one_of_many(user_id, message, turn)))
        return [send.result() for send in sends]

    async def _one_of_many(self, user_id: UserId, message: NewMessage, turn: _Turn) -> Sent:
        if message.attachments:
            claims = file_messages.without_claims(message.attachments)
            message = message.model_copy(update={"attachments": claims})
        try:
            with answering():
                return Sent(message=await self.accept(user_id, message, turn=turn))
        except HubbubError as error:
            return Sent(refusal=encode_error(error).decode())
        finally:
            await turn.take()  # whoever was refused lets the others pass in their order

    async def accept(
        self,
        user_id: UserId,
        message: NewMessage,
        *,
        allow_empty: bool = False,
        carried: Mapping[str, Any] | None = None,
        turn: _Turn | None = None,
    ) -> dict[str, Any]:
        """`send_message`, for whoever here makes messages in a user's name.

        Args:
            turn: when it may be stored.
            carried: fields that no client may set. What is in them belongs to the room that the
                message names, so a thread elsewhere is refused.
        """
        measured = self._desk.metrics.sending
        rules = await self._desk.facts.rules()
        author = await self._desk.person(user_id)
        room_id, well_formed = message.room_id, False
        try:
            with measured("validate"):
                now = self._desk.clock.time()
                sending.check_shape(message, rules, now, allow_empty=allow_empty)
                thread, room_id = await self._thread(message, room_id)
                if carried and room_id != message.room_id:
                    raise MessageNotFound("Invalid thread", code="error-invalid-message")
            well_formed = True
            stored = await self._send(author, message, room_id, thread, carried or {}, turn)
        except Unavailable:
            raise
        except HubbubError as refusal:
            # Muted, removed, … since: a message that is stored is stored, whoever asks again.
            repeated = await self._earlier(message, user_id, room_id)
            if repeated is not None:
                return repeated
            if well_formed:
                await self._explain(user_id, room_id, message.thread_id, refusal)
            raise
        return foreign.message_view(stored, user_id)

    async def _send(
        self,
        author: Person,
        message: NewMessage,
        room_id: str,
        thread: tuple[str, str] | None,
        carried: Mapping[str, Any],
        turn: _Turn | None,
    ) -> dict[str, Any]:
        facts, measured = self._desk.facts, self._desk.metrics.sending
        with measured("authorize"):
            room = await facts.room(room_id)
            if room is None:
                raise InvalidRoom("Invalid room")
            held = await facts.sending_rights(author.user_id, room_id)
            sending.check_rights(message, str(room.get("t")), held)
        if self._desk.apps.hooked and await self._desk.apps.are_judges_in(room_id):
            with measured("apps"):
                known = await self._stored(message, author.user_id, room_id)
                if known is not None:
                    return known  # it was asked about when it was stored
                message = await self._as_apps_let_it(author, message, room_id, carried)
        draft = sending.draft_of(
            message,
            message_id=message.id or random_id(),
            author=author,
            room_id=room_id,
            held=held,
            resolved=await resolve(self._desk, message.text),
            thread=thread,
        )
        trace = recorded_parent()
        traced = {} if trace is None else {TRACE_FIELD: trace}
        draft = replace(draft, message={**draft.message, **carried, **traced})
        if turn is not None:
            await turn.take()
        # It enters the funnel before anybody else has a turn of the loop.
        with measured("persist"):
            return await self._desk.funnel.send(room_id, draft)

    async def _as_apps_let_it(
        self, author: Person, message: NewMessage, room_id: str, carried: Mapping[str, Any]
    ) -> NewMessage:
        """The message after the apps were asked. Raises: AppPreventedSending."""
        rules, now = await self._desk.facts.rules(), self._desk.clock.time()
        message = message.model_copy(update={"id": message.id or random_id()})
        judged = await self._desk.apps.judged(
            author,
            message,
            room_id,
            lambda changed: sending.check_shape(changed, rules, now, allow_empty=bool(carried)),
            # What describes a file of ours stays as we wrote it.
            with_attachments=not carried,
        )
        if judged is message or not judged.attachments or carried:
            return judged
        claims = file_messages.without_claims(judged.attachments)
        return judged.model_copy(update={"attachments": claims})

    async def _thread(
        self, message: NewMessage, room_id: str
    ) -> tuple[tuple[str, str] | None, str]:
        """(first message, its author) of the thread that `message` replies to, and its room.

        A reply to a reply joins that one's thread, and the thread's room decides.
        """
        if message.thread_id is None:
            return None, room_id
        parent = await self._desk.store.messages.one(message.thread_id)
        if parent is not None and parent.get("tmid"):
            parent = await self._desk.store.messages.one(str(parent["tmid"]))
        if parent is None or parent.get("_hidden"):
            raise MessageNotFound("Invalid thread", code="error-invalid-message")
        thread_author = str((parent.get("u") or {}).get("_id") or "")
        return (str(parent["_id"]), thread_author), str(parent["rid"])

    async def _earlier(
        self, message: NewMessage, user_id: str, room_id: str
    ) -> dict[str, Any] | None:
        """What a refused send stored when it was made before."""
        stored = await self._stored(message, user_id, room_id)
        return None if stored is None else foreign.message_view(stored, user_id)

    async def _stored(
        self, message: NewMessage, user_id: str, room_id: str
    ) -> dict[str, Any] | None:
        """The message as it was stored before, if this is it again."""
        if message.id is None:
            return None
        stored = await self._desk.store.messages.one(message.id)
        if stored is None or (stored.get("u") or {}).get("_id") != user_id:
            return None
        if stored.get("rid") != room_id or stored.get("_hidden"):
            return None
        return stored

    async def _explain(
        self, user_id: str, room_id: str, thread_id: str | None, refusal: HubbubError
    ) -> None:
        """Show the sender, and only them, why the room does not take the message."""
        notice = records.refusal(
            room_id,
            random_id(),
            refusal.reason or str(refusal.code),
            await self._desk.now(),
        )
        if thread_id is not None:
            notice["tmid"] = thread_id
        await self._desk.whisper.tell(user_id, "message", notice)


async def resolve(desk: Desk, message_text: str) -> sending.Resolved:
    """Who and what the names in a text are."""
    names = text.mentions(message_text).spellings
    people: Mapping[str, Person] = await desk.store.users.by_username(names) if names else {}
    channels: Collection[Mapping[str, Any]] = await desk.store.rooms.public_by_names(
        text.channels(message_text)
    )
    return sending.Resolved(people, list(channels))
