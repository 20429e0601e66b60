"""In which rooms apps may hear and judge what is said: where their users are members, and
everywhere with `room.read-all`."""

from __future__ import annotations

import asyncio
from typing import Final

from hubbub.cache import Cache
from hubbub.clock import Clock
from hubbub.contracts.messaging import Messaging
from hubbub.ids import UserId
from services.apps_engine.bridge import Who

_BELIEVED: Final = 30.0  # seconds, if it is not told that a membership began or ended
_APPS: Final = 1000


class BotRooms:
    """Remembers where apps' users are members. Close it."""

    def __init__(self, messaging: Messaging, clock: Clock) -> None:
        self._messaging = messaging
        self._cache: Cache[UserId, frozenset[str]] = Cache(
            self._load, max_age=_BELIEVED, size=_APPS, clock=clock
        )

    async def covers(self, who: Who, room_id: str) -> bool:
        """Whether what happens in a room is for an app. Raises: HubbubError: nobody knows."""
        return who.reads_all or room_id in await self._cache.get(who.bot_id)

    def forget(self, user_id: UserId) -> None:
        """A user's memberships changed."""
        self._cache.forget(user_id)

    async def close(self) -> None:
        """Ask no more."""
        await self._cache.close()

    async def _load(self, bots: list[UserId]) -> dict[UserId, frozenset[str]]:
        found = await asyncio.gather(*(self._messaging.memberships_of(bot) for bot in bots))
        return {
            bot: frozenset(str(membership.room_id) for membership in memberships)
            for bot, memberships in zip(bots, found, strict=True)
        }
