"""Changing, deleting and reacting to messages. The stored message's room decides about rights."""

from __future__ import annotations

from functools import partial
from typing import Any

from hubbub.contracts.messages import (
    ActionNotAllowed,
    MessageEdit,
    MessageNotFound,
    MessageTooLong,
)
from hubbub.errors import NotAllowed
from hubbub.ids import MessageId, UserId, random_id
from services.messaging.desk import Desk
from services.messaging.domain import changing, file_messages, foreign, sending
from services.messaging.domain.changing import Deletion
from services.messaging.domain.text import utf16_length
from services.messaging.sending import resolve

_ATTENDING = 2.0  # seconds that a deletion waits until others know of its files
_TRIES = 3  # readings of a message that somebody else edits at the same time


class Editing:
    """The doors for stored messages."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def update_message(self, user_id: UserId, edit: MessageEdit) -> dict[str, Any] | None:
        """See the contract."""
        editor = await self._desk.person(user_id)
        for _ in range(_TRIES):
            stored = await self._desk.store.messages.one(edit.id)
            if stored is None or stored.get("_hidden"):
                return None
            room_id = str(stored["rid"])
            fields = await self._edit_fields(user_id, edit, stored)
            if not fields:
                return None
            edited = partial(self._desk.store.edits.edit, stored, fields, editor.short_reference)
            after = await self._desk.write(room_id, edited)
            if after is not None:
                return foreign.message_view(after, user_id)
        return None

    async def delete_message(self, user_id: UserId, message_id: MessageId) -> dict[str, Any]:
        """See the contract."""
        actor = await self._desk.person(user_id)
        stored = await self._desk.store.messages.one(message_id)
        if stored is None or stored.get("_hidden"):
            raise MessageNotFound("Message not found")
        room_id = str(stored["rid"])
        rules = await self._desk.facts.rules()
        held = await self._desk.held(user_id, changing.DELETE_RIGHTS, room_id)
        room = await self._desk.store.rooms.one(room_id) or {}
        changing.may_delete(
            stored,
            room,
            user_id,
            actor.username,
            held,
            rules,
            await self._desk.now(),
            is_member=await self._is_member(room_id, user_id),
        )
        how = changing.deletion_of(stored, rules)
        copy_id = random_id() if how is Deletion.EMPTIED and rules.keep_history else None
        chores = await self._desk.write(
            room_id,
            lambda deadline: self._desk.store.edits.delete(
                stored, how, actor.short_reference, copy_id=copy_id, deadline=deadline
            ),
        )
        await self._desk.chores.attend(chores, _ATTENDING)
        if room.get("prid"):
            await self._desk.store.discussions.report(room_id)
        return {"_id": stored["_id"], "rid": room_id, "ts": stored.get("ts")}

    async def set_reaction(
        self, user_id: UserId, reaction: str, message_id: MessageId, should_react: bool
    ) -> dict[str, Any]:
        """See the contract."""
        return await self._react(user_id, reaction, message_id, should_react)

    async def toggle_reaction(
        self, user_id: UserId, reaction: str, message_id: MessageId
    ) -> dict[str, Any]:
        """See the contract."""
        return await self._react(user_id, reaction, message_id, None)

    async def _react(
        self, user_id: UserId, reaction: str, message_id: MessageId, should_react: bool | None
    ) -> dict[str, Any]:
        actor = await self._desk.person(user_id)
        emoji = changing.emoji_of(reaction)
        stored = await self._desk.store.messages.one(message_id)
        if stored is None or stored.get("_hidden"):
            raise MessageNotFound("Message not found")
        room_id = str(stored["rid"])
        if not await self._is_member(room_id, user_id):
            raise NotAllowed("Not authorized", code="not-authorized")
        room = await self._desk.store.rooms.one(room_id) or {}
        held = await self._desk.held(user_id, ["post-readonly"], room_id)
        changing.may_react(room, actor.username, held)
        add = should_react
        if add is None:
            add = not changing.has_reacted(stored, emoji, actor.username)
        wanted = add
        after = await self._desk.write(
            room_id,
            lambda deadline: self._desk.store.edits.react(
                stored, emoji, actor.username, add=wanted, deadline=deadline
            ),
        )
        if after is None:  # it was so already
            after = await self._desk.store.messages.one(message_id)
        if after is None:
            raise MessageNotFound("Message not found")
        return foreign.message_view(after, user_id)

    async def _edit_fields(
        self, user_id: str, edit: MessageEdit, stored: dict[str, Any]
    ) -> dict[str, Any]:
        """What the edit sets, empty when it changes nothing."""
        room_id = str(stored["rid"])
        rules = await self._desk.facts.rules()
        held = await self._desk.held(user_id, changing.EDIT_RIGHTS, room_id)
        changing.may_edit(
            stored,
            user_id,
            held,
            rules,
            await self._desk.now(),
            is_member=await self._is_member(room_id, user_id),
        )
        changed = changing.edit_of(edit, stored)
        fields = dict(changed.fields)
        if fields.get("attachments") and not stored.get("file"):
            fields["attachments"] = file_messages.without_claims(fields["attachments"])
        if {"alias", "avatar", "emoji"} & fields.keys() and "message-impersonate" not in held:
            raise ActionNotAllowed("Not enough permission")
        if changed.text is not None:
            if utf16_length(changed.text) > rules.max_length:
                raise MessageTooLong("Message size exceeds Message_MaxAllowedSize")
            resolved = await resolve(self._desk, changed.text)
            fields |= sending.mention_fields(changed.text, held, resolved)
        return fields

    async def _is_member(self, room_id: str, user_id: str) -> bool:
        return await self._desk.store.memberships.one(room_id, user_id) is not None
