"""What explanations of a delivery stand on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hubbub.contracts.documents import Identifier
from hubbub.contracts.explain import DeliveryFacts, MessageFacts, Stay
from services.messaging.desk import Desk
from services.messaging.domain import foreign


class Explaining:
    """The door of this."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def delivery_facts(
        self, message_id: Identifier, user_id: Identifier
    ) -> DeliveryFacts | None:
        """See the contract."""
        store = self._desk.store
        message = await store.messages.one(message_id)
        if message is None:
            message = await store.explaining.deleted_message(message_id)
        if message is None or not isinstance(message.get("rid"), str):
            return None
        room_id = message["rid"]
        room = await self._desk.facts.room(room_id)
        present = await store.memberships.one(room_id, user_id)
        ended = await store.explaining.ended_stays(room_id, user_id)
        stays = [*([] if present is None else [present]), *ended]
        return DeliveryFacts(
            message=_facts(message, room or {}),
            stays=[
                Stay(since=foreign.moment(stay.get("ts")), until=_ended(stay)) for stay in stays
            ],
        )


def _facts(message: Mapping[str, Any], room: Mapping[str, Any]) -> MessageFacts:
    author, sequence = message.get("u"), message.get("seq")
    return MessageFacts(
        id=message["_id"],
        room_id=message["rid"],
        room_type=str(room.get("t") or ""),
        ts=foreign.moment(message.get("ts")) or datetime.fromtimestamp(0, UTC),
        sequence=sequence if isinstance(sequence, int) else None,
        author_id=str(author.get("_id") or "") if isinstance(author, Mapping) else "",
        type=str(message.get("t") or ""),
        thread_id=message["tmid"] if isinstance(message.get("tmid"), str) else None,
        hidden=bool(message.get("_hidden")),
        deleted_at=_ended(message),
    )


def _ended(document: Mapping[str, Any]) -> datetime | None:
    return foreign.moment(document.get("_deletedAt"))
