"""Rooms that grow out of a message."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from hubbub.contracts.discussions import NestedDiscussion, NewDiscussion
from hubbub.contracts.documents import Page, Paging
from hubbub.contracts.messages import (
    ActionNotAllowed,
    InvalidRoom,
    MessageNotFound,
    NewMessage,
)
from hubbub.contracts.rooms import RoomNotFound
from hubbub.errors import NotAllowed
from hubbub.ids import RoomId, UserId, random_id
from services.messaging.desk import Desk
from services.messaging.domain import discussions, foreign, lists, plain, records, sending
from services.messaging.domain.sending import Draft, Person, Resolved
from services.messaging.sending import resolve
from services.messaging.store.transactions import Duplicate, Missing

_START: Final = "start-discussion"
_REPEAT: Final = timedelta(minutes=1)  # in which the same wish counts as a repeat
_SORTS: Final = ("lm", "ts", "fname", "msgs", "usersCount", "_id")


class Discussions:
    """The doors of this."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create_discussion(self, user_id: UserId, discussion: NewDiscussion) -> dict[str, Any]:
        """See the contract."""
        creator = await self._desk.person(user_id)
        parent = await self._discussion_parent(creator, discussion)
        about = await self._discussed_message(parent, discussion)
        for text in (discussion.name, discussion.topic, discussion.reply):
            plain.check_storable(text)
        there = await self._earlier_discussion(user_id, discussion, about)
        if there is None:
            try:
                there = await self._begin_discussion(creator, parent, about, discussion)
            except Missing:
                raise InvalidRoom("Invalid room") from None
            except Duplicate:
                if about is None:
                    raise
                # Somebody began a discussion about the same message in this moment.
                there = await self._desk.store.discussions.of_message(str(about["_id"])) or {}
        room_id = str(there["_id"])
        if about is not None:
            await self._join_discussion(there, creator)
        return foreign.room_view(await self._desk.store.rooms.one(room_id) or there)

    async def discussions(
        self, user_id: UserId, room_id: RoomId, paging: Paging, text: str | None = None
    ) -> Page:
        """See the contract."""
        if await self._desk.facts.room(room_id) is None:
            raise RoomNotFound("The required room was not found")
        if not await self._desk.authorization.can_access_room_id(room_id, user_id, now=True):
            raise NotAllowed("Not allowed")
        page, total = await self._desk.store.discussions.page(
            room_id,
            lists.order(paging, _SORTS, {"lm": -1}),
            lists.offset(paging),
            lists.limit(paging),
            text,
        )
        return Page(items=[foreign.room_view(room) for room in page], total=total)

    async def _discussion_parent(self, creator: Person, wanted: NewDiscussion) -> dict[str, Any]:
        """The room to hang the discussion on, if the creator may do that there."""
        room_id = RoomId(wanted.parent_id)
        user_id = UserId(creator.user_id)
        room = await self._desk.store.rooms.one(room_id)
        can_access = self._desk.authorization.can_access_room_id
        if room is None or not await can_access(room_id, user_id):
            raise InvalidRoom("Invalid room")
        if room.get("prid"):
            raise NestedDiscussion("Cannot create nested discussions")
        enabled = await self._desk.facts.setting("Discussion_enabled")
        held = await self._desk.held(user_id, [_START, "post-readonly"], room_id)
        if enabled is False or _START not in held:
            raise ActionNotAllowed("You cannot create a discussion")
        membership = await self._desk.store.memberships.one(room_id, user_id)
        # Beginning a discussion says something in the parent: the same rules. In a public room
        # who may read may begin one, member or not.
        announcement = Draft({}, creator, may_post_readonly="post-readonly" in held)
        public: dict[str, Any] | None = {} if room.get("t") == "c" else None
        refusal = sending.judge(room, membership or public, announcement)
        if refusal is not None:
            raise refusal
        return room

    async def _discussed_message(
        self, parent: Mapping[str, Any], wanted: NewDiscussion
    ) -> dict[str, Any] | None:
        """The message that the discussion is about, if it is about one."""
        if wanted.message_id is None:
            return None
        message = await self._desk.store.messages.one(wanted.message_id)
        if message is None or message.get("_hidden") or message.get("rid") != parent["_id"]:
            raise MessageNotFound("Invalid message", code="error-invalid-message")
        return message

    async def _earlier_discussion(
        self, user_id: str, wanted: NewDiscussion, about: Mapping[str, Any] | None
    ) -> dict[str, Any] | None:
        """What an earlier call made of the same wish."""
        if about is not None:
            return await self._desk.store.discussions.of_message(str(about["_id"]))
        if not wanted.repeatable:
            return None
        since = await self._desk.now() - _REPEAT
        name = wanted.name.strip()
        return await self._desk.store.discussions.recent(wanted.parent_id, name, user_id, since)

    async def _begin_discussion(
        self,
        creator: Person,
        parent: Mapping[str, Any],
        about: Mapping[str, Any] | None,
        wanted: NewDiscussion,
    ) -> dict[str, Any]:
        now = await self._desk.now()
        people = await self._discussion_members(creator, about, wanted)
        room = discussions.room(random_id(), random_id(), parent, about, wanted, creator, now)
        room["usersCount"] = len(people)
        memberships = [
            records.membership(
                random_id(),
                room,
                person,
                now,
                alert=person.user_id != creator.user_id,
                roles=("owner",) if person.user_id == creator.user_id else (),
            )
            for person in people
        ]
        quote = None if about is None else discussions.quote(about, parent)
        announcement = records.system_message(
            random_id(),
            "discussion-created",
            str(room["fname"]),
            room_id=str(parent["_id"]),
            actor=creator,
            extra={"drid": room["_id"], "dcount": 0, "dlm": now}
            | ({"attachments": [quote]} if quote else {}),
        )
        stored = await self._desk.write(
            str(parent["_id"]),
            lambda deadline: self._desk.store.discussions.create(
                room, memberships, announcement, deadline
            ),
        )
        self._desk.effects.on_stored(str(parent["_id"]), stored)
        await self._begin_saying(creator, room, quote, wanted.reply)
        return room

    async def _discussion_members(
        self, creator: Person, about: Mapping[str, Any] | None, wanted: NewDiscussion
    ) -> list[Person]:
        """Who a new discussion begins with; unknown names are skipped."""
        found = await self._desk.store.users.named(wanted.members)
        people = {creator.user_id: creator}
        author = (about or {}).get("u")
        if isinstance(author, Mapping):
            writer = await self._desk.store.users.person(str(author.get("_id")))
            if writer is not None and writer.active:
                people.setdefault(writer.user_id, writer)
        for name in wanted.members:
            if (person := found.get(name)) is not None:
                people.setdefault(person.user_id, person)
        return list(people.values())

    async def _begin_saying(
        self,
        creator: Person,
        room: Mapping[str, Any],
        quote: Mapping[str, Any] | None,
        reply: str | None,
    ) -> None:
        """Begin the discussion with the message it is about, and with what its creator says."""
        room_id = str(room["_id"])
        if quote is not None:
            message = {
                "_id": random_id(),
                "rid": room_id,
                "msg": "",
                "u": creator.reference,
                "attachments": [dict(quote)],
                "groupable": False,
                "mentions": [],
                "channels": [],
                "urls": [],
            }
            await self._desk.funnel.send(room_id, Draft(message, creator))
        if reply and reply.strip():
            wanted = NewMessage.model_validate({"rid": room_id, "msg": reply})
            resolved: Resolved = await resolve(self._desk, reply)
            draft = sending.draft_of(
                wanted,
                message_id=random_id(),
                author=creator,
                room_id=room_id,
                held=frozenset(),
                resolved=resolved,
            )
            await self._desk.funnel.send(room_id, draft)

    async def _join_discussion(self, room: Mapping[str, Any], person: Person) -> None:
        """Make somebody a member of a discussion that is there already."""
        room_id = str(room["_id"])
        if await self._desk.store.memberships.one(room_id, person.user_id) is not None:
            return
        membership = records.membership(
            random_id(), room, person, await self._desk.now(), alert=False
        )
        joined = records.system_message(
            random_id(), "ut", person.username, room_id=room_id, actor=person
        )
        try:
            stored = await self._desk.write(
                room_id,
                lambda deadline: self._desk.store.places.begin(membership, joined, deadline),
            )
        except Duplicate:
            return
        except Missing:
            raise InvalidRoom("Invalid room") from None
        self._desk.effects.on_stored(room_id, stored)
        self._desk.facts.forget_membership(person.user_id, room_id)
