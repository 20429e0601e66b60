"""What is remembered for some seconds about users, rooms, rights and settings.

Events drop entries early; an entry's age bounds what a lost event can do. Nothing that decides
whether a message is stored comes from here alone: memberships, mutes and read-only rooms are
judged by what the transaction of the send sees.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from hubbub.cache import Cache, LoadMany
from hubbub.clock import Clock
from hubbub.contracts.authorization import Authorization
from hubbub.ids import RoomId, UserId
from services.messaging.domain.rules import Rules, rules_of
from services.messaging.domain.sending import RIGHTS, Person
from services.messaging.store import Store

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_REMEMBERED: Final = 10_000  # entries of each kind
_ALL: Final = "all"  # the one key where a whole collection is remembered


class _Absent(Exception):
    """There is no such thing. Not remembered: it may exist in a moment."""


def _one_by_one(load: Callable[[K], Awaitable[V | None]]) -> LoadMany[K, V]:
    async def loaded(keys: list[K]) -> dict[K, V]:
        found = {}
        for key in keys:
            value = await load(key)
            if value is None:
                raise _Absent
            found[key] = value
        return found

    return loaded


@dataclass(frozen=True, slots=True)
class Watcher:
    """A member who wants to hear of every message, or of certain words."""

    user_id: str
    every_message: bool
    highlights: tuple[str, ...]


class Facts:
    """The caches of one process. Close them."""

    def __init__(
        self,
        store: Store,
        authorization: Authorization,
        *,
        clock: Clock,
        ttl: float,
        settings_ttl: float,
    ) -> None:
        self._store = store
        self._authorization = authorization

        def cache(load: Callable[[K], Awaitable[V | None]], max_age: float) -> Cache[K, V]:
            return Cache(_one_by_one(load), max_age=max_age, size=_REMEMBERED, clock=clock)

        self._people: Cache[str, Person] = cache(store.users.person, ttl)
        self._rooms: Cache[str, dict[str, Any]] = cache(self._load_room, ttl)
        self._rights: Cache[tuple[str, str], frozenset[str]] = cache(self._load_rights, ttl)
        self._watchers: Cache[str, tuple[Watcher, ...]] = cache(self._load_watchers, ttl)
        self._settings: Cache[str, tuple[Rules, Mapping[str, Any]]] = cache(
            self._load_settings, settings_ttl
        )

    async def close(self) -> None:
        """Stop what is being loaded."""
        for cache in (self._people, self._rooms, self._rights, self._watchers, self._settings):
            await cache.close()

    async def person(self, user_id: str) -> Person | None:
        """A user, None when there is none."""
        return await _if_any(self._people, user_id)

    async def room(self, room_id: str) -> dict[str, Any] | None:
        """Type, name and access rules of a room; not its numbers. Not to be changed."""
        return await _if_any(self._rooms, room_id)

    async def sending_rights(self, user_id: str, room_id: str) -> frozenset[str]:
        """Which permissions of `RIGHTS` a user holds in a room."""
        return await self._rights.get((user_id, room_id))

    async def watchers(self, room_id: str) -> tuple[Watcher, ...]:
        """Members who want more than the usual notifications."""
        return await self._watchers.get(room_id)

    async def rules(self) -> Rules:
        """The workspace settings that rules depend on."""
        return (await self._settings.get(_ALL))[0]

    async def setting(self, setting_id: str) -> Any:
        """The value of a setting, None when there is none."""
        return (await self._settings.get(_ALL))[1].get(setting_id)

    def forget_user(self, user_id: str) -> None:
        """A user changed."""
        self._people.forget(user_id)
        self._rights.forget_if(lambda key: key[0] == user_id)

    def forget_room(self, room_id: str) -> None:
        """A room changed."""
        self._rooms.forget(room_id)
        self._watchers.forget(room_id)
        self._rights.forget_if(lambda key: key[1] == room_id)

    def forget_membership(self, user_id: str, room_id: str) -> None:
        """A membership began, ended or changed its roles."""
        self._rights.forget((user_id, room_id))
        self._watchers.forget(room_id)

    def forget_rights(self) -> None:
        """Roles or permissions changed."""
        self._rights.forget_all()

    def forget_settings(self) -> None:
        """A setting changed."""
        self._settings.forget_all()

    async def _load_room(self, room_id: str) -> dict[str, Any] | None:
        room = await self._store.rooms.one(room_id)
        if room is not None:
            room.pop("lastMessage", None)
        return room

    async def _load_rights(self, key: tuple[str, str]) -> frozenset[str]:
        user_id, room_id = key
        held = await self._authorization.held_permissions(
            UserId(user_id), list(RIGHTS), RoomId(room_id)
        )
        return frozenset(held)

    async def _load_watchers(self, room_id: str) -> tuple[Watcher, ...]:
        watchers: list[Watcher] = []
        for membership in await self._store.memberships.watching(room_id):
            user = membership.get("u")
            if not isinstance(user, dict):
                continue
            words = membership.get("userHighlights")
            watchers.append(
                Watcher(
                    str(user.get("_id")),
                    every_message=membership.get("desktopNotifications") == "all"
                    and membership.get("disableNotifications") is not True,
                    highlights=tuple(
                        word for word in words if isinstance(word, str) and word.strip()
                    )
                    if isinstance(words, list)
                    else (),
                )
            )
        return tuple(watchers)

    async def _load_settings(self, _: str) -> tuple[Rules, Mapping[str, Any]]:
        values = await self._store.workspace.values()
        return rules_of(values), values


async def _if_any(cache: Cache[K, V], key: K) -> V | None:
    try:
        return await cache.get(key)
    except _Absent:
        return None
