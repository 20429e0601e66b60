"""A messaging service on a real database, with somebody who grants permissions."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hubbub.bus import LocalBus
from hubbub.contracts.authorization import (
    Authorization,
    NewRole,
    PermissionRoles,
    RoleChanges,
    RoomQuestion,
)
from hubbub.contracts.documents import Changes, Document, Page, Paging
from hubbub.contracts.messages import NewMessage
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.rooms import NewRoom
from hubbub.contracts.workspace import PERMISSIONS
from hubbub.ids import RoomId, UserId
from hubbub.mongo import Database
from services.account.store.users import MongoUserStore
from services.messaging.migration import expand
from services.messaging.service import MessagingService, assemble
from services.messaging.settings import MessagingSettings
from services.messaging.whisper import What
from tests.waiting import eventually

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


class FakeAuthorization(Authorization):
    """Grants what the workspace's defaults say, from roles that a test hands out."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.granted: dict[str, set[str]] = defaultdict(lambda: {"user"})
        self.calls = 0
        self.remembered: set[tuple[str, str]] = set()
        """Room and user of memberships that ended, which only a look at what is stored reveals."""

    async def held_permissions(
        self, user_id: UserId | None, permissions: list[str], room_id: RoomId | None = None
    ) -> list[str]:
        self.calls += 1
        roles = set(self.granted[user_id]) if user_id is not None else {"anonymous"}
        if room_id is not None:
            found = await self._membership(room_id, user_id)
            roles |= set((found or {}).get("roles") or [])
        return [name for name in permissions if roles & set(PERMISSIONS.get(name, ()))]

    async def has_permission(
        self, user_id: UserId | None, permission: str, room_id: RoomId | None = None
    ) -> bool:
        return bool(await self.held_permissions(user_id, [permission], room_id))

    async def has_all_permissions(
        self, user_id: UserId | None, permissions: list[str], room_id: RoomId | None = None
    ) -> bool:
        held = await self.held_permissions(user_id, permissions, room_id)
        return len(held) == len(permissions)

    async def has_at_least_one_permission(
        self, user_id: UserId | None, permissions: list[str], room_id: RoomId | None = None
    ) -> bool:
        return bool(await self.held_permissions(user_id, permissions, room_id))

    async def has_any_role(
        self, user_id: UserId, roles: list[str], room_id: RoomId | None = None
    ) -> bool:
        return bool(self.granted[user_id] & set(roles))

    async def can_access_room_id(
        self, room_id: RoomId, user_id: UserId | None, now: bool = False
    ) -> bool:
        room = await self._database.rocketchat_room.find_one({"_id": room_id})
        if room is None:
            return False
        if room.get("t") == "c" and await self.has_permission(user_id, "view-c-room"):
            return user_id is not None
        if not now and (room_id, user_id) in self.remembered:
            return True
        return await self._membership(room_id, user_id) is not None

    async def can_read_room(
        self, room_id: RoomId, user_id: UserId | None, now: bool = False
    ) -> bool:
        return await self.can_access_room_id(room_id, user_id, now)

    async def judge_rooms(self, questions: list[RoomQuestion]) -> list[bool | None]:
        return [await self.can_access_room_id(one.room_id, one.user_id) for one in questions]

    async def accessible_rooms(self, room_ids: list[RoomId], user_id: UserId) -> list[RoomId]:
        return [one for one in room_ids if await self.can_access_room_id(one, user_id)]

    async def permissions(self, updated_since: datetime | None = None) -> Changes:
        return Changes(update=[], remove=[])

    async def roles(self) -> list[Document]:
        return []

    async def administrators(self) -> list[Document]:
        return []

    async def users_in_public_roles(self) -> list[Document]:
        return []

    async def roles_changed(self, updated_since: datetime) -> Changes:
        raise NotImplementedError

    async def find_role(self, role: str) -> Document:
        raise NotImplementedError

    async def create_role(self, user_id: UserId, role: NewRole) -> Document:
        raise NotImplementedError

    async def update_role(self, user_id: UserId, role_id: str, changes: RoleChanges) -> Document:
        raise NotImplementedError

    async def delete_role(self, user_id: UserId, role: str) -> None:
        raise NotImplementedError

    async def update_permissions(
        self, user_id: UserId, permissions: list[PermissionRoles]
    ) -> list[Document]:
        raise NotImplementedError

    async def users_in_role(
        self, user_id: UserId, role: str, paging: Paging, room_id: RoomId | None = None
    ) -> Page:
        raise NotImplementedError

    async def _membership(self, room_id: str, user_id: str | None) -> Document | None:
        return await self._database.rocketchat_subscription.find_one(
            {"rid": room_id, "u._id": user_id}
        )


@dataclass
class FakeWhisper:
    """Remembers what was whispered."""

    heard: list[tuple[str, What, Mapping[str, Any]]] = field(default_factory=list)

    async def tell(self, user_id: str, what: What, content: Mapping[str, Any]) -> None:
        self.heard.append((user_id, what, content))

    def by(self, user_id: str, what: What) -> list[Mapping[str, Any]]:
        return [content for who, kind, content in self.heard if (who, kind) == (user_id, what)]


@dataclass
class FakeStatuses:
    """Remembers the status texts that were chosen."""

    chosen: list[tuple[UserId, str]] = field(default_factory=list)

    async def set_status(self, user_id: UserId, *, text: str) -> None:
        self.chosen.append((user_id, text))


@dataclass
class House:
    """One running messaging service and its surroundings."""

    database: Database
    bus: LocalBus
    messaging: Messaging
    service: MessagingService
    authorization: FakeAuthorization
    whisper: FakeWhisper
    statuses: FakeStatuses

    async def users(self, *names: str, **fields: Any) -> list[UserId]:
        """Make users whose id is `u-<name>`."""
        await self.database.users.insert_many(
            [
                {
                    "_id": f"u-{name}",
                    "username": name,
                    "name": name.title(),
                    "active": True,
                    "status": "online",
                    "createdAt": CREATED,
                    **fields,
                }
                for name in names
            ]
        )
        return [UserId(f"u-{name}") for name in names]

    async def room(self, owner: UserId, *members: str, kind: str = "c", **fields: Any) -> RoomId:
        """Make a room with members, by username."""
        name = f"room-{await self.database.rocketchat_room.estimated_document_count()}"
        wanted = NewRoom.model_validate(
            {"type": kind, "name": name, "members": list(members), **fields}
        )
        room = await self.messaging.create_room(owner, wanted)
        return RoomId(room["_id"])

    async def say(
        self, user_id: UserId, room_id: RoomId, text: str = "hello", **fields: Any
    ) -> Document:
        """Send a message."""
        message = NewMessage.model_validate({"rid": room_id, "msg": text, **fields})
        return await self.messaging.send_message(user_id, message)

    async def membership(self, user_id: str, room_id: str) -> Document:
        found = await self.database.rocketchat_subscription.find_one(
            {"u._id": user_id, "rid": room_id}
        )
        assert found is not None
        return found

    async def stored_room(self, room_id: str) -> Document:
        found = await self.database.rocketchat_room.find_one({"_id": room_id})
        assert found is not None
        return found

    async def message(self, message_id: str) -> Document | None:
        return await self.database.rocketchat_message.find_one({"_id": message_id})

    async def settled(self) -> None:
        """Wait until all effects are written."""
        effects = self.service._desk.effects
        await eventually(lambda: effects._idle.is_set(), within=10, what="effects are written")
        await self.bus.settled()

    async def setting(self, setting_id: str, value: Any) -> None:
        await self.database.rocketchat_settings.update_one(
            {"_id": setting_id}, {"$set": {"value": value}}, upsert=True
        )
        self.service._desk.facts.forget_settings()


SETTINGS = MessagingSettings(
    settle_interval=0.05,
    repair_interval=0.2,
    repair_age=0.3,
    effect_interval=0.02,
    chore_interval=0.1,
)


@asynccontextmanager
async def house(database: Database, settings: MessagingSettings = SETTINGS) -> AsyncIterator[House]:
    """A house for one test."""
    bus = LocalBus()
    authorization = FakeAuthorization(database)
    await bus.serve(authorization)
    whisper, statuses = FakeWhisper(), FakeStatuses()
    service = assemble(
        database,
        bus.proxy(Authorization),
        whisper,
        bus.publish,
        statuses=statuses,
        settings=settings,
    )
    await MongoUserStore(database).prepare()  # users and their indexes are another service's
    await expand(database)
    await service.prepare()
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(service.run())
            await bus.serve(service)
            yield House(
                database, bus, bus.proxy(Messaging), service, authorization, whisper, statuses
            )
            await service.close()
            running.cancel()
    finally:
        await bus.close()
