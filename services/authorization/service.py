"""The doors of the authorization service, and its life."""

from __future__ import annotations

import asyncio
from datetime import datetime

from hubbub.audit import Auditor, Publish
from hubbub.clock import Clock, SystemClock
from hubbub.contracts.authorization import (
    MAX_QUESTIONS,
    Authorization,
    NewRole,
    PermissionRoles,
    RoleChanges,
    RoomQuestion,
)
from hubbub.contracts.base import listen
from hubbub.contracts.documents import Changes, Document, Page, Paging
from hubbub.contracts.events import (
    MembershipChanged,
    PermissionsChanged,
    RolesChanged,
    RoomChanged,
    SettingsChanged,
    UserChanged,
)
from hubbub.errors import BadRequest, Unavailable
from hubbub.ids import RoomId, UserId
from hubbub.runtime import Process
from hubbub.settings import load
from hubbub.telemetry.log import get_logger
from services.authorization.domain import (
    MAX_PARENTS,
    Access,
    Room,
    Standing,
    access,
    is_permitted,
    may_preview,
)
from services.authorization.editing import Editor
from services.authorization.facts import Facts
from services.authorization.metrics import ACCESS, AuthorizationMetrics
from services.authorization.migration import expand
from services.authorization.settings import AuthorizationSettings
from services.authorization.store import AuthorizationStore, MongoAuthorizationStore, MongoRoleStore

log = get_logger(__name__)


class AuthorizationService(Authorization):
    """Answers from cached facts. Close it.

    When the database does not answer and no fact is fresh enough, calls raise `Unavailable`:
    "unknown", never a wrong "no".
    """

    def __init__(
        self,
        store: AuthorizationStore,
        settings: AuthorizationSettings,
        metrics: AuthorizationMetrics,
        roles: MongoRoleStore,
        publish: Publish,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._store = store
        self._metrics = metrics
        self._facts = Facts(store, settings, metrics, clock)
        self._editor = Editor(roles, self.has_permission, Auditor(publish, clock), clock)

    async def has_permission(
        self, user_id: UserId | None, permission: str, room_id: RoomId | None = None
    ) -> bool:
        """See the contract."""
        return bool(await self.held_permissions(user_id, [permission], room_id))

    async def has_all_permissions(
        self, user_id: UserId | None, permissions: list[str], room_id: RoomId | None = None
    ) -> bool:
        """See the contract."""
        held = await self.held_permissions(user_id, permissions, room_id)
        return len(held) == len(permissions)

    async def has_at_least_one_permission(
        self, user_id: UserId | None, permissions: list[str], room_id: RoomId | None = None
    ) -> bool:
        """See the contract."""
        return bool(await self.held_permissions(user_id, permissions, room_id))

    async def held_permissions(
        self, user_id: UserId | None, permissions: list[str], room_id: RoomId | None = None
    ) -> list[str]:
        """See the contract."""
        roles = await self._facts.roles_held(user_id, room_id)
        grants = (await self._facts.permissions()).grants
        held = []
        for permission in permissions:
            allowed = is_permitted(permission, roles, grants)
            self._metrics.decided(permission, allowed=allowed)
            if allowed:
                held.append(permission)
        return held

    async def has_any_role(
        self, user_id: UserId, roles: list[str], room_id: RoomId | None = None
    ) -> bool:
        """See the contract."""
        return not (await self._facts.roles_held(user_id, room_id)).isdisjoint(roles)

    async def can_access_room_id(
        self, room_id: RoomId, user_id: UserId | None, now: bool = False
    ) -> bool:
        """See the contract."""
        return bool(await self._accessible([room_id], user_id, now=now))

    async def can_read_room(
        self, room_id: RoomId, user_id: UserId | None, now: bool = False
    ) -> bool:
        """See the contract."""
        accessible = await self._accessible([room_id], user_id, now=now)
        if room_id not in accessible:
            return False
        room, standing = accessible[room_id]
        return may_preview(room, standing, await self._facts.grants())

    async def judge_rooms(self, questions: list[RoomQuestion]) -> list[bool | None]:
        """See the contract."""
        if len(questions) > MAX_QUESTIONS:
            raise BadRequest(f"at most {MAX_QUESTIONS} questions at once")
        # Beside each other: facts that are missing in the same moment are loaded together.
        answers = await asyncio.gather(*map(self._judged, questions), return_exceptions=True)
        return [_heard(answer) for answer in answers]

    async def _judged(self, question: RoomQuestion) -> bool:
        if question.what == "read":
            return await self.can_read_room(question.room_id, question.user_id, now=True)
        return await self.can_access_room_id(question.room_id, question.user_id, now=True)

    async def accessible_rooms(self, room_ids: list[RoomId], user_id: UserId) -> list[RoomId]:
        """See the contract."""
        accessible = await self._accessible(room_ids, user_id)
        return [room_id for room_id in room_ids if room_id in accessible]

    async def permissions(self, updated_since: datetime | None = None) -> Changes:
        """See the contract."""
        documents = (await self._facts.permissions()).documents
        if updated_since is None:
            return Changes(update=documents, remove=[])
        return Changes(
            update=[document for document in documents if _changed(document, updated_since)],
            remove=await self._store.removed_permissions(updated_since),
        )

    async def roles(self) -> list[Document]:
        """See the contract."""
        return await self._facts.roles()

    async def roles_changed(self, updated_since: datetime) -> Changes:
        """See the contract."""
        documents = await self._facts.roles()
        return Changes(
            update=[document for document in documents if _changed(document, updated_since)],
            remove=await self._editor.removed_since(updated_since),
        )

    async def find_role(self, role: str) -> Document:
        """See the contract."""
        return await self._editor.find(role)

    async def create_role(self, user_id: UserId, role: NewRole) -> Document:
        """See the contract."""
        made = await self._editor.create(user_id, role)
        self._facts.forget_roles()
        return made

    async def update_role(self, user_id: UserId, role_id: str, changes: RoleChanges) -> Document:
        """See the contract."""
        changed = await self._editor.update(user_id, role_id, changes)
        self._facts.forget_roles()
        return changed

    async def delete_role(self, user_id: UserId, role: str) -> None:
        """See the contract."""
        await self._editor.delete(user_id, role)
        self._facts.forget_roles()
        self._facts.forget_permissions()

    async def update_permissions(
        self, user_id: UserId, permissions: list[PermissionRoles]
    ) -> list[Document]:
        """See the contract."""
        found = await self._editor.set_permissions(user_id, permissions)
        self._facts.forget_permissions()
        return found

    async def users_in_role(
        self, user_id: UserId, role: str, paging: Paging, room_id: RoomId | None = None
    ) -> Page:
        """See the contract."""
        return await self._editor.holders(user_id, role, paging, room_id)

    async def administrators(self) -> list[Document]:
        """See the contract."""
        return await self._store.administrators()

    async def users_in_public_roles(self) -> list[Document]:
        """See the contract."""
        public = [str(role["_id"]) for role in await self._facts.roles() if role.get("description")]
        return await self._store.users_with_roles(public) if public else []

    @listen(RolesChanged, to="all")
    async def on_roles_changed(self, event: RolesChanged) -> None:
        """Forget the roles."""
        self._facts.forget_roles()
        self._metrics.invalidated(event)

    @listen(PermissionsChanged, to="all")
    async def on_permissions_changed(self, event: PermissionsChanged) -> None:
        """Forget the permissions."""
        self._facts.forget_permissions()
        self._metrics.invalidated(event)

    @listen(UserChanged, to="all")
    async def on_user_changed(self, event: UserChanged) -> None:
        """Forget the user's roles."""
        self._facts.forget_user(event.user_id)
        self._metrics.invalidated(event)

    @listen(MembershipChanged, to="all")
    async def on_membership_changed(self, event: MembershipChanged) -> None:
        """Forget the membership."""
        self._facts.forget_membership(event.user_id, event.room_id)
        self._metrics.invalidated(event)

    @listen(RoomChanged, to="all")
    async def on_room_changed(self, event: RoomChanged) -> None:
        """Forget the room."""
        self._facts.forget_room(event.room_id)
        self._metrics.invalidated(event)

    @listen(SettingsChanged, to="all")
    async def on_settings_changed(self, event: SettingsChanged) -> None:
        """Forget the setting."""
        self._facts.forget_setting(event.setting_id)
        self._metrics.invalidated(event)

    def forget_everything(self) -> None:
        """Events may have been missed: NATS was away."""
        self._facts.forget_everything()

    async def close(self) -> None:
        """Stop what is being loaded."""
        await self._facts.close()

    async def _accessible(
        self, room_ids: list[RoomId], user_id: UserId | None, *, now: bool = False
    ) -> dict[RoomId, tuple[Room, Standing]]:
        """Those of `room_ids` that somebody may follow.

        Rooms are judged together, generation by generation: first the rooms themselves, then
        the parents of the discussions among them.
        """
        grants = await self._facts.grants()
        accessible: dict[RoomId, tuple[Room, Standing]] = {}
        own: dict[RoomId, tuple[Room, Standing]] = {}
        judged = {room_id: room_id for room_id in room_ids}  # asked for → judged in its place
        for _ in range(MAX_PARENTS + 1):
            found = await self._facts.rooms(list(judged.values()), now=now)
            rooms = {room.id: room for room in found.values() if room is not None}
            standings = await self._facts.standings(list(rooms.values()), user_id, now=now)
            parents: dict[RoomId, RoomId] = {}
            for asked, room_id in judged.items():
                if room_id not in standings:
                    continue
                room, standing = rooms[room_id], standings[room_id]
                own.setdefault(asked, (room, standing))
                verdict = access(room, standing, grants)
                if verdict is Access.YES:
                    accessible[asked] = own[asked]
                elif verdict is Access.AS_PARENT and room.parent_id is not None:
                    parents[asked] = room.parent_id
            judged = parents
            if not judged:
                break
        for room_id in room_ids:
            self._metrics.decided(ACCESS, allowed=room_id in accessible)
        return accessible


async def run(process: Process) -> None:
    """Serve authorization until the process is asked to stop."""
    settings = load(AuthorizationSettings)
    async with process.mongo() as database, process.bus() as bus:
        store = MongoAuthorizationStore(database, timeout=settings.query_timeout)
        roles = MongoRoleStore(database)
        await process.schema(database, expand)
        await store.fill()
        service = AuthorizationService(
            store, settings, AuthorizationMetrics(process.registry), roles, bus.publish
        )
        bus.on_reconnect(service.forget_everything)
        try:
            await bus.serve(service)
            process.health.ready()
            log.info("service_ready", fact_age=settings.fact_age)
            await process.stopping.wait()
            await bus.drain()
        finally:
            await service.close()


def _heard(answer: bool | BaseException) -> bool | None:
    """What is wrong with one document fails one question. Raises: whatever is of all."""
    if isinstance(answer, Unavailable) or not isinstance(answer, bool | Exception):
        raise answer
    return answer if isinstance(answer, bool) else None


def _changed(document: Document, since: datetime) -> bool:
    updated = document.get("_updatedAt")
    return isinstance(updated, datetime) and updated > since
