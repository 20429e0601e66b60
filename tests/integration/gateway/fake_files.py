"""Avatars and messages with files, as the gateway's neighbours know them."""

from __future__ import annotations

from typing import Literal

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.avatars import AvatarOwner
from hubbub.contracts.files import FileNote, StoredFile
from hubbub.errors import NotAllowed, Unavailable
from hubbub.ids import MessageId, RoomId, UserId
from tests.integration.gateway.world import Doc, World


class FakeAvatars:
    """Who of a world has a picture."""

    world: World

    async def avatar_owner(
        self, user_id: str | None = None, username: str | None = None
    ) -> AvatarOwner | None:
        user = self.world.users.get(user_id) if user_id else self.world.by_username(username or "")
        if user is None:
            return None
        return AvatarOwner(
            user_id=user["_id"], username=user["username"], etag=user.get("avatarETag")
        )

    async def may_set_avatar(
        self, actor_id: UserId, user_id: str | None = None, username: str | None = None
    ) -> AvatarOwner:
        owner = await self.avatar_owner(
            actor_id if user_id is None and username is None else user_id, username
        )
        is_own = owner is not None and owner.user_id == actor_id
        if not is_own and "admin" not in self.world.users[actor_id]["roles"]:
            raise NotAllowed("Not allowed")
        if owner is None:
            raise UserNotFound("Invalid user")
        return owner

    async def set_avatar(
        self,
        actor_id: UserId,
        user_id: UserId,
        etag: str | None,
        origin: Literal["rest", "url", "upload"] = "rest",
    ) -> None:
        await self.may_set_avatar(actor_id, user_id)
        self.world.users[user_id] |= {"avatarETag": etag, "avatarOrigin": origin}


class FakeFiles:
    """Messages with files of a world."""

    world: World

    is_away = False

    async def send_file_message(
        self,
        user_id: UserId,
        room_id: RoomId,
        message_id: MessageId,
        file: StoredFile,
        note: FileNote,
    ) -> Doc:
        if self.is_away:
            raise Unavailable("away")
        if note.text == "refused":
            raise NotAllowed("You have been muted")
        return self.world.messages.setdefault(
            message_id,
            {
                "_id": message_id,
                "rid": room_id,
                "msg": note.text,
                "ts": self.world.now(),
                "u": {"_id": user_id},
                "file": file.model_dump(exclude_none=True),
                "description": note.description,
                "tmid": note.thread_id,
                "customFields": note.custom_fields,
            },
        )

    async def stored_messages(self, message_ids: list[MessageId]) -> list[MessageId]:
        return [message_id for message_id in message_ids if message_id in self.world.messages]

    async def room_name_of(self, user_id: UserId, room_id: RoomId) -> str:
        room = self.world.rooms.get(room_id)
        if room is None or not self.world.can_see(room, user_id):
            raise NotAllowed("Not allowed")
        return str(room.get("name") or "")
