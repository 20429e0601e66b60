"""What is remembered for some seconds about users, rooms, rights and settings.

Events drop entries early; an entry's age bounds what a lost event can do. Nothing that decides
whether a message is stored comes from here alone: memberships, mutes and read-only rooms are
judged by what the transaction of the send sees.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hubbub.clock import Clock
from hubbub.contracts.authorization import Authorization
from hubbub.ids import RoomId, UserId
from services.messaging.domain.rules import Rules, rules_of
from services.messaging.domain.sending import RIGHTS, Person
from services.messaging.store import Store

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_REMEMBERED = 10_000  # entries of each kind


class Memory(Generic[K, V]):
    """A bounded memory of loaded values with an age limit.

    Those who ask for the same key at the same time share one load. A value that was dropped
    while it was being loaded is handed out once and not kept.
    """

    def __init__(
        self,
        load: Callable[[K], Awaitable[V]],
        *,
        ttl: float,
        clock: Clock,
        size: int = _REMEMBERED,
    ) -> None:
        self._load = load
        self._ttl = ttl
        self._clock = clock
        self._size = size
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._loading: dict[K, asyncio.Future[V]] = {}

    async def get(self, key: K) -> V:
        """The value, at most `ttl` seconds old."""
        entry = self._entries.get(key)
        if entry is not None and self._clock.monotonic() < entry[0]:
            return entry[1]
        running = self._loading.get(key)
        if running is not None:
            # If who loads gives up, this one loads for itself.
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                if not running.cancelled():
                    raise
                return await self._load(key)
        return await self._load_shared(key)

    def drop(self, key: K) -> None:
        """Forget one entry."""
        self._entries.pop(key, None)
        self._loading.pop(key, None)

    def drop_if(self, condition: Callable[[K], bool]) -> None:
        """Forget the entries whose key meets a condition."""
        for key in [key for key in (*self._entries, *self._loading) if condition(key)]:
            self.drop(key)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._loading.clear()

    async def _load_shared(self, key: K) -> V:
        shared: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._loading[key] = shared
        try:
            value = await self._load(key)
        except BaseException as error:
            if isinstance(error, Exception):
                shared.set_exception(error)
                shared.exception()  # seen: there may be nobody who waits
            else:
                shared.cancel()
            raise
        else:
            shared.set_result(value)
            # What does not exist is asked for again: it may exist in a moment.
            if self._loading.get(key) is shared and value is not None:
                self._keep(key, value)
            return value
        finally:
            if self._loading.get(key) is shared:
                del self._loading[key]

    def _keep(self, key: K, value: V) -> None:
        self._entries[key] = (self._clock.monotonic() + self._ttl, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Watcher:
    """A member who wants to hear of every message, or of certain words."""

    user_id: str
    every_message: bool
    highlights: tuple[str, ...]


class Facts:
    """The memories of one process."""

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
        self._people: Memory[str, Person | None] = Memory(store.users.person, ttl=ttl, clock=clock)
        self._rooms: Memory[str, dict[str, Any] | None] = Memory(
            self._load_room, ttl=ttl, clock=clock
        )
        self._rights: Memory[tuple[str, str], frozenset[str]] = Memory(
            self._load_rights, ttl=ttl, clock=clock
        )
        self._watchers: Memory[str, tuple[Watcher, ...]] = Memory(
            self._load_watchers, ttl=ttl, clock=clock
        )
        self._settings: Memory[None, tuple[Rules, Mapping[str, Any]]] = Memory(
            self._load_settings, ttl=settings_ttl, clock=clock
        )

    async def person(self, user_id: str) -> Person | None:
        """A user, None when there is none."""
        return await self._people.get(user_id)

    async def room(self, room_id: str) -> dict[str, Any] | None:
        """Type, name and access rules of a room; not its numbers."""
        return await self._rooms.get(room_id)

    async def sending_rights(self, user_id: str, room_id: str) -> frozenset[str]:
        """Which permissions of `RIGHTS` a user holds in a room."""
        return await self._rights.get((user_id, room_id))

    async def watchers(self, room_id: str) -> tuple[Watcher, ...]:
        """Members who want more than the usual notifications."""
        return await self._watchers.get(room_id)

    async def rules(self) -> Rules:
        """The workspace settings that rules depend on."""
        return (await self._settings.get(None))[0]

    async def setting(self, setting_id: str) -> Any:
        """The value of a setting, None when there is none."""
        return (await self._settings.get(None))[1].get(setting_id)

    def forget_user(self, user_id: str) -> None:
        """A user changed."""
        self._people.drop(user_id)
        self._rights.drop_if(lambda key: key[0] == user_id)

    def forget_room(self, room_id: str) -> None:
        """A room changed."""
        self._rooms.drop(room_id)
        self._watchers.drop(room_id)
        self._rights.drop_if(lambda key: key[1] == room_id)

    def forget_membership(self, user_id: str, room_id: str) -> None:
        """A membership began, ended or changed its roles."""
        self._rights.drop((user_id, room_id))
        self._watchers.drop(room_id)

    def forget_rights(self) -> None:
        """Roles or permissions changed."""
        self._rights.clear()

    def forget_settings(self) -> None:
        """A setting changed."""
        self._settings.clear()

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

    async def _load_settings(self, _: None) -> tuple[Rules, Mapping[str, Any]]:
        values = await self._store.workspace.values()
        return rules_of(values), values
