"""What the rules need to know, kept for a few seconds and forgotten when an event says so.

Facts are cached, never decisions: one event then names exactly what to forget.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from hubbub.cache import Cache, LoadMany
from hubbub.clock import Clock
from hubbub.contracts.workspace import PERMISSIONS, SETTINGS, SettingValue
from hubbub.ids import RoomId, UserId
from hubbub.mongo import Document
from services.authorization.domain import ANONYMOUS_ROLES, Grants, Room, Standing, Team, grants_of
from services.authorization.metrics import AuthorizationMetrics
from services.authorization.settings import AuthorizationSettings
from services.authorization.store import AuthorizationStore, Pair, TeamPair

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

ANONYMOUS_READ = "Accounts_AllowAnonymousRead"

_DEFAULTS: Grants = {name: frozenset(roles) for name, roles in PERMISSIONS.items()}
_ALL = "all"  # the one key of caches that hold a whole collection
_FEW = 1000  # entries of caches with few keys


@dataclass(frozen=True, slots=True)
class Permissions:
    """All permission documents, and what they mean."""

    documents: list[Document]
    grants: Grants


class Facts:
    """Caches in front of the store. Close them."""

    def __init__(
        self,
        store: AuthorizationStore,
        settings: AuthorizationSettings,
        metrics: AuthorizationMetrics,
        clock: Clock,
    ) -> None:
        def cache(load: LoadMany[K, V], size: int) -> Cache[K, V]:
            return Cache(
                load, max_age=settings.fact_age, size=size, clock=clock, on_look=metrics.looked
            )

        self._store = store
        self._stale = settings.permission_stale
        self._user_roles: Cache[UserId, frozenset[str] | None] = cache(
            store.user_roles, settings.cached_users
        )
        self._memberships: Cache[Pair, frozenset[str] | None] = cache(
            store.memberships, settings.cached_memberships
        )
        self._rooms: Cache[RoomId, Room | None] = cache(store.rooms, settings.cached_rooms)
        self._teams: Cache[TeamPair, Team] = cache(store.teams, settings.cached_users)
        self._settings: Cache[str, SettingValue | None] = cache(store.settings, _FEW)
        self._permissions: Cache[str, Permissions] = cache(self._load_permissions, _FEW)
        self._roles: Cache[str, list[Document]] = cache(self._load_roles, _FEW)
        self._caches: tuple[Cache[Any, Any], ...] = (
            self._user_roles,
            self._memberships,
            self._rooms,
            self._teams,
            self._settings,
            self._permissions,
            self._roles,
        )
        metrics.count_entries(lambda: sum(len(cache) for cache in self._caches))

    async def permissions(self) -> Permissions:
        """All permissions; may be old while the database is away."""
        return await self._permissions.get(_ALL, stale_for=self._stale)

    async def grants(self) -> Grants:
        """Which role holds what, for decisions about rooms."""
        return (await self._permissions.get(_ALL)).grants

    async def roles(self) -> list[Document]:
        """All role documents; may be old while the database is away."""
        return await self._roles.get(_ALL, stale_for=self._stale)

    async def roles_held(self, user_id: UserId | None, room_id: RoomId | None) -> frozenset[str]:
        """Roles that somebody holds, globally and in `room_id`, for permission checks.

        May be old while the database is away. Nobody known, or deactivated: none.
        """
        if user_id is None:
            return ANONYMOUS_ROLES
        roles = await self._user_roles.get(user_id, stale_for=self._stale)
        if roles is None or room_id is None:
            return roles or frozenset()
        in_room = await self._memberships.get((user_id, room_id), stale_for=self._stale)
        return roles | (in_room or frozenset())

    async def rooms(
        self, room_ids: list[RoomId], *, now: bool = False
    ) -> dict[RoomId, Room | None]:
        """Rooms by id; `now`: nothing remembered counts."""
        return await (self._rooms.get_now if now else self._rooms.get_many)(room_ids)

    async def standings(
        self, rooms: list[Room], user_id: UserId | None, *, now: bool = False
    ) -> dict[RoomId, Standing]:
        """How somebody stands to `rooms`; `now`: nothing remembered of memberships and teams
        counts. Empty when there is no such user."""
        if user_id is None:
            return await self._standings_of_a_stranger(rooms, now=now)
        roles = await self._user_roles.get(user_id)
        if roles is None:
            return {}
        pairs = {(user_id, room.id): room for room in rooms}
        memberships = await (self._memberships.get_now if now else self._held)(list(pairs))
        return {
            room.id: Standing(
                roles=roles | (memberships[pair] or frozenset()),
                is_member=memberships[pair] is not None,
                team=await self._team(room, user_id, now=now),
            )
            for pair, room in pairs.items()
        }

    async def _held(self, pairs: list[Pair]) -> dict[Pair, frozenset[str] | None]:
        """Memberships; that there is none is never believed without a look.

        Who joins a room asks for it with the next breath, before the event of the joining.
        """
        known = {pair: held for pair in pairs if (held := self._memberships.peek(pair)) is not None}
        absent = [pair for pair in pairs if pair not in known]
        return known | await self._memberships.get_now(absent)

    async def _standings_of_a_stranger(
        self, rooms: list[Room], *, now: bool
    ) -> dict[RoomId, Standing]:
        stored = await self._settings.get(ANONYMOUS_READ)
        anonymous_read = (SETTINGS[ANONYMOUS_READ].value if stored is None else stored) is True
        return {
            room.id: Standing(
                roles=ANONYMOUS_ROLES,
                is_anonymous=True,
                anonymous_read=anonymous_read,
                team=await self._team(room, None, now=now),
            )
            for room in rooms
        }

    async def _team(self, room: Room, user_id: UserId | None, *, now: bool) -> Team:
        if room.team_id is None:
            return Team.NONE
        pair = room.team_id, user_id
        return (await self._teams.get_now([pair]))[pair] if now else await self._teams.get(pair)

    def forget_user(self, user_id: UserId) -> None:
        """The user's roles or active flag changed."""
        self._user_roles.forget(user_id)

    def forget_membership(self, user_id: UserId, room_id: RoomId) -> None:
        """The membership began, ended, or has other roles."""
        self._memberships.forget((user_id, room_id))
        self._teams.forget_all()  # the main room of a team has its members; teams are few

    def forget_room(self, room_id: RoomId) -> None:
        """The room's type, team, parent or existence changed."""
        self._rooms.forget(room_id)
        self._teams.forget_all()

    def forget_permissions(self) -> None:
        """Permissions changed."""
        self._permissions.forget_all()

    def forget_roles(self) -> None:
        """Roles changed."""
        self._roles.forget_all()

    def forget_setting(self, setting_id: str) -> None:
        """A setting changed."""
        self._settings.forget(setting_id)

    def forget_everything(self) -> None:
        """Anything may have changed unnoticed."""
        for cache in self._caches:
            cache.forget_all()

    async def close(self) -> None:
        """Stop what is being loaded."""
        for cache in self._caches:
            await cache.close()

    async def _load_permissions(self, keys: list[str]) -> dict[str, Permissions]:
        documents = await self._store.permission_documents()
        return dict.fromkeys(keys, Permissions(documents, grants_of(documents, _DEFAULTS)))

    async def _load_roles(self, keys: list[str]) -> dict[str, list[Document]]:
        return dict.fromkeys(keys, await self._store.role_documents())
