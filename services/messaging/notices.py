"""Desktop notifications of new messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from services.messaging.domain import counters, records
from services.messaging.facts import Facts
from services.messaging.store import Store
from services.messaging.whisper import Whisper


class Notices:
    """Tells members of messages that concern them. At most once, to whoever is online."""

    def __init__(self, store: Store, facts: Facts, whisper: Whisper, *, group_limit: int) -> None:
        """
        Args:
            group_limit: members up to which group mentions and direct rooms notify everybody.
        """
        self._store = store
        self._facts = facts
        self._whisper = whisper
        self._group_limit = group_limit

    async def tell(
        self, room_id: str, room: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]
    ) -> None:
        """Notify of `messages` of one room."""
        said = {message["_id"]: counters.said(message) for message in messages}
        spoken = [
            message
            for message in messages
            if said[message["_id"]].in_room or said[message["_id"]].thread_id
        ]
        if not spoken:
            return
        watchers = await self._facts.watchers(room_id)
        eager = frozenset(watcher.user_id for watcher in watchers if watcher.every_message)
        words = {watcher.user_id: watcher.highlights for watcher in watchers if watcher.highlights}
        concerned = counters.with_highlights([said[message["_id"]] for message in spoken], words)
        everybody = room.get("t") == "d" or any(one.group for one in concerned)
        singled_out = eager.union(*(one.mentioned for one in concerned))
        memberships = await self._memberships(room_id, room, singled_out, everybody=everybody)
        if not memberships:
            return
        statuses = await self._store.users.statuses(list(memberships))
        for message, one in zip(spoken, concerned, strict=True):
            for user_id, membership in memberships.items():
                if statuses.get(user_id, "offline") == "offline" or user_id == one.author_id:
                    continue
                if _concerns(one, membership, user_id, eager, direct=room.get("t") == "d"):
                    name = membership.get("name")
                    content = records.notification(
                        message, room, name if isinstance(name, str) else None
                    )
                    await self._whisper.tell(user_id, "notification", content)

    async def _memberships(
        self,
        room_id: str,
        room: Mapping[str, Any],
        singled_out: Collection[str],
        *,
        everybody: bool,
    ) -> dict[str, Mapping[str, Any]]:
        members = room.get("usersCount")
        few = isinstance(members, int) and members <= self._group_limit
        if everybody and few:
            found = await self._store.memberships.to_notify(room_id, None, self._group_limit)
        elif singled_out:
            found = await self._store.memberships.to_notify(room_id, singled_out, self._group_limit)
        else:
            return {}
        return {str((membership.get("u") or {}).get("_id")): membership for membership in found}


def _concerns(
    said: counters.Said,
    membership: Mapping[str, Any],
    user_id: str,
    eager: Collection[str],
    *,
    direct: bool,
) -> bool:
    if user_id in said.mentioned:
        return True
    if not said.in_room and not direct:
        return False
    if direct or user_id in eager:
        return True
    return said.group and membership.get("muteGroupMentions") is not True
